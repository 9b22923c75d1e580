"""The diagonal linear network, and many of them in one array.

f(x) = <w₊² - w₋², x>, so that β = w₊² - w₋²; L = ‖Xβ - y‖²/(4N); w± = α at the start. With
g = Xᵀ(Xβ - y)/N the gradient is ∂L/∂w± = ±g⊙w±.

Source: Woodworth et al., COLT 2020 (arXiv 2002.09277).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from gr_bench.experiments.implicit_bias.problem import Array, Problem


class DiagonalLinear(nn.Module):
    """One network, as any training code would write it: (N, d) -> (N,).

    Args:
        plus: w₊, (d,).
        minus: w₋, (d,).
    """

    def __init__(self, plus: Array, minus: Array) -> None:
        super().__init__()
        self.plus = nn.Parameter(torch.from_numpy(plus.copy()))
        self.minus = nn.Parameter(torch.from_numpy(minus.copy()))

    def forward(self, inputs: Tensor) -> Tensor:
        """<w₊² - w₋², x> for every row x."""
        fitted: Tensor = inputs @ (self.plus**2 - self.minus**2)
        return fitted

    def loss(self, problem: Problem) -> Tensor:
        """L = ‖Xβ - y‖²/(4N)."""
        inputs, targets = torch.from_numpy(problem.inputs), torch.from_numpy(problem.targets)
        loss: Tensor = (self(inputs) - targets).square().sum() / (4 * len(targets))
        return loss


class Problems:
    """P problems of one size, as arrays."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        inputs = np.stack([problem.inputs for problem in problems])
        self.samples: int = inputs.shape[1]
        self.targets = np.stack([problem.targets for problem in problems])[:, None]
        self._inputs = inputs / self.samples
        self._transposed = np.ascontiguousarray(inputs.transpose(0, 2, 1))
        self.squares = 2 / self.samples * (inputs**2).sum(1)[:, :, None]
        """(2/N)·‖column‖², (P, d, 1)."""

    def predict(self, beta: Array) -> Array:
        """Xβ, (P, S, d) -> (P, S, N)."""
        fitted: Array = beta @ self._transposed
        return fitted

    def pull_back(self, residual: Array) -> Array:
        """Xᵀr/N, (P, S, N) -> (P, S, d)."""
        pulled: Array = residual @ self._inputs
        return pulled


class Point:
    """The state of S settings' networks on P problems, with what a step needs to know there.

    Attributes:
        plus: w₊², (P, S, d); ``minus`` is w₋².
        g: Xᵀ(Xβ - y)/N, (P, S, d).
        squared_residual: ‖Xβ - y‖², (P, S).
    """

    def __init__(self, problems: Problems, plus: Array, minus: Array) -> None:
        self._problems = problems
        self.plus, self.minus = plus, minus
        residual = problems.predict(plus - minus) - problems.targets
        self.squared_residual: Array = np.einsum("psn,psn->ps", residual, residual)
        self.g = problems.pull_back(residual)

    @property
    def loss(self) -> Array:
        """L = ‖Xβ - y‖²/(4N), (P, S)."""
        loss: Array = self.squared_residual / (4 * self._problems.samples)
        return loss

    @cached_property
    def squared_gradient(self) -> Array:
        """‖∇L‖² = Σ g²(w₊² + w₋²), (P, S)."""
        found: Array = np.einsum("psd,psd,psd->ps", self.g, self.g, self.plus + self.minus)
        return found

    def curvature_bound(self) -> Array:
        """(2/N)·Σ (w₊² + w₋²)‖column‖² >= the largest Hessian eigenvalue where Xβ = y, (P, S).

        It is the trace of the Hessian there.
        """
        found: Array = ((self.plus + self.minus) @ self._problems.squares)[..., 0]
        return found

    def g_at(self, scale: Array) -> Array:
        """g at θ + s·∇L, where w± has become w±(1 ± s·g); s is (P or 1, S, 1)."""
        moved = scale * self.g
        beta: Array = self.plus * (1 + moved) ** 2 - self.minus * (1 - moved) ** 2
        there: Array = self._problems.predict(beta) - self._problems.targets
        return self._problems.pull_back(there)

    def g_slope(self) -> Array:
        """The derivative of :meth:`g_at` at s = 0: XᵀX(2g⊙(w₊² + w₋²))/N."""
        slope = self._problems.predict(2 * self.g * (self.plus + self.minus))
        return self._problems.pull_back(slope)
