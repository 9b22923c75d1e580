"""What is timed: a method that steps on one batch, again and again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gr_bench.experiments.base import Cell
from gr_bench.experiments.training import Training, build_training, load_data
from gr_bench.meters.device import Device

SEED = 0
"""Of the model on every bench."""


@dataclass
class Bench:
    """One method ready to step on a batch, again and again."""

    training: Training
    device: Device
    batch: tuple[Tensor, Tensor]

    def step(self) -> Tensor:
        """One training step."""
        return self.training.step(*self.batch)


def prepare(cell: Cell) -> Bench:
    """A fresh model and optimizer on the first ``batch_size`` training examples.

    The learning rate is 0: the optimizer does all its work, and the parameters stay at their
    initial values, so that every method and every round times the same arithmetic.
    """
    device, data = load_data(cell)
    batch = (
        data.train.inputs[: cell.batch_size].clone(),
        data.train.targets[: cell.batch_size].clone(),
    )
    training = build_training(
        cell, data, device, seed=SEED, learning_rate=0.0, momentum=0.9, weight_decay=1e-4
    )
    return Bench(training, device, batch)


def in_building_order(cells: Sequence[Cell], replicate: int) -> list[Cell]:
    """A fresh random order every other replicate, and its reverse in between.

    What is built later lies elsewhere in memory, and may step a few tenths of a per cent faster or
    slower for it, in every process alike: no interval over replicates would tell.
    """
    order = random.Random(replicate // 2).sample(list(cells), len(cells))
    return order[::-1] if replicate % 2 else order
