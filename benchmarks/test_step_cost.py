"""pytest-benchmark: one step of every method (``pytest benchmarks --benchmark-only``).

A round steps on a model, optimizer and batch built anew; FLOPs and peak bytes are in
``extra_info``. Methods are timed one after the other: for ratios, see ``gr-bench run``.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.asv_suite.blocks import BATCH_SIZES, METHODS, MODELS, block
from gr_bench import registry
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.measure import counters
from gr_bench.timing.step import TimedStep, build_step


@pytest.fixture
def cell(model: str, batch_size: int, method: str) -> StepCostCell:
    """The cell of a block."""
    torch.set_num_threads(1)
    return block(model, batch_size)[METHODS.index(method)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("model", MODELS)
def test_step(benchmark: Any, cell: StepCostCell) -> None:
    benchmark.group = f"{cell.model}, batch {cell.batch_size}"
    counted = counters(cell)
    benchmark.extra_info |= {"flops": counted.flops, "peak_bytes": counted.peak_bytes}

    def built() -> tuple[tuple[TimedStep], dict[str, Any]]:
        step = build_step(cell, registry)
        step()  # the optimizer's state and the method's workspace are there
        return (step,), {}

    loss = benchmark.pedantic(TimedStep.__call__, setup=built, rounds=10, warmup_rounds=2)
    assert loss.isfinite()
