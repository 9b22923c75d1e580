"""The estimate of a ratio from replicates, and the worth of a further one: precision for time.

A replicate is one freshly started process that measured a block once; it is the unit of
independence. Its own rounds give one number, :func:`log_ratio`; the interval is over processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .. import stats

LEAST_ROUNDS = 5
"""Rounds of a replicate, however long they take."""

MOST_BLOCK_S = 60.0
"""A block gets no more time than this in one process."""


def log_ratio(times: Sequence[float], baseline: Sequence[float]) -> float:
    """The replicate's log(time/baseline's): Hodges and Lehmann's estimator over rounds.

    It is the median of the means of all pairs of rounds. Chosen by measurement among five
    (results/trust/estimators.md): from process to process it varies as much as a trimmed mean of
    paired ratios, less than the ratio of medians under every load, and unlike a ratio of low
    quantiles not much more under one load than under another.

    Args:
        times: (rounds,) seconds a step of the one.
        baseline: (rounds,) seconds a step of the other, in the same rounds.

    Raises:
        ValueError: as :func:`gr_bench.stats.log_ratios`.
    """
    return stats.hodges_lehmann(stats.log_ratios(times, baseline))


@dataclass(frozen=True)
class Precision:
    """The precision that ratios are to be known to, and the replicates that it may take."""

    target: float
    """Relative half-width of every interval."""

    least_replicates: int
    most_replicates: int


def best_rounds(between: float, of_rounds: float, overhead: float) -> float:
    """Rounds of a replicate that buy most precision for their time.

    A replicate with n rounds of r seconds costs f + n·r and has variance b² + w²/n. The interval
    narrows fastest, per second, at n = √(w²/b² · f/r): many rounds where starting is dear or rounds
    are noisy, many processes where these differ.

    Args:
        between: b², the variance between processes.
        of_rounds: w², that of a round.
        overhead: f/r, the time of a replicate outside of rounds, in rounds.

    Returns:
        :data:`LEAST_ROUNDS` at least; infinite where processes do not differ.
    """
    best = math.sqrt(overhead * of_rounds / between) if between > 0 else math.inf
    return max(LEAST_ROUNDS, best)


def half_width(log_ratios: Sequence[float]) -> float:
    """The reach of the ratio's interval above its centre, relative; infinite for one."""
    ratio = stats.ratio_interval(log_ratios)
    return ratio.high / ratio.center - 1


def is_precise_enough(ratio: stats.Interval, target: float) -> bool:
    """True if a ratio's interval reaches no further than ``target``, relative, to either side."""
    return ratio.high - ratio.center <= target * ratio.center


@dataclass(frozen=True)
class BlockState:
    """The result and the cost of one block's replicates so far."""

    replicates: int
    log_ratios: tuple[tuple[float, ...], ...]
    """Per ratio, one number a replicate, without that of the baseline to itself; empty where there
    is nothing to divide by."""

    within: tuple[float, ...]
    """Per ratio, the typical standard error of a replicate's number by its own rounds."""

    rounds: float
    """Of a replicate, on average."""

    round_s: float
    """Seconds that a round takes."""

    overhead_s: float
    """Seconds of a replicate outside of rounds, without the start of its process."""

    @property
    def half_width(self) -> float:
        """Of the ratio that is known worst."""
        return max(map(half_width, self.log_ratios), default=0.0)

    def is_known(self, target: float) -> bool:
        """True if every ratio is known to its target."""
        return all(
            is_precise_enough(stats.ratio_interval(logs), target) for logs in self.log_ratios
        )

    def best_rounds(self, start_s: float) -> float:
        """Rounds of a replicate that buy most precision for their time.

        Args:
            start_s: the block's share of the start of a process.
        """
        _, between, of_rounds = self._widest()
        overhead = (start_s + self.overhead_s) / self.round_s
        return min(best_rounds(between, of_rounds, overhead), MOST_BLOCK_S / self.round_s)

    def replicates_to(self, target: float, rounds: float) -> int:
        """Further replicates of so many rounds, about, until the worst ratio is known."""
        logs, between, of_rounds = self._widest()
        spread = math.sqrt(between + of_rounds / rounds)
        # what is there already has its own, larger spread: it counts for as much as it says
        have = len(logs) * spread**2 / max(stats.between_spread(logs) ** 2, spread**2)
        needed = stats.replicates_needed(max(spread, 1e-6), math.log1p(target))
        return max(1, math.ceil(needed - have))

    def _widest(self) -> tuple[tuple[float, ...], float, float]:
        """The worst ratio: its numbers, its variance between processes, and that of one round."""
        worst = max(range(len(self.log_ratios)), key=lambda i: half_width(self.log_ratios[i]))
        logs, within = self.log_ratios[worst], self.within[worst]
        of_rounds = within**2 * self.rounds
        total = stats.between_spread(logs) ** 2
        # never below a tenth of what was seen: five processes say little about a small spread
        return logs, max(total - within**2, total / 10), of_rounds


@dataclass(frozen=True)
class Visit:
    """A block's part of the next replicate."""

    block: int
    """Its place among the blocks that were asked about."""

    seconds: float
    """For its warm-up and rounds."""


def next_visits(
    states: Sequence[BlockState | None],
    precision: Precision,
    *,
    first_s: float,
    start_s: float,
    left_s: float | None,
) -> list[Visit]:
    """The blocks that the next replicate visits, and for how long; none when nothing is to be done.

    Until every block has its least replicates, all of them get the same time. From then on, those
    whose intervals are too wide get theirs, the widest first, as far as the time goes.

    Args:
        states: of every block that is not finished, None before its first replicate.
        precision: what is wanted.
        first_s: seconds for a block's warm-up and rounds in its first replicates.
        start_s: seconds that the start of a process takes.
        left_s: time that there is; None if it may take what it needs.
    """
    counts = [0 if state is None else state.replicates for state in states]
    young = [i for i, count in enumerate(counts) if count < precision.least_replicates]
    if young:
        fewest = min(counts[i] for i in young)
        now = [i for i in young if counts[i] == fewest]
        seconds = first_s
        if left_s is not None:
            rest = precision.least_replicates - fewest
            seconds = min(first_s, max(0.0, (left_s / 2 / rest - start_s) / len(now)))
        return [Visit(i, seconds) for i in now]
    open_blocks = [
        i
        for i, state in enumerate(states)
        if state is not None
        and state.log_ratios
        and counts[i] < precision.most_replicates
        and not state.is_known(precision.target)
    ]
    visits: list[Visit] = []
    left = math.inf if left_s is None else left_s - start_s
    wide = [(i, state) for i in open_blocks if (state := states[i]) is not None]
    for i, state in sorted(wide, key=lambda pair: -pair[1].half_width):
        seconds = state.best_rounds(start_s / len(open_blocks)) * state.round_s
        least = LEAST_ROUNDS * state.round_s
        if state.overhead_s + least <= left:
            visits.append(Visit(i, min(seconds, left - state.overhead_s)))
            left -= state.overhead_s + visits[-1].seconds
    return visits


def seconds_to(state: BlockState, target: float, start_s: float) -> float:
    """About how much longer it takes until every ratio of a block is known to its target."""
    if not state.log_ratios or state.is_known(target):
        return 0.0
    if state.replicates < 2:
        return math.inf  # a single process says nothing of how processes differ
    rounds = state.best_rounds(start_s)
    each = start_s + state.overhead_s + rounds * state.round_s
    return state.replicates_to(target, rounds) * each
