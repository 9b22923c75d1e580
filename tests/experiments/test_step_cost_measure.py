"""Steps that really run, on a tiny model; what a worker process would do with a unit."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from synthetic import cost

from gr_bench import registry
from gr_bench.errors import RequestError, Unsupported
from gr_bench.experiments.base import Record
from gr_bench.experiments.bench import in_building_order, prepare
from gr_bench.experiments.step_cost import StepCost
from gr_bench.experiments.step_cost import measure as measure_module
from gr_bench.experiments.step_cost.cell import StepCostCell, StepCostGrid
from gr_bench.experiments.step_cost.measure import counters, times
from gr_bench.methods import METHODS
from gr_bench.runs.store import decode, encode

TINY: dict[str, Any] = {
    "model": "mlp(depth=2, width=4)",
    "dataset": "random(shape=(3,), num_classes=2, samples=8)",
    "batch_size": 4,
}
FIVE = ("sgd", "sam", "f-gr", "b-gr", "db-gr")


def options(cells: list[StepCostCell], **settings: object) -> dict[str, Any]:
    """What the experiment hands to the first replicate of these cells."""
    grid = StepCostGrid(
        methods=["sgd"],
        models=["mlp"],
        datasets=["digits"],
        batch_sizes=[1],
        seconds_per_block=0.01,
        least_rounds=3,
        most_rounds=3,
        **settings,
    )
    known = [Record(cell, "counters", {}) for cell in cells]
    (job,) = StepCost().pending(grid, cells, known)
    return job.units[0].options


def measure(cells: list[StepCostCell], **settings: object) -> list[Record]:
    records = list(times(cells, options(cells, **settings)))
    for record in records:
        assert decode(encode(record)) == record
    return records


def test_every_method_of_a_block_is_timed_in_the_same_rounds() -> None:
    cells = [cost(method, **TINY) for method in FIVE]
    records = measure(cells)
    assert [(record.cell, record.kind) for record in records] == [(c, "times") for c in cells]
    for record in records:
        assert len(record.data["step_s"]) == len(record.data["position"]) == 3
        assert min(record.data["step_s"]) > 0
    assert len({record.data["began_unix_s"] for record in records}) == 1


def test_what_is_built_first_changes_from_replicate_to_replicate() -> None:
    """Otherwise its place in memory would favour one method in every process alike."""
    cells = [cost(method, **TINY) for method in ("sgd", "sam", "f-gr")]
    orders = [tuple(in_building_order(cells, replicate)) for replicate in range(40)]
    assert all(sorted(order, key=str) == sorted(cells, key=str) for order in orders)
    for first, second in zip(orders[::2], orders[1::2], strict=True):
        assert first == second[::-1]
    assert len(set(orders)) == 6
    assert orders == [tuple(in_building_order(cells, replicate)) for replicate in range(40)]


def test_a_block_is_built_in_the_replicates_order(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[StepCostCell] = []
    monkeypatch.setattr(measure_module, "prepare", lambda c: (built.append(c), prepare(c))[1])
    cells = [cost(method, **TINY) for method in FIVE]
    for replicate in range(2):
        built.clear()
        list(times(cells, options(cells) | {"replicate": replicate}))
        assert built == in_building_order(cells, replicate)


def test_time_inside_samples_is_that_of_all_that_is_timed() -> None:
    """The matrix product's samples too, so it is more than the methods' own."""
    records = measure([cost(method, **TINY) for method in ("sgd", "sam")])
    own = sum(sum(r.data["wall_s"]) * r.data["steps"] for r in records)
    assert own < records[0].data["in_samples_s"] < records[0].data["spent_s"]


def test_a_method_that_raises_leaves_the_others_to_go_on() -> None:
    cells = [cost(method, **TINY) for method in ("sgd", "plugged:Raises", "sam")]
    records = measure(cells)
    assert {(r.cell.method, r.kind) for r in records} == {
        ("sgd", "times"),
        ("sam(rho=0.05)", "times"),
        ("plugged:Raises", "failure"),
    }
    (failure,) = [record for record in records if record.kind == "failure"]
    assert failure.data["reason"].startswith("RuntimeError: ")
    with pytest.raises(RuntimeError, match="luck"):
        counters(cells[1])


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
    assert record.kind == "failure"
    assert reason in record.data["reason"]
    assert record.data["unsupported"] == (error is Unsupported)


@pytest.mark.parametrize("method", FIVE)
def test_a_single_example_is_enough(method: str) -> None:
    cell = cost(method, **TINY | {"dataset": "plugged:one_row", "batch_size": 1})
    assert counters(cell).data["finite"]
    assert [record.kind for record in measure([cell])] == ["times"]


def test_steps_do_not_move_the_parameters_so_every_round_times_the_same() -> None:
    bench = prepare(cost("f-gr", **TINY))
    before = [p.clone() for p in bench.training.model.parameters()]
    first, second = bench.step(), bench.step()
    for p, value in zip(bench.training.model.parameters(), before, strict=True):
        assert torch.equal(p, value)
    assert torch.equal(first, second)


def test_every_method_starts_from_the_same_model_and_batch() -> None:
    first, second = (prepare(cost(method, **TINY)) for method in ("sgd", "db-gr"))
    pairs = zip(first.training.model.parameters(), second.training.model.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)
    assert all(torch.equal(a, b) for a, b in zip(first.batch, second.batch, strict=True))


def test_a_loss_that_is_not_finite_is_on_record() -> None:
    assert not counters(cost("plugged:Exploding(at=1)", **TINY)).data["finite"]
    assert counters(cost("sgd", **TINY)).data["finite"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_the_dtype_is_that_of_the_parameters(dtype: str) -> None:
    bench = prepare(cost("sam", **TINY, dtype=dtype))
    assert {p.dtype for p in bench.training.model.parameters()} == {getattr(torch, dtype)}
    assert bench.step().dtype == getattr(torch, dtype)
    sizes = {"float32": 4, "float64": 8, "bfloat16": 2}
    data = counters(cost("sam", **TINY, dtype=dtype)).data
    assert data["parameter_bytes"] == sizes[dtype] * data["parameters"]


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
