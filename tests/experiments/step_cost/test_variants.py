"""The axis of variants: cells, identities, blocks, columns, and a run with all of them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from synthetic import cost, counted, timed, training

from gr_bench import load
from gr_bench.experiments.block_times import BlockTimes, Times, blocks_of
from gr_bench.experiments.lines import decode, encode
from gr_bench.experiments.record import Failure
from gr_bench.experiments.step_cost.cell import StepCostGrid
from gr_bench.experiments.step_cost.experiment import StepCost
from gr_bench.experiments.step_cost.measure import counters
from gr_bench.experiments.step_cost.record import Check
from gr_bench.runs.executor import LocalExecutor
from gr_bench.runs.runner import Unwatched, run_suite
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import build_suite

ROOT = Path(__file__).parents[3]
GRID = {
    "methods": ["sgd", "sam"],
    "models": ["mlp"],
    "datasets": ["digits"],
    "batch_sizes": [32],
}


def test_cells_of_before_have_the_identities_that_their_journals_say() -> None:
    """One committed run is of the present schema; its cells know nothing of variants."""
    lines = (ROOT / "results" / "quick" / "journal.jsonl").read_text().splitlines()
    plain = [json.loads(line) for line in lines]
    of_now = [(line, p) for line, p in zip(lines, plain, strict=True) if p.get("schema") == 2]
    assert len(of_now) > 10
    assert all("variant" not in p["cell"] for _, p in of_now)
    for line, p in of_now:
        assert decode(line).cell.id == p["id"]


def test_a_variant_is_part_of_the_identity_and_of_the_line_only_where_there_is_one() -> None:
    for cell in (cost(), training()):
        assert "variant" not in cell.identity
        other = replace(cell, variant="fused")
        assert other.identity == cell.identity | {"variant": "fused"}
        assert other.id != cell.id
        assert "fused" in str(other)
    for variant in ("plain", "fused"):
        record = counted(cost(variant=variant))
        assert ("variant" in json.loads(encode(record))["cell"]) == (variant != "plain")
        assert decode(encode(record)) == record


def test_a_grid_has_a_block_for_every_variant() -> None:
    grid = StepCostGrid(**GRID, variants=["plain", "fused + channels-last"])
    cells = StepCost().cells(grid)
    assert [len(block) for block in blocks_of(cells)] == [3, 3]
    assert {cell.variant for cell in cells} == {"plain", "channels-last+fused"}
    assert {cell.is_plain for cell in cells if cell.variant != "plain"} == {False}
    assert StepCost().cells(StepCostGrid(**GRID)) == [c for c in cells if c.variant == "plain"]


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (["fuesd"], "did you mean 'fused'"),
        (["fused+tf32", "tf32+fused"], "named twice"),
        ([], "at least 1"),
    ],
)
def test_a_wrong_axis_is_refused(variants: list[str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StepCostGrid(**GRID, variants=variants)


def test_tables_have_a_column_and_a_ratio_within_each_variant() -> None:
    records = []
    for variant, base in (("plain", 1.0), ("fused", 0.5)):
        for method, factor in (("sgd", 1.0), ("sam", 2.0 if variant == "plain" else 2.5)):
            cell = cost(method, variant=variant)
            records += [timed(cell, k, [base * factor] * 5) for k in range(3)]
            records.append(counted(cell))
    tables = StepCost().tables(records)
    table = tables["step_cost"].set_index(["variant", "method"])
    assert table.loc[("plain", "sam"), "time_ratio"] == pytest.approx(2.0)
    assert table.loc[("fused", "sam"), "time_ratio"] == pytest.approx(2.5)
    assert set(tables["step_samples"]["variant"]) == {"plain", "fused"}
    shown = {s.name: s.table for s in StepCost().summaries(tables)}
    assert set(shown["step_time"]["variant"]) == {"plain", "fused"}
    assert BlockTimes(records).log_ratios


def test_the_memory_of_a_replayed_step_is_read_without_the_replay() -> None:
    """A replay allocates nothing."""
    cell = cost(device="cuda", variant="fused+cuda-graph")
    assert cell.unreplayed == replace(cell, variant="fused")
    compiled = replace(cell, variant="fused+reduce-overhead").unreplayed
    assert (compiled.variant, compiled.compiled) == ("fused", True)
    assert cost().unreplayed == cost()


@pytest.mark.parametrize("method", ["sgd", "f-gr", "db-gr"])
@pytest.mark.parametrize("variant", ["fused", "deterministic"])
def test_counters_of_a_variant_are_the_plain_steps(method: str, variant: str) -> None:
    cell = cost(method, model="mlp(depth=2, width=8)", batch_size=8)
    plain, found = counters(cell), counters(replace(cell, variant=variant))
    for key in ("flops", "predicted_flops", "parameter_bytes", "optimizer_state_bytes"):
        assert asdict(found)[key] == asdict(plain)[key]


def test_float16s_flops_and_finite_losses_are_read_when_the_scale_has_settled() -> None:
    cell = cost("f-gr", model="mlp(depth=2, width=8)", batch_size=8)
    plain, found = counters(cell), counters(replace(cell, dtype="float16-mixed"))
    assert found.flops == plain.flops == found.predicted_flops
    assert found.finite


@pytest.mark.slow
def test_a_run_measures_what_works_and_says_of_the_rest_why_not(tmp_path: Path) -> None:
    grid = {
        "methods": ["sgd"],
        "models": ["breaking:OffInChannelsLast"],
        "datasets": ["random(shape=(2, 8, 8), num_classes=3, samples=16)"],
        "batch_sizes": [8],
        "replicates": 2,
        "most_replicates": 2,
        "seconds_per_block": 0.02,
        "control": False,
    }
    variants = ["plain", "fused", "channels-last", "tf32", "cuda-graph"]
    grids = [grid | {"variants": variants}, grid | {"dtypes": ["float16-mixed"]}]
    suite = build_suite("test", {"title": "test", "step_cost": grids})
    run_suite(suite, tmp_path, LocalExecutor, Unwatched())
    records = read_journal(tmp_path)
    status = load(tmp_path).step_cost.set_index(["variant", "dtype"])["status"]
    assert status.to_dict() == {
        ("plain", "float32"): "ok",
        ("plain", "float16-mixed"): "ok",
        ("fused", "float32"): "ok",
        ("channels-last", "float32"): "wrong",
        ("tf32", "float32"): "unsupported",
        ("cuda-graph", "float32"): "unsupported",
    }
    reasons = {r.cell.variant: r.reason for r in records if isinstance(r, Failure)}
    assert "TF32 is a precision of GPUs" in reasons["tf32"]
    assert "CUDA graphs are of GPUs" in reasons["cuda-graph"]
    assert {r.cell.variant for r in records if isinstance(r, Times)} == {"plain", "fused"}
    assert all(not r.cell.is_plain for r in records if isinstance(r, Check))
