"""The arithmetic of trainings: of their steps, and of their evaluations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.planning.fake_step import PLAIN_GRADIENT, StepCell, footprint, forward_flops
from gr_bench.planning.outlines import outline


@dataclass(frozen=True)
class Arithmetic:
    """FLOPs of trainings, a product-sum as two."""

    steps: float = 0.0
    evaluations: float = 0.0
    """Of the training part with its gradient, of the validation and of the test part."""

    @property
    def total(self) -> float:
        """All of them."""
        return self.steps + self.evaluations

    def __add__(self, other: Arithmetic) -> Arithmetic:
        return Arithmetic(self.steps + other.steps, self.evaluations + other.evaluations)

    def __mul__(self, factor: float) -> Arithmetic:
        return Arithmetic(self.steps * factor, self.evaluations * factor)


def training(cell: GeneralizationCell, evaluate_every: int) -> Arithmetic:
    """FLOPs of one training, its sharpness left out.

    Args:
        cell: the training.
        evaluate_every: epochs from one evaluation to the next; the last epoch has one, too.

    Raises:
        Exception: as :func:`~gr_bench.planning.fake_step.footprint` does.
    """
    data, batch = outline(cell.dataset), cell.batch_size
    own, plain = StepCell.of(cell), StepCell.of(cell, PLAIN_GRADIENT)
    steps = number_of_steps(cell) * footprint(own).flops
    with_gradient = len(data.train) * footprint(plain).flops / batch
    forward = forward_flops(plain) / batch
    times = math.ceil(cell.epochs / evaluate_every)
    test = len(data.test) * forward if cell.reads_test_part else 0
    return Arithmetic(steps, times * (with_gradient + len(data.validation) * forward) + test)


def number_of_steps(cell: GeneralizationCell) -> int:
    """Of a training; a last, incomplete batch is left out."""
    return cell.epochs * (len(outline(cell.dataset).train) // cell.batch_size)


def shares(cells: Iterable[GeneralizationCell]) -> dict[str, float]:
    """The part of each cell, by its id, that will be trained, on average.

    Of each choice one setting will be, whichever that is; of all else everything.
    """
    cells = list(cells)
    settings = Counter(_choice(cell) for cell in cells if cell.role == "chosen")
    return {
        cell.id: 1 / settings[_choice(cell)] if cell.role == "chosen" else 1.0 for cell in cells
    }


def _choice(cell: GeneralizationCell) -> tuple[Any, ...]:
    return (cell.selection_group, cell.seed)
