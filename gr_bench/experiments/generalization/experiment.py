"""The generalization experiment: which trainings are to be done, who does and shows them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gr_bench.experiments.base import (
    Cell,
    Experiment,
    Job,
    Picture,
    Progress,
    Record,
    Summary,
    Unit,
)
from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid

if TYPE_CHECKING:
    from pandas import DataFrame


class Generalization(Experiment):
    """Train every cell; read the test part once, at the end."""

    name = "generalization"
    title = "Does it generalise?"
    grid = GeneralizationGrid
    cell = GeneralizationCell

    def cells(self, grid: GeneralizationGrid) -> list[Cell]:
        """One cell for every point of the grid, learning rate and seed."""
        return [
            GeneralizationCell(
                seed=seed,
                epochs=grid.epochs,
                learning_rate=learning_rate,
                momentum=grid.momentum,
                weight_decay=grid.weight_decay,
                augmentation=grid.augmentation,
                **point,
            )
            for point, learning_rate, seed in itertools.product(
                grid.points(), grid.learning_rates, grid.seeds
            )
        ]

    def pending(
        self, grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> list[Job]:
        """Every cell without a record, side by side, in a random order so that the first results
        speak of the whole grid and the time left is known early.
        """
        units = [Unit((cell,)) for cell in _open(cells, records)]
        random.Random(0).shuffle(units)
        return [Job(tuple(units))] if units else []

    def outlook(
        self, grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> dict[str, int]:
        """A unit for every cell without a record."""
        return {self.name: len(_open(cells, records))}

    def measure(self, unit: Unit) -> Iterator[Record | Progress]:
        """One training run."""
        from gr_bench.experiments.generalization.measure import train

        (cell,) = unit.cells
        assert isinstance(cell, GeneralizationCell)
        yield from train(cell)

    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """``generalization``, a row a training; ``training_curves``, a row an epoch of each."""
        from gr_bench.experiments.generalization import tables

        return {
            "generalization": tables.generalization(records),
            "training_curves": tables.training_curves(records),
        }

    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Mean and interval over seeds, and the paired difference from SGD."""
        from gr_bench.experiments.generalization import tables as build

        return build.summaries(tables["generalization"])

    def figures(self, tables: dict[str, DataFrame]) -> Iterator[Picture]:
        """Curves, test accuracy and gap, accuracy against cost."""
        from gr_bench.experiments.generalization import figures

        yield from figures.pictures(tables["generalization"], tables["training_curves"])


def _open(cells: Sequence[Cell], records: Sequence[Record]) -> list[Cell]:
    have = {record.cell.id for record in records}
    return [cell for cell in cells if cell.id not in have]
