"""The noise of a series: standard errors that can be relied on, and the spread between runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from gr_bench import stats

Floats = NDArray[np.float64]

SMALLEST = 1e-6
"""The least standard error of a log time: no clock tells a step's time to a millionth. It keeps the
weight of a run whose processes agree by chance, or whose times were made up, finite."""

_LEAST, _MOST = 1e-8, 1e8
"""Degrees of freedom between which those of the prior are looked for: beyond, they are 0 or
infinite for all purposes."""


def moderated(errors: ArrayLike, freedom: ArrayLike) -> Floats:
    """Standard errors drawn towards their common value, as far as chance lets them differ.

    An error from five processes has four degrees of freedom: every tenth is less than half of what
    it should be, and its run would have four times its weight. With s_i² from d_i degrees of
    freedom, and a prior of s_0² with d_0 that is estimated from all of them,

        s̃_i² = (d_0·s_0² + d_i·s_i²) / (d_0 + d_i).

    Errors that differ by no more than chance all become their pooled value (d_0 infinite); those
    that differ by much more stay as they are. Assumes normal values in a run, and variances that
    are scaled inverse χ² over runs.

    Args:
        errors: (n,) standard errors; those without degrees of freedom do not count.
        freedom: one number or (n,): K - 1 of K processes; infinite for an error that is known.

    Returns:
        (n,) standard errors, none below :data:`SMALLEST`. Where no run tells its own: that.

    Source: Smyth, Stat. Appl. Genet. Mol. Biol. 3 (2004), sections 3 and 6.2.
    """
    s = np.asarray(errors, float)
    d = np.broadcast_to(np.asarray(freedom, float), s.shape)
    own = (d > 0) & np.isfinite(s)
    variances = np.maximum(np.where(own, s, 0.0), SMALLEST) ** 2
    told = own & np.isfinite(d)
    if told.any():
        prior, strength = _prior(variances[told], d[told])
        drawn = told | ~own
        weight = np.where(told, d, 0.0)[drawn]
        if np.isinf(strength):
            variances[drawn] = prior
        else:
            total = strength * prior + weight * variances[drawn]
            variances[drawn] = total / (strength + weight)
    return np.asarray(np.sqrt(np.maximum(variances, SMALLEST**2)))


def _prior(variances: Floats, freedom: Floats) -> tuple[float, float]:
    """The common variance and its degrees of freedom: those that give the logarithms of the
    variances the mean and the spread that they have.
    """
    pooled = float(freedom @ variances / freedom.sum())
    if variances.size < 2:
        return pooled, np.inf
    half = freedom / 2
    logs = np.log(variances) - special.digamma(half) + np.log(half)
    excess = float(logs.var(ddof=1) - special.polygamma(1, half).mean())
    if excess <= special.polygamma(1, _MOST):
        return pooled, np.inf
    if excess >= special.polygamma(1, _LEAST):
        return pooled, _LEAST
    half_strength = optimize.brentq(lambda x: special.polygamma(1, x) - excess, _LEAST, _MOST)
    prior = np.exp(logs.mean() + special.digamma(half_strength) - np.log(half_strength))
    return float(prior), 2 * half_strength


def spread_between_runs(values: ArrayLike, errors: ArrayLike) -> float:
    """Standard deviation τ between runs beyond their own standard errors, from first differences.

    The τ >= 0 with which the median of (y_i - y_(i-1))² / (s_i² + s_(i-1)² + 2τ²) is that of χ²
    with one degree of freedom, 0.455; 0 where it is less without any. A step stands in one
    difference and a drift is small in each, so that neither inflates it. Assumes normal values.

    Args:
        values: (n,), logarithms.
        errors: (n,) their standard errors, > 0.

    Source: differences after von Neumann, Ann. Math. Statist. 12 (1941); their median, for it
    stands up to any step (Hampel, J. Am. Stat. Assoc. 69 (1974)).
    """
    y, s = np.asarray(values, float), np.asarray(errors, float)
    squares = np.diff(y) ** 2
    if not squares.size:
        return 0.0
    known = s[1:] ** 2 + s[:-1] ** 2
    typical = float(special.chdtri(1, 0.5))

    def excess(variance: float) -> float:
        return stats.median(squares / (known + 2 * variance)) - typical

    if excess(0.0) <= 0:
        return 0.0
    most = float(squares.max()) / typical
    return float(np.sqrt(optimize.brentq(excess, 0.0, most)))
