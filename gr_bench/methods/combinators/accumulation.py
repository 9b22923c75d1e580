"""Accumulation: every pass of a method in micro-batches, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..base import Method
from ..step import LossFunction
from .combinator import Combinator
from .schedules import require_positive_integer


@runtime_checkable
class DivisibleLoss(Protocol):
    """A loss function of a mini-batch that can be cut into micro-batches."""

    def __call__(self) -> Tensor:
        """The mean loss over the mini-batch."""

    def parts(self, count: int) -> Sequence[LossFunction]:
        """The loss functions of ``count`` parts of the same size, whose mean is the loss.

        Raises:
            ValueError: the mini-batch cannot be cut into so many.
        """


@dataclass(frozen=True)
class Accumulated(Combinator):
    """A method whose passes go through the mini-batch in parts, so that activations need a share
    of the memory: L = the mean of L₁, ..., L_n over n micro-batches.

    d = the method's d of that mean; each gradient is the sum of ∇L_i/n, accumulated part by part.
    Without batch norm that is the mini-batch's own d, to rounding. With it every part is normalised
    by its own statistics, which is another loss, and running statistics move n times a step.
    Between a pass's gradient and its place in ``p.grad`` one parameter copy more is alive.

    The parts must be all that is around: ``accumulated(late(sam))``, and not the reverse, whose
    steps of SGD would take the mini-batch whole.

    Args:
        method: any that does not differentiate twice; not under a gradient scaler, and not on a
            ``DistributedDataParallel`` model.
        parts: n, whole number >= 1, which divides the batch size.
    """

    method: Method
    parts: float = 4
    name: ClassVar[str] = "accumulated"
    scalable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive_integer(parts=self.parts)
        super().__post_init__()
        if self.method.needs_second_derivatives:
            raise ValueError(f"{self.method.name} differentiates twice: it cannot go part by part")

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`.

        Args:
            loss_fn: a :class:`DivisibleLoss`.
            params: the parameters.

        Raises:
            TypeError: the loss function has no ``parts``.
            ValueError: the mini-batch cannot be cut into so many.
        """
        if not isinstance(loss_fn, DivisibleLoss):
            raise TypeError(f"{self.name} needs a loss function with parts(count)")
        own = list(params)
        return self.method.backward(_LossInParts(loss_fn, int(self.parts), own), own)

    @property
    def keeps_gradient(self) -> bool:
        """True with several parts: the gradient of one outlives the next."""
        return self.parts > 1 or self.method.keeps_gradient


class _LossInParts:
    """The mean loss over micro-batches, whose gradient is there before it is asked for."""

    def __init__(self, loss_fn: DivisibleLoss, count: int, params: Sequence[Tensor]) -> None:
        self._parts = loss_fn.parts(count)
        self._params = list({id(p): p for p in params if p.requires_grad}.values())
        self.fixed: frozenset[int] = getattr(loss_fn, "fixed", frozenset())
        self.longest = getattr(loss_fn, "longest", None)

    def __call__(self) -> Tensor:
        """The loss; differentiating it hands over the gradient, once."""
        before = [p.grad for p in self._params]
        try:
            for p in self._params:
                p.grad = None
            losses = []
            for part in self._parts:
                loss = part()
                (loss / len(self._parts)).backward()
                losses.append(loss.detach())
            found = [p.grad for p in self._params]
        finally:
            for p, own in zip(self._params, before, strict=True):
                p.grad = own
        mean = torch.stack(losses).mean()
        return _WithGradient.apply(mean, found, *self._params)  # type: ignore[no-any-return]


class _WithGradient(torch.autograd.Function):
    """A value that has a given gradient with respect to parameters."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor | None], *_: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        own = [g for g in gradients if g is not None]
        if own:
            torch._foreach_mul_(own, weight.to(own[0].dtype))
        return (None, None, *gradients)
