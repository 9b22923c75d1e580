"""The generalization experiment: which trainings are to be done, who does and shows them."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

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


MOST_RUNS = 40
"""Runs of a unit: more would gain little, and cost more if the unit failed."""


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
                label_noise=label_noise,
                sharpness=grid.sharpness,
                **point,
            )
            for point, label_noise, learning_rate, seed in itertools.product(
                grid.points(), grid.label_noise, grid.learning_rates, grid.seeds
            )
        ]

    def pending(
        self, grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> list[Job]:
        """Every cell without a record, in units that can be fleets, side by side.

        The order is random, so that the first results speak of the whole grid and the time left is
        known early.
        """
        units = _units(grid, cells, records)
        random.Random(0).shuffle(units)
        return [Job(tuple(units))] if units else []

    def outlook(
        self, grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> dict[str, int]:
        """The units of cells without a record."""
        return {self.name: len(_units(grid, cells, records))}

    def measure(self, unit: Unit) -> Iterator[Record | Progress]:
        """The training runs of a unit."""
        from gr_bench.experiments.generalization.measure import train_all

        cells = [cell for cell in unit.cells if isinstance(cell, GeneralizationCell)]
        yield from train_all(cells, unit.options["trainer"])

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


def _units(
    grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
) -> list[Unit]:
    """Cells without a record, those together that could be one fleet."""
    have = {record.cell.id for record in records}
    fleets: dict[tuple[Any, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        assert isinstance(cell, GeneralizationCell)
        if cell.id not in have:
            apart = (cell.id,) if grid.trainer == "loop" or cell.compiled else ()
            fleets[cell.fleet + apart].append(cell)
    how = {"trainer": grid.trainer}
    return [
        Unit(tuple(fleet[i : i + MOST_RUNS]), how)
        for fleet in fleets.values()
        for i in range(0, len(fleet), MOST_RUNS)
    ]
