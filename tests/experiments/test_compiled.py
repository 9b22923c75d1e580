"""A compiled cell steps as an eager one does."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from synthetic import cost

from gr_bench.errors import Unsupported
from gr_bench.experiments.bench import prepare
from gr_bench.experiments.step_cost.measure import counters

CELL = cost(
    "sam",
    model="resnet-8(width=4)",
    dataset="random(shape=(1, 8, 8), num_classes=3, samples=32)",
    batch_size=8,
)

compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="no C++ compiler"
)


@compiler
@pytest.mark.filterwarnings("ignore:Using `torch.compile")  # the hook fires once more: harmless
def test_gradients_and_running_statistics_are_those_of_the_eager_step() -> None:
    """Batch norm is compiled twice, tracking its statistics and not; they move once a step."""
    eager, compiled = (prepare(replace(CELL, compiled=flag)) for flag in (False, True))
    for _ in range(3):
        torch.testing.assert_close(eager.step(), compiled.step())
    pairs = zip(
        eager.training.model.parameters(), compiled.training.model.parameters(), strict=True
    )
    for p, q in pairs:
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-5)
    state = compiled.training.model.state_dict()
    for name, value in eager.training.model.state_dict().items():
        torch.testing.assert_close(state[name], value)
    tracked = [value for name, value in state.items() if name.endswith("num_batches_tracked")]
    assert all(int(value) == 3 for value in tracked)


def test_double_backpropagation_is_recorded_as_unsupported() -> None:
    cell = replace(CELL, method="db-gr(gamma=0.1)", compiled=True)
    with pytest.raises(Unsupported, match=r"torch\.compile does not allow"):
        counters(cell)
