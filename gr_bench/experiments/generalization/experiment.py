"""The generalization experiment: its cells, who measures and who shows them."""

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
from gr_bench.experiments.generalization import plan
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
        """One cell for every point of the grid, setting of the training, learning rate and seed.

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
                schedule=schedule,
                augmentation=augmentation,
                label_noise=noise,
                sharpness=grid.sharpness and role != "candidate",
                role=role,
                **point,
            )
            for role, seeds in parts
            for point, schedule, augmentation, noise, learning_rate, seed in itertools.product(
                grid.points(),
                grid.schedules,
                grid.augmentations,
                grid.label_noise,
                grid.learning_rates,
                seeds,
            )
            for epochs in plan.epochs(grid, point["method"])
        ]

    def pending(
        self, grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> list[Job]:
        """Every cell without a record, in units that can be fleets, side by side.

        Where times are to be equal, steps are timed before. Candidates come first; when they all
        have been trained, what was chosen. The order is random, so that the first results speak of
        the whole grid and the time left is known early.
        """
        if timings := plan.timings(grid, cells, records):
            return timings
        units = plan.units(grid, plan.wanted(grid, cells, records), records)
        random.Random(0).shuffle(units)
        return [Job(tuple(units))] if units else []

    def outlook(
        self, grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> dict[str, int]:
        """The units of cells without a record, and at least one for every choice to come."""
        own = [cell for cell in cells if isinstance(cell, GeneralizationCell)]
        wanted = plan.wanted(grid, cells, records)
        to_choose = any(cell.role == "candidate" for cell in wanted)
        later = len({cell.contest for cell in own if cell.role == "chosen"}) if to_choose else 0
        outlook = {self.name: len(plan.units(grid, wanted, records)) + later}
        if timings := plan.timings(grid, cells, records):
            outlook[f"{self.name} times"] = sum(len(job.units) for job in timings)
        return outlook

    def measure(self, unit: Unit) -> Iterator[Record | Progress]:
        """The training runs of a unit, or the step times of one workload's methods."""
        from gr_bench.experiments.generalization.measure import train_all
        from gr_bench.experiments.generalization.timing import step_times

        cells = [cell for cell in unit.cells if isinstance(cell, GeneralizationCell)]
        if "replicate" in unit.options:
            yield from step_times(cells, unit.options["replicate"])
        else:
            how, every = unit.options["trainer"], unit.options["checkpoint_seconds"]
            yield from train_all(cells, how, unit.folder, every)

    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """``generalization``, a row a training; ``training_curves``, a row an epoch of each.

        Candidates are in neither: ``selection`` has a row for each of their settings.
        ``comparison`` has SGD beside every setting, at equal epochs, gradient evaluations and time;
        ``time_to_target`` what every setting takes to an accuracy; ``step_times`` a row a method.
        """
        from gr_bench.experiments.generalization import tables
        from gr_bench.experiments.generalization.comparison import comparison
        from gr_bench.experiments.generalization.target import time_to_target

        timed = tables.step_times(records)
        final = [record for record in records if tables.role(record) in ("run", "chosen")]
        runs, curves = tables.generalization(final, timed), tables.training_curves(final)
        return {
            "generalization": runs,
            "training_curves": curves,
            "comparison": comparison(runs),
            "time_to_target": time_to_target(runs, curves),
            "selection": tables.selection(records),
            "step_times": timed,
        }

    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Mean and interval over seeds, the paired difference from SGD, and what was chosen."""
        from gr_bench.experiments.generalization.summaries import summaries

        return summaries(tables)

    def figures(self, tables: dict[str, DataFrame]) -> Iterator[Picture]:
        """Curves, test accuracy and gap, accuracy against cost."""
        from gr_bench.experiments.generalization import figures

        yield from figures.pictures(tables)
