"""Levels of a series and the transitions between them: their least-squares fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from gr_bench.comparison.history.noise import Floats


class Transition(NamedTuple):
    """A change of level: by a step where the runs are neighbours, else little by little."""

    before: int
    """The last run on the level before."""

    after: int
    """The first run on the level after."""

    @property
    def is_step(self) -> bool:
        """True if no run lies in between."""
        return self.after == self.before + 1

    def shape(self, count: int) -> Floats:
        """(count,): 0 until ``before``, 1 from ``after`` on, a straight line in between."""
        return np.clip((np.arange(count) - self.before) / (self.after - self.before), 0.0, 1.0)


@dataclass(frozen=True)
class Fit:
    """Levels that are fitted to a series, for given transitions."""

    transitions: tuple[Transition, ...]
    spread: float
    """Standard deviation τ between runs beyond their own standard errors."""

    weights: Floats
    """(n,) 1/(s_i² + τ²)."""

    fitted: Floats
    """(n,) the level of each run."""

    sizes: Floats
    """(m,) the change of level of each transition."""

    errors: Floats
    """(m,) standard errors of the sizes, the transitions taken as known."""

    cost: float
    """Q = Σ_i w_i·(y_i - ŷ_i)²."""

    @property
    def freedom(self) -> int:
        """Degrees of freedom of what is left: runs less levels."""
        return len(self.fitted) - len(self.sizes) - 1

    @property
    def parameters(self) -> int:
        """A level, and for each transition its size and its place: one run of a step, two of a
        drift.
        """
        return 1 + sum(2 if transition.is_step else 3 for transition in self.transitions)


def fit(values: ArrayLike, errors: ArrayLike, transitions: Sequence[Transition] = ()) -> Fit:
    """The weighted least-squares fit of levels, the spread between runs along with them.

    y_i = level + Σ_j size_j·shape_j(i) + noise of variance s_i² + τ². The spread τ is the one with
    which Q has its expectation, the degrees of freedom; 0 where Q is less without any.

    Args:
        values: (n,), logarithms.
        errors: (n,) standard errors, > 0.
        transitions: in order.

    Source: Paule & Mandel, J. Res. Natl. Bur. Stand. 87 (1982).
    """
    y, s = np.asarray(values, float), np.asarray(errors, float)
    shapes = [transition.shape(y.size) for transition in transitions]
    design = np.column_stack([np.ones(y.size), *shapes])
    freedom = y.size - len(shapes) - 1

    def excess(variance: float) -> float:
        weights = 1 / (s**2 + variance)
        return _cost(y, weights, design) - freedom

    variance = 0.0
    if freedom > 0 and excess(0.0) > 0:
        most = float((s**2).max())
        while excess(most) > 0:
            most *= 4
        variance = optimize.brentq(excess, 0.0, most)
    weights = 1 / (s**2 + variance)
    found = _coefficients(y, weights, design)
    fitted = design @ found
    covariance = np.linalg.pinv((design.T * weights) @ design, hermitian=True)
    return Fit(
        transitions=tuple(transitions),
        spread=float(np.sqrt(variance)),
        weights=weights,
        fitted=fitted,
        sizes=found[1:],
        errors=np.sqrt(np.diag(covariance))[1:],
        cost=float(weights @ (y - fitted) ** 2),
    )


def chance_of_gain(values: ArrayLike, larger: Fit, smaller: Fit, extra: int) -> float:
    """Probability that chance alone makes the larger fit so much better than the smaller one.

    F = (Q_smaller - Q_larger)/extra with the weights of the larger fit, against the distribution
    F(extra, degrees of freedom of the larger). The spread between runs is estimated from what the
    larger fit leaves, so that short series have the long tails of Student's t. Where the known
    standard errors alone explain what is left, F is smaller than it could be, never larger.

    Args:
        values: (n,), that both were fitted to.
        larger: the fit with more parameters.
        smaller: the other.
        extra: parameters that the larger has more.
    """
    if larger.freedom < 1:
        return 1.0
    shapes = [transition.shape(len(larger.fitted)) for transition in smaller.transitions]
    design = np.column_stack([np.ones(len(larger.fitted)), *shapes])
    gain = _cost(np.asarray(values, float), larger.weights, design) - larger.cost
    return float(special.fdtrc(extra, larger.freedom, max(0.0, gain) / extra))


def _coefficients(y: Floats, weights: Floats, design: Floats) -> Floats:
    root = np.sqrt(weights)
    return np.asarray(np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0], float)


def _cost(y: Floats, weights: Floats, design: Floats) -> float:
    return float(weights @ (y - design @ _coefficients(y, weights, design)) ** 2)
