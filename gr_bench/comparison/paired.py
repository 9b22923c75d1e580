"""Measuring two sides in pairs of freshly started processes that step in alternation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from gr_bench import stats
from gr_bench.comparison.revisions import SIDES
from gr_bench.comparison.side import MissingOnSide, Side, SideProcess
from gr_bench.comparison.sides import check_not_foreign, check_origins
from gr_bench.comparison.subject import CellSubject, Subject, portable_dataset
from gr_bench.errors import RequestError
from gr_bench.meters.conditions import (
    allowed_processors,
    keep_off,
    other_processors,
    timed_processors,
)
from gr_bench.timing.clock import Sample, Samples
from gr_bench.timing.replicates import LEAST_ROUNDS, best_rounds, log_ratio
from gr_bench.timing.rounds import in_building_order, interleave
from gr_bench.units import duration

FEW_PAIRS = 3
"""Pairs after which their spreads say how long one should take. Before, its rounds take as long as
its start and building: what differs from process to process is most of the noise, so that many
short pairs say more than a few long ones."""

SETTLING_ROUNDS = 2
"""Rounds before those that count. The side that was built first has been idle since, and its first
steps are slow: without these, of two equal steps it was slower by some per cent in short pairs."""

MOST_ROUNDS_S = 20.0
"""Seconds of rounds in a pair, at most."""

LEAST_PAIRS = 3
"""Pairs without which nothing can be known."""

COUNTED_PAIRS = 2
"""Counters are read in so many pairs: what is not the same in both is not deterministic."""


class ProgressCallback(Protocol):
    """Told how a measurement goes on."""

    def __call__(self, spent_s: float, what: str, *, lasting: bool = False) -> None:
        """Told the seconds that have passed, and what is being done.

        Args:
            spent_s: seconds.
            what: in a few words, or, ``lasting``, a sentence that is to stay to be read.
            lasting: see there.
        """


@dataclass
class Pair:
    """The samples of one pair of processes. They are by subject's id, then by side."""

    first: str
    """The side that was started and built first."""

    samples: dict[str, dict[str, Samples]]
    started_s: float
    """Seconds that the processes took to start: while the pair before stepped, if that could be."""

    counted_s: float
    """Seconds that counting took."""

    built_s: float
    """Seconds that building and warming up took."""

    took_s: float
    """Seconds that it added to the comparison."""

    @property
    def rounds(self) -> int:
        """Rounds that every subject had."""
        return min((len(of["base"].position) for of in self.samples.values()), default=0)


@dataclass
class Measured:
    """The measurements so far."""

    subjects: list[Subject]
    added: dict[str, str] = field(default_factory=dict)
    """By subject's id: why the base does not have what the head has."""

    methods: dict[str, dict[str, str]] = field(default_factory=lambda: {s: {} for s in SIDES})
    """By side and cell's id: the method as the side itself spells it."""

    processes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By side: versions, and what was done to hold the process still."""

    counters: dict[str, dict[str, list[dict[str, Any]]]] = field(
        default_factory=lambda: {s: {} for s in SIDES}
    )
    """By side and subject's id: what was counted, in every pair in which it was."""

    pairs: list[Pair] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def compared(self) -> list[Subject]:
        """The subjects that both sides have."""
        return [subject for subject in self.subjects if subject.id not in self.added]

    def log_ratios(self, subject: Subject) -> list[float]:
        """Log(head/base), one for every pair that the subject was measured in."""
        return [
            log_ratio(of["head"].step_s, of["base"].step_s)
            for pair in self.pairs
            if (of := pair.samples.get(subject.id))
        ]


def measure(
    measured: Measured,
    sides: Mapping[str, Side],
    *,
    open_subjects: Callable[[Measured], Sequence[Subject]],
    budget_s: float,
    timeout_s: float,
    progress: ProgressCallback,
    counted_pairs: int = COUNTED_PAIRS,
    start_ahead: bool = True,
) -> None:
    """Fill ``measured`` with pairs until all is known, or a further pair would not fit the budget.

    The processes of the next pair are started while this one steps, on another processor. One
    pair is always measured.

    Args:
        measured: it has what was measured until then, whatever ends the measurement. If it has
            pairs of the same sides already, further ones are added.
        sides: ``base`` and ``head``.
        open_subjects: those that further pairs are to measure, given what is known; asked after
            every pair.
        budget_s: time for all pairs.
        timeout_s: a process that does not answer for so long is given up.
        progress: told how it goes on.
        counted_pairs: pairs in which counters are read.
        start_ahead: False to start a pair's processes only when the one before has ended.

    Raises:
        RequestError: a side that cannot be imported, a subject that cannot be built on one, the
            head lacks a subject or the base all of them, nothing comes from either side, or a
            process has died.
    """
    begin = time.monotonic()

    def tell(what: str) -> None:
        measured.took_s = time.monotonic() - begin
        progress(measured.took_s, f"pair {len(measured.pairs) + 1}: {what}")

    threads = max(subject.threads for subject in measured.subjects)
    allowed = allowed_processors()  # before this process narrows what its children inherit
    timed = timed_processors(threads, allowed)
    ahead = bool(start_ahead and timed and allowed and other_processors(timed, allowed))
    open_now: Sequence[Subject] = measured.subjects
    with keep_off(timed), ExitStack() as stack:

        def start(number: int) -> _Starting:
            order = SIDES if number % 2 == 0 else SIDES[::-1]
            return stack.enter_context(
                _Starting(sides, order, measured.subjects, timeout_s, threads, allowed)
            )

        tell("starting")
        coming = start(len(measured.pairs))
        while True:
            pair_begin = time.monotonic()
            pairing = _Pairing(measured, open_now, coming, tell)
            pairing.wait()
            if not measured.pairs and LEAST_PAIRS * pairing.started_s > budget_s:
                progress(measured.took_s, _too_small(pairing.started_s), lasting=True)
            pairing.prepare(count=len(measured.pairs) < counted_pairs)
            left_s = budget_s - (time.monotonic() - begin)
            rounds_s = _rounds_s(measured, open_now, pairing, ahead)
            another = left_s > rounds_s
            if ahead and another:
                coming = start(len(measured.pairs) + 1)
            pair = pairing.measure(max(0.0, min(rounds_s, left_s)), pair_begin)
            pairing.end()
            measured.pairs.append(pair)
            measured.took_s = time.monotonic() - begin
            open_now = [s for s in open_subjects(measured) if s.id not in measured.added]
            if not open_now or not _fits(measured, budget_s):
                return
            if not ahead:
                tell("starting")
                coming = start(len(measured.pairs))


def count_alone(side: Side, subject: Subject, timeout_s: float) -> dict[str, Any]:
    """The counters of a subject on one side, read in a process of its own; nothing is timed.

    Raises:
        RequestError: as for :func:`measure`.
    """
    allowed = allowed_processors()
    sides, order = {side.name: side}, (side.name,)
    with _Starting(sides, order, [subject], timeout_s, subject.threads, allowed) as starting:
        starting.wait()
        process = starting.processes[side.name]
        try:
            counted = process.ask("count", about=subject.name, **subject.request(side.name))
        except MissingOnSide as why:
            raise RequestError(f"{process}: {subject.name}: {why}") from why
        check_not_foreign(side, _origins(process, [subject]))
    return counted


def _too_small(start_s: float) -> str:
    return (
        "the budget is too small to know anything: to start a pair of processes takes "
        f"{duration(start_s)} here, and a verdict needs {LEAST_PAIRS} pairs at least, some "
        f"{duration(3 * LEAST_PAIRS * start_s)}"
    )


def _fits(measured: Measured, budget_s: float) -> bool:
    """True if another pair would fit into the budget."""
    last = measured.pairs[1:][-3:] or measured.pairs  # the first one waited for its start
    took_s = max(pair.took_s - pair.counted_s for pair in last)
    return measured.took_s + took_s <= budget_s


def _rounds_s(
    measured: Measured, subjects: Sequence[Subject], pairing: _Pairing, ahead: bool
) -> float:
    """Seconds of rounds in the next pair that buy most precision for their time.

    Started ahead, the next pair costs nothing until its processes are there.
    """
    free_s = pairing.started_s if ahead else 0.0
    if len(measured.pairs) < FEW_PAIRS:
        return min(pairing.started_s + pairing.built_s, MOST_ROUNDS_S)
    last = measured.pairs[-1]
    found = []
    for subject in subjects:
        of_pairs = [pair.samples[subject.id] for pair in measured.pairs]
        logs = measured.log_ratios(subject)
        within = stats.within_spread(
            [stats.log_ratios(of["head"].step_s, of["base"].step_s) for of in of_pairs]
        )
        rounds = statistics.fmean(len(of["base"].position) for of in of_pairs)
        round_s = sum(of_pairs[-1][side].round_s for side in SIDES)
        overhead_s = last.built_s + (0.0 if ahead else pairing.started_s)
        total = stats.between_spread(logs) ** 2
        best = best_rounds(
            between=max(total - within**2, total / 10),
            of_rounds=within**2 * rounds,
            overhead=overhead_s / len(subjects) / round_s,
        )
        found.append(best * round_s)
    return min(max(free_s, sum(found)), MOST_ROUNDS_S)


class _Starting:
    """The processes of a pair on their way; a context manager that ends them."""

    def __init__(
        self,
        sides: Mapping[str, Side],
        order: Sequence[str],
        subjects: Sequence[Subject],
        timeout_s: float,
        threads: int,
        allowed: set[int] | None,
    ) -> None:
        self.order = order
        self.sides = sides
        self._stack = ExitStack()
        self.processes: dict[str, SideProcess] = {}
        cells = [subject.cell for subject in subjects if isinstance(subject, CellSubject)]
        datasets = sorted({portable_dataset(cell.dataset) for cell in cells})
        try:
            for side in order:
                process = SideProcess(sides[side], timeout_s, threads, allowed)
                self.processes[side] = self._stack.enter_context(process)
            for side in order:
                asked = [subject.request(side) for subject in subjects]
                self.processes[side].tell(
                    "hello",
                    datasets=datasets,
                    calls=[request["call"] for request in asked if "call" in request],
                    paths=list(map(str, sides[side].last)),
                )
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> _Starting:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def wait(self) -> float:
        """Wait until both are there; seconds that they took."""
        return max(float(self.processes[side].answer()["started_s"]) for side in self.order)


def _origins(process: SideProcess, subjects: Sequence[Subject]) -> dict[str, Any]:
    """The modules that a process has imported; see :meth:`SideWorker.origins`."""
    side = process.side
    own, foreign = ([str(f.resolve()) for f in of] for of in (side.own, side.foreign))
    answer = process.ask("origins", own=own, foreign=foreign)
    shared = [subject for subject in subjects if getattr(subject, "is_shared", False)]
    for subject in shared:  # the same file on both sides, as was said
        file = getattr(subject, "file", None)
        answer["foreign"] = {k: v for k, v in answer["foreign"].items() if v != file}
    return answer


class _Pairing:
    """One pair on its way."""

    def __init__(
        self,
        measured: Measured,
        subjects: Sequence[Subject],
        starting: _Starting,
        tell: Callable[[str], None],
    ) -> None:
        self._measured = measured
        self._subjects = subjects
        self._starting = starting
        self._processes = starting.processes
        self._tell = tell
        self._number = len(measured.pairs)
        # what is started and built first lies elsewhere in memory: the order changes
        self._order = starting.order
        self._steps: dict[str, int] = {}
        self.started_s = self.built_s = self._counted_s = 0.0

    def wait(self) -> None:
        """Wait for the processes."""
        self.started_s = self._starting.wait()

    def prepare(self, *, count: bool) -> None:
        """Read the counters, if asked to; build every subject."""
        begin = time.monotonic()
        if count:
            self._count()
        counted = time.monotonic()
        self._steps = self._build()
        self._counted_s, self.built_s = counted - begin, time.monotonic() - counted
        if self._number == 0:
            self._check_origins()
        for side in self._order:
            self._measured.processes[side] = self._processes[side].ask("describe")

    def measure(self, rounds_s: float, begin: float) -> Pair:
        """Rounds for so many seconds.

        Args:
            rounds_s: if there is time for the least rounds.
            begin: of the pair, by ``time.monotonic()``.
        """
        counts = {f"{side} {key}": count for key, count in self._steps.items() for side in SIDES}
        for name in list(counts) * SETTLING_ROUNDS:
            self._take(name, counts[name])
        samples = interleave(
            [[f"{side} {key}" for side in SIDES] for key in self._steps],
            self._take,
            counts,
            until=time.monotonic() + rounds_s,
            least_rounds=LEAST_ROUNDS,
            seed=self._number,
        )
        return Pair(
            first=self._order[0],
            samples={
                key: {side: samples[f"{side} {key}"] for side in SIDES} for key in self._steps
            },
            started_s=self.started_s,
            counted_s=self._counted_s,
            built_s=self.built_s,
            took_s=time.monotonic() - begin,
        )

    def end(self) -> None:
        """End the processes."""
        self._starting.__exit__()

    def _take(self, name: str, steps: int) -> Sample:
        """One sample of a subject from one side, named together."""
        side, _, key = name.partition(" ")
        self._tell("rounds")
        return Sample(**self._processes[side].ask("time", key=key, steps=steps))

    def _count(self) -> None:
        """Read the counters of every subject on either side."""
        for subject in self._subjects:
            for side in self._order:
                self._tell("memory and FLOPs")
                try:
                    counted = self._processes[side].ask(
                        "count", about=subject.name, **subject.request(side)
                    )
                except MissingOnSide as why:
                    if side == "head":
                        raise RequestError(
                            f"{self._processes[side]}: {subject.name}: {why}; if it is gone for "
                            f"good, {subject.wanted}"
                        ) from why
                    self._measured.added[subject.id] = str(why)
                else:
                    self._measured.counters[side].setdefault(subject.id, []).append(counted)
        if not self._measured.compared:
            reason = next(iter(self._measured.added.values()))
            raise RequestError(
                f"{self._processes['base']} has none of what is to be stepped, so there is nothing "
                f"to compare: {reason}"
            )

    def _check_origins(self) -> None:
        sides = self._starting.sides
        check_origins(sides, {s: _origins(self._processes[s], self._subjects) for s in sides})

    def _build(self) -> dict[str, int]:
        """Build every subject, one after the other in the same order on either side.

        Returns:
            By subject's id, how many steps make a sample on both sides.
        """
        steps = {}
        compared = [s for s in self._subjects if s.id not in self._measured.added]
        for subject in in_building_order(compared, self._number):
            built = {}
            for side in self._order:
                self._tell("building")
                try:
                    built[side] = self._processes[side].ask(
                        "prepare", about=subject.name, key=subject.id, **subject.request(side)
                    )
                except MissingOnSide as why:
                    raise RequestError(f"{self._processes[side]}: {subject.name}: {why}") from why
                if method := built[side]["method"]:
                    self._measured.methods[side][subject.id] = method
            steps[subject.id] = max(answer["steps"] for answer in built.values())
        return steps
