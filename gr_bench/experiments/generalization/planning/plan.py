"""The steps to be timed and the trainings to be done, as things stand."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from gr_bench import registry
from gr_bench.experiments.block_times import BlockTimes, blocks_of, timing_job
from gr_bench.experiments.experiment import Job, Unit
from gr_bench.experiments.generalization.cell import (
    GeneralizationCell,
    GeneralizationGrid,
    Role,
    has_fleet,
)
from gr_bench.experiments.generalization.options import TrainingOptions
from gr_bench.experiments.generalization.planning.selection import chosen
from gr_bench.experiments.generalization.planning.work import runs_an_hour
from gr_bench.experiments.record import Failure, Record
from gr_bench.spec import parse
from gr_bench.timing.replicates import LEAST_ROUNDS, Precision

MOST_RUNS = 40
"""Runs of a unit: more would gain little, and cost more if the unit failed. Of large models there
are fewer, so that a unit is about an hour's work."""

TIMING = Precision(target=0.02, least_replicates=5, most_replicates=10)
"""The precision of the ratios behind equal time, which are rounded to a tenth."""

TIMING_FIRST_S = 1.5
"""Seconds for a block in each of its first processes."""


def epochs(grid: GeneralizationGrid, spec: str) -> list[int]:
    """The lengths of a method's trainings.

    At equal cost, those of the baseline are also as many times the grid's epochs as another method
    takes more gradient evaluations a step, and those of another method as many times as the
    baseline takes more: no comparison is with a training that was cut short.
    """
    if not grid.equal_cost:
        return [grid.epochs]
    own = _evaluations(spec)
    opponents = grid.methods
    if not _is_baseline(grid, spec):
        opponents = [other for other in grid.methods if _is_baseline(grid, other)]
    factors = {1.0} | {_evaluations(other) / own for other in opponents}
    return sorted({round(factor * grid.epochs) for factor in factors if factor >= 1})


@cache
def _evaluations(text: str) -> float:
    """Gradient evaluations of a step; of a method with ranges, in the middle of them."""
    spec = parse(text)
    if spec.ranges:
        text = str(spec.drawn(itertools.repeat(0.5)))
    return registry.gradient_evaluations(text)


def split_seed(grid: GeneralizationGrid, role: Role, seed: int) -> int:
    """The split on which a training is done.

    Numbers are chosen on one split for all seeds, so that a method has one setting. By seed it is
    split 0: no split trains on its validation part or tests on it.
    """
    if grid.splits != "by seed":
        return grid.splits
    return 0 if role == "candidate" else seed


def _is_baseline(grid: GeneralizationGrid, spec: str) -> bool:
    return grid.baseline in (spec, parse(spec).name)


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
    grid: GeneralizationGrid,
    cells: Sequence[GeneralizationCell],
    records: Sequence[Record],
    left_s: float | None = None,
) -> list[Job[GeneralizationCell]]:
    """The next replicate of step times, where times are to be equal and not known well enough."""
    jobs = timing_job(
        timing_blocks(grid, cells, records),
        BlockTimes(records),
        TIMING,
        first_s=TIMING_FIRST_S,
        least_rounds=LEAST_ROUNDS,
        left_s=left_s,
    )
    # trainings wait for it: nothing of it is a refinement
    return [replace(job, refines=False) for job in jobs]


def timing_blocks(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], records: Sequence[Record]
) -> list[list[GeneralizationCell]]:
    """A timing cell for every method and a second one for the baseline, block by block.

    A step takes as long whatever the method's numbers are, but for the length of its cycle, so the
    baseline's or the first ones stand for all: those of the innermost one, where a method is made
    of another. A block whose baseline failed has nothing to be divided by, and is none.
    """
    if not grid.equal_time:
        return []
    failed = {record.cell.id for record in records if isinstance(record, Failure)}
    chosen_cells: dict[tuple[Any, ...], GeneralizationCell] = {}
    for cell in sorted(cells, key=lambda cell: not cell.is_baseline):
        timing = cell.timing_cell
        twins = [timing, replace(timing, role="control")] if timing.is_baseline else [timing]
        for twin in twins:
            chosen_cells.setdefault((twin.block, twin.role, *_step_kind(twin)), twin)
    able = [cell for cell in chosen_cells.values() if cell.id not in failed]
    return [block for block in blocks_of(able) if any(cell.is_baseline for cell in block)]


def replicates_to_come(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], records: Sequence[Record]
) -> int:
    """Replicates that timing blocks still need, at least."""
    times, count = BlockTimes(records), 0
    for block in timing_blocks(grid, cells, records):
        have, state = times.replicates(block), times.state(block)
        count += max(0, TIMING.least_replicates - have)
        if state is not None and TIMING.least_replicates <= have < TIMING.most_replicates:
            count += not state.is_known(TIMING.target)
    return count


def equal_time_cells(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], records: Sequence[Record]
) -> list[GeneralizationCell]:
    """Cells again, for the epochs that there is time for in the trainings that they are compared
    with, by the times that were measured: see :func:`longer_cells`.
    """
    times, blocks = BlockTimes(records), timing_blocks(grid, cells, records)
    found = {timing.id: times.ratio(timing) for block in blocks for timing in block}
    ratios = {id_: ratio.center for id_, ratio in found.items() if ratio is not None}
    return longer_cells(grid, cells, blocks, ratios)


def longer_cells(
    grid: GeneralizationGrid,
    cells: Sequence[GeneralizationCell],
    blocks: Sequence[Sequence[GeneralizationCell]],
    ratios: Mapping[str, float],
) -> list[GeneralizationCell]:
    """Cells again, for more epochs: the baseline's for slower methods, and faster methods' for the
    baseline.

    Args:
        grid: that they are from.
        cells: its trainings.
        blocks: of timing cells (:func:`timing_blocks`).
        ratios: the time of a timing cell's step over the baseline's, by its id, where it is known.
    """
    factors: dict[tuple[Any, ...], set[float]] = defaultdict(set)
    for block in blocks:
        baseline = next(cell for cell in block if cell.is_baseline)
        for timing in block:
            if timing.is_control or timing.id not in ratios:
                continue
            ratio = ratios[timing.id]
            faster = round(ratio, 1) < 1
            factor = 1 / ratio if faster else ratio
            factors[_step_key(timing if faster else baseline)].add(round(factor, 1))
    return [
        replace(cell, epochs=round(grid.epochs * factor))
        for cell in cells
        if cell.epochs == grid.epochs
        for factor in sorted(factors[_step_key(cell)])
    ]


def _step_key(cell: GeneralizationCell) -> tuple[Any, ...]:
    """The common part of cells whose steps one timing stands for."""
    return (cell.timing_cell.block, cell.is_baseline, *_step_kind(cell))


def _step_kind(cell: GeneralizationCell) -> tuple[str, int]:
    """All of a method that decides how long its step takes."""
    return parse(cell.spec).frame, registry.cycle(cell.spec)


def most_runs(fleet: Sequence[GeneralizationCell]) -> int:
    """The most runs of a unit, of cells that could be one fleet."""
    return limited_runs(fleet, runs_an_hour)


def limited_runs(
    fleet: Sequence[GeneralizationCell], in_an_hour: Callable[[GeneralizationCell], int | None]
) -> int:
    """The same, by how many runs take an hour, as far as that is known."""
    if len(fleet) == 1:
        return 1
    count = in_an_hour(fleet[0])
    return MOST_RUNS if count is None else min(MOST_RUNS, count)


def units(
    grid: GeneralizationGrid,
    cells: Sequence[GeneralizationCell],
    records: Sequence[Record],
    most: Callable[[Sequence[GeneralizationCell]], int] = most_runs,
) -> list[Unit[GeneralizationCell]]:
    """Cells without a record, those together that could be one fleet.

    They are first put together and then sifted, so that an interrupted run goes on with the same
    units: each has a folder of its own.

    Args:
        grid: that they are from.
        cells: its trainings.
        records: of the grid.
        most: the most runs of a unit, of a fleet's cells.
    """
    fleets: dict[tuple[Any, ...], list[GeneralizationCell]] = defaultdict(list)
    for cell in cells:
        alone = grid.trainer == "loop" or cell.compiled or not has_fleet(cell.optimizer)
        apart = (cell.id,) if alone else ()
        fleets[cell.fleet_key + apart].append(cell)
    have = {record.cell.id for record in records}
    options = TrainingOptions(
        trainer=grid.trainer,
        checkpoint_s=grid.checkpoint_seconds,
        evaluate_every=grid.evaluate_every,
    )
    found = []
    for fleet in fleets.values():
        size = most(fleet)
        for first in range(0, len(fleet), size):
            part = fleet[first : first + size]
            if left := tuple(cell for cell in part if cell.id not in have):
                name = hashlib.sha256(" ".join(cell.id for cell in part).encode()).hexdigest()[:16]
                found.append(Unit(left, options, Path(name)))
    return found
