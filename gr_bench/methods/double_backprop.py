"""Gradient regularization by double backpropagation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Method, Number, is_zero, require_at_least_zero
from .fleet import differentiate, per_run, root_gradient
from .scaling import LossScale
from .step import LossFunction, Step


@dataclass(frozen=True)
class DoubleBackpropGR(Method):
    """The exact gradient of L + (γ/2)·‖∇L‖²: d = g + γ·Hg.

    g is computed with its own graph, and d by differentiating L + γ·<g, v> at v = g held fixed:
    the gradient of <g, v> is then Hg, that of (1/2)·‖g‖². With data-parallel workers v is the mean
    of their g, so that the mean of their d is that of the mean loss. Every operation in the forward
    pass must have a second derivative; fused attention and compiled graphs have none.

    Args:
        gamma: γ >= 0, strength of the penalty (γ/2)·‖∇L‖². With 0 the step is SGD's, one pass.

    Raises:
        RuntimeError: from autograd, where an operation has no second derivative; on a
            ``DistributedDataParallel`` model with ``static_graph=True``.

    Source: Drucker & LeCun, IEEE Trans. Neural Networks 1992 (double backpropagation, there for
    input gradients); Barrett & Dherin, ICLR 2021 (arXiv 2009.11162) for the penalty.
    """

    gamma: Number = 0.1
    name: ClassVar[str] = "db-gr"
    passes: ClassVar[int] = 3  # about
    penalty: ClassVar[str | None] = "gamma"
    stackable: ClassVar[bool] = True
    scalable: ClassVar[bool] = True
    maskable: ClassVar[bool] = True
    needs_second_derivatives: ClassVar[bool] = True
    forward_passes: ClassVar[int] = 1

    def __post_init__(self) -> None:
        require_at_least_zero(gamma=self.gamma)
        super().__post_init__()

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`."""
        with Step(loss_fn, params) as step:
            loss = step.first()
            scale = LossScale(loss_fn, loss).value
            if is_zero(self.gamma) or not step.params or not loss.requires_grad:
                differentiate(self, loss, scale)
                return loss.detach()
            if step.parallel is not None and step.parallel.static_graph:
                # its first reduction waits for the end of any differentiation, and g's is the first
                raise RuntimeError(f"{self.name} needs static_graph=False: it differentiates twice")
            root = root_gradient(self, loss, scale)
            gradients = torch.autograd.grad(
                loss, step.params, root, create_graph=True, allow_unused=True
            )
            penalties = step.mean_over_workers(
                [
                    torch.zeros_like(p) if g is None else self._penalty_gradient(g, scale)
                    for p, g in zip(step.params, gradients, strict=True)
                ]
            )
            penalised = {id(p) for p in step.movable(step.params)}
            # A gradient without a graph is constant in θ: its row of Hg is zero.
            curved = [
                (g, v)
                for p, g, v in zip(step.params, gradients, penalties, strict=True)
                if g is not None and g.requires_grad and id(p) in penalised
            ]
            # Not with inputs=params: autograd would then pass over an operation without a second
            # derivative, whose node leads to no parameter, instead of raising.
            torch.autograd.backward(
                [loss, *(g for g, _ in curved)], [root, *(v for _, v in curved)]
            )
            return loss.detach()

    def _penalty_gradient(self, scaled: Tensor, scale: Number) -> Tensor:
        """γ·g, the derivative of S·(γ/2)·‖g‖² with respect to S·g, given S·g."""
        gamma = self.gamma / scale
        return scaled.detach() * (per_run(gamma, scaled) if isinstance(gamma, Tensor) else gamma)
