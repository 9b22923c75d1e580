"""Results over many workloads in few numbers. Pure functions; every estimator says what it assumes.

Scores come as one row of runs a workload. Larger ones are better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gr_bench.stats import Interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[Any]
    Places = NDArray[Any]

DRAWS = 2000
"""Resamples of a bootstrap interval."""

PERMUTATIONS = 9999
"""Random permutations of a test, beside the one that was observed."""

DECIMALS = 12
"""Places to which scores are compared: means of the same numbers in another order tie."""


def interquartile_mean(scores: ArrayLike) -> Floats:
    """Mean of the middle half of all scores, a quarter left out at either end.

    Of n scores ⌊n/4⌋ are left out at either end. The last axis holds the scores; the others stay.

    Source: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice",
    NeurIPS 2021 (arXiv 2108.13264).
    """
    import numpy as np

    x = np.sort(np.asarray(scores, float), axis=-1)
    cut = x.shape[-1] // 4
    middle: Floats = x[..., cut : x.shape[-1] - cut].mean(axis=-1)
    return middle


def probability_of_improvement(own: ArrayLike, base: ArrayLike) -> Floats:
    """P(X > Y) + P(X = Y)/2 for a run X of ``own`` and one Y of ``base``, on one workload.

    It is the Mann-Whitney U over the number of pairs of runs. Over workloads, its mean is taken.

    Args:
        own: (..., m) scores.
        base: (..., n) scores.

    Source: Mann & Whitney, Ann. Math. Statist. 18 (1947); Agarwal et al. 2021, section 4.3.
    """
    import numpy as np

    x, y = np.asarray(own, float)[..., :, None], np.asarray(base, float)[..., None, :]
    wins: Floats = ((x > y) + 0.5 * (x == y)).mean(axis=(-2, -1))
    return wins


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Share of the runs of one workload whose score is above each threshold.

    Over workloads, its mean is taken.

    Args:
        scores: (..., runs).
        thresholds: (T,).

    Returns:
        (..., T) shares, falling from 1 to 0.

    Source: Agarwal et al. 2021, section 4.2 (score distributions).
    """
    import numpy as np

    x, t = np.asarray(scores, float), np.asarray(thresholds, float)
    above: Floats = (x[..., None, :] > t[:, None]).mean(axis=-1)
    return above


def stratified_resamples(runs: Sequence[int], draws: int = DRAWS, seed: int = 0) -> list[Places]:
    """Places of runs drawn with replacement, each workload's among its own.

    Args:
        runs: on each workload.
        draws: resamples.
        seed: of the draws; the same one gives the same resamples.

    Returns:
        Per workload, (draws, runs) places.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    return [random.integers(count, size=(draws, count)) for count in runs]


def widening(runs: Sequence[int], dependence: Sequence[float] = ()) -> float:
    """The factor by which a stratified percentile interval of few runs is too narrow.

    Of n runs drawn from n, the variance of a mean is too small by (n - 1)/n, and percentiles know
    nothing of Student's t. The factor is t/z·√(mean of n/(n - 1)·d²) with Σ(n - 1) degrees of
    freedom, so that the interval of a mean over equally variable workloads is Student's. It is
    infinite where a workload has one run.

    Args:
        runs: on each workload.
        dependence: d of each workload, the standard error of its mean over that of as many
            independent runs; 1 where it is not given.
    """
    import numpy as np
    from scipy import special

    n = np.asarray(runs, float)
    if (n < 2).any():
        return math.inf
    d = np.asarray(dependence or np.ones_like(n), float)
    quantile = special.stdtrit((n - 1).sum(), 0.975) / special.ndtri(0.975)
    return float(quantile * np.sqrt((n / (n - 1) * d**2).mean()))


def bootstrap_interval(center: float, resampled: ArrayLike, factor: float = 1.0) -> Interval:
    """95 % percentile interval, either end ``factor`` times as far from the centre.

    Args:
        center: the estimate.
        resampled: (draws,) the same of every resample.
        factor: of :func:`widening`; an infinite one gives an infinite interval.
    """
    low, high = _ends(center, resampled, factor)
    return Interval(center, float(low), float(high))


def _ends(center: ArrayLike, resampled: ArrayLike, factor: float) -> tuple[Floats, Floats]:
    import numpy as np

    middle = np.asarray(center, float)
    if not math.isfinite(factor):
        return middle - math.inf, middle + math.inf
    low, high = np.quantile(np.asarray(resampled, float), [0.025, 0.975], axis=0)
    return (
        middle - factor * np.maximum(0, middle - low),
        middle + factor * np.maximum(0, high - middle),
    )


def share_intervals(
    shares: ArrayLike, resampled: ArrayLike, runs: Sequence[int], factor: float = 1.0
) -> tuple[Floats, Floats]:
    """Ends of :func:`bootstrap_interval` of means over workloads of shares, within 0 and 1.

    A workload's share of 0 or 1 is the same in every resample, which would be certainty. As far as
    workloads have such shares, the end of Clopper and Pearson's interval for their runs is added,
    as the root of the sum of squares of both distances from the centre (as Zou and Donner do,
    Statist. Med. 27, 2008): where all are 1, the lower end is 0.025^(1/runs).

    Args:
        shares: (W, ...) of every workload.
        resampled: (draws, ...) means over workloads.
        runs: on each workload.
        factor: of :func:`widening`.

    Returns:
        Lower and upper ends, (...).
    """
    import numpy as np

    of_each = np.asarray(shares, float)
    center = of_each.mean(axis=0)
    low, high = _ends(center, resampled, factor)
    counts = np.asarray(runs).reshape(-1, *[1] * (of_each.ndim - 1))

    def certain(value: float) -> Floats:
        """The distance that workloads with this share may be off, together."""
        alike = of_each == value
        count = (alike * counts).sum(axis=0)
        off: Floats = alike.mean(axis=0) * (1 - 0.025 ** (1 / np.maximum(count, 1)))
        return off

    lower = center - np.hypot(center - low, certain(1.0))
    upper = center + np.hypot(high - center, certain(0.0))
    return np.clip(lower, 0, 1), np.clip(upper, 0, 1)


class Friedman(NamedTuple):
    """The test that all methods are alike in rank."""

    chi_squared: float
    """χ²_F, corrected for ties; 0 where everything ties."""

    f: float
    """(N - 1)χ²_F/(N(k - 1) - χ²_F); infinite where all workloads agree."""

    p: float
    """By random permutations of the ranks of every workload: right for few workloads, too, where
    the distributions of both statistics are not yet near their limits."""


def ranks(scores: ArrayLike) -> Floats:
    """Rank of every method on every workload: 1 is the best, ties share the mean of their ranks.

    Args:
        scores: (N, k) of k methods on N workloads.
    """
    import numpy as np
    from scipy import stats

    rounded = np.round(np.asarray(scores, float), DECIMALS)
    found: Floats = stats.rankdata(-rounded, axis=1)
    return found


def friedman(ranked: ArrayLike, seed: int = 0) -> Friedman:
    """Friedman's test of ranks, and Iman and Davenport's F.

    It takes workloads for independent; those on the same data are not quite.

    Args:
        ranked: (N, k) of :func:`ranks`, N and k >= 2.
        seed: of the permutations.

    Source: Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7
    (2006), section 3.2.2; ties after Conover, "Practical nonparametric statistics".
    """
    import numpy as np

    r = np.asarray(ranked, float)
    count, methods = r.shape
    middle = (methods + 1) / 2
    spread = ((r - middle) ** 2).sum()
    if spread == 0:
        return Friedman(0.0, 0.0, 1.0)

    def apart(sums: Floats) -> Floats:
        squares: Floats = ((sums - count * middle) ** 2).sum(axis=-1)
        return squares

    observed = apart(r.sum(axis=0))
    chi_squared = float((methods - 1) * observed / spread)
    rest = count * (methods - 1) - chi_squared
    f = (count - 1) * chi_squared / rest if rest > 1e-9 else math.inf
    random = np.random.default_rng(seed)
    permuted = random.permuted(np.broadcast_to(r, (PERMUTATIONS, *r.shape)), axis=2)
    as_far = (apart(permuted.sum(axis=1)) >= observed - 1e-9).sum()
    return Friedman(chi_squared, float(f), float((as_far + 1) / (PERMUTATIONS + 1)))


def critical_difference(methods: int, workloads: int, significance: float = 0.05) -> float:
    """The difference in mean rank from which on Nemenyi's test tells two of k methods apart.

    q·√(k(k + 1)/(6N)), q the quantile of the studentized range of k over √2.

    Source: Nemenyi 1963, after Demšar 2006, section 3.2.2 and table 5.
    """
    from scipy import stats

    q = stats.studentized_range.ppf(1 - significance, methods, math.inf) / math.sqrt(2)
    return float(q * math.sqrt(methods * (methods + 1) / (6 * workloads)))


def cliques(mean_ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """The largest groups of methods within ``difference`` of each other, as a diagram joins them.

    Args:
        mean_ranks: ascending.
        difference: the critical one.

    Returns:
        First and last place of every group of two or more that is inside no other.
    """
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(mean_ranks):
        last = max(i for i, other in enumerate(mean_ranks) if other - rank < difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
