"""Traces of flooding: the pairs are found, and each is the explicit step of GR."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from synthetic import failed, flood, run_of, traced

from gr_bench.errors import RequestError
from gr_bench.experiments.flooding import trace as tracing
from gr_bench.experiments.flooding.cell import FloodingCell
from gr_bench.experiments.flooding.experiment import FloodingTraces
from gr_bench.experiments.flooding.record import Trace
from gr_bench.experiments.record import Progress, Record
from gr_bench.reports.page import write_report
from gr_bench.runs.suite import build_suite

SMALL = {"model": "mlp(depth=2, width=8)", "dataset": "plugged:blobs", "batch_size": 32}


def record_of(cell: FloodingCell) -> Trace:
    results = list(tracing.trace(cell))
    (record,) = (result for result in results if not isinstance(result, Progress))
    return record


def row_of(*records: Record) -> dict[str, object]:
    (row,) = FloodingTraces().tables(records)["flooding"].to_dict("records")
    return row


# --- traces


def test_every_pair_on_one_batch_is_a_step_of_gr_to_rounding() -> None:
    record = record_of(flood(level=0.1, learning_rate=0.5, steps=120, **SMALL))
    assert {pair.order for pair in record.pairs} == {"descent, ascent", "ascent, descent"}
    assert len(record.pairs) > 30
    assert max(pair.difference for pair in record.pairs) < 1e-10


def test_with_fresh_batches_a_pair_is_another_step() -> None:
    record = record_of(flood(level=0.1, learning_rate=0.5, steps=120, fresh=True, **SMALL))
    assert min(pair.difference for pair in record.pairs) > 1e-3


def test_looking_at_pairs_does_not_change_the_training() -> None:
    """The losses are those of a plain loop that looks at nothing."""
    from gr_bench.registry import build_dataset, build_method, build_model
    from gr_bench.workloads.loss import cross_entropy

    cell = flood(level=0.1, learning_rate=0.5, steps=60, **SMALL)
    data = build_dataset(cell.dataset).to(dtype=torch.float64)
    torch.manual_seed(cell.seed)
    model = build_model(cell.model, data.input_shape, data.num_classes).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    inputs, targets = data.train.inputs[:32], data.train.targets[:32]
    losses = []
    for _ in range(60):
        loss = build_method(cell.spec).backward(
            lambda: cross_entropy(model(inputs), targets), model.parameters()
        )
        optimizer.step()
        losses.append(loss.item())
    assert record_of(cell).losses == tuple(losses)


def test_pairs_are_where_the_loss_crosses_the_level() -> None:
    record = record_of(flood(level=0.1, learning_rate=0.5, steps=120, **SMALL))
    above = [loss > 0.1 for loss in record.losses]
    crossings = [(t, above[t]) for t in range(119) if above[t] != above[t + 1]]
    found = [(pair.step, pair.order == "descent, ascent") for pair in record.pairs]
    assert found == crossings


def test_a_level_out_of_reach_has_no_pairs() -> None:
    record = record_of(flood(level=0.0, steps=20, **SMALL))
    assert record.pairs == ()
    assert row_of(record)["status"] == "level not reached"


def test_a_training_that_diverges_ends_there() -> None:
    record = record_of(flood(level=0.1, learning_rate=1e200, steps=20, **SMALL))
    assert all(map(math.isfinite, record.losses))
    assert len(record.losses) < 20
    assert row_of(record)["status"] == "diverged"


# --- tables


def test_orders_are_counted_and_shares_are_of_the_time_at_the_level() -> None:
    """Steps 3, 4, 5 are at the level's two sides; the first step below is 3."""
    pairs = [(2, "descent, ascent", 1e-12), (4, "descent, ascent", 3e-12)]
    row = row_of(traced(flood(), [3.0, 2.0, 1.1, 0.9, 1.1, 0.9], pairs, level=1.0))
    assert (row["reached_step"], row["descent_ascent"], row["ascent_descent"]) == (3, 2, 0)
    assert row["pair_share"] == pytest.approx(2 / 3)
    assert (row["median_difference"], row["largest_difference"]) == (2e-12, 3e-12)


def test_traces_have_a_row_for_every_step() -> None:
    record = traced(flood(), [3.0, 0.9, 1.1], [(0, "descent, ascent", 1e-12)], level=1.0)
    tables = FloodingTraces().tables([record, failed(flood(seed=1))])
    assert list(tables["flooding"]["status"]) == ["ok", "failed"]
    steps = tables["flooding_traces"]
    assert set(steps["level"]) == {1.0}
    assert list(steps["loss"]) == [3.0, 0.9, 1.1]
    assert list(steps["difference"].dropna()) == [1e-12]


ODD = {
    "pairs": [traced(flood(), [3.0, 0.9, 1.1], [(0, "descent, ascent", 1e-12)], level=1.0)],
    "no pair": [traced(flood(), [3.0, 2.0], [], level=1.0)],
    "exact pairs alone": [traced(flood(), [3.0, 0.9], [(0, "descent, ascent", 0.0)], level=1.0)],
    "diverged": [traced(flood(), [3.0], [], level=1.0, diverged=True)],
    "failures only": [failed(flood())],
}


@pytest.mark.parametrize("name", ODD)
def test_a_report_is_made_of_whatever_there_is(name: str, tmp_path: Path) -> None:
    (path,) = write_report(run_of(tmp_path, *ODD[name]), ["md"])
    assert "flooding(level=1)" in path.read_text()


def test_other_methods_are_refused() -> None:
    grid = {**{f"{key}s": [value] for key, value in SMALL.items() if key != "batch_size"}}
    grid |= {"batch_sizes": [8], "methods": ["f-gr"]}
    with pytest.raises(RequestError, match="cannot be traced: give flooding with its levels"):
        build_suite("test", {"title": "test", "flooding": [grid]})
