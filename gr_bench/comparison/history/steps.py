"""Steps of a series: how many changes of level are more than chance."""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gr_bench.comparison.history.levels import Fit, Transition, chance_of_gain, fit
from gr_bench.comparison.history.noise import spread_between_runs
from gr_bench.comparison.history.segmentation import Segmentation

FALSE_ALARMS = 0.01
"""Of the series without a change, the part in which one may be found. A page has some fifty series;
the bound is not reached (results/trust/history_series.md), so that most pages stay quiet."""

TOGETHER = 2
"""Changes that are looked for at once. A level that comes and goes again is two, neither of which
shows without the other; three at once would cost more than they find."""


def steps(values: ArrayLike, errors: ArrayLike) -> Fit:
    """The steps of a series that are more than chance.

    Beginning with one level, the best partition with one change more is taken, or the one with two
    more, as long as that is better than what there is by an F-test
    (:func:`~gr_bench.comparison.history.levels.chance_of_gain`). The best of N partitions is
    compared with the N-th part of the probability allowed (Bonferroni), N = C(n - 1 - m, j) for j
    changes on top of m: the bound holds for every length of a series, and no threshold is
    simulated or tuned. It rests on independent normal noise, and is exact where all errors are
    equal; where they differ, F with τ estimated is an approximation (Knapp & Hartung, Stat. Med. 22
    (2003)). False alarms are counted in results/trust/history_series.md.

    Args:
        values: (n,), logarithms.
        errors: (n,) standard errors, > 0.

    Source: sequential tests of l against l + 1 changes: Bai & Perron, Econometrica 66 (1998); one
    change in normal values of unknown variance, and Bonferroni's bound for it: Worsley, J. Am.
    Stat. Assoc. 74 (1979).
    """
    y, s = np.asarray(values, float), np.asarray(errors, float)
    partitions = Segmentation(y, 1 / (s**2 + spread_between_runs(y, s) ** 2))
    found = fit(y, s)
    while (larger := _larger(y, s, partitions, found)) is not None:
        found = larger
    return found


def _larger(
    values: ArrayLike, errors: ArrayLike, partitions: Segmentation, found: Fit
) -> Fit | None:
    """A fit with more changes that is better than by chance; None if there is none."""
    so_far = len(found.transitions)
    for more in range(1, TOGETHER + 1):
        if found.freedom - more < 1:
            return None
        starts = partitions.starts(so_far + more)
        larger = fit(values, errors, [Transition(start - 1, start) for start in starts])
        allowed = allowed_chance(len(found.fitted), so_far, more)
        if chance_of_gain(values, larger, found, more) <= allowed:
            return larger
    return None


def allowed_chance(runs: int, so_far: int, more: int) -> float:
    """The p-value from which a partition with ``more`` changes on top of others is believed.

    Args:
        runs: n.
        so_far: changes that are believed already.
        more: changes that are looked for at once.
    """
    return FALSE_ALARMS / TOGETHER / comb(runs - 1 - so_far, more)


def smallest_step(found: Fit, after: int, power: float = 0.9) -> float:
    """The change of level that would have been found with probability ``power``, about.

    (t + z)·√(1/W_before + 1/W_after), with t the quantile of Student's distribution at the
    probability allowed, z the normal one at ``power``, and W the sums of the weights.

    Args:
        found: the fit of the series.
        after: how many of its last runs are after the step.
        power: in (0, 1).

    Returns:
        The size as a logarithm; infinite where no step could be found.
    """
    runs, so_far = len(found.fitted), len(found.transitions)
    freedom = found.freedom - 1
    if freedom < 1 or not 0 < after < runs:
        return np.inf
    allowed = allowed_chance(runs, so_far, 1)
    reach = -special.stdtrit(freedom, allowed / 2) + special.ndtri(power)
    before_weight, after_weight = found.weights[:-after].sum(), found.weights[-after:].sum()
    return float(reach * np.sqrt(1 / before_weight + 1 / after_weight))
