"""GSAM: SAM that also lowers the gap between the perturbed loss and the loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Method, Number, is_zero, require_at_least_zero
from .fleet import differentiate
from .scaling import LossScale
from .step import LossFunction, Step
from .two_point import (
    fill_gradients,
    keep_share,
    norm_of,
    offset,
    radius_over_norm,
    share_along,
)


@dataclass(frozen=True)
class GSAM(Method):
    """Surrogate gap guided SAM: d = g' - α·g_⊥ with g' = ∇L(θ + ρ·g/‖g‖).

    g_⊥ = g - (<g, g'>/‖g'‖²)·g' is the component of g orthogonal to g': a step along it leaves the
    perturbed loss L(θ + ρ·g/‖g‖) as it is, to first order, and raises L(θ), so that their
    difference, the surrogate gap, falls. With α = 0 it is :class:`SAM`. Both gradients are needed
    whole: a step holds two parameter copies more than SGD. The paper's schedule, ρ in step with the
    learning rate, is not part of it.

    Args:
        rho: ρ >= 0, radius of the ascent step in parameter space.
        alpha: α >= 0, weight of the ascent along g_⊥.

    Source: Zhuang et al., ICLR 2022 (arXiv 2203.08065), Algorithm 1.
    """

    rho: Number = 0.05
    alpha: Number = 0.1
    name: ClassVar[str] = "gsam"
    passes: ClassVar[int] = 2
    stackable: ClassVar[bool] = True
    scalable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_at_least_zero(rho=self.rho, alpha=self.alpha)
        super().__post_init__()

    @property
    def keeps_gradient(self) -> bool:
        """True unless it is SAM."""
        return not is_zero(self.alpha)

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`."""
        with Step(loss_fn, params) as step, step.own_directions():
            loss = step.first()
            scale = LossScale(loss_fn, loss)
            differentiate(self, loss, scale.value)
            moved = step.with_gradient()
            if moved:
                scale.unscale(moved)
                with torch.no_grad():
                    gradients = [p.grad for p in moved if p.grad is not None]
                    radius = radius_over_norm(self.rho, gradients, self)
                    elsewhere = offset(moved, gradients, radius, self)
                del gradients
                keep_share(moved, -self.alpha, scale.value)
                ascent = step.take_gradients(moved)
                with step.at(moved, elsewhere):
                    differentiate(self, step.again(), scale.value)
                fill_gradients(moved)
                if ascent:
                    self._add_orthogonal(step, moved, ascent)
            return loss.detach()

    def _add_orthogonal(self, step: Step, moved: list[Tensor], ascent: list[Tensor]) -> None:
        """g' <- g' + the component of a = -α·g orthogonal to g'; both may be scaled."""
        params = step.with_gradient()
        second = [p.grad for p in params if p.grad is not None]
        along = [p.grad for p in moved if p.grad is not None]
        share = share_along(ascent, along, norm_of(second, self), self)
        keep_share(params, 1 - share)
        torch._foreach_add_(along, ascent)
