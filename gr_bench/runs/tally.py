"""A count of the units of a run, and the time that is left."""

from __future__ import annotations

import time
from collections import Counter, defaultdict

from gr_bench.units import duration


class Tally:
    """A count of the units done, and an estimate of the time that the rest will take.

    The time left is, for each kind of unit, the mean time that one took so far times how many are
    left, or what the run's budget leaves, where that is less; a kind that has not begun is not in
    it, which is then said.
    """

    def __init__(self) -> None:
        self._left: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._begin = self._last = time.monotonic()
        self._until: float | None = None

    def remaining_units(self, units: dict[str, int], left_s: float | None) -> None:
        """Take over how many units are left, by kind, and how much time."""
        self._left = Counter(units)
        self._until = None if left_s is None else time.monotonic() + left_s

    def done(self, kind: str) -> None:
        """Count one unit."""
        now = time.monotonic()
        self._spent[kind] += now - self._last
        self._last = now
        self._done[kind] += 1
        self._left[kind] = max(0, self._left[kind] - 1)

    @property
    def completed(self) -> int:
        """Units done."""
        return self._done.total()

    @property
    def total(self) -> int:
        """Units done and left, as far as is known."""
        return self.completed + self._left.total()

    def clock(self) -> str:
        """Time since the beginning, and time left."""
        begun = {kind for kind, count in self._done.items() if count}
        left = sum(self._spent[k] / self._done[k] * self._left[k] for k in begun)
        unknown = [kind for kind, count in self._left.items() if count and kind not in begun]
        text = f"{duration(time.monotonic() - self._begin)} so far"
        if not self._left.total():
            return text
        if self._until is not None:
            budget = max(0.0, self._until - time.monotonic())
            if unknown or left > budget:
                return f"{text}, at most {duration(budget)} left"
        if not begun:
            return text
        return f"{text}, {'at least ' if unknown else ''}{duration(left)} left"
