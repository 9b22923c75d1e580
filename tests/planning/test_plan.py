"""Plans of suites: what cells take, and what it saves to leave something out."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import training as training_cell

from gr_bench.errors import RequestError
from gr_bench.experiments.block_times import START_S
from gr_bench.experiments.generalization.planning.work import training_flops
from gr_bench.planning import page, rates
from gr_bench.planning.fake_step import StepCell, footprint
from gr_bench.planning.makespan import makespan, spread
from gr_bench.planning.plan import Planner, SuitePlan
from gr_bench.planning.rates import AssumedRates, Rates, StoredRates
from gr_bench.planning.seconds import Estimate, total
from gr_bench.planning.time_model import StepTime
from gr_bench.planning.trainings import training
from gr_bench.runs.suite import build_suite
from gr_bench.stats import Interval

GB = 10**9
IMAGES = "random(shape=(3, 8, 8), samples=64)"
STEP_COST = {
    "methods": ["sgd", "f-gr", "db-gr"],
    "models": ["mlp(depth=2, width=16)", "resnet-8(width=8)"],
    "datasets": [IMAGES],
    "batch_sizes": [8, 32],
    "seconds_per_block": 2.0,
}
TRAININGS = {
    "methods": ["sgd", "f-gr(gamma=[0.1, 0.2, 0.3])"],
    "models": ["mlp(depth=2, width=16)"],
    "datasets": [IMAGES],
    "batch_sizes": [8],
    "seeds": [0, 1],
    "epochs": 5,
}


class Proportional(Rates):
    """A nanosecond a FLOP, or half and double of that."""

    words = "times by a nanosecond a FLOP"

    def step(self, cell: Any, threads: int, counted: Any) -> StepTime:
        s = 1e-9 * counted.flops
        return StepTime(Interval(s, s / 2, 2 * s), "model")


class Nothing(Rates):
    words = ""

    def step(self, cell: Any, threads: int, counted: Any) -> None:
        return None


def plan_of(
    told_by: Rates | None = None,
    devices: Any = (("8 GB", 8 * GB),),
    **experiments: dict[str, Any],
) -> SuitePlan:
    data = {"title": "S"} | {key: [grid] for key, grid in experiments.items()}
    suite = build_suite("s", data)
    return Planner(suite, told_by or Proportional(), devices, lambda text: None).plan()


# --- trainings


@pytest.mark.parametrize("spec", ["sgd", "f-gr", "f-gr(gamma=0)", "db-gr"])
@pytest.mark.parametrize("model", ["mlp(depth=6, width=256)", "resnet-8(width=8)", "wrn-16-4"])
def test_arithmetic_agrees_with_the_estimate_that_units_are_made_by(model: str, spec: str) -> None:
    """That one gives every layer three products a gradient: the first one has less."""
    cell = training_cell(spec, model=model, dataset=IMAGES, batch_size=8, epochs=3)
    assert training(cell, 1).steps == pytest.approx(training_flops(cell), rel=0.15)


def test_a_trainings_time_is_its_steps_and_its_evaluations() -> None:
    """Five epochs of eight steps; with a nanosecond a FLOP time is arithmetic."""
    plan = plan_of(generalization=TRAININGS)
    assert len(plan.cells) == 8
    for one in plan.cells:
        assert one.total.center == pytest.approx(1e-9 * one.total_flops)
        assert one.total_flops == training(one.cell, 1).total
        assert one.total.high / one.total.low == pytest.approx(4)
    assert plan.total.center == pytest.approx(START_S + 1e-9 * plan.total_flops)


def test_of_a_choice_one_setting_is_paid_for() -> None:
    """Four candidates on one seed, without the test part; then SGD and one F-GR on two seeds."""
    plan = plan_of(generalization=TRAININGS | {"select": True, "selection_seeds": [7]})
    trainings = [training(one.cell, 1) for one in plan_of(generalization=TRAININGS).cells]
    sgd, f_gr = trainings[0], trainings[-1]
    chosen = [one.total_flops for one in plan.cells if one.cell.role == "chosen"]
    assert len(chosen) == 8
    assert sum(chosen) == pytest.approx(2 * (sgd.total + f_gr.total))
    candidates = [one.total_flops for one in plan.cells if one.cell.role == "candidate"]
    assert len(candidates) == 4
    steps = sgd.steps + 3 * f_gr.steps
    assert steps < sum(candidates) < sgd.total + 3 * f_gr.total


def test_equal_time_adds_sgd_for_as_long_as_the_others_take() -> None:
    plan = plan_of(generalization=TRAININGS | {"equal_time": True})
    assert {one.cell.epochs for one in plan.cells if one.cell.spec == "sgd"} == {5, 10}
    assert plan.total.center > START_S + 1e-9 * plan.total_flops  # steps are timed, too


# --- step cost


def test_a_blocks_time_is_that_of_its_least_replicates_and_at_most_that_of_its_most() -> None:
    plan = plan_of(step_cost=STEP_COST)
    blocks, least, most = 4, 5, 20
    assert plan.total.center >= blocks * least * 2.0 + (1 + least) * START_S
    assert plan.total.low <= plan.total.center
    assert plan.total.high >= blocks * most * 2.0 + (1 + most) * START_S
    assert plan.total.center == pytest.approx(
        (1 + least) * START_S + sum(one.total.center for one in plan.cells)
    )


def test_slow_steps_take_their_least_rounds() -> None:
    class Slow(Rates):
        words = ""

        def step(self, cell: Any, threads: int, counted: Any) -> StepTime:
            return StepTime(Interval(10.0, 10.0, 10.0), "model")

    one = STEP_COST | {"models": ["mlp(depth=2, width=16)"], "batch_sizes": [8]}
    plan = plan_of(Slow(), step_cost=one)
    assert plan.total.center > 5 * 5 * 4 * 10.0  # replicates, rounds, methods and the control


def test_a_block_needs_the_room_of_all_its_methods() -> None:
    """While one steps, the others keep what lasts."""
    plan = plan_of(step_cost=STEP_COST | {"batch_sizes": [8], "device": "cuda"})
    own = [one for one in plan.cells if one.cell.model.startswith("resnet")]
    (needed,) = {one.needed_bytes for one in own}
    assert len(own) == 4
    others = sum(one.footprint.lasting_bytes for one in own)
    assert needed > others
    assert needed > max(one.footprint.memory.peak_bytes for one in own)


# --- nodes


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=7), st.integers(1, 3))
def test_no_order_of_work_is_much_shorter_than_the_one_that_is_told(
    pieces: list[float], places: int
) -> None:
    """Beside the best of all assignments: at most 4/3 - 1/(3m) of it (Graham 1969)."""
    best = min(
        max(sum(p for p, at in zip(pieces, where, strict=True) if at == k) for k in range(places))
        for where in itertools.product(range(places), repeat=len(pieces))
    )
    told = makespan(pieces, places)
    assert best <= told * (1 + 1e-9)
    assert told <= best * (4 / 3 - 1 / (3 * places)) * (1 + 1e-9)


def test_blocks_are_given_out_node_by_node_and_the_starts_of_processes_are_every_nodes() -> None:
    plan = plan_of(step_cost=STEP_COST)
    parts = [(plan.suite.plans[0], *estimated(plan))]
    blocks: dict[object, float] = {}
    for one in plan.cells:
        key = (one.cell.model, one.cell.batch_size)
        blocks[key] = blocks.get(key, 0.0) + one.total.center
    on = {nodes: spread(parts, nodes, 2) for nodes in (1, 2, 4, 100)}
    starts = 6 * START_S
    assert on[1].total == pytest.approx(plan.total)
    assert on[2].total.center == pytest.approx(starts + makespan(blocks.values(), 2))
    assert on[4].total.center == pytest.approx(starts + max(blocks.values()))
    assert on[4].total == pytest.approx(on[100].total)
    assert on[4].longest.center == pytest.approx(max(blocks.values()))


def test_trainings_share_all_cores_of_all_nodes_and_candidates_come_first() -> None:
    grid = TRAININGS | {"trainer": "loop"}
    plan = plan_of(generalization=grid)
    one = [own.total.center for own in plan.cells]
    parts = [(plan.suite.plans[0], *estimated(plan))]
    assert spread(parts, 1, 1).total.center == pytest.approx(START_S + sum(one))
    assert spread(parts, 2, 2).total.center == pytest.approx(START_S + makespan(one, 4))
    selected = plan_of(generalization=grid | {"select": True, "selection_seeds": [7]})
    by_role = {
        role: [own.total.center for own in selected.cells if own.cell.role == role]
        for role in ("candidate", "chosen")
    }
    assert spread([(selected.suite.plans[0], *estimated(selected))], 9, 9).total.center == (
        pytest.approx(START_S + sum(max(own) for own in by_role.values()))
    )


def test_the_time_on_nodes_is_told_in_words_and_in_json() -> None:
    suite = build_suite("s", {"title": "S", "generalization": [TRAININGS]})
    plan = Planner(suite, Proportional(), [("8 GB", 8 * GB)], lambda text: None).plan(nodes=3)
    words = " ".join(" ".join(page.lines(plan)).split())
    assert "On 3 nodes of " in words
    assert "which more nodes do not shorten" in words
    told = json.loads(page.as_json(plan))["nodes"]
    assert told["nodes"] == 3
    assert told["total_s_low"] <= told["total_s"] <= told["total_s_high"]
    assert "nodes" not in json.loads(page.as_json(plan_of(generalization=TRAININGS)))


def estimated(plan: SuitePlan) -> tuple[list[Any], Estimate]:
    """The cells of a plan of one grid, and their times with what belongs to none."""
    cells = {one.cell.id: one.total for one in plan.cells}
    own = total(time for time in cells.values() if time is not None)
    rest = Interval(*(a - b for a, b in zip(plan.total, own, strict=True)))
    return [one.cell for one in plan.cells], Estimate(cells, rest)


def test_verdicts_are_given_for_every_device() -> None:
    devices = (("tiny", 1000), ("8 GB", 8 * GB))
    plan = plan_of(devices=devices, step_cost=STEP_COST)
    assert {tuple(one.fits.values()) for one in plan.cells} == {("no", "yes")}


# --- savings


def test_savings_are_the_difference_that_leaving_out_makes() -> None:
    plan = plan_of(step_cost=STEP_COST, generalization=TRAININGS)
    found = {one.name: one.seconds for one in plan.savings}
    assert [one.seconds.center for one in plan.savings] == sorted(
        (one.seconds.center for one in plan.savings), reverse=True
    )
    smaller = plan_of(
        step_cost=STEP_COST | {"models": ["mlp(depth=2, width=16)"]}, generalization=TRAININGS
    )
    saved = plan.total.center - smaller.total.center
    assert found["resnet-8(width=8)"].center == pytest.approx(saved)
    assert {"batch 32", "db-gr", "f-gr", "step_cost", "generalization"} <= found.keys()
    assert "sgd" not in found  # everything is divided by it


# --- what is not known


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("plugged_plans:Reading", "not known", "reads a value from a tensor"),
        ("plugged:Raises", "not known", "RuntimeError: <b>no</b> such | luck"),
    ],
)
def test_a_plug_in_that_cannot_be_planned_says_why_and_the_others_go_on(
    method: str, status: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(step_cost=STEP_COST | {"methods": ["sgd", method], "batch_sizes": [8]})
    lost = [one for one in plan.cells if one.footprint is None]
    assert len(lost) == 2 and plan.without_time == 2
    assert {one.found.status for one in lost} == {status}
    assert all(reason in one.found.reason for one in lost)
    assert all(one.footprint for one in plan.cells if one.cell.spec == "sgd")
    assert capsys.readouterr().out == ""
    text = "\n".join(page.lines(plan))
    assert "at least" in text
    assert f"2 cells {status}: " in text


def test_what_cannot_work_is_unsupported() -> None:
    grid = STEP_COST | {"methods": ["sgd", "db-gr"], "compiled": [True]}
    plan = plan_of(AssumedRates(), step_cost=grid | {"device": "cuda"})
    status = {one.cell.spec: getattr(one.found, "status", "ok") for one in plan.cells}
    assert status == {"sgd": "ok", "db-gr(gamma=0.1)": "unsupported"}
    (row, *_) = json.loads(page.as_json(plan))["cells"]
    assert row["flops"] > 0 and row["peak_memory_bytes"] is None  # its compiler's own matter


def test_an_experiment_that_ends_when_it_has_converged_has_no_time() -> None:
    plan = plan_of(implicit_bias={"methods": ["sgd"], "problems": ["sparse-regression"]})
    assert plan.without_time == len(plan.cells) > 0
    assert "times are not known" in " ".join(page.lines(plan))


def test_flows_are_not_said_to_converge() -> None:
    plan = plan_of(modified_flow={"problems": ["product"]}, generalization=TRAININGS)
    words = " ".join(" ".join(page.lines(plan)).split())
    assert "cells not known: modified_flow integrates flows" in words
    assert "converged" not in words
    assert "at least " in words


def test_evaluations_have_a_time_where_no_method_is_the_plain_gradient() -> None:
    """Their baseline is another, so that SGD is nowhere in the suite."""
    methods = ["sam", "f-gr"]
    without = plan_of(generalization=TRAININGS | {"methods": methods, "baseline": "sam"})
    beside = plan_of(generalization=TRAININGS | {"methods": [*methods, "sgd"]})
    assert without.without_time == 0
    own = [one.total for one in beside.cells if one.cell.spec != "sgd"]
    assert [one.total for one in without.cells] == own


def test_the_probes_tell_the_time_of_other_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step behind AdamW touches more, so that it takes longer than the same behind SGD."""
    monkeypatch.setattr(rates, "PROBES", (*rates.PROBES[:2], *rates.PROBES[-2:]))
    monkeypatch.setattr(rates, "PROBE_SAMPLES", 2)
    here = rates.MeasuredRates(lambda text: None)
    cells = [
        StepCell("sgd", "mlp(depth=3, width=300)", IMAGES, 8, "cpu", "float32", optimizer=optimizer)
        for optimizer in ("sgd", "adamw", "adamw(weight_decay=0.1)")
    ]
    plain, adamw, other = [here.step(cell, 1, footprint(cell)) for cell in cells]
    assert plain is not None and adamw is not None and other is not None
    assert plain.source == adamw.source == "model"
    assert plain.seconds.center < adamw.seconds.center
    assert other.seconds.center == pytest.approx(adamw.seconds.center)
    compiled = StepCell("sgd", "mlp", IMAGES, 8, "cpu", "float32", compiled=True)
    assert here.step(compiled, 1, footprint(cells[0])) is None


def test_without_rates_there_is_arithmetic_and_no_time() -> None:
    plan = plan_of(Nothing(), generalization=TRAININGS | {"equal_time": True})
    assert plan.total_flops > 0
    assert plan.without_time == len(plan.cells)
    assert {one.cell.epochs for one in plan.cells if one.cell.spec == "sgd"} == {5, 10}


def test_a_gpus_time_is_an_assumption_and_says_so() -> None:
    plan = plan_of(AssumedRates(), step_cost=STEP_COST | {"device": "cuda"})
    assert {one.time.source for one in plan.cells} == {"assumed"}
    assert "assumed" in "\n".join(page.lines(plan))
    here = plan_of(AssumedRates(), step_cost=STEP_COST)
    assert here.without_time == len(here.cells)


# --- rates of a run


def test_a_runs_own_steps_are_told_as_they_were_measured(small_run: Any) -> None:
    """The run has two workloads: too few to say anything of a third."""
    stored = StoredRates(small_run.folder)
    cell = StepCell(
        "sgd", "mlp(depth=2, width=8)", "random(shape=(4,), samples=64)", 8, "cpu", "float32"
    )
    found = stored.step(cell, 1, footprint(cell))
    assert found.source == "measured"
    assert found.seconds.low <= found.seconds.center <= found.seconds.high
    assert str(small_run.folder) in stored.words
    for other in ({"threads": 2}, {"model": "mlp(depth=3, width=8)"}, {"optimizer": "adamw"}):
        changed = StepCell(**vars(cell) | {k: v for k, v in other.items() if k != "threads"})
        assert stored.step(changed, other.get("threads", 1), footprint(changed)) is None


def test_a_run_without_step_times_is_refused(tmp_path: Path) -> None:
    from synthetic import run_of, trained

    cell = training_cell("sgd")
    folder = run_of(tmp_path / "run", trained(cell, train=(1.0, 0.5), test=(1.0, 0.5)))
    with pytest.raises(RequestError, match="no step times"):
        StoredRates(folder)


# --- the page


def test_lines_have_at_most_80_columns_and_every_method() -> None:
    plan = plan_of(step_cost=STEP_COST)
    lines = list(page.lines(plan))
    assert max(map(len, lines)) <= 80
    assert sum("db-gr" in line for line in lines) == 4 + 1
    assert any(line.startswith("Total: 16 cells") for line in lines)


def test_many_rows_become_workloads() -> None:
    many = STEP_COST | {"models": [f"mlp(depth=2, width={8 * k})" for k in range(1, 16)]}
    lines = list(page.lines(plan_of(step_cost=many)))
    assert max(map(len, lines)) <= 80
    assert sum("3 methods" in line for line in lines) == 30


def test_json_has_the_columns_of_tables_and_null_for_what_is_not_known() -> None:
    grid = STEP_COST | {"methods": ["sgd", "f-gr", "plugged:Raises"], "batch_sizes": [8]}
    document = json.loads(page.as_json(plan_of(step_cost=grid)))
    rows = document["cells"]
    ok = next(row for row in rows if row["method"] == "f-gr")
    assert ok["gamma"] == 0.1 and ok["rho"] is None
    assert ok["flop_ratio"] == pytest.approx(2) and ok["fits"] == {"8 GB": "yes"}
    parts = ("parameter", "gradient", "optimizer_state", "method", "rest")
    assert ok["peak_memory_bytes"] == sum(ok[f"{part}_bytes"] for part in parts)
    assert ok["time_ms_low"] < ok["time_ms"] < ok["time_ms_high"]
    lost = next(row for row in rows if row["method"] == "raises")
    assert lost["status"] == "not known" and lost["flops"] is None
    assert document["total_s_low"] <= document["total_s"] <= document["total_s_high"]
    assert document["cells_without_time"] == 2
    assert all(math.isfinite(one["saved_s"]) for one in document["savings"])


def test_a_suites_budget_bounds_its_time() -> None:
    suite = build_suite("s", {"title": "S", "budget": "30s", "step_cost": [STEP_COST]})
    plan = Planner(suite, Proportional(), (), lambda text: None).plan()
    assert plan.total == Interval(30.0, 30.0, 30.0)
    assert "budget of 30 s" in " ".join(page.lines(plan))
