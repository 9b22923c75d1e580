"""Evaluation in pieces: their size follows from the memory, and no result from their size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthetic import training

from gr_bench import registry
from gr_bench.experiments.generalization.training.fleet import Fleet
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.experiments.generalization.training.pieces import (
    DOUBLE_BACKPROP_GRAPHS,
    MOST_EXAMPLES,
    bytes_an_example,
    piece_size,
)
from gr_bench.experiments.generalization.training.trainer import Trainer
from gr_bench.meters.cpu import CPU
from gr_bench.timing.step import load_data

RUNS = 3
SETTINGS: dict[str, Any] = {
    "model": "resnet-8(width=4)",
    "dataset": "random(shape=(1, 8, 8), num_classes=3, samples=200)",
    "batch_size": 50,
    "dtype": "float64",
}


class Small(CPU):
    """A CPU with so much memory to spare."""

    def __init__(self, spare: int) -> None:
        super().__init__("cpu")
        self._spare = spare

    def spare_bytes(self) -> int:
        return self._spare


def build(how: str, spare: int, **settings: Any) -> Trainer:
    """A trainer that has stepped, so that batch norm has statistics."""
    cell = training("sgd", **SETTINGS | settings)
    data, device = load_data(cell, registry), Small(spare)
    cells = [replace(cell, seed=seed) for seed in range(RUNS)]
    trainer = Loop(cell, data, device) if how == "loop" else Fleet(cells, data, device)
    trainer.step(*next(trainer.batches()), 0.5)
    return trainer


@given(st.integers(-5, 5000))
def test_a_piece_is_the_largest_power_of_two_that_fits(examples: int) -> None:
    size = piece_size(examples)
    assert size & (size - 1) == 0
    assert 1 <= size <= MOST_EXAMPLES
    assert size <= max(1, examples)
    assert 2 * size > min(examples, MOST_EXAMPLES)


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_the_bytes_of_an_example_are_those_of_its_activations(depth: int) -> None:
    """Of an MLP: what each later layer multiplies (64 numbers) and the log-softmax (3)."""
    cell = training(**SETTINGS | {"model": f"mlp(depth={depth}, width=64)", "dtype": "float32"})
    data = load_data(cell, registry)
    model = Loop(cell, data, CPU("cpu")).model(0)
    assert bytes_an_example(model, data.train) == 4 * (64 * (depth - 1) + 3)


@pytest.mark.parametrize("how", ["loop", "fleet"])
def test_results_do_not_depend_on_the_pieces(how: str) -> None:
    """32 examples at a time, 8 and one, on 45; with the gradient and without."""
    found = []
    few = {"dataset": "random(shape=(1, 8, 8), num_classes=3, samples=45)", "batch_size": 15}
    for size in (32, 8, 1):
        trainer = build(how, 0, **few)
        count = RUNS if how == "fleet" else 1
        of_all = bytes_an_example(trainer.model(0), trainer._data.train) * count
        trainer = build(how, of_all * size, **few)
        assert trainer.piece() == size
        results = trainer.evaluate(trainer._data.train, with_gradient=True)
        without = trainer.evaluate(trainer._data.train)
        assert [replace(result, gradient_norm=None) for result in results] == without
        found.append([(r.loss, r.accuracy, r.gradient_norm) for r in results])
    assert torch.tensor(found).isfinite().all()
    for other in found[1:]:
        torch.testing.assert_close(torch.tensor(other), torch.tensor(found[0]), rtol=1e-6, atol=0)
        losses = [[loss for loss, *_ in results] for results in (found[0], other)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_runs_and_graphs_share_the_memory() -> None:
    spare = 1 << 22
    alone, together = build("loop", spare), build("fleet", spare)
    of_an_example = bytes_an_example(alone.model(0), alone._data.train)
    assert alone.piece() == piece_size(spare // of_an_example)
    assert together.piece() == piece_size(spare // (RUNS * of_an_example))
    assert together.piece() < alone.piece()
    assert alone.piece(DOUBLE_BACKPROP_GRAPHS) == piece_size(spare // of_an_example // 4)


@pytest.mark.parametrize("how", ["loop", "fleet"])
def test_an_evaluation_takes_about_the_memory_that_there_is_to_spare(how: str) -> None:
    """The allocator's own events: what is kept, gradients on their way and the largest layer."""
    spare = 3 << 20
    peaks = {}
    for name, bound in (("bound", spare), ("free", 1 << 30)):
        trainer = build(how, bound)
        trainer.piece()
        peaks[name] = trainer.device.peak_growth(
            lambda: trainer.evaluate(trainer._data.train, with_gradient=True)  # noqa: B023
        )
    assert peaks["bound"] < 2 * spare < peaks["free"]


def test_the_size_is_found_once_and_goes_with_the_state() -> None:
    """A training that goes on where less is free ends with the same last digits."""
    first = build("loop", 1 << 22)
    size = first.piece()
    other = build("loop", 1 << 14)
    other.load_state(first.state())
    assert other.piece() == size
    assert build("loop", 1 << 14).piece() < size


def test_a_part_of_one_example_is_one_piece() -> None:
    text = "random(shape=(1, 8, 8), num_classes=3, samples=1)"
    trainer = build("loop", 1 << 20, dataset=text, batch_size=1)
    assert trainer.piece() == MOST_EXAMPLES
    assert len(trainer.evaluate(trainer._data.train)) == 1
