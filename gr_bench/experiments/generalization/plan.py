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
from gr_bench.experiments.base import Cell, Job, Record, Unit
from gr_bench.experiments.generalization.cell import (
    BASELINE,
    GeneralizationCell,
    GeneralizationGrid,
)
from gr_bench.experiments.generalization.selection import chosen
from gr_bench.experiments.generalization.timed import timed_steps
from gr_bench.spec import parse

MOST_RUNS = 40
"""Runs of a unit: more would gain little, and cost more if the unit failed."""

TIMING_REPLICATES = 5
"""Freshly started processes that time every method's step."""


def epochs(grid: GeneralizationGrid, method: str) -> list[int]:
    """How long a method is trained: the baseline also for what the others' evaluations cost."""
    if method != BASELINE or not grid.equal_cost:
        return [grid.epochs]
    times = {registry.build_method(name).gradient_evaluations for name in grid.methods}
    return [factor * grid.epochs for factor in sorted({1} | times)]


def wanted(
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


def timings(
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


def units(
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
    found = []
    for fleet in fleets.values():
        for first in range(0, len(fleet), MOST_RUNS):
            part = fleet[first : first + MOST_RUNS]
            if left := tuple(cell for cell in part if cell.id not in have):
                name = hashlib.sha256(" ".join(cell.id for cell in part).encode()).hexdigest()[:16]
                found.append(Unit(left, how, Path(name)))
    return found
