"""Measuring two revisions in pairs of freshly started processes that step in alternation."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from gr_bench import registry
from gr_bench.comparison.findings import name_of
from gr_bench.comparison.process import Lacks, Process, Side
from gr_bench.comparison.revisions import SIDES
from gr_bench.errors import RequestError
from gr_bench.experiments.base import Cell
from gr_bench.experiments.bench import in_building_order
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.spec import parse

LEAST_PAIRS = 3
LEAST_ROUNDS = 5

ROUNDS_PER_START = 1.0
"""Time in rounds over time to start and build, in a pair. What differs from process to process is
most of the noise, so many short pairs say more than a few long ones."""

SAMPLE_S = 5e-3
"""A sample takes at least this long. The other process had the caches before, on either side."""

COUNTED_PAIRS = 2
"""Counters are read in so many pairs: what is not the same in both is not deterministic."""

Told = Callable[[float, str], None]
"""Told the seconds that have passed, and what is being done."""


@dataclass
class Pair:
    """What one pair of processes gave. Lists are by cell id, then by side."""

    first: str
    """The side that was started and built first."""

    samples_s: dict[str, dict[str, list[float]]]
    """Seconds a step, entry i of round i."""

    waited_s: dict[str, dict[str, list[float]]]
    """Seconds a step, beside these, that the process waited because something else had its
    processor."""

    steps: dict[str, int]
    """Steps in a sample."""

    started_s: float
    """What it took until the first round."""

    took_s: float

    @property
    def rounds(self) -> int:
        """How many there were."""
        return min((len(of["base"]) for of in self.samples_s.values()), default=0)


@dataclass
class Measured:
    """What has been measured so far."""

    cells: list[StepCostCell]
    added: dict[str, str] = field(default_factory=dict)
    """By cell id: why the base does not have a cell that the head has."""

    methods: dict[str, dict[str, str]] = field(default_factory=lambda: {s: {} for s in SIDES})
    """By side and cell id: the method as the revision itself spells it."""

    processes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By side: versions, and what was done to hold the process still."""

    counters: dict[str, dict[str, list[dict[str, Any]]]] = field(
        default_factory=lambda: {s: {} for s in SIDES}
    )
    """By side and cell id: what was counted, in every pair in which it was."""

    pairs: list[Pair] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def compared(self) -> list[StepCostCell]:
        """The cells that both revisions have."""
        return [cell for cell in self.cells if cell.id not in self.added]


def measure(
    measured: Measured,
    sides: Mapping[str, Side],
    *,
    budget_s: float,
    timeout_s: float,
    told: Told,
) -> None:
    """Fill ``measured`` with pairs until the budget is spent; at least three, whatever they take.

    Args:
        measured: it has what was measured until then, whatever ends the measurement.
        sides: ``base`` and ``head``.
        budget_s: time for all pairs.
        timeout_s: a process that does not answer for so long is given up.
        told: hears how it goes on.

    Raises:
        RequestError: a revision cannot be imported, a cell cannot be built in one, the head lacks a
            cell or the base all of them, or a process has died.
    """
    begin = time.monotonic()

    def progress(what: str) -> None:
        measured.took_s = time.monotonic() - begin
        told(measured.took_s, f"pair {len(measured.pairs) + 1}: {what}")

    while True:
        with ExitStack() as stack:
            processes = {
                side: stack.enter_context(Process(sides[side], timeout_s)) for side in SIDES
            }
            pair = _Pairing(measured, processes, progress).measure()
        measured.pairs.append(pair)
        measured.took_s = time.monotonic() - begin
        longest_s = max(pair.took_s for pair in measured.pairs)
        if len(measured.pairs) >= LEAST_PAIRS and measured.took_s + longest_s > budget_s:
            return


class _Pairing:
    """One pair on its way."""

    def __init__(
        self, measured: Measured, processes: Mapping[str, Process], progress: Callable[[str], None]
    ) -> None:
        self._measured = measured
        self._processes = processes
        self._progress = progress
        self._number = len(measured.pairs)
        # what is started and built first lies elsewhere in memory: the order changes
        self._order = SIDES if self._number % 2 == 0 else SIDES[::-1]
        self._random = random.Random(self._number)

    def measure(self) -> Pair:
        """From the processes' start to the last round."""
        begin = time.monotonic()
        self._progress("starting")
        for side in self._order:
            self._processes[side].tell("hello")
        for side in self._order:
            self._measured.processes[side] = self._processes[side].answer()
        datasets = sorted({cell.dataset for cell in self._measured.cells})
        for side in self._order:
            self._processes[side].tell("load", datasets=datasets)
        for side in self._order:
            self._processes[side].answer()
        counting_s = self._count() if self._number < COUNTED_PAIRS else 0.0
        seconds = self._prepare()
        pair = Pair(
            first=self._order[0],
            samples_s={key: {side: [] for side in SIDES} for key in seconds},
            waited_s={key: {side: [] for side in SIDES} for key in seconds},
            steps={key: max(1, math.ceil(SAMPLE_S / s)) for key, s in seconds.items()},
            started_s=time.monotonic() - begin,
            took_s=0.0,
        )
        end = time.monotonic() + ROUNDS_PER_START * (pair.started_s - counting_s)
        while pair.rounds < LEAST_ROUNDS or time.monotonic() < end:
            self._progress(f"round {pair.rounds + 1}")
            self._round(pair)
        pair.took_s = time.monotonic() - begin
        return pair

    def _count(self) -> float:
        """Read the counters of every cell on either side; seconds that it took."""
        begin = time.monotonic()
        for cell in self._measured.cells:
            for side in self._order:
                self._progress("memory and FLOPs")
                try:
                    counted = self._processes[side].ask(
                        "count", about=name_of(cell), cell=_asked(cell)
                    )
                except Lacks as why:
                    if side == "head":
                        raise RequestError(
                            f"{self._processes[side]}: {name_of(cell)}: {why}; if it is gone for "
                            "good, choose others with --only or a --suite of your own"
                        ) from why
                    self._measured.added[cell.id] = str(why)
                else:
                    self._measured.counters[side].setdefault(cell.id, []).append(counted)
        if not self._measured.compared:
            reason = next(iter(self._measured.added.values()))
            raise RequestError(
                f"{self._processes['base']} has none of the cells, so there is nothing to compare: "
                f"{reason}"
            )
        return time.monotonic() - begin

    def _prepare(self) -> dict[str, float]:
        """Build every cell, one after the other in the same order on either side.

        Returns:
            By cell id, about the seconds of a step.
        """
        seconds = {}
        for cell in in_building_order(self._measured.compared, self._number):
            built = {}
            for side in self._order:
                self._progress("building")
                built[side] = self._processes[side].ask(
                    "prepare", about=name_of(cell), key=cell.id, cell=_asked(cell)
                )
                self._measured.methods[side][cell.id] = built[side]["method"]
                self._measured.processes[side]["processors"] = built[side]["processors"]
            seconds[cell.id] = min(answer["seconds"] for answer in built.values())
        return seconds

    def _round(self, pair: Pair) -> None:
        """One sample of every cell from either side, the two of a cell next to each other."""
        keys = self._random.sample(list(pair.samples_s), len(pair.samples_s))
        for key in keys:
            for side in self._random.sample(SIDES, len(SIDES)):
                sample = self._processes[side].ask("time", key=key, steps=pair.steps[key])
                pair.samples_s[key][side].append(sample["seconds"])
                pair.waited_s[key][side].append(sample["waited_s"])


def _asked(cell: Cell) -> dict[str, Any]:
    """What a process needs to know of a cell.

    A method with the parameters that it has by default goes by its name alone, since another
    revision may have other parameters.
    """
    name = parse(cell.method).name
    default = registry.spell_method(name) == cell.method
    return asdict(cell) | {"method": name if default else cell.method}
