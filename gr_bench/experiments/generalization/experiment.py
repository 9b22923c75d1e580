"""The generalization experiment: which trainings are to be done, who does and shows them."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
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
from gr_bench.experiments.generalization.timed import timed_steps
from gr_bench.spec import parse

if TYPE_CHECKING:
    from pandas import DataFrame


MOST_RUNS = 40
"""Runs of a unit: more would gain little, and cost more if the unit failed."""

TIMING_REPLICATES = 5
"""Freshly started processes that time every method's step."""


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
            for epochs in _epochs(grid, point["method"])
        ]

    def pending(
        self, grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> list[Job]:
        """Every cell without a record, in units that can be fleets, side by side.

        Where times are to be equal, steps are timed before. Candidates come first; when they all
        have been trained, what was chosen. The order is random, so that the first results speak of
        the whole grid and the time left is known early.
        """
        if timings := _timings(grid, cells, records):
            return timings
        units = _units(grid, _wanted(grid, cells, records), records)
        random.Random(0).shuffle(units)
        return [Job(tuple(units))] if units else []

    def outlook(
        self, grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> dict[str, int]:
        """The units of cells without a record, and at least one for every choice to come."""
        own = [cell for cell in cells if isinstance(cell, GeneralizationCell)]
        wanted = _wanted(grid, cells, records)
        to_choose = any(cell.role == "candidate" for cell in wanted)
        later = len({cell.contest for cell in own if cell.role == "chosen"}) if to_choose else 0
        outlook = {self.name: len(_units(grid, wanted, records)) + later}
        if timings := _timings(grid, cells, records):
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


def _epochs(grid: GeneralizationGrid, method: str) -> list[int]:
    """How long a method is trained: the baseline also for what the others' evaluations cost."""
    if method != BASELINE or not grid.equal_cost:
        return [grid.epochs]
    times = {registry.build_method(name).gradient_evaluations for name in grid.methods}
    return [factor * grid.epochs for factor in sorted({1} | times)]


def _wanted(
    grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
) -> list[GeneralizationCell]:
    """The cells to be trained as things stand, those with a record included."""
    own = [cell for cell in cells if isinstance(cell, GeneralizationCell)]
    if grid.equal_time:
        own = list({cell.id: cell for cell in [*own, *_as_long(grid, own, records)]}.values())
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


def _timings(
    grid: GeneralizationGrid, cells: Sequence[Cell], records: Sequence[Record]
) -> list[Job]:
    """Replicates of step times that are still to be read: a freshly started process for each."""
    if not grid.equal_time:
        return []
    blocks = _blocks(cells)
    failed = {record.cell.id for record in records if record.kind == "failure"}
    have = {(r.cell.id, r.data["replicate"]) for r in records if r.kind == "step time"}
    jobs = []
    for replicate in range(TIMING_REPLICATES):
        units = []
        for block in blocks:
            able = [cell for cell in block if cell.id not in failed]
            whole = all((cell.id, replicate) in have for cell in able)
            if any(_is_baseline(cell) for cell in able) and not whole:
                units.append(Unit(tuple(able), {"pass": "times", "replicate": replicate}))
        if units:
            random.Random(replicate).shuffle(units)
            jobs.append(Job(tuple(units), exclusive=True))
    return jobs


def _blocks(cells: Sequence[Cell]) -> list[list[GeneralizationCell]]:
    """One timed cell for every method, together with those of the same workload.

    A step takes as long whatever the method's numbers are, so the first ones stand for all.
    """
    blocks: dict[tuple[Any, ...], dict[str, GeneralizationCell]] = defaultdict(dict)
    for cell in cells:
        if isinstance(cell, GeneralizationCell):
            timed = cell.timed
            blocks[timed.workload].setdefault(parse(timed.method).name, timed)
    return [list(block.values()) for block in blocks.values()]


def _is_baseline(cell: GeneralizationCell) -> bool:
    return cell.method == BASELINE


def _as_long(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], records: Sequence[Record]
) -> list[GeneralizationCell]:
    """SGD's cells again, for the epochs that it has time for in the others' trainings."""
    ratios: dict[tuple[Any, ...], set[float]] = defaultdict(set)
    for timed, step in timed_steps(records).items():
        ratios[timed.workload].add(round(step.ratio.center, 1))
    return [
        replace(cell, epochs=max(1, round(grid.epochs * ratio)))
        for cell in cells
        if _is_baseline(cell) and cell.epochs == grid.epochs
        for ratio in sorted(ratios[cell.timed.workload])
    ]


def _units(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], records: Sequence[Record]
) -> list[Unit]:
    """Cells without a record, those together that could be one fleet.

    They are first put together and then sifted, so that an interrupted run goes on with the same
    units: each has a folder of its own.
    """
    fleets: dict[tuple[Any, ...], list[GeneralizationCell]] = defaultdict(list)
    for cell in cells:
        apart = (cell.id,) if grid.trainer == "loop" or cell.compiled else ()
        fleets[cell.fleet + apart].append(cell)
    have = {record.cell.id for record in records}
    how = {"trainer": grid.trainer, "checkpoint_seconds": grid.checkpoint_seconds}
    units = []
    for fleet in fleets.values():
        for first in range(0, len(fleet), MOST_RUNS):
            part = fleet[first : first + MOST_RUNS]
            if left := tuple(cell for cell in part if cell.id not in have):
                name = hashlib.sha256(" ".join(cell.id for cell in part).encode()).hexdigest()[:16]
                units.append(Unit(left, how, Path(name)))
    return units
