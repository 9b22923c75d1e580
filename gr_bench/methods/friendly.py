"""Friendly SAM: a perturbation along the mini-batch's own part of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Method, Number, require_at_least_zero, require_shares
from .fleet import differentiate
from .memory import remember, remembered, unchanged_by_errors
from .scaling import LossScale
from .step import LossFunction, Step
from .two_point import fill_gradients, offset, radius_over_norm, weighted_sum


@dataclass(frozen=True)
class FriendlySAM(Method):
    """SAM that ascends along the noise of the gradient: d = ∇L(θ + ρ·n/‖n‖) with n = g - σ·m.

    m is a moving average of gradients, m <- λ·m + (1 - λ)·g, that stands for the gradient of the
    whole training set; the present g is in it before n is taken, and m = 0 at first. With σ = 0 it
    is :class:`SAM`, and the first step always is, but for n = 0, which perturbs nothing.

    The state is m, one parameter copy. The first gradient is kept through the second pass, since m
    must not move if that fails: a step holds three copies more than SGD. Under a gradient scaler m
    is unscaled, and a step that overflows leaves it as it was.

    The authors' code, and pytorch-optimizer's, subtract the average from before the step, which at
    σ = 1 gives the same direction, n = λ·(g - m), and let m begin at the first gradient.

    Args:
        rho: ρ >= 0, radius of the ascent step in parameter space.
        sigma: σ >= 0, share of the average that is taken off.
        decay: λ in [0, 1], of the average.

    Source: Li et al., CVPR 2024 (arXiv 2403.12350).
    """

    rho: Number = 0.05
    sigma: Number = 1.0
    decay: Number = 0.9
    name: ClassVar[str] = "friendly-sam"
    passes: ClassVar[int] = 2
    stackable: ClassVar[bool] = True
    scalable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_at_least_zero(rho=self.rho, sigma=self.sigma)
        require_shares(decay=self.decay)
        super().__post_init__()

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`."""
        with Step(loss_fn, params) as step, unchanged_by_errors(self.state):
            loss = step.first()
            scale = LossScale(loss_fn, loss)
            differentiate(self, loss, scale.value)
            moved = step.with_gradient()
            if moved:
                scale.unscale(moved)
                average = remembered(self.state, "average", step, moved)
                with torch.no_grad():
                    elsewhere = self._perturbed(moved, average)
                first = step.take_gradients(moved)
                with step.at(moved, elsewhere):
                    differentiate(self, step.again(), scale.value)
                fill_gradients(moved)
                finite = scale.is_finite(step.params)
                remember(average, first, 1 - self.decay, where=finite)
            return loss.detach()

    def _perturbed(self, params: list[Tensor], average: list[Tensor]) -> list[Tensor]:
        """θ + ρ·n/‖n‖, given the average from before the step; ``p.grad`` is g."""
        noise = self.workspace.like(params)
        gradients = [p.grad for p in params if p.grad is not None]
        own = 1 - self.sigma * (1 - self.decay)
        weighted_sum(own, gradients, -self.sigma * self.decay, average, out=noise)
        return offset(params, noise, radius_over_norm(self.rho, noise, self), self)
