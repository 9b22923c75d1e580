"""LookSAM: SAM every k-th step, and a part of its direction in between."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Method, Number, require_at_least_zero
from .fleet import differentiate, per_run_each
from .memory import remember, remembered, unchanged_by_errors
from .scaling import LossScale
from .spelling import is_number
from .step import LossFunction, Step
from .two_point import (
    fill_gradients,
    keep_share,
    multiply,
    norm_of,
    offset,
    radius_over_norm,
    share_along,
)


@dataclass(frozen=True)
class LookSAM(Method):
    """SAM every k-th step, the first included; in between d = g + α·(‖g‖/‖v‖)·v.

    v = g' - (<g', g>/‖g‖²)·g is the component of the last SAM step's direction g' orthogonal to its
    gradient g, which changes slowly from step to step. Norms and products are those of all
    parameters together. With k = 1 it is :class:`SAM`. With k > 1 a ρ near 0 leaves v to rounding,
    whose direction then has its full weight α·‖g‖.

    The state is v, one parameter copy, and the place in the cycle of k steps, which the host knows
    and counts whether or not a step overflows. A SAM step holds three copies more than SGD, one in
    between as much as SGD and what is kept, two. Under a gradient scaler v is unscaled, and a SAM
    step that overflows leaves it as it was.

    Pytorch-optimizer's version projects and scales every parameter by itself.

    Args:
        rho: ρ >= 0, radius of the ascent step in parameter space.
        alpha: α >= 0, weight of v.
        k: whole number >= 1, steps of a cycle: 1 + 1/k gradients a step.

    Source: Liu et al., CVPR 2022 (arXiv 2203.02714), Algorithm 1.
    """

    rho: Number = 0.05
    alpha: Number = 0.7
    k: float = 5.0
    name: ClassVar[str] = "looksam"
    passes: ClassVar[int] = 2
    period: ClassVar[str | None] = "k"
    stackable: ClassVar[bool] = True
    scalable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_at_least_zero(rho=self.rho, alpha=self.alpha)
        if not (is_number(self.k) and self.k >= 1 and self.k == int(self.k)):
            raise ValueError(f"k must be a whole number >= 1, not {self.k!r}")
        super().__post_init__()

    @property
    def keeps_gradient(self) -> bool:
        """True unless it is SAM."""
        return self.cycle > 1

    def passes_in(self, done: int, steps: int) -> int:
        """See :meth:`Method.passes_in`."""
        return done + math.ceil(done / self.cycle)

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`."""
        with (
            Step(loss_fn, params) as step,
            unchanged_by_errors(self.state),
            step.own_directions(),
        ):
            loss = step.first()
            scale = LossScale(loss_fn, loss)
            differentiate(self, loss, scale.value)
            place = self.state.get("place", 0)
            moved = step.with_gradient()
            if moved:
                if place == 0:
                    self._look(step, moved, scale)
                else:
                    self._reuse(step, moved)
            self.state["place"] = (place + 1) % self.cycle
            return loss.detach()

    def _look(self, step: Step, moved: list[Tensor], scale: LossScale) -> None:
        """g <- g', and v anew."""
        scale.unscale(moved)
        with torch.no_grad():
            gradients = [p.grad for p in moved if p.grad is not None]
            radius = radius_over_norm(self.rho, gradients, self)
            elsewhere = offset(moved, gradients, radius, self)
        del gradients
        if self.cycle == 1:
            keep_share(moved, 0.0)
        first = step.take_gradients(moved)
        with step.at(moved, elsewhere):
            differentiate(self, step.again(), scale.value)
        fill_gradients(moved)
        if not first:
            return
        second = scale.unscaled(moved)
        share = share_along(second, first, norm_of(first, self), self)
        multiply(first, -share)
        torch._foreach_add_(first, second)
        orthogonal = remembered(self.state, "orthogonal", step, moved)
        remember(orthogonal, first, where=scale.is_finite(step.params))

    def _reuse(self, step: Step, params: list[Tensor]) -> None:
        """g <- g + α·(‖g‖/‖v‖)·v; g may be scaled."""
        orthogonal = remembered(self.state, "orthogonal", step, params)
        gradients = [p.grad for p in params if p.grad is not None]
        radius = self.alpha * norm_of(gradients, self)
        own = per_run_each(radius_over_norm(radius, orthogonal, self), orthogonal)
        torch._foreach_addcmul_(gradients, orthogonal, own)
