"""The time of a suite on several nodes: pieces of work, and the order in which they are given out.

A block is timed on one node, with nothing beside it, all its replicates there. Trainings share the
cores of all nodes, and candidates come before what is chosen among them. In each phase the longest
piece is given to whoever is free first, which takes at most 4/3 of the shortest time there is
(Graham 1969).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from gr_bench.experiments.block_times import blocks_of
from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.experiments.generalization.planning.plan import limited_runs, units
from gr_bench.experiments.generalization.planning.work import HOUR_FLOPS
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.planning.seconds import NOTHING, Estimate, total
from gr_bench.planning.trainings import training
from gr_bench.runs.suite import Plan
from gr_bench.stats import Interval


@dataclass(frozen=True)
class Spread:
    """The time of a suite on so many nodes."""

    nodes: int
    places: int
    """Trainings with one thread that a node does side by side; of a GPU's, one node is one GPU."""

    total: Interval
    """Seconds until all that is known is done."""

    longest: Interval
    """Seconds of the longest piece, which one node does by itself: no more nodes help it."""


Pieces = Sequence[Interval]


def spread(
    parts: Iterable[tuple[Plan, Sequence[Any], Estimate]], nodes: int, places: int | None = None
) -> Spread:
    """The time of a suite on several nodes.

    What belongs to no cell, as the starts of processes, every node has: it is not divided.

    Args:
        parts: the suite's plans, each with its cells and the time that they take.
        nodes: how many there are.
        places: see :class:`Spread`; by default this machine's physical cores.
    """
    cores = places or psutil.cpu_count(logical=False) or 1
    spans, longest = [], NOTHING
    for plan, cells, estimate in parts:
        spans.append(estimate.rest)
        for pieces, side_by_side in _phases(plan, cells, estimate, cores):
            ends = [[piece[end] for piece in pieces] for end in range(3)]
            spans.append(Interval(*(makespan(own, nodes * side_by_side) for own in ends)))
            longest = Interval(*(max([a, *own]) for a, own in zip(longest, ends, strict=True)))
    return Spread(nodes, cores, total(spans), longest)


def makespan(seconds: Iterable[float], places: int) -> float:
    """Seconds until all pieces are done, the longest ones first, each where it is free first."""
    busy = [0.0] * places
    for piece in sorted(seconds, reverse=True):
        heapq.heapreplace(busy, busy[0] + piece)
    return max(busy)


def _phases(
    plan: Plan, cells: Sequence[Any], estimate: Estimate, cores: int
) -> Iterator[tuple[Pieces, int]]:
    """The pieces that may be done at the same time, and on how many places of a node."""
    if not cells:
        return
    threads = max(cell.threads for cell in cells)
    side_by_side = max(1, cores // threads) if cells[0].device == "cpu" else 1
    if isinstance(cells[0], StepCostCell):
        yield _known(blocks_of(cells), estimate), 1
    elif isinstance(plan.grid, GeneralizationGrid):
        for early in (True, False):
            own = [cell for cell in cells if (cell.role == "candidate") is early]
            together = [unit.cells for unit in units(plan.grid, own, [], _most_runs)]
            yield _known(together, estimate), side_by_side
    else:
        yield _known([[cell] for cell in cells], estimate), side_by_side


def _known(pieces: Iterable[Sequence[Any]], estimate: Estimate) -> Pieces:
    """The time of each piece, as far as it is known."""
    return [
        total(own for cell in piece if (own := estimate.cells[cell.id]) is not None)
        for piece in pieces
    ]


def _most_runs(fleet: Sequence[GeneralizationCell]) -> int:
    """The most runs of a unit, without the data that a run would ask."""
    return limited_runs(fleet, _runs_an_hour)


def _runs_an_hour(cell: GeneralizationCell) -> int | None:
    try:
        flops = training(cell, 1).steps
    except Exception:  # somebody's code, on tensors without numbers in them
        return None
    return max(1, int(HOUR_FLOPS[cell.device.partition(":")[0]] // flops)) if flops else None
