"""Inference for a mean that may be looked at after every value, by a test martingale.

Assumes independent values from one normal distribution with unknown variance, as
:func:`gr_bench.stats.t_interval` does, but not that their number was settled beforehand. Heavier
tails make it err less often; values that take after the ones before, more often
(``results/trust/sequential.md``).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gr_bench import stats

PRIOR_SCALE = 8.0
"""Variance g of the normal prior on the effect size (mean - m)/σ. Any g is valid; it decides only
how many values are needed. Of twelve from 0.5 to 128, a larger one is better for large effects and
a smaller one for small effects. With this one, a decision at a threshold of 2 % takes at most 20 %
more pairs than with the best for the scenario, and 5 % more on average, over spreads of 0.4 to
2.5 % and true ratios of 1 to 1.05 (``results/trust/sequential.md``)."""


def e_value(values: ArrayLike, mean: float = 0.0) -> float:
    """Evidence that the mean is not ``mean``: a Bayes factor whose average over chance is 1 if it
    is.

    With n values, ν = n-1, t Student's statistic and c = 1 + n·g
    (g: :data:`PRIOR_SCALE`),

        e = c^(-1/2) · [(1 + t²/ν) / (1 + t²/(ν·c))]^(n/2),

    the ratio of the marginal likelihoods of (mean - m)/σ ~ N(0, g) and of mean = m, under the right
    Haar prior dσ/σ. If the mean is m, the sequence of e is a martingale among the values' ratios,
    so that by Ville's inequality it ever reaches 1/α with probability α at most.

    Fewer than two values give 1. Equal values have no spread: they give infinity, or c^(-1/2)
    where they are ``mean``.

    Args:
        values: (n,) finite numbers, in any order.
        mean: m, the mean that is doubted.

    Raises:
        ValueError: a value that is not finite.

    Source: Lai, Ann. Statist. 4 (1976); the Bayes factor: Gönen et al., Am. Stat. 59 (2005), and
    Rouder et al., Psychon. Bull. Rev. 16 (2009); as a test martingale: Pérez-Ortiz et al., Ann.
    Statist. 52 (2024), and Wang & Ramdas, arXiv:2310.03722.
    """
    x = _finite(values)
    if x.size < 2:
        return 1.0
    shrunk = 1 + x.size * PRIOR_SCALE
    away = x - mean
    largest = np.abs(away).max()
    if not np.ptp(x):
        return math.inf if largest else 1 / math.sqrt(shrunk)
    away /= largest  # so that no square is too small or too large for a float
    within = np.square(away - away.mean()).sum()
    beyond = x.size * np.square(away.mean())
    log_ratio = np.log(within + beyond) - np.log(within + beyond / shrunk)
    with np.errstate(over="ignore"):
        return float(np.exp((x.size * log_ratio - np.log(shrunk)) / 2))


def always_valid_p(values: ArrayLike, mean: float = 0.0) -> float:
    """min(1, 1/e), a p-value that is valid whenever the measurement is stopped, and for whatever
    reason.

    For the cells of a comparison, ``stats.discoveries([always_valid_p(v) for v in cells], rate)``
    is e-BH: the i largest e-values for the largest i with e_(i) >= m/(rate·i). Whatever the
    dependence between cells, it holds the false-discovery rate as long as no true mean's e-value
    is more than 1 on average. So it is at a number of values settled beforehand, and at a stop that
    depends on the ratios of the cell's own values only. A stop that depends on their scale (an
    interval that fits within a threshold) or on other cells may raise the average, and the rate
    with it: to 1.5 times at the worst, of all stops within 60 values, for one who knows σ. At the
    stops of :mod:`gr_bench.comparison.stopping` it is 1 at most, within error (both:
    ``results/trust/sequential.md``). One cell alone is not concerned: Ville's inequality holds
    whatever the stop depends on.

    Args:
        values: as for :func:`e_value`.
        mean: the mean that is doubted.

    Source: Wang & Ramdas, J. R. Statist. Soc. B 84 (2022); on stops that depend on more:
    "Anytime-valid FDR control with the stopped e-BH procedure" (2025).
    """
    evidence = e_value(values, mean)
    return 1 / evidence if evidence > 1 else 1.0


def reach(count: int, evidence: float, prior_scale: float = PRIOR_SCALE) -> float:
    """Distance between the mean of ``count`` values and m, in standard deviations of the values, at
    which :func:`e_value` is ``evidence``.

    With L = log(c·evidence²)/n it is √((ν/n)·(e^L - 1)/(1 - e^L/c)), and infinite where L >= log c:
    then no values are evidence enough.

    Args:
        count: n >= 1.
        evidence: >= 1.
        prior_scale: g.
    """
    log_shrunk = math.log1p(count * prior_scale)
    log_odds = (log_shrunk + 2 * math.log(evidence)) / count
    if count < 2 or log_odds >= log_shrunk:
        return math.inf
    squared = math.expm1(log_odds) / -math.expm1(log_odds - log_shrunk)
    return math.sqrt((count - 1) / count * squared)


def interval(values: ArrayLike, confidence: float = 0.95) -> stats.Interval:
    """Mean with its confidence sequence: every m with e_value(values, m) < 1/(1 - confidence).

    Half its length is the spread times :func:`reach`. The intervals after 1, 2, 3, ... values all
    hold the mean with probability ``confidence``, so one may look after every value and stop for
    whatever reason. They are infinite while no value of the mean can be excluded (at 95 %: of one
    and two values), and are a point where values are equal.

    Args:
        values: (n,) finite numbers, n >= 1.
        confidence: of the whole sequence, in (0, 1).

    Raises:
        ValueError: no values, or one that is not finite.

    Source: as for :func:`e_value`.
    """
    x = _finite(values)
    if x.size == 0:
        raise ValueError("need at least one value")
    center = float(x.mean())
    if x.size == 1:
        return stats.Interval(center, -np.inf, np.inf)
    if not np.ptp(x):
        return stats.Interval(*[float(x[0])] * 3)
    half = reach(x.size, 1 / (1 - confidence)) * float(x.std(ddof=1))
    return stats.Interval(center, center - half, center + half)


def ratio_interval(log_ratios: ArrayLike, confidence: float = 0.95) -> stats.Interval:
    """Geometric mean of ratios with its confidence sequence: :func:`interval` on the logs,
    exponentiated.

    Args:
        log_ratios: (n,) one log-ratio a pair.
        confidence: of the whole sequence, in (0, 1).
    """
    center, low, high = interval(log_ratios, confidence)
    with np.errstate(over="ignore"):
        return stats.Interval(float(np.exp(center)), float(np.exp(low)), float(np.exp(high)))


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(values, float)
    if x.ndim != 1:
        raise ValueError("need a row of values")
    if not np.isfinite(x).all():
        raise ValueError("values must be finite")
    return x
