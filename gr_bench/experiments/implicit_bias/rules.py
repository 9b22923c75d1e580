"""The methods' directions on a diagonal linear network, in closed form for many runs at once.

Every direction has the form d± = (±a + q)⊙w±. Following it, log(w₊/w₋) moves by -2a, which stays in
the row space of X, and log(w₊w₋) by -2q. So gradient flow that ends at Xβ = y ends at
argmin φ_α̃(β) subject to Xβ = y, where α̃² = w₊w₋ = α²⊙exp(-2∫q dt) (see
:mod:`~gr_bench.experiments.implicit_bias.potential`). With g⁺ = g at θ + s·∇L, and a method
d = (1-c)·∇L + c·∇L(θ + s·∇L),

    a = (1-c)·g + c·g⁺,    q = c·s·g⊙g⁺,

which is γ·g⊙g⁺ for F-GR (s = ε, c = γ/ε) and for B-GR (s = -ε, c = -γ/ε).

Source: Karakida et al., ICML 2023 (arXiv 2210.02720), on diagonal linear networks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gr_bench.experiments.implicit_bias.network import Point
from gr_bench.experiments.implicit_bias.problem import Array
from gr_bench.methods import (
    SAM,
    SGD,
    BackwardGR,
    ForwardGR,
)


class Rates(NamedTuple):
    """A direction d± = (±a + q)⊙w±, (P, S, d) each."""

    a: Array
    q: Array


class Rule(ABC):
    """One family of methods with the numbers of S settings, each (1, S, 1)."""

    interpolates = True
    """True if it goes on until the data are fitted."""

    @abstractmethod
    def __init__(self, methods: Sequence[Any]) -> None:
        """Take over the numbers of methods of this family."""

    @abstractmethod
    def rates(self, point: Point) -> Rates:
        """The direction at a point."""

    def regularised(self, point: Point, rates: Rates, step: Array) -> Array:
        """The part of ∫q dt that a step of size η (P, S, 1) adds."""
        return step * rates.q

    @abstractmethod
    def stiffness(self, point: Point) -> Array:
        """A bound on the largest eigenvalue of the linearised direction near Xβ = y, (P, S)."""


class TwoPoint(Rule):
    """SGD, F-GR, B-GR and unnormalised SAM: s and c are the methods' own."""

    def __init__(self, methods: Sequence[Any]) -> None:
        self.scale = _numbers([0.0 if isinstance(m, SGD) else m.scale([]) for m in methods])
        self.weight = _numbers([0.0 if isinstance(m, SGD) else m.weight for m in methods])

    def scale_at(self, point: Point) -> Array:
        """s."""
        return self.scale

    def rates(self, point: Point) -> Rates:
        """See the module."""
        scale = self.scale_at(point)
        there = point.g_at(scale)
        q = self.weight * scale * point.g * there
        return Rates(point.g + self.weight * (there - point.g), q)

    def stiffness(self, point: Point) -> Array:
        """(1 + c·s·λ)·λ."""
        curvature = point.curvature_bound()
        return curvature * (1 + (self.weight * self.scale_at(point))[..., 0] * curvature)


class Normalised(TwoPoint):
    """SAM and GNP: s = radius/‖∇L‖."""

    def __init__(self, methods: Sequence[Any]) -> None:
        self.scale = _numbers([float(m.rho if isinstance(m, SAM) else m.r) for m in methods])
        self.weight = _numbers([m.weight for m in methods])

    def scale_at(self, point: Point) -> Array:
        """s = radius/‖∇L‖, 0 where the gradient is 0."""
        norm = np.sqrt(point.squared_gradient)[..., None]
        return np.divide(self.scale, norm, out=np.zeros_like(norm), where=norm > 0)


class Central(Rule):
    """C-GR: the mean of F-GR and B-GR."""

    def __init__(self, methods: Sequence[Any]) -> None:
        self._forward = TwoPoint([ForwardGR(**m.parameters) for m in methods])
        self._backward = TwoPoint([BackwardGR(**m.parameters) for m in methods])

    def rates(self, point: Point) -> Rates:
        """See the module."""
        forward, backward = self._forward.rates(point), self._backward.rates(point)
        return Rates((forward.a + backward.a) / 2, (forward.q + backward.q) / 2)

    def stiffness(self, point: Point) -> Array:
        """(1 + γ·λ)·λ, as F-GR's."""
        return self._forward.stiffness(point)


class DoubleBackprop(Rule):
    """DB-GR, the limit ε -> 0: a = g + γ·(d/ds)g⁺, q = γ·g²."""

    def __init__(self, methods: Sequence[Any]) -> None:
        self.gamma = _numbers([m.gamma for m in methods])

    def rates(self, point: Point) -> Rates:
        """See the module."""
        return Rates(point.g + self.gamma * point.g_slope(), self.gamma * point.g**2)

    def stiffness(self, point: Point) -> Array:
        """(1 + γ·λ)·λ."""
        curvature = point.curvature_bound()
        return curvature * (1 + self.gamma[..., 0] * curvature)


class Flooded(Rule):
    """Flooding: a = sign(L - b)·g, q = 0, so that gradient flow keeps α.

    In steps of size η it does not: two in opposite directions are together the penalty part of a
    step of B-GR or F-GR with γ = ε = η (:class:`gr_bench.methods.Flooding`), which adds η²·g⊙g⁺ to
    ∫q dt.
    """

    interpolates = False

    def __init__(self, methods: Sequence[Any]) -> None:
        self.level = _numbers([m.level for m in methods])
        self._last: tuple[Array, Array] | None = None  # sign, 0 where it has its pair; η·g

    def rates(self, point: Point) -> Rates:
        """See above."""
        sign = np.sign(point.loss[..., None] - self.level)
        return Rates(sign * point.g, np.zeros_like(point.g))

    def regularised(self, point: Point, rates: Rates, step: Array) -> Array:
        """η²·g⊙g⁺ of every pair, told when its second step is taken; no step has two partners."""
        sign, moved = np.sign(point.loss[..., None] - self.level), step * point.g
        last_sign, last_moved = self._last or (np.zeros_like(sign), moved)
        pair = sign * last_sign < 0
        self._last = np.where(pair, 0.0, sign), moved
        return np.where(pair, moved * last_moved, 0.0)

    def stiffness(self, point: Point) -> Array:
        """λ."""
        return point.curvature_bound()


RULES: dict[str, type[Rule]] = {
    "two-point": TwoPoint,
    "normalised": Normalised,
    "central": Central,
    "double-backprop": DoubleBackprop,
    "flooded": Flooded,
}
"""The rules by family (:data:`gr_bench.experiments.implicit_bias.families.FAMILIES`)."""


def _numbers(values: Sequence[float]) -> Array:
    return np.asarray(values, float).reshape(1, -1, 1)
