"""A method on each micro-batch by itself, and the mean of what it finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..base import Method
from ..step import LossFunction
from .accumulation import DivisibleLoss
from .combinator import Combinator
from .schedules import require_positive_integer


@dataclass(frozen=True)
class MicroBatches(Combinator):
    """The mean over n micro-batches of a method's direction on each: d = (1/n)·Σ d(L_i).

    With SAM each micro-batch of m = B/n samples has a perturbation of its own, which is SAM by
    m-sharpness; with n = 1 it is the method. Of a method whose d is linear in the loss, as SGD's
    is, it is the mini-batch's own d. Batch norm normalises every part by its own statistics, and
    the running ones move n times a step. One parameter copy more is alive.

    The method inside makes n steps a step, each over a part: their passes are counted as the
    share of the mini-batch that they take. The parts must be all that is around, as with
    :class:`Accumulated`.

    Args:
        method: on every part; not under a gradient scaler, and not on a
            ``DistributedDataParallel`` model.
        parts: n, whole number >= 1, which divides the batch size.

    Source: Foret et al., ICLR 2021 (arXiv 2010.01412), m-sharpness; Andriushchenko & Flammarion,
    ICML 2022 (arXiv 2206.06232).
    """

    method: Method
    parts: float = 4
    name: ClassVar[str] = "micro-batches"
    scalable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive_integer(parts=self.parts)
        super().__post_init__()

    def begin(self, params: Mapping[str, Tensor], steps: int) -> None:
        """See :meth:`Method.begin`; the method inside has as many steps as there are parts."""
        self.method.begin(params, steps * int(self.parts))

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
        own = list({id(p): p for p in params}.values())
        count = int(self.parts)
        losses: list[Tensor] = []
        sums: list[Tensor | None] = [None] * len(own)
        for part in loss_fn.parts(count):
            losses.append(self.method.backward(part, own))
            for place, p in enumerate(own):
                found, so_far = p.grad, sums[place]
                if found is not None:
                    sums[place] = found.clone() if so_far is None else so_far.add_(found)
        for p, total in zip(own, sums, strict=True):
            p.grad = None if total is None else total.div_(count)
        return torch.stack(losses).mean()

    @property
    def keeps_gradient(self) -> bool:
        """True with several parts: the direction of one outlives the next."""
        return self.parts > 1 or self.method.keeps_gradient

    def passes_in(self, done: int, steps: int) -> float:
        """See :meth:`Method.passes_in`."""
        count = int(self.parts)
        return self.method.passes_in(done * count, steps * count) / count
