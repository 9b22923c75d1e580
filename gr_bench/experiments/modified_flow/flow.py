"""Descent with finite steps, and the flows that it is compared with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from gr_bench.experiments.modified_flow.problem import Problem

TOLERANCE = 1e-13
"""Relative, of the solver; what it leaves is far below every distance that is measured."""

Objective = Callable[[Tensor], Tensor]


def batch_losses(problem: Problem, batches: int) -> list[Objective]:
    """C₁, ..., C_m: the mean losses of so many mini-batches of the same size."""

    def mean_of(indices: Tensor) -> Objective:
        return lambda theta: problem.losses(theta)[indices].mean()

    return [mean_of(own) for own in torch.arange(problem.samples).chunk(batches)]


def full_loss(problem: Problem) -> Objective:
    """C: the mean loss of all samples."""
    return lambda theta: problem.losses(theta).mean()


def gradient(objective: Objective, theta: Tensor, *, keep_graph: bool = False) -> Tensor:
    """∇ of an objective at θ; with ``keep_graph`` it can be differentiated again."""
    if not keep_graph:
        theta = theta.detach()
    if not theta.requires_grad:
        theta = theta.requires_grad_()
    (found,) = torch.autograd.grad(objective(theta), theta, create_graph=keep_graph)
    return found


def penalised(objective: Objective, penalty: float, parts: Sequence[Objective]) -> Objective:
    """L + penalty·(1/m)·Σ‖∇C_k‖² over ``parts`` C₁, ..., C_m, differentiable."""

    def value(theta: Tensor) -> Tensor:
        squares = [gradient(part, theta, keep_graph=True).square().sum() for part in parts]
        return objective(theta) + penalty * torch.stack(squares).mean()

    return value


def flow(objective: Objective, start: Tensor, time: float) -> Tensor:
    """θ(time) of dθ/dt = -∇ objective from ``start``, by an 8th-order Runge-Kutta method.

    Raises:
        RuntimeError: the solver did not come to the end.
    """

    def velocity(_: float, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = -gradient(objective, torch.from_numpy(theta.copy())).numpy()
        return found

    solved = solve_ivp(
        velocity, (0.0, time), start.numpy(), method="DOP853", rtol=TOLERANCE, atol=1e-16
    )
    if not solved.success:
        raise RuntimeError(f"the flow has no solution: {solved.message}")
    return torch.from_numpy(solved.y[:, -1].copy())


def mean_epoch(parts: Sequence[Objective], start: Tensor, step: float) -> Tensor:
    """The mean iterate after one epoch of SGD over all m! orders of its mini-batches, exactly."""
    ends = []
    for order in itertools.permutations(parts):
        theta = start
        for part in order:
            theta = theta - step * gradient(part, theta)
        ends.append(theta)
    return torch.stack(ends).mean(dim=0)


def descend(objective: Objective, start: Tensor, step: float, count: int) -> Tensor:
    """θ after ``count`` steps of gradient descent; not finite where it diverged."""
    theta = start
    for _ in range(count):
        theta = theta - step * gradient(objective, theta)
        if not torch.isfinite(theta).all():
            break
    return theta


def largest_curvature(objective: Objective, theta: Tensor) -> float:
    """The largest eigenvalue of the Hessian at θ."""
    hessian = torch.autograd.functional.hessian(objective, theta.detach())
    return float(torch.linalg.eigvalsh(hessian)[-1])
