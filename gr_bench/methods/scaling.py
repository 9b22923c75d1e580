"""Methods under a gradient scaler, as float16 needs one.

Small gradients are zero in float16. ``torch.amp.GradScaler`` differentiates S·L in the place of L,
lowers S where that overflows, and raises it again after many steps in which it does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from .step import Copies, LossFunction, is_expanded

if TYPE_CHECKING:
    from .base import Method


@dataclass(frozen=True)
class ScaledLoss:
    """A loss function that a method differentiates under a gradient scaler.

        loss = method.backward(ScaledLoss(loss_fn, scaler), model.parameters())
        scaler.step(optimizer)
        scaler.update()

    Every ``p.grad`` then holds S·d, as the scaler expects it; the loss returned is L. Points θ' are
    those of the unscaled gradients. An overflow in any pass leaves a ``p.grad`` that is not finite.

    Args:
        loss_fn: see :meth:`Method.backward`.
        scaler: of the optimizer; with ``enabled=False`` it does nothing.
    """

    loss_fn: LossFunction
    scaler: GradScaler

    def __call__(self) -> Tensor:
        """L, not scaled."""
        return self.loss_fn()


def scaled_step(
    method: Method,
    loss_fn: LossFunction,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: GradScaler,
) -> Tensor:
    """One training step under a scaler; returns the detached loss before it.

    A step that overflows leaves the model's parameters and buffers and the optimizer's state as
    they were, and lowers the scale. (PyTorch's own recipe leaves running statistics moved, to
    infinity if activations were infinite, and after a first step its fused SGD's momentum whatever
    memory there was.) The host waits where ``scaler.step`` does, and nowhere else.
    """
    parameters = list(model.parameters())
    buffers = Copies([b for b in model.buffers() if not is_expanded(b)])
    one = torch.ones((), device=parameters[0].device)
    scale = scaler.scale(one)
    loss = method.backward(ScaledLoss(loss_fn, scaler), parameters)
    is_first = not optimizer.state
    scaler.step(optimizer)
    scaler.update()
    overflow = scaler.scale(one) < scale
    buffers.put_back(where=overflow)
    if is_first:
        _clear_state(optimizer, where=overflow)
    return loss


@torch.no_grad()
def _clear_state(optimizer: torch.optim.Optimizer, where: Tensor) -> None:
    """Set an optimizer's state to 0 where a truth value on the parameters' device is true."""
    for of_parameter in optimizer.state.values():
        for value in of_parameter.values():
            if isinstance(value, Tensor) and value.device == where.device:
                value.copy_(torch.where(where, 0, value))


class LossScale:
    """S in one step: 1, unless the loss function has a scaler.

    Args:
        loss_fn: a :class:`ScaledLoss`, or any other.
        loss: its result, not yet differentiated.
    """

    def __init__(self, loss_fn: LossFunction, loss: Tensor) -> None:
        scaler: GradScaler | None = getattr(loss_fn, "scaler", None)
        self.value: float | Tensor = 1.0
        if scaler is not None and scaler.is_enabled():
            # in float64, as Python's numbers are: S·c is then rounded once, where it meets a tensor
            self.value = scaler.scale(torch.ones((), dtype=torch.float64, device=loss.device))

    def unscale(self, params: Iterable[Tensor]) -> None:
        """Divide every ``p.grad`` by S, in place.

        An overflow makes S itself NaN, and so what is still to be differentiated: a further pass
        at a point that is not finite may well have finite gradients, and the scaler must know.
        """
        if not isinstance(self.value, Tensor):
            return
        overflow = torch.zeros_like(self.value, dtype=torch.float32)
        torch._amp_foreach_non_finite_check_and_unscale_(
            [p.grad for p in params if p.grad is not None],
            overflow,
            self.value.reciprocal().float(),
        )
        self.value = torch.where(overflow > 0, torch.nan, self.value)

    def unscaled(self, params: Iterable[Tensor]) -> list[Tensor]:
        """Every ``p.grad`` divided by S, in memory of its own; ``p.grad`` itself if S is 1."""
        gradients = [p.grad for p in params if p.grad is not None]
        if not isinstance(self.value, Tensor):
            return gradients
        return [g / self.value.to(g.dtype) for g in gradients]

    def is_finite(self, params: Iterable[Tensor]) -> Tensor | None:
        """One truth value on the device: no pass of the step has overflowed; None without a scaler.

        Args:
            params: with the step's direction in ``p.grad``.
        """
        if not isinstance(self.value, Tensor):
            return None
        overflow = torch.zeros_like(self.value, dtype=torch.float32)
        gradients = [p.grad for p in params if p.grad is not None]
        torch._amp_foreach_non_finite_check_and_unscale_(
            gradients, overflow, torch.ones_like(overflow)
        )
        return (overflow == 0) & self.value.isfinite()
