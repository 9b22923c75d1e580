"""The mean of results that runs and samples have in common: its variance, interval and p-value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from gr_bench.stats import Interval, t_test

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Components(NamedTuple):
    """Moment estimates of the components of variance; none is below 0."""

    runs: float
    """σ²(a), of a run's own part."""

    samples: float
    """σ²(b), of a sample's own part, common to all runs."""

    rest: float
    """σ²(e), of what is neither."""


class CrossedMean(NamedTuple):
    """The mean over runs of their means over samples, and how well it is known."""

    interval: Interval
    p: float
    """Two-sided, of the hypothesis that the mean is 0."""

    freedom: float
    """Satterthwaite's degrees of freedom; at least 1, but 0 of a single run."""

    components: Components
    shared: float
    """The factor of σ²(b) in the variance of the mean that other runs do not take away: the mean
    over pairs of runs r ≠ s of (samples that both have)/(n_r·n_s); 1/n where all runs have the same
    n samples."""


def crossed_mean(values: ArrayLike, confidence: float = 0.95) -> CrossedMean:
    """The mean of a table of runs by samples, with an interval over other runs and other samples.

    The model is y_ri = μ + a_r + b_i + e_ri with independent a, b and e, where a run need not have
    every sample. The estimate is the mean of the runs' means ȳ_r, and its variance

        Var = s²/R + σ²(b)·k,   s² = Σ(ȳ_r - ȳ)²/(R - 1),   k = mean over r ≠ s of n_rs/(n_r·n_s),

    with n_rs the samples that two runs share: E[s²]/R falls short of the variance by the mean
    covariance of two runs, which is σ²(b)·k. σ²(b) is estimated without bias by the mean product of
    two runs on one sample minus that on two samples, and is taken as 0 where that is negative, so
    that the interval is never narrower than :func:`~gr_bench.stats.t_interval` of the runs' means,
    and that interval where runs have no samples in common. The degrees of freedom are
    Satterthwaite's, and at least 1: of few runs that happen to be alike they would tend to 0. Where
    runs have all samples, it is the two-way analysis of variance.

    What it leaves out: runs that were trained on overlapping data have more in common than samples
    that both are tested on. That cannot be estimated without data of their own
    (Nadeau & Bengio 2003).

    Args:
        values: (R, N), a row a run; NaN where a run has not the sample.
        confidence: nominal coverage in (0, 1).

    Raises:
        ValueError: no runs, a run without samples, or an infinite value.

    Sources: Searle, Casella & McCulloch, Variance Components (1992), for the moments; Owen, Ann.
    Appl. Stat. 1 (2007), and Gao & Owen, Electron. J. Stat. 11 (2017), for tables with gaps;
    Gallas, Acad. Radiol. 13 (2006), for readers by cases.
    """
    import numpy as np

    y = np.atleast_2d(np.asarray(values, float))
    there = ~np.isnan(y)
    sizes = there.sum(axis=1)
    if y.ndim != 2 or not y.size or not sizes.all():
        raise ValueError("need a table of runs by samples in which every run has a sample")
    if np.isinf(y).any():
        raise ValueError("values must be finite")
    runs = len(y)
    y = np.where(there, y, 0.0)
    means = y.sum(axis=1) / sizes
    center = float(means.mean())
    within = float((y**2).sum() - (sizes * means**2).sum())
    within /= max(1, int(sizes.sum()) - runs)
    if runs == 1:
        unknown = Components(math.nan, math.nan, within)
        infinite = Interval(center, -math.inf, math.inf)
        return CrossedMean(infinite, 1.0, 0.0, unknown, math.nan)
    spread = float(means.var(ddof=1))
    weighed = (there / sizes[:, None]).sum(axis=0)
    own = (there / sizes[:, None] ** 2).sum()
    shared = float(((weighed**2).sum() - own) / (runs * (runs - 1)))
    samples = max(0.0, _of_samples(y, there))
    rest = max(0.0, within - samples)
    of_runs = spread - within * float((1 / sizes).mean()) + samples * shared
    parts = (spread / runs, samples * shared)
    variance = sum(parts)
    # σ²(b) is a mean square of samples minus that of the rest, over the runs of a sample
    counts = there.sum(axis=0)
    counts = counts[counts > 0]
    each = float((counts**2).sum() / counts.sum())
    doubt = 0.0
    if samples and each > 1 and len(counts) > 1:
        doubt = ((rest + each * samples) ** 2 + rest**2 / (each - 1)) / (len(counts) - 1)
        doubt *= (shared / each) ** 2
    doubt += parts[0] ** 2 / (runs - 1)
    freedom = max(1.0, variance**2 / doubt) if doubt else runs - 1.0
    interval, p = t_test(center, math.sqrt(variance), freedom, confidence)
    return CrossedMean(interval, p, freedom, Components(max(0.0, of_runs), samples, rest), shared)


def _of_samples(y: ArrayLike, there: ArrayLike) -> float:
    """σ²(b): the mean of y_ri·y_si over r ≠ s minus that of y_ri·y_sj over r ≠ s, i ≠ j; 0 where no
    two runs have a sample in common.
    """
    import numpy as np

    def pairs(table: ArrayLike) -> tuple[float, float]:
        """Sums of products over two rows: on one column, and on two."""
        x = np.asarray(table, float)
        one = (x.sum(axis=0) ** 2).sum() - (x**2).sum()
        every = x.sum() ** 2 - (x.sum(axis=1) ** 2).sum()
        return float(one), float(every - one)

    (same, apart), (of_same, of_apart) = pairs(y), pairs(there)
    return same / of_same - apart / of_apart if of_same and of_apart else 0.0
