"""The result of a check, and the verdict on a number that is known to lie within an interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gr_bench.stats import Interval

LEAST_S = 5.0
"""The least budget: in less, no equal pair can be told to be equal."""

Verdict = Literal["pass", "fail", "unknown"]
"""``fail``: the harness or the device is wrong; ``unknown``: it could not be decided here, or the
conditions make times less certain."""

Tell = Callable[[], None]
"""Called between measurements, so that the time left can be shown."""

Number = float | int | str | bool | None


@dataclass(frozen=True)
class Check:
    """One question to the harness, with the answer."""

    name: str
    verdict: Verdict
    meaning: str
    """The finding, in one line."""

    measured: Mapping[str, Number] = field(default_factory=dict)
    """Numbers by name, with units in their names; None is not known."""

    advice: str | None = None
    """A remedy; None where nothing needs to be done."""


def judge(interval: Interval, expected: float, margin: float) -> Verdict:
    """The verdict on a positive number whose interval is known.

    - ``fail``: the whole interval is beyond expected/(1 + margin) or expected·(1 + margin);
    - ``pass``: the whole interval is between them;
    - ``unknown``: neither.

    Args:
        interval: that the number lies in.
        expected: > 0, what it is to be.
        margin: > 0, relative.
    """
    least, most = expected / (1 + margin), expected * (1 + margin)
    if interval.low > most or interval.high < least:
        return "fail"
    return "pass" if least <= interval.low and interval.high <= most else "unknown"
