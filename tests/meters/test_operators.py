"""The profiler's operators, where it is known what a step calls."""

from __future__ import annotations

import pytest
import torch
from synthetic import cost, timed

from gr_bench.experiments.block_times import TimesOptions, measure_block
from gr_bench.experiments.record import Record
from gr_bench.experiments.step_cost.experiment import StepCost
from gr_bench.meters.operators import KINDS, Operator, kind, operators


def test_calls_are_counted_per_step() -> None:
    a = torch.randn(64, 64)
    found = {o.name: o for o in operators(lambda: torch.mm(torch.mm(a, a), a).exp_(), steps=3)}
    assert found["aten::mm"].calls == 2
    assert found["aten::exp_"].calls == 1
    assert all(operator.self_s > 0 for operator in (found["aten::mm"], found["aten::exp_"]))
    assert [o.self_s for o in found.values()] == sorted(
        (o.self_s for o in found.values()), reverse=True
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aten::addmm", 0),
        ("aten::bmm", 0),
        ("aten::convolution_backward", 0),
        ("aten::mkldnn_convolution", 0),
        ("aten::native_batch_norm_backward", 1),
        ("aten::mul_", 2),
        ("aten::sum", 2),
    ],
)
def test_an_operators_name_tells_its_kind(name: str, expected: int) -> None:
    assert kind(name) == KINDS[expected]


def records(*, asked: bool) -> list[Record]:
    options = TimesOptions(
        replicate=0,
        budget_s=0.05,
        least_rounds=1,
        target=0.1,
        most_replicates=2,
        operators=asked,
    )
    model = {"model": "resnet-8(width=4)", "batch_size": 8}
    cells = [cost(method, **model) for method in ("sgd", "f-gr", "db-gr")]
    return list(measure_block(cells, options, at_work=lambda cell: None))


def test_batch_norms_second_derivative_is_elementwise() -> None:
    """F-GR calls what SGD calls, twice; DB-GR multiplies elementwise where neither does."""
    table = StepCost().tables(records(asked=True))["step_operators"]
    calls = table.pivot_table("calls", "operator", "method", fill_value=0)
    for name in ("aten::convolution_backward", "aten::native_batch_norm_backward"):
        assert calls.loc[name, "f-gr"] == 2 * calls.loc[name, "sgd"]
    assert calls.loc["aten::mul", "db-gr"] > 10 * calls.loc["aten::mul", "f-gr"]
    assert table.groupby("method")["share"].sum().to_list() == pytest.approx([1, 1, 1])


def test_operators_are_profiled_only_if_asked_for() -> None:
    experiment = StepCost()
    tables = experiment.tables(records(asked=False))
    assert not len(tables["step_operators"])
    assert "step_operators" not in {s.name for s in experiment.summaries(tables)}


def test_times_are_medians_over_replicates_without_the_control() -> None:
    def profiled(replicate: int, self_s: float, **fields: object) -> Record:
        operator = Operator("aten::mm", calls=3.0, self_s=self_s)
        return timed(cost(**fields), replicate, [1.0], operators=(operator,))

    found = [profiled(number, ms * 1e-3) for number, ms in enumerate((1, 2, 90))]
    found.append(profiled(0, 9.0, control=True))
    (row,) = StepCost().tables(found)["step_operators"].to_dict("records")
    assert (row["calls"], row["self_ms"], row["share"], row["replicates"]) == (3, 2, 1, 3)


def test_on_a_gpu_the_kernels_time_counts() -> None:
    """Addition keeps the processor busy, and the product the GPU."""
    found = (Operator("aten::add", 9.0, 8e-3, 1e-3), Operator("aten::mm", 3.0, 1e-3, 3e-3))
    experiment = StepCost()
    tables = experiment.tables([timed(cost(device="cuda"), 0, [1.0], operators=found)])
    rows = tables["step_operators"].to_dict("records")
    assert [(r["operator"], r["device_ms"], r["self_ms"], r["share"]) for r in rows] == [
        ("aten::mm", 3, 1, 0.75),
        ("aten::add", 1, 8, 0.25),
    ]
    (shown,) = (s.table for s in experiment.summaries(tables) if s.name == "step_operators")
    assert list(shown["sgd"]) == ["4.00 (12)", "3.00 (3)", "1.00 (9)"]


def test_on_a_cpu_there_is_no_kernels_time() -> None:
    found = (Operator("aten::mm", calls=3.0, self_s=1e-3),)
    table = StepCost().tables([timed(cost(), 0, [1.0], operators=found)])["step_operators"]
    assert table["device_ms"].isna().all()
