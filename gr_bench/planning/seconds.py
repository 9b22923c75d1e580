"""Seconds that a suite's cells take, from the times of their steps, by each experiment's rules.

All of it is device time, one piece of work after another: trainings that run side by side or as a
fleet are done sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gr_bench.experiments.block_times import START_S, blocks_of
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.flooding.cell import FloodingCell
from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.experiments.generalization.planning import plan as trainings_plan
from gr_bench.experiments.step_cost.cell import StepCostCell, StepCostGrid
from gr_bench.meters.cpu import CPU
from gr_bench.meters.cuda import CUDA
from gr_bench.meters.device import Device
from gr_bench.planning.fake_step import PLAIN_GRADIENT, StepCell, footprint
from gr_bench.planning.trainings import number_of_steps, shares, training
from gr_bench.runs.suite import Plan
from gr_bench.stats import Interval
from gr_bench.timing.replicates import LEAST_ROUNDS

StepSeconds = Callable[[Cell, str | None], Interval | None]
"""The time of a cell's step, with its own method or another's; None where it is not known."""

BUILDING_STEPS, WARM_UP_SAMPLES, COUNTING_STEPS = 2, 3, 10
"""Steps to build a timed one; samples' worth of warm-up; steps for checks and counters."""

NOTHING = Interval(0.0, 0.0, 0.0)


def total(intervals: Iterable[Interval]) -> Interval:
    """The sum, as if all were off in the same way."""
    rows = list(intervals)
    return Interval(*(sum(row[end] for row in rows) for end in range(3)))


def times(interval: Interval, factor: float) -> Interval:
    """The interval ``factor`` times as long."""
    return Interval(*(factor * end for end in interval))


@dataclass
class Estimate:
    """The time that a part of a suite takes."""

    cells: dict[str, Interval | None] = field(default_factory=dict)
    """By a cell's id; None where it is not known."""

    rest: Interval = NOTHING
    """The time that belongs to no cell: starts of processes, steps timed for equal time."""

    @property
    def total(self) -> Interval:
        """All that is known."""
        return total([self.rest, *(own for own in self.cells.values() if own is not None)])


def estimate(plan: Plan, cells: Sequence[Any], step_s: StepSeconds) -> Estimate:
    """The time of some of a plan's cells, measured on their own."""
    rule = RULES.get(plan.experiment.name)
    if rule is None:
        return Estimate({cell.id: None for cell in cells})
    return rule(plan.grid, cells, step_s)


def _step_cost(grid: StepCostGrid, cells: Sequence[StepCostCell], step_s: StepSeconds) -> Estimate:
    """Rounds in as many replicates as there are at least; at most, and with the slowest steps, at
    the upper end. A replicate's time is the suite's, or that of its least rounds if that is longer.
    """
    found = Estimate()
    device = _device(grid.device)
    for block in blocks_of(cells):
        known = {cell.id: own for cell in block if (own := step_s(cell, None)) is not None}
        found.cells |= {cell.id: None for cell in block}
        visits = [
            _visit(
                [own[end] for own in known.values()],
                grid.seconds_per_block,
                grid.least_rounds,
                device,
            )
            for end in range(3)
        ]
        count = (grid.replicates, grid.replicates, grid.most_replicates)
        of_all = sum(own.center for own in known.values())
        for cell_id, own in known.items():
            part = own.center / of_all
            found.cells[cell_id] = Interval(
                *(COUNTING_STEPS * own[end] + count[end] * part * visits[end] for end in range(3))
            )
    processes = (1 + grid.replicates, 1 + grid.replicates, 1 + grid.most_replicates)
    found.rest = Interval(*(START_S * number for number in processes))
    return found


def _visit(
    steps: Sequence[float], seconds: float, least_rounds: int, device: type[Device]
) -> float:
    """Seconds for a block in one replicate, given those of its steps."""
    readings = 2 if device is CUDA else 1  # as trained, and of the device alone
    samples = sum(readings * max(device.sample_s, device.least_steps * s) for s in steps)
    rounds = (WARM_UP_SAMPLES + least_rounds) * samples
    return BUILDING_STEPS * sum(steps) + max(seconds, rounds)


def _generalization(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], step_s: StepSeconds
) -> Estimate:
    """Steps and evaluations; of each choice its part of the one training that there will be."""
    found = Estimate()
    share = shares(cells)
    for cell in cells:
        own, plain = step_s(cell, None), step_s(cell, PLAIN_GRADIENT)
        if own is None or plain is None:
            found.cells[cell.id] = None
            continue
        evaluations = training(cell, grid.evaluate_every).evaluations
        in_steps = evaluations / footprint(StepCell.of(cell, PLAIN_GRADIENT)).flops
        spent = total([times(own, number_of_steps(cell)), times(plain, in_steps)])
        found.cells[cell.id] = times(spent, share[cell.id])
    found.rest = times(Interval(1.0, 1.0, 1.0), START_S) if cells else NOTHING
    if grid.equal_time:
        found.rest = total([found.rest, _timing(grid, cells, step_s)])
    return found


def _timing(
    grid: GeneralizationGrid, cells: Sequence[GeneralizationCell], step_s: StepSeconds
) -> Interval:
    """The steps that are timed before trainings of equal time."""
    precision = trainings_plan.TIMING
    count = (precision.least_replicates, precision.least_replicates, precision.most_replicates)
    spent = [START_S * number for number in count]
    for block in trainings_plan.timing_blocks(grid, cells, []):
        known = [own for cell in block if (own := step_s(cell, None)) is not None]
        for end in range(3):
            steps = [own[end] for own in known]
            first_s = trainings_plan.TIMING_FIRST_S
            spent[end] += count[end] * _visit(steps, first_s, LEAST_ROUNDS, _device(grid.device))
    return Interval(*spent)


def _flooding(grid: object, cells: Sequence[FloodingCell], step_s: StepSeconds) -> Estimate:
    """Every step, and two or three gradients more if it makes a pair with the one before."""
    found = Estimate()
    for cell in cells:
        own = step_s(cell, None)
        if own is None:
            found.cells[cell.id] = None
        else:
            low, center, high = own.low, 2 * own.center, 4 * own.high
            found.cells[cell.id] = times(Interval(center, low, high), cell.steps)
    return found


def _device(name: str) -> type[Device]:
    return CPU if name == "cpu" else CUDA


RULES: dict[str, Callable[[Any, Sequence[Any], StepSeconds], Estimate]] = {
    "step_cost": _step_cost,
    "generalization": _generalization,
    "flooding": _flooding,
}
"""The experiments whose time can be told beforehand. Others end when they have converged."""
