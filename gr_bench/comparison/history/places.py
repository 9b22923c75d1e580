"""Places of a single transition in a stretch of runs: how good each is, and where it may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gr_bench.comparison.history.levels import Transition
from gr_bench.comparison.history.noise import Floats


class Place(NamedTuple):
    """The place of a transition as far as it is known."""

    earliest: int
    """The last run that is surely before it."""

    latest: int
    """The first run that is surely after it."""

    size_spread: float
    """Standard deviation of its size over the places that it may have."""


def gains(values: ArrayLike, weights: ArrayLike) -> tuple[Floats, Floats]:
    """The fall of Q by one transition, and its size, for every place of it.

    Entry (a, b) with a < b is that of a level until run a, another from run b on, and a straight
    line in between. With x the transition's shape and weighted means taken off, the size is
    Σ w·x·y / Σ w·x² and Q falls by (Σ w·x·y)² / Σ w·x²; all sums are differences of running ones.

    Args:
        values: (n,).
        weights: (n,), > 0.

    Returns:
        (n, n) the gains, -inf where a >= b; (n, n) the sizes, 0 there.
    """
    y, w = np.asarray(values, float), np.asarray(weights, float)
    y = y - np.average(y, weights=w)
    i = np.arange(y.size, dtype=float)
    a, b = i[:, None], i[None, :]
    begins, ends = np.arange(y.size)[:, None] + 1, np.arange(y.size)[None, :]

    def between(terms: Floats) -> Floats:
        """Sums over a < i < b."""
        running = np.concatenate([[0.0], np.cumsum(terms)])
        return np.asarray(running[ends] - running[begins])

    def after(terms: Floats) -> Floats:
        """Sums over b <= i."""
        running = np.concatenate([[0.0], np.cumsum(terms)])
        return np.asarray(running[-1] - running[ends])

    ones, ramp, square = between(w), between(w * i), between(w * i**2)
    length = np.where(b > a, b - a, 1.0)
    x = (ramp - a * ones) / length + after(w)
    xx = (square - 2 * a * ramp + a**2 * ones) / length**2 + after(w)
    xy = (between(w * i * y) - a * between(w * y)) / length + after(w * y)
    square = np.where(b > a, xx - x**2 / w.sum(), 1.0)
    return np.where(b > a, xy**2 / square, -np.inf), np.where(b > a, xy / square, 0.0)


def window(transitions: Sequence[Transition], first: int, last: int, runs: int) -> tuple[int, int]:
    """The first and the last run of the levels around the transitions ``first`` to ``last``."""
    low = transitions[first - 1].after if first else 0
    high = transitions[last + 1].before if last + 1 < len(transitions) else runs - 1
    return low, high


def likely_place(
    values: ArrayLike,
    weights: ArrayLike,
    transitions: Sequence[Transition],
    number: int,
    probability: float = 0.95,
) -> Place:
    """The range of runs that a transition lies in, and how much its size depends on where.

    Every place between the neighbouring transitions has the probability that its likelihood gives
    it, proportional to exp(gain/2); from either end what is less likely than half of what
    ``probability`` leaves is cut off. Assumes normal noise with these weights, and no place to be
    likelier than another.

    Args:
        values: (n,).
        weights: (n,), 1/variance.
        transitions: all of the series, in order.
        number: which of them.
        probability: in (0, 1).

    Source: Smith, Biometrika 62 (1975), with the levels at their best instead of integrated out.
    """
    own = transitions[number]
    low, high = window(transitions, number, number, np.asarray(values).size)
    stretch = slice(low, high + 1)
    gain, size = gains(np.asarray(values)[stretch], np.asarray(weights)[stretch])
    if own.is_step:
        steps = np.eye(len(gain), k=1, dtype=bool)
        gain = np.where(steps, gain, -np.inf)
    likelihood = np.exp((gain - gain.max()) / 2)
    likelihood /= likelihood.sum()
    tail = (1 - probability) / 2
    begins, ends = likelihood.sum(axis=1).cumsum(), likelihood.sum(axis=0)[::-1].cumsum()
    earliest = low + int(np.argmax(begins >= tail))
    latest = high - int(np.argmax(ends >= tail))
    mean = (likelihood * size).sum()
    return Place(
        min(earliest, own.before),
        max(latest, own.after),
        float(np.sqrt((likelihood * (size - mean) ** 2).sum())),
    )
