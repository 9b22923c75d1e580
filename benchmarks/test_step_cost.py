"""pytest-benchmark: one step of every method (``pytest benchmarks --benchmark-only``)."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.blocks import BATCH_SIZES, METHODS, MODELS, block
from gr_bench.experiments.bench import prepare
from gr_bench.experiments.step_cost.measure import counters


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("model", MODELS)
def test_step(benchmark: Any, model: str, batch_size: int, method: str) -> None:
    torch.set_num_threads(1)
    (cell,) = (cell for cell in block(model, batch_size) if cell.method == method)
    benchmark.extra_info |= {
        key: value for key, value in counters(cell).data.items() if key != "finite"
    }
    benchmark.group = f"{model}, batch {batch_size}"
    bench = prepare(cell)
    loss = benchmark.pedantic(bench.step, rounds=10, warmup_rounds=3)
    assert loss.isfinite()
