"""The generalization experiment: which trainings are to be done, who does and shows them."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gr_bench import registry
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
from gr_bench.experiments.generalization.cell import (
    BASELINE,
    GeneralizationCell,
    GeneralizationGrid,
)
from gr_bench.experiments.generalization.selection import chosen

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
        """One cell for every point of the grid, label noise, learning rate and seed.

        Where the numbers are to be chosen, those of the candidates first; of the others, only the
        chosen ones will be measured.
        """
        parts = [("run", grid.seeds)]
        if grid.select:
            parts = [("candidate", grid.selection_seeds), ("chosen", grid.seeds)]
        return [
            GeneralizationCell(
                seed=seed,
                epochs=epochs,
                learning_rate=learning_rate,
                momentum=grid.momentum,
                weight_decay=grid.weight_decay,
                augmentation=grid.augmentation,
                label_noise=label_noise,
                sharpness=grid.sharpness and role != "candidate",
                role=role,
                **point,
            )
            for role, seeds in parts
            for point, label_noise, learning_rate, seed in itertools.product(
                grid.points(), grid.label_noise, grid.learning_rates, seeds
            )
            for epochs in _epochs(grid, point["method"])
        ]

    def pending(
        self, grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> list[Job]:
        """Every cell without a record, in units that can be fleets, side by side.

        Candidates come first; when they all have been trained, what was chosen. The order is
        random, so that the first results speak of the whole grid and the time left is known early.
        """
        units = _units(grid, _wanted(cells, records), records)
        random.Random(0).shuffle(units)
        return [Job(tuple(units))] if units else []

    def outlook(
        self, grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> dict[str, int]:
        """The units of cells without a record, and at least one for every choice to come."""
        own = [cell for cell in cells if isinstance(cell, GeneralizationCell)]
        wanted = _wanted(cells, records)
        to_choose = any(cell.role == "candidate" for cell in wanted)
        later = len({cell.contest for cell in own if cell.role == "chosen"}) if to_choose else 0
        return {self.name: len(_units(grid, wanted, records)) + later}

    def measure(self, unit: Unit) -> Iterator[Record | Progress]:
        """The training runs of a unit."""
        from gr_bench.experiments.generalization.measure import train_all

        cells = [cell for cell in unit.cells if isinstance(cell, GeneralizationCell)]
        yield from train_all(cells, unit.options["trainer"])

    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """``generalization``, a row a training; ``training_curves``, a row an epoch of each.

        Candidates are in neither: ``selection`` has a row for each of their settings.
        ``comparison`` has SGD beside every setting, at equal epochs and gradient evaluations.
        """
        from gr_bench.experiments.generalization import tables

        final = [record for record in records if tables.role(record) != "candidate"]
        runs = tables.generalization(final)
        return {
            "generalization": runs,
            "training_curves": tables.training_curves(final),
            "comparison": tables.comparison(runs),
            "selection": tables.selection(records),
        }

    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Mean and interval over seeds, the paired difference from SGD, and what was chosen."""
        from gr_bench.experiments.generalization import tables as build

        return build.summaries(tables["generalization"], tables["selection"])

    def figures(self, tables: dict[str, DataFrame]) -> Iterator[Picture]:
        """Curves, test accuracy and gap, accuracy against cost."""
        from gr_bench.experiments.generalization import figures

        yield from figures.pictures(tables["generalization"], tables["training_curves"])


def _epochs(grid: GeneralizationGrid, method: str) -> list[int]:
    """How long a method is trained: the baseline also for what the others' evaluations cost."""
    if method != BASELINE or not grid.equal_cost:
        return [grid.epochs]
    times = {registry.build_method(name).gradient_evaluations for name in grid.methods}
    return [factor * grid.epochs for factor in sorted({1} | times)]


def _wanted(cells: Sequence[Cell], records: Sequence[Record]) -> list[GeneralizationCell]:
    """The cells to be trained as things stand, those with a record included."""
    own = [cell for cell in cells if isinstance(cell, GeneralizationCell)]
    have = {record.cell.id for record in records}
    candidates = [cell for cell in own if cell.role == "candidate"]
    if any(cell.id not in have for cell in candidates):
        return candidates
    ids = {cell.id for cell in candidates}
    best = chosen([record for record in records if record.cell.id in ids])
    return [
        cell
        for cell in own
        if cell.role == "run" or (cell.role == "chosen" and best.get(cell.contest) == cell.setting)
    ]


def _units(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], records: Sequence[Record]
) -> list[Unit]:
    """Cells without a record, those together that could be one fleet."""
    have = {record.cell.id for record in records}
    fleets: dict[tuple[Any, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.id not in have:
            apart = (cell.id,) if grid.trainer == "loop" or cell.compiled else ()
            fleets[cell.fleet + apart].append(cell)
    how = {"trainer": grid.trainer}
    return [
        Unit(tuple(fleet[i : i + MOST_RUNS]), how)
        for fleet in fleets.values()
        for i in range(0, len(fleet), MOST_RUNS)
    ]
