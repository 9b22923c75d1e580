"""The series of a history: one quantity of one cell over runs, and what changed in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gr_bench.comparison.findings import Change, changes
from gr_bench.comparison.history.change_points import ChangePoint, ChangePoints, change_points
from gr_bench.comparison.history.noise import Floats
from gr_bench.comparison.history.run import Quantity, Run
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.runs import environment


@dataclass(frozen=True)
class Series:
    """One quantity of one cell over runs."""

    cell: StepCostCell
    quantity: Quantity
    runs: tuple[int, ...]
    """The n numbers of its runs among all: those on one hardware for ``products``."""

    values: Floats
    """(n,) logarithms; NaN where a run has none."""

    errors: Floats
    """(n,) standard errors over the replicates of a run."""

    freedom: Floats
    """(n,) degrees of freedom of the errors."""

    found: ChangePoints

    @property
    def name(self) -> str:
        """The cell in words."""
        return self.cell.name

    @property
    def known(self) -> int:
        """Runs that have a value."""
        return int(np.isfinite(self.values).sum())

    def beyond(self, threshold: float) -> list[ChangePoint]:
        """Changes whose size is beyond a relative threshold."""
        return [change for change in self.found.changes if is_beyond(change, threshold)]

    def can_tell(self, threshold: float) -> bool:
        """True if a step half way of that relative size would have been found."""
        return self.found.smallest_step <= math.log1p(threshold)


@dataclass(frozen=True)
class Counted:
    """A counter that is not what it was in the run before that has it."""

    cell: StepCostCell
    before: int
    after: int
    change: Change


def is_beyond(change: ChangePoint, threshold: float) -> bool:
    """True if the size of a change is beyond a relative threshold, either way."""
    return abs(change.size.center) > math.log1p(threshold)


def all_series(runs: Sequence[Run]) -> list[Series]:
    """The ratio of every cell over all runs, and its time in matrix products over the runs on the
    same hardware; those of which no run has a value are left out.

    Args:
        runs: in order.
    """
    everything = tuple(range(len(runs)))
    together = same_hardware(runs)
    found = []
    for cell in _cells(runs):
        found += [_series(runs, cell, "ratio", everything)]
        found += [_series(runs, cell, "products", group) for group in together]
    return [series for series in found if series.known]


def same_hardware(runs: Sequence[Run]) -> list[tuple[int, ...]]:
    """The numbers of the runs, those on the same hardware together, the largest group first."""
    groups: list[list[int]] = []
    for number, run in enumerate(runs):
        for group in groups:
            first = runs[group[0]].environment
            if not environment.hardware_differences(first, run.environment):
                group.append(number)
                break
        else:
            groups.append([number])
    return [tuple(group) for group in sorted(groups, key=len, reverse=True)]


def counted(runs: Sequence[Run], threshold: float) -> list[Counted]:
    """Every counter that differs from the last run that has it, in the order of runs.

    Args:
        runs: in order.
        threshold: relative, from which a rise is a regression.
    """
    found = []
    last: dict[str, int] = {}
    for number, run in enumerate(runs):
        for key, now in run.counters.items():
            if not now:
                continue
            if key in last:
                before = runs[last[key]].counters[key]
                for change in changes(before, now, threshold):
                    found.append(Counted(run.cells[key], last[key], number, change))
            last[key] = number
    return found


def _cells(runs: Sequence[Run]) -> Iterator[StepCostCell]:
    """Every cell that some run has, once."""
    yield from {key: cell for run in runs for key, cell in run.cells.items()}.values()


def _series(
    runs: Sequence[Run], cell: StepCostCell, quantity: Quantity, numbers: tuple[int, ...]
) -> Series:
    readings = [runs[number].readings.get((cell.id, quantity)) for number in numbers]
    values, errors, freedom = (
        np.array([absent if reading is None else getattr(reading, field) for reading in readings])
        for field, absent in (("mean", np.nan), ("error", np.nan), ("freedom", 0.0))
    )
    return Series(
        cell=cell,
        quantity=quantity,
        runs=numbers,
        values=values,
        errors=errors,
        freedom=freedom,
        found=change_points(values, errors, freedom),
    )
