"""Optimizers of a fleet: the updates of PyTorch's, with rates for every run.

Parameters are stacked, (R, ...), and so is what an optimizer remembers of them. All parameters go
into one call each, which a GPU runs in a few launches; not so where the runs' rates differ.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gr_bench.methods.fleet import per_run_each

Rates = float | Tensor
"""A learning rate or weight decay for all runs, or one for each: float64, (R,)."""


class FleetOptimizer(ABC):
    """An optimizer of stacked parameters: every run moves as with ``torch.optim`` alone.

    Args:
        params: stacked, (R, ...).
        settings: the optimizer's, as ``torch.optim`` has them in ``defaults``; the weight decay
            may be one for each run.
    """

    def __init__(self, params: Sequence[Tensor], settings: Mapping[str, Any]) -> None:
        self._params = list(params)
        self._settings = settings

    @torch.no_grad()
    def step(self, rates: Rates) -> None:
        """One step; parameters without a gradient stay where they are."""
        moving = [i for i, p in enumerate(self._params) if p.grad is not None]
        if moving:
            self._step(moving, rates)

    @abstractmethod
    def _step(self, moving: Sequence[int], rates: Rates) -> None:
        """One step of the parameters with these numbers, which have gradients."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that it goes on from."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Be where the optimizer was that gave ``state``; other entries are passed over."""

    def _chosen(self, tensors: Sequence[Tensor], moving: Sequence[int]) -> list[Tensor]:
        return [tensors[i] for i in moving]

    def _gradients(self, moving: Sequence[int]) -> list[Tensor]:
        grads = (self._params[i].grad for i in moving)
        return [grad for grad in grads if grad is not None]


class FleetSGD(FleetOptimizer):
    """v <- μ·v + (d + λ·θ), θ <- θ - η·v; v = 0 at first."""

    def __init__(self, params: Sequence[Tensor], settings: Mapping[str, Any]) -> None:
        super().__init__(params, settings)
        self._velocity = [torch.zeros_like(p) for p in params]

    def _step(self, moving: Sequence[int], rates: Rates) -> None:
        params, velocity = self._chosen(self._params, moving), self._chosen(self._velocity, moving)
        momentum, decay = self._settings["momentum"], self._settings["weight_decay"]
        torch._foreach_mul_(velocity, momentum)
        torch._foreach_add_(velocity, self._gradients(moving))
        if isinstance(decay, Tensor) or decay:
            _descend(velocity, params, -decay)
        _descend(params, velocity, rates)

    def state(self) -> dict[str, Any]:
        """See :meth:`FleetOptimizer.state`."""
        return {"velocity": self._velocity}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See :meth:`FleetOptimizer.load_state`."""
        torch._foreach_copy_(self._velocity, state["velocity"])


class FleetAdamW(FleetOptimizer):
    """θ <- θ - η·λ·θ, m <- β₁·m + (1 - β₁)·d, v <- β₂·v + (1 - β₂)·d²,
    θ <- θ - η·(m/(1 - β₁ᵗ))/(√(v/(1 - β₂ᵗ)) + ε); m = v = 0 at first.

    t counts the steps in which a parameter had a gradient. Runs have them in the same steps.
    """

    def __init__(self, params: Sequence[Tensor], settings: Mapping[str, Any]) -> None:
        super().__init__(params, settings)
        self._mean = [torch.zeros_like(p) for p in params]
        self._mean_square = [torch.zeros_like(p) for p in params]
        self._steps = [0] * len(self._params)

    def _step(self, moving: Sequence[int], rates: Rates) -> None:
        for i in moving:
            self._steps[i] += 1
        params, grads = self._chosen(self._params, moving), self._gradients(moving)
        mean, square = self._chosen(self._mean, moving), self._chosen(self._mean_square, moving)
        beta1, beta2 = self._settings["betas"]
        decay = self._settings["weight_decay"]
        if isinstance(decay, Tensor) or decay:
            _scale(params, 1 - rates * decay)
        torch._foreach_lerp_(mean, grads, 1 - beta1)
        torch._foreach_mul_(square, beta2)
        torch._foreach_addcmul_(square, grads, grads, 1 - beta2)
        update = list(torch._foreach_sqrt(square))
        counts = [self._steps[i] for i in moving]
        torch._foreach_div_(update, [math.sqrt(1 - beta2**t) for t in counts])
        torch._foreach_add_(update, self._settings["eps"])
        torch._foreach_reciprocal_(update)
        torch._foreach_mul_(update, mean)
        torch._foreach_div_(update, [1 - beta1**t for t in counts])
        _descend(params, update, rates)

    def state(self) -> dict[str, Any]:
        """See :meth:`FleetOptimizer.state`."""
        return {"mean": self._mean, "mean_square": self._mean_square, "steps": self._steps}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See :meth:`FleetOptimizer.load_state`."""
        torch._foreach_copy_(self._mean, state["mean"])
        torch._foreach_copy_(self._mean_square, state["mean_square"])
        self._steps = list(state["steps"])


def _descend(params: list[Tensor], update: list[Tensor], rates: Rates) -> None:
    """θ <- θ - η·u."""
    if isinstance(rates, Tensor):
        torch._foreach_addcmul_(params, update, per_run_each(-rates, update))
    else:
        torch._foreach_add_(params, update, alpha=-rates)


def _scale(params: list[Tensor], factors: Rates) -> None:
    """θ <- f·θ."""
    if isinstance(factors, Tensor):
        torch._foreach_mul_(params, per_run_each(factors, params))
    else:
        torch._foreach_mul_(params, factors)


OF_FLEETS: dict[str, type[FleetOptimizer]] = {"sgd": FleetSGD, "adamw": FleetAdamW}
"""The optimizers that step many runs at once, by name (see
:data:`gr_bench.experiments.generalization.cell.FLEET_OPTIMIZERS`)."""
