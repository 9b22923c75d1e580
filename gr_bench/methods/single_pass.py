"""Methods of one gradient a step, at a point that earlier directions lead to.

A step has one gradient, as SGD's, and some arithmetic on the parameters, which counts where the
batch or the model is small. L is never evaluated at θ: running statistics, dropout masks and the
loss that :meth:`Method.backward` returns are those at θ'.
"""

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
from .two_point import offset, radius_over_norm


@dataclass(frozen=True)
class _SinglePass(Method):
    """d = ∇L(θ + ±ρ·a/‖a‖), with a an average of the earlier d, a <- μ·a + (1 - μ)·d."""

    sign: ClassVar[int]
    passes: ClassVar[int] = 1
    scalable: ClassVar[bool] = True
    rho: Number = 0.05

    @property
    def _memory(self) -> Number:
        """μ."""
        return 0.0

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`; the loss returned is the one at θ'."""
        with Step(loss_fn, params) as step, unchanged_by_errors(self.state):
            average = remembered(self.state, "average", step, step.params)
            with step.at(step.params, self._perturbed(step.params, average)):
                loss = step.first()
                scale = LossScale(loss_fn, loss)
                differentiate(self, loss, scale.value)
            moved = step.with_gradient()
            if moved:
                average = remembered(self.state, "average", step, moved)
                finite = scale.is_finite(moved)
                remember(average, scale.unscaled(moved), 1 - self._memory, where=finite)
            return loss.detach()

    @torch.no_grad()
    def _perturbed(self, params: list[Tensor], average: list[Tensor]) -> list[Tensor]:
        """θ ± ρ·a/‖a‖."""
        if not params:
            return []
        return offset(params, average, self.sign * radius_over_norm(self.rho, average, self), self)


@dataclass(frozen=True)
class MomentumSAM(_SinglePass):
    """Momentum-SAM: d = ∇L(θ - ρ·v/‖v‖), with v the momentum, v <- μ·v + d; v = 0 at first.

    One gradient a step. The sign is the paper's: θ' lies ahead, where momentum leads, as that of
    Nesterov's method does, but at the fixed distance ρ.

    The paper takes v from the optimizer, which a method does not see. Here it is made of the
    directions d, and equals the buffer of ``torch.optim.SGD`` with that momentum if it has no
    weight decay, dampening or clipping: the buffer has their part too. (What is kept is
    (1 - μ)·v; only its direction matters.) The paper moves the parameters themselves, in place;
    here they are back after every step, bit for bit, so a step holds two copies more than SGD: v
    and θ'. Under a gradient scaler v is unscaled, and a step that overflows leaves it as it was.

    Args:
        rho: ρ >= 0, radius of the perturbation in parameter space. With 0 the step is SGD's.
        mu: μ in [0, 1], the momentum of the optimizer.

    Source: Becker, Altrock & Risse 2024 (arXiv 2401.12033), Algorithm 1.
    """

    rho: Number = 0.3
    mu: Number = 0.9
    name: ClassVar[str] = "momentum-sam"
    stackable: ClassVar[bool] = True
    sign: ClassVar[int] = -1

    def __post_init__(self) -> None:
        require_at_least_zero(rho=self.rho)
        require_shares(mu=self.mu)
        super().__post_init__()

    @property
    def _memory(self) -> Number:
        """μ."""
        return self.mu


@dataclass(frozen=True)
class SingleStepSAM(_SinglePass):
    """Single-step SAM: d = ∇L(θ + ρ·d₋/‖d₋‖), with d₋ the direction of the step before, 0 at first.

    One gradient a step: SAM whose ascent is along the last step's gradient, of another mini-batch.
    The state is d₋; a step holds two copies more than SGD: d₋ and θ'. Under a gradient scaler d₋ is
    unscaled, and a step that overflows leaves it as it was.

    Args:
        rho: ρ >= 0, radius of the ascent step in parameter space. With 0 the step is SGD's.

    Source: Ji et al., NeurIPS 2024, "A single-step, sharpness-aware minimization is all you need
    to achieve efficient and accurate sparse training" (S²-SAM).
    """

    rho: Number = 0.05
    name: ClassVar[str] = "single-step-sam"
    stackable: ClassVar[bool] = True
    sign: ClassVar[int] = 1

    def __post_init__(self) -> None:
        require_at_least_zero(rho=self.rho)
        super().__post_init__()
