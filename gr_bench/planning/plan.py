"""The plan of a suite: what every cell takes, and all of them together."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from gr_bench.errors import Unsupported
from gr_bench.experiments.block_times import blocks_of
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.experiments.generalization.planning.plan import longer_cells, timing_blocks
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.meters.cpu import CPU
from gr_bench.meters.cuda import CUDA
from gr_bench.planning import seconds
from gr_bench.planning.capacity import Fits, verdicts
from gr_bench.planning.fake_step import (
    PLAIN_GRADIENT,
    Footprint,
    StepCell,
    footprint,
    forward_flops,
)
from gr_bench.planning.makespan import Spread, spread
from gr_bench.planning.outlines import nbytes, outline
from gr_bench.planning.rates import Rates
from gr_bench.planning.time_model import StepTime
from gr_bench.planning.trainings import shares, training
from gr_bench.runs.suite import Plan, Suite
from gr_bench.spec import parse
from gr_bench.stats import Interval

Tell = Callable[[str], None]

STEPPING = ("step_cost", "generalization", "flooding")
"""Experiments whose cells take steps on mini-batches."""


@dataclass(frozen=True)
class Problem:
    """The reason why nothing is known of a step."""

    status: str
    """``not known``, or ``unsupported``: it cannot work."""

    reason: str


@dataclass(frozen=True)
class PlannedCell:
    """A cell and what it takes, as far as that is known."""

    cell: Cell
    found: Footprint | Problem
    baseline: Footprint | None
    """Of the method that it is compared with."""

    time: StepTime | None
    total: Interval | None
    """Seconds of all its steps and evaluations; of a choice's, its part."""

    total_flops: float | None
    needed_bytes: int | None
    """Of its device's memory, with what is there beside it."""

    fits: Mapping[str, Fits]
    """By a device's name."""

    @property
    def footprint(self) -> Footprint | None:
        """The counts of its step."""
        return self.found if isinstance(self.found, Footprint) else None


@dataclass(frozen=True)
class Saving:
    """The time and arithmetic that it saves to leave something out."""

    kind: str
    """``model``, ``dataset``, ``method``, ``batch size`` or ``experiment``."""

    name: str
    seconds: Interval
    flops: float


@dataclass(frozen=True)
class SuitePlan:
    """The plan of a suite."""

    suite: Suite
    cells: tuple[PlannedCell, ...]
    total: Interval
    """Seconds of all that is known, one after another; no more than the suite's budget."""

    total_flops: float
    savings: tuple[Saving, ...]
    """Largest first."""

    words: str
    """The origin of the times."""

    spread: Spread | None = None
    """The time on several nodes, where it was asked for."""

    @property
    def without_time(self) -> int:
        """Cells whose time is not known, and is not in the total."""
        return sum(one.total is None for one in self.cells)


class Planner:
    """Makes a suite's plan.

    Args:
        suite: that is planned.
        rates: to tell times by.
        devices: name and memory of those that things are to fit on.
        tell: told what is being done.
    """

    def __init__(
        self, suite: Suite, rates: Rates, devices: Sequence[tuple[str, int]], tell: Tell
    ) -> None:
        self._suite = suite
        self._rates = rates
        self._devices = devices
        self._found = _footprints([c for p in suite.plans for c in p.cells], tell)
        self._times: dict[tuple[StepCell, int], StepTime | None] = {}

    def plan(self, nodes: int | None = None) -> SuitePlan:
        """The plan of the whole suite, on so many nodes besides."""
        whole = [(plan, self._with_longer(plan)) for plan in self._suite.plans]
        estimates = [seconds.estimate(plan, cells, self._step_s) for plan, cells in whole]
        planned = []
        for (plan, cells), estimated in zip(whole, estimates, strict=True):
            needed, flops = self._needed_bytes(plan, cells), self._total_flops(plan, cells)
            planned += [
                self._planned(
                    cell, estimated.cells[cell.id], flops.get(cell.id), needed.get(cell.id)
                )
                for cell in cells
            ]
        spent = seconds.total(estimated.total for estimated in estimates)
        budget_s = self._suite.budget_s
        if budget_s is not None:
            spent = Interval(*(min(end, budget_s) for end in spent))
        parts = [(*part, own) for part, own in zip(whole, estimates, strict=True)]
        return SuitePlan(
            suite=self._suite,
            cells=tuple(planned),
            total=spent,
            total_flops=sum(one.total_flops or 0.0 for one in planned),
            savings=tuple(self._savings(whole, estimates, planned)),
            words=self._rates.words,
            spread=None if nodes is None else spread(parts, nodes),
        )

    def _planned(
        self, cell: Cell, total: Interval | None, flops: float | None, needed: int | None
    ) -> PlannedCell:
        found = self._found_of(cell)
        baseline = self._found.get(StepCell.of(cell, getattr(cell, "baseline", PLAIN_GRADIENT)))
        return PlannedCell(
            cell=cell,
            found=found,
            baseline=baseline if isinstance(baseline, Footprint) else None,
            time=self._time(cell, None),
            total=total,
            total_flops=flops,
            needed_bytes=needed,
            fits={} if needed is None else verdicts(needed, self._devices),
        )

    def _found_of(self, cell: Cell) -> Footprint | Problem:
        if cell.experiment not in STEPPING:
            return Problem("not known", _not_told(cell))
        return self._found[StepCell.of(cell)]

    def _time(self, cell: Cell, spec: str | None) -> StepTime | None:
        step = StepCell.of(cell, spec)
        found = self._found.get(step)
        if not isinstance(found, Footprint):
            return None
        key = (step, cell.threads)
        if key not in self._times:
            self._times[key] = self._rates.step(step, cell.threads, found)
        return self._times[key]

    def _step_s(self, cell: Cell, spec: str | None) -> Interval | None:
        time = self._time(cell, spec)
        return None if time is None else time.seconds

    def _with_longer(self, plan: Plan) -> list[Any]:
        """A plan's cells, and again those that are trained for as much time as others have."""
        cells: list[Any] = list(plan.cells)
        grid = plan.grid
        if not isinstance(grid, GeneralizationGrid) or not grid.equal_time:
            return cells
        blocks = timing_blocks(grid, cells, [])
        found = {cell.id: self._ratio(cell) for block in blocks for cell in block}
        ratios = {id_: ratio for id_, ratio in found.items() if ratio is not None}
        longer = longer_cells(grid, cells, blocks, ratios)
        return list({c.id: c for c in [*cells, *longer]}.values())

    def _ratio(self, cell: GeneralizationCell) -> float | None:
        """The time of a method's step over the baseline's, or the ratio of their arithmetic."""
        own, plain = self._step_s(cell, None), self._step_s(cell, cell.baseline)
        if own is not None and plain is not None:
            return own.center / plain.center
        counts = [self._found.get(StepCell.of(cell, spec)) for spec in (None, cell.baseline)]
        flops = [found.flops for found in counts if isinstance(found, Footprint)]
        return flops[0] / flops[1] if len(flops) == 2 and flops[1] else None

    def _total_flops(self, plan: Plan, cells: Sequence[Any]) -> dict[str, float]:
        """FLOPs of trainings, by a cell's id."""
        if not isinstance(plan.grid, GeneralizationGrid):
            return {}
        share = shares(cells)
        return {
            cell.id: share[cell.id] * training(cell, plan.grid.evaluate_every).total
            for cell in cells
            if all(
                isinstance(self._found.get(StepCell.of(cell, spec)), Footprint)
                for spec in (None, PLAIN_GRADIENT)
            )
        }

    def _needed_bytes(self, plan: Plan, cells: Sequence[Any]) -> dict[str, int]:
        """Bytes of a device's memory that are taken at the worst moment, by a cell's id.

        A training has its data set beside it; a step that is timed has, besides, what the others of
        its block keep between their steps, and the matrices that show what the machine can do. What
        a compiled step needs, its compiler alone knows.
        """
        found: dict[str, int] = {}
        timed = cells if cells and isinstance(cells[0], StepCostCell) else []
        for block in blocks_of(timed) if timed else [[cell] for cell in cells]:
            own = {c.id: f for c in block if isinstance(f := self._found_of(c), Footprint)}
            if not own or block[0].compiled:
                continue
            device = CPU if block[0].device == "cpu" else CUDA
            beside = 12 * device.matrix_size**2 if timed else 0
            if device is CPU or not timed:
                beside += nbytes(outline(block[0].dataset))
            lasting = sum(f.lasting_bytes for f in own.values())
            needed = max(f.memory.peak_bytes - f.lasting_bytes for f in own.values())
            found |= dict.fromkeys(own, lasting + needed + beside)
        return found

    def _savings(
        self,
        whole: Sequence[tuple[Plan, list[Any]]],
        estimates: Sequence[seconds.Estimate],
        planned: Sequence[PlannedCell],
    ) -> list[Saving]:
        """The savings by each value of which there are several, largest first."""
        values: dict[str, dict[str, None]] = defaultdict(dict)
        for one in planned:
            for kind, name in _kinds(one.cell).items():
                values[kind][name] = None
        found = []
        for kind, names in values.items():
            for name in names if len(names) > 1 else ():
                saved = []
                for (plan, cells), before in zip(whole, estimates, strict=True):
                    kept = [cell for cell in cells if _kinds(cell).get(kind) != name]
                    if len(kept) < len(cells):
                        after = seconds.estimate(plan, kept, self._step_s).total
                        saved.append(
                            Interval(*(b - a for b, a in zip(before.total, after, strict=True)))
                        )
                flops = sum(
                    one.total_flops or 0.0 for one in planned if _kinds(one.cell).get(kind) == name
                )
                if saved and (flops or any(any(row) for row in saved)):
                    found.append(Saving(kind, name, seconds.total(saved), flops))
        return sorted(found, key=lambda one: (-one.seconds.center, -one.flops))


def _kinds(cell: Cell) -> dict[str, str]:
    """The things that a cell could be left out with. A block needs its baseline, and keeps it."""
    own = {
        "experiment": cell.experiment,
        "model": cell.model,
        "dataset": cell.dataset,
        "batch size": f"batch {cell.batch_size}",
    }
    if cell.spec != getattr(cell, "baseline", PLAIN_GRADIENT):
        own["method"] = parse(cell.spec).name
    return own


def _footprints(cells: Sequence[Cell], tell: Tell) -> dict[StepCell, Footprint | Problem]:
    """Every step of the cells and of the methods that they are compared with; and the plain
    gradient's, which an evaluation's time is told by.
    """
    steps: dict[StepCell, None] = {}
    for cell in cells:
        if cell.experiment in STEPPING:
            steps[StepCell.of(cell)] = None
            steps[StepCell.of(cell, getattr(cell, "baseline", PLAIN_GRADIENT))] = None
    evaluated = {StepCell.of(c, PLAIN_GRADIENT) for c in cells if isinstance(c, GeneralizationCell)}
    steps |= dict.fromkeys(sorted(evaluated - steps.keys(), key=repr))
    found = {}
    for number, step in enumerate(steps, start=1):
        tell(f"step {number} of {len(steps)}: {step.model}, batch {step.batch_size}, {step.spec}")
        found[step] = _footprint(step, is_evaluated=step in evaluated)
    return found


def _footprint(step: StepCell, *, is_evaluated: bool) -> Footprint | Problem:
    try:
        with redirect_stdout(sys.stderr):  # somebody's code may print
            if is_evaluated:
                forward_flops(step)
            return footprint(step)
    except Unsupported as error:
        return Problem("unsupported", str(error))
    except Exception as error:  # somebody's code, on tensors without numbers in them
        return Problem("not known", _reason(error))


def _reason(error: Exception) -> str:
    name = type(error).__name__
    text = " ".join(str(error).split())
    if name == "DataDependentOutputException":
        return f"it reads a value from a tensor ({text}), which has none before the run"
    if name == "DynamicOutputShapeException":
        return f"a shape depends on values ({text}), which do not exist before the run"
    return f"{name}: {text}".removeprefix("RequestError: ").removeprefix("NotCounted: ")


def _not_told(cell: Cell) -> str:
    """The reason for which an experiment's time is not known before."""
    if cell.experiment_source:
        return f"{cell.experiment} is not built in: its cost is not known"
    if cell.experiment == "modified_flow":
        return "modified_flow integrates flows with adaptive steps"
    return f"{cell.experiment} ends on convergence"
