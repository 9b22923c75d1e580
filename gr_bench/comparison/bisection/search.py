"""The search for the commit at which a quantity rose: pure functions of what was measured.

Positions count along a path of commits: 0 is GOOD, the last one BAD.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from gr_bench.comparison import sequential

Answer = Literal["as before", "slower", "skipped"]
"""The side of the rise on which a commit is; skipped: it cannot be measured."""

Between = Literal["between"]


class Search:
    """The range in which the commit is, narrowed by answers.

    What has risen by half is taken for risen. Each end of the range has a level: 0 and the whole
    rise at first. A commit that is known to be somewhere between the levels gets one of its own, so
    that the search goes on in the larger part of the rise.

    Args:
        last: BAD's position, >= 1.
        low: the quantity in GOOD.
        high: the quantity in BAD.
    """

    def __init__(self, last: int, low: float, high: float) -> None:
        self.last = last
        self.answers: dict[int, Answer] = {0: "as before", last: "slower"}
        self._levels = {0: low, last: high}

    @property
    def low(self) -> int:
        """The last position that is as before."""
        return max(p for p, answer in self.answers.items() if answer == "as before")

    @property
    def high(self) -> int:
        """The first position after that which is slower."""
        low = self.low
        return min(p for p, answer in self.answers.items() if answer == "slower" and p > low)

    @property
    def levels(self) -> tuple[float, float]:
        """The quantity at both ends."""
        return self._levels[self.low], self._levels[self.high]

    @property
    def candidates(self) -> range:
        """The positions of which one is where it rose."""
        return range(self.low + 1, self.high + 1)

    @property
    def untested(self) -> list[int]:
        """The candidates that nothing is known of."""
        return [p for p in self.candidates if p not in self.answers]

    @property
    def middle(self) -> int | None:
        """The position to ask about next: the middle one of the untested, so that one which cannot
        be measured is followed by its nearest neighbour. None if there is none.
        """
        untested = self.untested
        return untested[len(untested) // 2] if untested else None

    @property
    def steps_left(self) -> int:
        """The most answers that are still needed, if all can be measured."""
        return len(self.untested).bit_length()

    def record(self, position: int, answer: Answer) -> None:
        """Take over an answer, in place of an earlier one on the same position if there is one."""
        low, high = self.levels
        self._levels[position] = low if answer == "as before" else high
        self.answers[position] = answer

    def record_between(self, position: int, level: float) -> None:
        """Take over that a position is between the levels.

        Args:
            position: see there.
            level: the quantity there, about.
        """
        low, high = self.levels
        self.answers[position] = "slower" if level - low >= high - level else "as before"
        self._levels[position] = level


def narrow(search: Search, ask: Callable[[int], bool]) -> bool:
    """Ask until nothing is left to ask.

    Args:
        search: gets the answers.
        ask: asks about a position and records the answer; False if none could be had.

    Returns:
        False if the search ended without an answer.
    """
    while (middle := search.middle) is not None:
        if not ask(middle):
            return False
    return True


def judged(
    log_ratios: Sequence[float], levels: tuple[float, float], confidence: float
) -> Answer | Between | None:
    """The answer that measurements of a commit give, or None if they do not suffice.

    By the always-valid interval of the mean: above or below the middle of the levels; or between
    them, if it contains the middle though half its length is a quarter of their distance. So it is
    known after a limited number of values, wherever the commit is.

    Args:
        log_ratios: (pairs,) log(commit/GOOD).
        levels: log-ratios at the ends of the range.
        confidence: of the interval.
    """
    if not log_ratios:
        return None
    low, high = levels
    found = sequential.interval(log_ratios, confidence)
    if found.low > (low + high) / 2:
        return "slower"
    if found.high < (low + high) / 2:
        return "as before"
    return "between" if found.half_width <= (high - low) / 4 else None
