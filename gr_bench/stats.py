"""Intervals and verdicts. Pure functions of numbers; every estimator says what it assumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


class Interval(NamedTuple):
    """A centre with the ends of its confidence interval, in the centre's own unit."""

    center: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2


def log_ratios(times: ArrayLike, baseline: ArrayLike) -> list[float]:
    """log(times/baseline), round by round.

    Both were read in the same rounds, so what slows a whole round cancels.

    Args:
        times: (rounds,) times of one method, in any unit.
        baseline: (rounds,) times of the other, in the same unit.

    Raises:
        ValueError: no rounds, unequal lengths, or a time that is not a finite number > 0.
    """
    a, b = np.asarray(times, float), np.asarray(baseline, float)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ValueError(f"need two equally long rows of times, not {a.shape} and {b.shape}")
    if not (np.isfinite(a) & (a > 0) & np.isfinite(b) & (b > 0)).all():
        raise ValueError("a time must be a finite number > 0")
    return [float(x) for x in np.log(a) - np.log(b)]


def median(values: ArrayLike) -> float:
    """Median. Over the rounds of a replicate it passes over those in which a method was disturbed;
    it assumes that disturbances hit fewer than half of the rounds.
    """
    return float(np.median(np.asarray(values, float)))


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean with Student's t-interval: m ± t(K-1)·s/√K.

    Assumes independent values from one normal distribution; here the values are means or medians
    of freshly started processes (or of seeds), so that independence holds by construction. With one
    value the interval is infinite, not absent.

    Args:
        values: (K,) finite numbers, K >= 1.
        confidence: nominal coverage in (0, 1).

    Raises:
        ValueError: no values, or one that is not finite.
    """
    x = np.asarray(values, float)
    if x.ndim != 1 or x.size == 0:
        raise ValueError("need at least one value")
    if not np.isfinite(x).all():
        raise ValueError("values must be finite")
    center = float(x.mean())
    if x.size == 1:
        return Interval(center, -np.inf, np.inf)
    t = float(special.stdtrit(x.size - 1, (1 + confidence) / 2))
    half = t * float(x.std(ddof=1)) / np.sqrt(x.size)
    return Interval(center, center - half, center + half)


def ratio_interval(log_ratios: ArrayLike, confidence: float = 0.95) -> Interval:
    """Geometric mean of K ratios with its interval: :func:`t_interval` on the logs, exponentiated.

    Args:
        log_ratios: (K,) one log-ratio a replicate.
        confidence: nominal coverage in (0, 1).
    """
    center, low, high = t_interval(log_ratios, confidence)
    with np.errstate(over="ignore"):
        return Interval(float(np.exp(center)), float(np.exp(low)), float(np.exp(high)))


def within_spread(samples: Sequence[ArrayLike]) -> float:
    """Typical standard error of a replicate's median: pooled 1.2533·(1.4826·MAD)/√rounds.

    Args:
        samples: per replicate, (rounds,) log-ratios.
    """
    errors = []
    for replicate in samples:
        x = np.asarray(replicate, float)
        mad = np.median(np.abs(x - np.median(x)))
        errors.append(1.2533 * 1.4826 * mad / np.sqrt(x.size))
    return float(np.sqrt(np.mean(np.square(errors))))


def between_spread(log_ratios: ArrayLike) -> float:
    """Standard deviation over replicates of their log-ratios (NaN with fewer than two)."""
    x = np.asarray(log_ratios, float)
    return float(x.std(ddof=1)) if x.size > 1 else float("nan")
