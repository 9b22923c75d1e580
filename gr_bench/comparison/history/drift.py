"""Drifts of a series: steps that are better told as a level that moves little by little."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gr_bench.comparison.history.levels import Fit, Transition, chance_of_gain, fit
from gr_bench.comparison.history.places import gains, window

CHANCE = 0.01
"""The p-value up to which a transition is told with more numbers than another way would take: a
true step is called a drift about as seldom (results/trust/history_series.md counts how often)."""


def with_drifts(values: ArrayLike, errors: ArrayLike, found: Fit) -> Fit:
    """A fit in which steps have become drifts where these tell the same with less, or more.

    A drift that is long is found as a staircase, one that is short as a single step: the best step
    has at least three quarters of the gain of a straight line, so that none is missed for want of a
    test of its own. Every stretch of neighbouring transitions, the longest first, is put beside the
    one drift that fits best there. The drift is taken if it needs fewer parameters and the stretch
    is not better by an F-test at :data:`CHANCE`, or needs one more (its length) and is better.

    Args:
        values: (n,), logarithms.
        errors: (n,) standard errors, > 0.
        found: with the steps.
    """
    while (other := _with_a_drift_more(values, errors, found)) is not None:
        found = other
    return found


def _with_a_drift_more(values: ArrayLike, errors: ArrayLike, found: Fit) -> Fit | None:
    now = found.transitions
    for length in range(len(now), 0, -1):
        for first in range(len(now) - length + 1):
            stretch = now[first : first + length]
            if length == 1 and not stretch[0].is_step:
                continue
            drift = _best_drift(values, found, first, first + length - 1)
            if drift is None:
                continue
            other = fit(values, errors, [*now[:first], drift, *now[first + length :]])
            extra = other.parameters - found.parameters
            if extra > 0:
                taken = chance_of_gain(values, other, found, extra) <= CHANCE
            else:
                taken = chance_of_gain(values, found, other, -extra) > CHANCE
            if taken:
                return other
    return None


def _best_drift(values: ArrayLike, found: Fit, first: int, last: int) -> Transition | None:
    """The drift that fits best in place of some transitions; None where there is no room."""
    low, high = window(found.transitions, first, last, len(found.fitted))
    gain, _ = gains(np.asarray(values)[low : high + 1], found.weights[low : high + 1])
    gain = np.where(np.triu(np.ones(gain.shape, bool), 2), gain, -np.inf)  # a drift is no step
    if not np.isfinite(gain).any():
        return None
    before, after = np.unravel_index(int(gain.argmax()), gain.shape)
    return Transition(low + int(before), low + int(after))
