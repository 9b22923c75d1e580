"""Gradient regularization by a central finite difference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Method, Number, is_zero, require_at_least_zero, require_positive
from .fleet import differentiate
from .scaling import LossScale
from .step import LossFunction, Step
from .two_point import keep_share, offset, shortened


@dataclass(frozen=True)
class CentralGR(Method):
    """Gradient regularization by a central finite difference, three gradients a step.

    d = g + γ·(∇L(θ + εg) - ∇L(θ - εg))/(2ε), which tends to g + γ·Hg, the gradient of
    L + (γ/2)·‖∇L‖², at order ε². θ - εg is taken as 2θ - (θ + εg): no second copy of g is
    needed, and the two points lie exactly opposite each other in floating point too.

    Args:
        gamma: γ >= 0, strength of the penalty (γ/2)·‖∇L‖². With 0 the step is SGD's, one pass.
        epsilon: ε > 0, step to either side (a multiple of the unnormalised gradient).
    """

    gamma: Number = 0.1
    epsilon: Number = 0.05
    name: ClassVar[str] = "c-gr"
    passes: ClassVar[int] = 3
    penalty: ClassVar[str | None] = "gamma"
    stackable: ClassVar[bool] = True
    scalable: ClassVar[bool] = True
    maskable: ClassVar[bool] = True
    clippable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_at_least_zero(gamma=self.gamma)
        require_positive(epsilon=self.epsilon)
        super().__post_init__()

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`."""
        with Step(loss_fn, params) as step:
            loss = step.first()
            scale = LossScale(loss_fn, loss)
            differentiate(self, loss, scale.value)
            reached = step.with_gradient()
            moved = step.movable(reached)
            if moved and not is_zero(self.gamma):
                weight = self.gamma / (2 * self.epsilon)
                gradients = [p.grad for p in moved if p.grad is not None]
                scale.unscale(reached)
                with torch.no_grad():
                    epsilon = shortened(self.epsilon, step.longest, gradients, self)
                    elsewhere = offset(moved, gradients, epsilon, self)
                keep_share(reached, 1.0, scale.value)
                with step.at(moved, elsewhere):
                    differentiate(self, step.again(), weight * scale.value)
                with torch.no_grad():
                    for p, value in zip(moved, elsewhere, strict=True):
                        value.neg_().add_(p, alpha=2)
                with step.at(moved, elsewhere):
                    differentiate(self, step.again(), -weight * scale.value)
            return loss.detach()
