"""Steps that really run, on a tiny model; what a worker process would do with a unit."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

import pytest
import torch
from synthetic import cost

from gr_bench import registry
from gr_bench.errors import RequestError, Unsupported
from gr_bench.experiments.block_times import Times, TimesOptions
from gr_bench.experiments.experiment import Unit, Worker
from gr_bench.experiments.lines import decode, encode
from gr_bench.experiments.record import Failure, Record
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.experiment import StepCost
from gr_bench.experiments.step_cost.measure import counters
from gr_bench.meters.device import Device
from gr_bench.meters.get_device import get_device
from gr_bench.methods import METHODS
from gr_bench.timing import block as block_module
from gr_bench.timing.block import BlockReplicate
from gr_bench.timing.clock import settle_and_warm_up, take_sample
from gr_bench.timing.rounds import in_building_order
from gr_bench.timing.step import TimedStep, build_step

TINY: dict[str, Any] = {
    "model": "mlp(depth=2, width=4)",
    "dataset": "random(shape=(3,), num_classes=2, samples=8)",
    "batch_size": 4,
}
FIVE = ("sgd", "sam", "f-gr", "b-gr", "db-gr")


def options(replicate: int = 0, **settings: Any) -> TimesOptions:
    """What the experiment hands to a replicate."""
    return TimesOptions(
        replicate=replicate,
        budget_s=0.01,
        least_rounds=3,
        target=0.01,
        most_replicates=10,
        **settings,
    )


def measure(cells: list[StepCostCell], **settings: Any) -> list[Record]:
    unit = Unit(tuple(cells), options(**settings))
    records = list(StepCost().measure(unit))
    for record in records:
        assert decode(encode(record)) == record
    return records


def test_every_method_of_a_block_is_timed_in_the_same_rounds() -> None:
    cells = [cost(method, **TINY) for method in FIVE]
    records = measure(cells)
    assert {record.cell for record in records} == set(cells)
    for record in records:
        assert isinstance(record, Times)
        assert len(record.step_s) == len(record.position) >= 3
        assert min(record.step_s) > 0
    assert len({record.began_unix_s for record in records}) == 1
    places = zip(*(record.position for record in records), strict=True)
    assert all(len(set(place)) == 5 for place in places)


def test_steps_that_differ_are_timed_by_the_cycle_beside_others() -> None:
    """Cycles of 1, 4 and 5 in one block: each sample holds whole ones, and rounds pair as ever."""
    methods = ("sgd", "every(sam, k=4)", "late(f-gr, share=0.2)")
    cells = [cost(method, **TINY) for method in methods]
    block = BlockReplicate(cells, registry, 0, lambda cell: None)
    assert not list(block.measure(0.05, 3))
    samples = {cell.spec.partition("(")[0]: own for cell, own in block.samples.items()}
    assert samples["every"].steps % 4 == samples["late"].steps % 5 == 0
    assert len({len(own.step_s) for own in samples.values()}) == 1
    for record in measure(cells):
        assert isinstance(record, Times)


def test_every_sample_of_steps_that_differ_holds_the_same_passes() -> None:
    """Wherever in its cycle a sample begins."""
    device, step = get_device("cpu"), build_step(cost("every(sam, k=5)", **TINY), registry)
    passes = 0

    def note(*_: object) -> None:
        nonlocal passes
        passes += 1

    steps = settle_and_warm_up(device, step, 0.01)
    step.training.model.register_forward_pre_hook(note)
    for _ in range(6):
        before = passes
        take_sample(device, step, steps)
        assert passes - before == steps * 6 // 5
        step()


def test_counters_of_steps_that_differ_are_means_and_the_highest_peak() -> None:
    sgd, sam, late = (
        counters(cost(method, model="mlp(depth=3, width=64)"))
        for method in ("sgd", "sam", "late(sam, share=0.2)")
    )
    assert late.flops == late.predicted_flops == round((4 * sgd.flops + sam.flops) / 5)
    assert late.peak_bytes == sam.peak_bytes > sgd.peak_bytes
    assert late.method_bytes == sam.method_bytes > 0
    none = counters(cost("late(sam, share=0)", model="mlp(depth=3, width=64)"))
    assert (none.flops, none.method_bytes) == (sgd.flops, 0)


def test_a_block_is_built_in_the_replicates_order() -> None:
    cells = [cost(method, **TINY) for method in FIVE]
    built: list[str] = []
    for replicate in range(2):
        built.clear()
        block = BlockReplicate(cells, registry, replicate, lambda cell: built.append(cell.spec))
        list(block.measure(0.01, 1))
        assert built[:5] == [cell.spec for cell in in_building_order(cells, replicate)]


def test_time_inside_samples_is_that_of_all_that_is_timed() -> None:
    """The matrix product's samples too, so it is more than the methods' own."""
    records = measure([cost(method, **TINY) for method in ("sgd", "sam")])
    own = sum(sum(record.elapsed_s) * record.steps for record in records)
    assert own < records[0].in_samples_s < records[0].spent_s


def test_the_options_and_the_start_of_the_process_are_on_record() -> None:
    unit = Unit((cost("sgd", **TINY),), options(3), worker=Worker(start_s=1.25))
    (record,) = StepCost().measure(unit)
    assert (record.options, record.replicate, record.start_s) == (unit.options, 3, 1.25)


def test_a_method_that_fails_in_a_later_step_leaves_the_others_their_times() -> None:
    cells = [cost(m, **TINY) for m in ("sgd", "plugged:RaisesLater(at=3)", "sam")]
    records = {record.cell.spec: record for record in measure(cells)}
    failed = records.pop(cells[1].spec)
    assert isinstance(failed, Failure)
    assert "RuntimeError: step 3" in failed.reason
    assert all(isinstance(record, Times) for record in records.values())
    assert len({len(record.position) for record in records.values()}) == 1


def test_the_cell_whose_code_is_about_to_run_is_told() -> None:
    told: list[str] = []
    cells = tuple(cost(method, **TINY) for method in ("sgd", "sam"))
    worker = Worker(at_work=lambda cell: told.append(cell.id))
    records = list(StepCost().measure(Unit(cells, options(), worker=worker)))
    rounds = len(records[0].position)
    builds_and_warm_ups = 2
    states = 2  # of the device, while it is at the first cell's step
    counts = sorted(told.count(cell.id) for cell in cells)
    assert counts == [rounds + builds_and_warm_ups, rounds + builds_and_warm_ups + states]


def test_operators_and_sequential_times_are_taken_where_asked_for() -> None:
    cells = [cost("sgd", **TINY), cost("sgd", control=True, **TINY), cost("sam", **TINY)]
    plain = measure(cells)
    assert not any(record.operators or record.sequential_step_s for record in plain)
    asked = measure(cells, operators=True, sequential=True)
    assert all("aten::addmm" in {o.name for o in record.operators} for record in asked)
    assert {r.cell.spec for r in asked if r.sequential_step_s} == {"sgd"}
    assert sum(bool(record.sequential_step_s) for record in asked) == 2


def test_energy_is_read_where_asked_for_and_in_the_time_of_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = [cost(method, **TINY) for method in ("sgd", "sam")]

    def joules(device: Device, step: object, step_s: float) -> float:
        assert 0 < step_s < 1
        time.sleep(0.1)
        return 2.5

    monkeypatch.setattr(block_module, "joules", joules)
    assert {record.energy_j for record in measure(cells)} == {None}
    for record in measure(cells, energy=True):
        assert record.energy_j == 2.5
        assert record.spent_s > 0.2


def test_a_method_that_raises_leaves_the_others_to_go_on() -> None:
    cells = [cost(method, **TINY) for method in ("sgd", "plugged:Raises", "sam")]
    records = measure(cells)
    assert {(r.cell.spec, r.kind) for r in records} == {
        ("sgd", "times"),
        ("sam(rho=0.05)", "times"),
        ("raises", "failure"),
    }
    (failure,) = [record for record in records if record.kind == "failure"]
    assert failure.reason.startswith("RuntimeError: ")
    with pytest.raises(RuntimeError, match="luck"):
        counters(cells[1])


@pytest.mark.parametrize("method", ["plugged:Raises", "plugged:RaisesLater(at=3)"])
def test_nothing_is_left_of_a_step_that_failed_once_its_error_is_let_go(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that found no memory would keep what it had from the others."""
    models: dict[str, weakref.ref[torch.nn.Module]] = {}

    def build(cell: StepCostCell, *rest: Any) -> TimedStep:
        step = build_step(cell, *rest)
        models[cell.spec] = weakref.ref(step.training.model)
        return step

    monkeypatch.setattr(block_module, "build_step", build)
    cells = [cost(m, **TINY) for m in (method, "sgd")]
    block = BlockReplicate(cells, registry, 0, lambda cell: None)
    for cell, error in block.measure(0.01, 1):
        assert cell == cells[0]
        del error
        gc.collect()
        assert models[cell.spec]() is None
    assert models["sgd"]() is not None


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"batch_size": 9}, ValueError, "batch size 9 is more than the 8 training examples"),
        ({"model": "plugged:Bare"}, ValueError, "empty parameter list"),
        ({"model": "mlp(depth=0)"}, RequestError, "depth must be"),
        ({"model": "vit"}, RequestError, "vit"),
        ({"dataset": "random(samples=0)"}, RequestError, "samples must be"),
        ({"device": "cuda:99"}, RequestError, "not here"),
        ({"compiled": True, "method": "db-gr"}, Unsupported, "differentiates twice"),
    ],
)
def test_a_cell_that_cannot_be_measured_says_why(change: dict, error: type, reason: str) -> None:
    settings = TINY | change
    cell = cost(settings.pop("method", "sgd"), **settings)
    with pytest.raises(error, match=reason):
        counters(cell)
    (record,) = measure([cell])
    assert isinstance(record, Failure)
    assert reason in record.reason
    assert record.unsupported == (error is Unsupported)


@pytest.mark.parametrize("method", FIVE)
def test_a_single_example_is_enough(method: str) -> None:
    cell = cost(method, **TINY | {"dataset": "plugged:one_row", "batch_size": 1})
    assert counters(cell).finite
    assert [record.kind for record in measure([cell])] == ["times"]


def test_steps_do_not_move_the_parameters_so_every_round_times_the_same() -> None:
    step = build_step(cost("f-gr", **TINY), registry)
    before = [p.clone() for p in step.training.model.parameters()]
    first, second = step(), step()
    for p, value in zip(step.training.model.parameters(), before, strict=True):
        assert torch.equal(p, value)
    assert torch.equal(first, second)


def test_every_method_starts_from_the_same_model_and_batch() -> None:
    first, second = (build_step(cost(method, **TINY), registry) for method in ("sgd", "db-gr"))
    pairs = zip(first.training.model.parameters(), second.training.model.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)
    assert all(torch.equal(a, b) for a, b in zip(first.batch, second.batch, strict=True))


def test_a_loss_that_is_not_finite_is_on_record() -> None:
    assert not counters(cost("plugged:Exploding(at=1)", **TINY)).finite
    assert counters(cost("sgd", **TINY)).finite


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_the_dtype_is_that_of_the_parameters(dtype: str) -> None:
    step = build_step(cost("sam", **TINY, dtype=dtype), registry)
    assert {p.dtype for p in step.training.model.parameters()} == {getattr(torch, dtype)}
    assert step().dtype == getattr(torch, dtype)
    sizes = {"float32": 4, "float64": 8, "bfloat16": 2}
    counted = counters(cost("sam", **TINY, dtype=dtype))
    assert counted.parameter_bytes == sizes[dtype] * counted.parameters


@pytest.mark.parametrize("method", METHODS)
def test_a_step_leaves_nothing_for_the_garbage_collector(method: str) -> None:
    """It is off while steps are timed: what it would have to collect would pile up."""
    rule = registry.build_method(method)
    model = registry.build_model("mlp(depth=2, width=4)", (3,), 2)
    inputs = torch.ones(4, 3)

    def loss() -> torch.Tensor:
        return model(inputs).square().mean()

    alive = weakref.ref(loss)
    gc.disable()
    try:
        rule.backward(loss, model.parameters())
        del loss
        assert alive() is None
    finally:
        gc.enable()
