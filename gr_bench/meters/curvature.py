"""Gradient norm and curvature of the loss at a point."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Losses = Callable[[], Iterator[Tensor]]
"""Gives the loss in terms that add up to it, each with its own graph, so that memory is bounded."""

TOLERANCE = 1e-3
"""Relative accuracy of the largest eigenvalue."""

PROBES = 16
"""Random vectors that the trace is estimated from."""


@dataclass(frozen=True)
class Sharpness:
    """The Hessian of a loss in two numbers."""

    largest_eigenvalue: float
    trace: float
    trace_error: float
    """Standard error of the trace over the probes."""

    products: int
    """Hessian-vector products that were made."""


def gradient_norm(params: Iterable[Tensor]) -> Tensor:
    """‖g‖₂ over all ``p.grad``, a 0-d tensor (0 where no parameter has a gradient)."""
    gradients = [p.grad for p in params if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)


def parameter_norm(params: Iterable[Tensor]) -> float:
    """‖θ‖₂ over all parameters."""
    return float(torch.nn.utils.get_total_norm([p.detach() for p in params]))


class Hessian:
    """The Hessian of a loss as an operator: v -> Hv, by double backpropagation.

    Args:
        losses: terms that add up to the loss.
        params: n numbers in all; where the loss does not depend on one, its row is zero.
    """

    def __init__(self, losses: Losses, params: Sequence[Tensor]) -> None:
        self._losses = losses
        self._params = list(params)
        self.size = sum(p.numel() for p in params)
        self.products = 0

    def __matmul__(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hv for a vector of n numbers, in the parameters' precision. Clears every ``p.grad``."""
        self.products += 1
        pieces = torch.from_numpy(np.ascontiguousarray(vector).reshape(-1)).split(
            [p.numel() for p in self._params]
        )
        vectors = [v.to(p).view_as(p) for v, p in zip(pieces, self._params, strict=True)]
        for p in self._params:
            p.grad = None
        for loss in self._losses():
            gradients = torch.autograd.grad(
                loss, self._params, create_graph=True, allow_unused=True
            )
            pairs = [
                (g, v)
                for g, v in zip(gradients, vectors, strict=True)
                if g is not None and g.requires_grad
            ]
            if pairs:  # else the loss is linear in θ
                curved, along = zip(*pairs, strict=True)
                # Not autograd.grad: that would pass over an operation without a second derivative,
                # whose node leads to no parameter, instead of raising.
                torch.autograd.backward(curved, along)
        rows = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._params]
        for p in self._params:
            p.grad = None
        return torch.cat([row.flatten() for row in rows]).double().cpu().numpy()


def sharpness(losses: Losses, params: Sequence[Tensor], seed: int = 0) -> Sharpness:
    """The largest eigenvalue and the trace of the loss's Hessian.

    The eigenvalue is the algebraically largest, by Lanczos (``scipy.sparse.linalg.eigsh``) to the
    relative accuracy :data:`TOLERANCE`; the trace is Hutchinson's estimate, the mean of vᵀHv over
    :data:`PROBES` vectors v of random signs.

    Args:
        losses: terms that add up to the loss.
        params: of the loss, at least one number.
        seed: of the start vector and the probes.

    Raises:
        ArpackNoConvergence: the eigenvalue was not found in scipy's number of iterations.
        RuntimeError: from autograd, where an operation has no second derivative.

    Source: Hutchinson 1990, Comm. Statist. Simulation Comput. 19(2).
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    hessian = Hessian(losses, params)
    n = hessian.size
    draws = np.random.default_rng(seed)
    start = draws.standard_normal(n)
    once = hessian @ start
    if n == 1 or not once.any():  # Lanczos can do neither; H = 0 is all that maps a draw to 0
        largest = float(once[0] / start[0])
    else:
        operator = LinearOperator((n, n), matvec=hessian.__matmul__, dtype=np.float64)
        found = eigsh(operator, k=1, which="LA", v0=start, tol=TOLERANCE, return_eigenvectors=False)
        largest = float(found[0])
    probes = draws.choice([-1.0, 1.0], size=(PROBES, n))
    estimates = [float(v @ (hessian @ v)) for v in probes]
    error = float(np.std(estimates, ddof=1)) / math.sqrt(PROBES)
    return Sharpness(largest, float(np.mean(estimates)), error, hessian.products)
