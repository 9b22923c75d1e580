"""Measuring two revisions in pairs of freshly started processes that step in alternation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from gr_bench import registry
from gr_bench.comparison.findings import name_of
from gr_bench.comparison.revisions import SIDES
from gr_bench.comparison.side import MissingInRevision, Side, SideProcess
from gr_bench.errors import RequestError
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.meters.conditions import allowed_processors, keep_off, timed_processors
from gr_bench.spec import parse
from gr_bench.timing.clock import Sample, Samples
from gr_bench.timing.replicates import LEAST_ROUNDS
from gr_bench.timing.rounds import in_building_order, interleave

LEAST_PAIRS = 3

ROUNDS_PER_START = 1.0
"""Time in rounds over time to start and build, in a pair. What differs from process to process is
most of the noise, so many short pairs say more than a few long ones."""

COUNTED_PAIRS = 2
"""Counters are read in so many pairs: what is not the same in both is not deterministic."""

ProgressCallback = Callable[[float, str], None]
"""Told the seconds that have passed, and what is being done."""


@dataclass
class Pair:
    """The samples of one pair of processes. They are by cell id, then by side."""

    first: str
    """The side that was started and built first."""

    samples: dict[str, dict[str, Samples]]
    started_s: float
    """Seconds until the first round."""

    took_s: float

    @property
    def rounds(self) -> int:
        """Rounds that every cell had."""
        return min((len(of["base"].position) for of in self.samples.values()), default=0)


@dataclass
class Measured:
    """The measurements so far."""

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
    progress: ProgressCallback,
) -> None:
    """Fill ``measured`` with pairs until the budget is spent; at least three, whatever they take.

    Args:
        measured: it has what was measured until then, whatever ends the measurement.
        sides: ``base`` and ``head``.
        budget_s: time for all pairs.
        timeout_s: a process that does not answer for so long is given up.
        progress: told how it goes on.

    Raises:
        RequestError: a revision cannot be imported, a cell cannot be built in one, the head lacks a
            cell or the base all of them, or a process has died.
    """
    begin = time.monotonic()

    def tell(what: str) -> None:
        measured.took_s = time.monotonic() - begin
        progress(measured.took_s, f"pair {len(measured.pairs) + 1}: {what}")

    threads = max(cell.threads for cell in measured.cells)
    allowed = allowed_processors()  # before this process narrows what its children inherit
    timed = timed_processors(threads, allowed)
    while True:
        with ExitStack() as stack:
            stack.enter_context(keep_off(timed))
            processes = {
                side: stack.enter_context(SideProcess(sides[side], timeout_s, allowed))
                for side in SIDES
            }
            pair = _Pairing(measured, processes, tell).measure()
        measured.pairs.append(pair)
        measured.took_s = time.monotonic() - begin
        longest_s = max(pair.took_s for pair in measured.pairs)
        if len(measured.pairs) >= LEAST_PAIRS and measured.took_s + longest_s > budget_s:
            return


class _Pairing:
    """One pair on its way."""

    def __init__(
        self, measured: Measured, processes: Mapping[str, SideProcess], tell: Callable[[str], None]
    ) -> None:
        self._measured = measured
        self._processes = processes
        self._tell = tell
        self._number = len(measured.pairs)
        # what is started and built first lies elsewhere in memory: the order changes
        self._order = SIDES if self._number % 2 == 0 else SIDES[::-1]

    def measure(self) -> Pair:
        """From the processes' start to the last round."""
        begin = time.monotonic()
        self._tell("starting")
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
        steps = self._prepare()
        started_s = time.monotonic() - begin
        samples = interleave(
            [[f"{side} {key}" for side in SIDES] for key in steps],
            self._take,
            {f"{side} {key}": count for key, count in steps.items() for side in SIDES},
            until=time.monotonic() + ROUNDS_PER_START * (started_s - counting_s),
            least_rounds=LEAST_ROUNDS,
            seed=self._number,
        )
        return Pair(
            first=self._order[0],
            samples={key: {side: samples[f"{side} {key}"] for side in SIDES} for key in steps},
            started_s=started_s,
            took_s=time.monotonic() - begin,
        )

    def _take(self, name: str, steps: int) -> Sample:
        """One sample of a cell from one side, named together."""
        side, _, key = name.partition(" ")
        self._tell("rounds")
        return Sample(**self._processes[side].ask("time", key=key, steps=steps))

    def _count(self) -> float:
        """Read the counters of every cell on either side; seconds that it took."""
        begin = time.monotonic()
        for cell in self._measured.cells:
            for side in self._order:
                self._tell("memory and FLOPs")
                try:
                    counted = self._processes[side].ask(
                        "count", about=name_of(cell), cell=portable_cell(cell)
                    )
                except MissingInRevision as why:
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

    def _prepare(self) -> dict[str, int]:
        """Build every cell, one after the other in the same order on either side.

        Returns:
            By cell id, how many steps make a sample on both sides.
        """
        steps = {}
        for cell in in_building_order(self._measured.compared, self._number):
            built = {}
            for side in self._order:
                self._tell("building")
                built[side] = self._processes[side].ask(
                    "prepare", about=name_of(cell), key=cell.id, cell=portable_cell(cell)
                )
                self._measured.methods[side][cell.id] = built[side]["method"]
                self._measured.processes[side]["processors"] = built[side]["processors"]
            steps[cell.id] = max(answer["steps"] for answer in built.values())
        return steps


def portable_cell(cell: Cell) -> dict[str, Any]:
    """A cell as plain data, for a process that steps another revision.

    A method with the parameters that it has by default goes by its name alone, since another
    revision may have other parameters.
    """
    name = parse(cell.spec).name
    default = registry.spell_method(name) == cell.spec
    return asdict(cell) | {"spec": name if default else cell.spec}
