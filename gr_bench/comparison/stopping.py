"""Stopping a comparison: the verdicts on its cells after so many pairs, and how much is missing.

Pure functions of log-ratios, head over base, one a pair and cell. All of it may be asked after
every pair: the intervals and p-values are those of :mod:`gr_bench.comparison.sequential`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gr_bench import stats
from gr_bench.comparison import sequential
from gr_bench.comparison.findings import FALSE_DISCOVERY_RATE, called

CONFIDENCE = 0.95
"""Of the intervals of ratios."""

CONFIRMING_PAIRS = 3
"""Fewest pairs that confirm an alarm."""

CONFIRMING_LEVEL = 0.05
"""One-sided p-value up to which pairs confirm an alarm. They come on top of an alarm that holds the
false-discovery rate by itself, so the usual level is enough."""

SIGNS: dict[stats.Verdict, Literal[1, -1]] = {"slower": 1, "faster": -1}
"""Of the log-ratio, by the verdicts that are alarms."""


class Standing(NamedTuple):
    """One cell after so many pairs."""

    verdict: stats.Verdict
    since: int | None
    """Number of pairs after which it was first called so; None unless it is called slower or
    faster."""

    confirmed: bool
    """True if the pairs after that confirm it."""

    @property
    def settled(self) -> bool:
        """True if it is the same, or called slower or faster and confirmed."""
        return self.verdict == "same" or self.confirmed


def verdicts(
    cells: Sequence[ArrayLike], threshold: float, rate: float = FALSE_DISCOVERY_RATE
) -> list[stats.Verdict]:
    """The verdict on every cell, by the rule of :func:`gr_bench.comparison.findings.judged` with
    the interval and the p-value of :mod:`gr_bench.comparison.sequential`.

    - ``same``: the whole 95 % interval is within 1/(1 + threshold) to 1 + threshold;
    - ``slower``, ``faster``: the ratio itself is beyond the threshold, its interval does not
      contain 1, and it is among the discoveries of e-BH over all cells;
    - ``undecided``: neither.

    Args:
        cells: by cell, (pairs,) log-ratios, at least one.
        threshold: relative, the smallest difference that matters.
        rate: false-discovery rate.
    """
    if not cells:
        return []
    p_values = [sequential.always_valid_p(values) for values in cells]
    return [
        called(sequential.ratio_interval(values, CONFIDENCE), threshold, believed)
        for values, believed in zip(cells, stats.discoveries(p_values, rate), strict=True)
    ]


def is_confirmed(fresh_values: ArrayLike, sign: Literal[1, -1]) -> bool:
    """True if pairs that an alarm does not rest on say the same by themselves.

    They do if there are at least three, and Student's t-test that their mean is on the other side
    has p <= 0.05. Looking after every further pair raises the 5 %; how often a false alarm is
    confirmed so is in ``results/trust/sequential.md``.

    Args:
        fresh_values: (pairs,) log-ratios, only those after the one at which the alarm first stood.
        sign: 1 for slower, -1 for faster.
    """
    x = sign * np.asarray(fresh_values, float)
    if x.size < CONFIRMING_PAIRS or not x.mean() > 0:
        return False
    return stats.p_value(x) / 2 <= CONFIRMING_LEVEL


def standings(
    cells: Sequence[ArrayLike], threshold: float, rate: float = FALSE_DISCOVERY_RATE
) -> list[Standing]:
    """Every cell's verdict after all pairs, with what its history says of it.

    Args:
        cells: by cell, (pairs,) log-ratios, as many for each, at least one.
        threshold: relative, the smallest difference that matters.
        rate: false-discovery rate.

    Raises:
        ValueError: unequal numbers of pairs.
    """
    rows = [np.asarray(values, float) for values in cells]
    if not rows:
        return []
    if len({row.size for row in rows}) > 1:
        raise ValueError("need as many log-ratios of each cell")
    history = [
        verdicts([row[:pairs] for row in rows], threshold, rate)
        for pairs in range(1, rows[0].size + 1)
    ]
    found = []
    for row, said in zip(rows, zip(*history, strict=True), strict=True):
        verdict = said[-1]
        if verdict in SIGNS:
            since = said.index(verdict) + 1
            found.append(Standing(verdict, since, is_confirmed(row[since:], SIGNS[verdict])))
        else:
            found.append(Standing(verdict, None, False))
    return found


def may_stop(found: Sequence[Standing]) -> bool:
    """True if no cell needs further pairs."""
    return all(standing.settled for standing in found)


def pairs_to_decide(
    values: ArrayLike,
    threshold: float,
    *,
    rate: float = FALSE_DISCOVERY_RATE,
    cells: int = 1,
    most: int = 1000,
) -> int | None:
    """About how many further pairs a cell needs for a verdict, if estimate and spread stay as they
    are.

    The fewest after which its interval would be within the threshold, or it would be called though
    no other cell is. What confirms an alarm comes on top.

    Args:
        values: (pairs,) its log-ratios, at least one.
        threshold: relative, the smallest difference that matters.
        rate: false-discovery rate.
        cells: number of cells that are judged together.
        most: further pairs to think of.

    Returns:
        0 where the verdict is there; None where ``most`` are not enough (as for an estimate at the
        threshold), or there is a single value, which says nothing of the spread.
    """
    x = np.asarray(values, float)
    if x.size < 2:
        return None
    away, margin = abs(sequential.interval(x).center), math.log1p(threshold)
    spread = 0.0 if not np.ptp(x) else stats.between_spread(x)
    for further in range(most + 1):
        half, needed = _reaches(x.size + further, spread, rate, cells)
        if away + half <= margin or (away > margin and away > half and away >= needed):
            return further
    return None


def smallest_seen(
    values: ArrayLike,
    threshold: float,
    *,
    rate: float = FALSE_DISCOVERY_RATE,
    cells: int = 1,
) -> float:
    """The smallest ratio minus 1 that would have been called slower with as many pairs and this
    spread, though no other cell is. It is the threshold at least, and infinite with too few pairs.

    Args:
        values: (pairs,) log-ratios of the cell.
        threshold: relative, the smallest difference that matters.
        rate: false-discovery rate.
        cells: number of cells that are judged together.
    """
    x = np.asarray(values, float)
    if x.size < 2:
        return math.inf
    spread = 0.0 if not np.ptp(x) else stats.between_spread(x)
    with np.errstate(over="ignore"):
        return max(threshold, float(np.expm1(max(_reaches(x.size, spread, rate, cells)))))


def _reaches(pairs: int, spread: float, rate: float, cells: int) -> tuple[float, float]:
    """Half the interval's length, and the least log-ratio that e-BH believes of one cell alone."""
    if spread == 0:
        return 0.0, 0.0
    half = spread * sequential.reach(pairs, 1 / (1 - CONFIDENCE))
    return half, spread * sequential.reach(pairs, cells / rate)
