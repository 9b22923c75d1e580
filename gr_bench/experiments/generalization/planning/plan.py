"""Which steps are to be timed and which trainings to be done, as things stand."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gr_bench import registry
from gr_bench.experiments.experiment import Job, Unit
from gr_bench.experiments.generalization.cell import (
    BASELINE,
    GeneralizationCell,
    GeneralizationGrid,
)
from gr_bench.experiments.generalization.options import TrainingOptions
from gr_bench.experiments.generalization.planning.selection import chosen
from gr_bench.experiments.generalization.timed import timed_steps
from gr_bench.experiments.record import Record
from gr_bench.spec import parse

MOST_RUNS = 40
"""Runs of a unit: more would gain little, and cost more if the unit failed."""

TIMING_REPLICATES = 5
"""Freshly started processes that time every method's step."""


def epochs(grid: GeneralizationGrid, spec: str) -> list[int]:
    """The lengths of a method's trainings: SGD's also for the others' gradient evaluations."""
    if spec != BASELINE or not grid.equal_cost:
        return [grid.epochs]
    times = {registry.build_method(name).gradient_evaluations for name in grid.methods}
    return [factor * grid.epochs for factor in sorted({1} | times)]


def wanted(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], records: Sequence[Record]
) -> list[GeneralizationCell]:
    """The cells to be trained as things stand, those with a record included."""
    own = list(cells)
    if grid.equal_time:
        longer = equal_time_cells(grid, cells, records)
        own = list({cell.id: cell for cell in [*cells, *longer]}.values())
    have = {record.cell.id for record in records}
    candidates = [cell for cell in own if cell.role == "candidate"]
    if any(cell.id not in have for cell in candidates):
        return candidates
    ids = {cell.id for cell in candidates}
    best = chosen([record for record in records if record.cell.id in ids])
    return [
        cell
        for cell in own
        if cell.role == "run"
        or (cell.role == "chosen" and best.get(cell.selection_group) == cell.setting)
    ]


def timings(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], records: Sequence[Record]
) -> list[Job[GeneralizationCell]]:
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
            if any(cell.is_baseline for cell in able) and not whole:
                units.append(Unit(tuple(able), {"pass": "times", "replicate": replicate}))
        if units:
            random.Random(replicate).shuffle(units)
            jobs.append(Job(tuple(units), exclusive=True))
    return jobs


def _blocks(cells: Sequence[GeneralizationCell]) -> list[list[GeneralizationCell]]:
    """One timed cell for every method, together with those of the same workload.

    A step takes as long whatever the method's numbers are, so the first ones stand for all.
    """
    blocks: dict[tuple[Any, ...], dict[str, GeneralizationCell]] = defaultdict(dict)
    for cell in cells:
        timed = cell.timing_cell
        blocks[timed.block].setdefault(parse(timed.spec).name, timed)
    return [list(block.values()) for block in blocks.values()]


def equal_time_cells(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], records: Sequence[Record]
) -> list[GeneralizationCell]:
    """SGD's cells again, for the epochs that it has time for in the others' trainings."""
    ratios: dict[tuple[Any, ...], set[float]] = defaultdict(set)
    for timed, step in timed_steps(records).items():
        if isinstance(timed, GeneralizationCell) and not timed.is_control:
            ratios[timed.block].add(round(step.ratio.center, 1))
    return [
        replace(cell, epochs=max(1, round(grid.epochs * ratio)))
        for cell in cells
        if cell.is_baseline and cell.epochs == grid.epochs
        for ratio in sorted(ratios[cell.timing_cell.block])
    ]


def units(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], records: Sequence[Record]
) -> list[Unit[GeneralizationCell]]:
    """Cells without a record, those together that could be one fleet.

    They are first put together and then sifted, so that an interrupted run goes on with the same
    units: each has a folder of its own.
    """
    fleets: dict[tuple[Any, ...], list[GeneralizationCell]] = defaultdict(list)
    for cell in cells:
        apart = (cell.id,) if grid.trainer == "loop" or cell.compiled else ()
        fleets[cell.fleet_key + apart].append(cell)
    have = {record.cell.id for record in records}
    options = TrainingOptions(trainer=grid.trainer, checkpoint_s=grid.checkpoint_seconds)
    found = []
    for fleet in fleets.values():
        for first in range(0, len(fleet), MOST_RUNS):
            part = fleet[first : first + MOST_RUNS]
            if left := tuple(cell for cell in part if cell.id not in have):
                name = hashlib.sha256(" ".join(cell.id for cell in part).encode()).hexdigest()[:16]
                found.append(Unit(left, options, Path(name)))
    return found
