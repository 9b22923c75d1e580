"""Clipping: a method whose direction is no longer than a given norm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..base import Method, Number, require_positive
from ..scaling import LossScale
from ..step import LossFunction
from ..two_point import keep_share, radius_over_norm
from .combinator import Combinator


@dataclass(frozen=True)
class Clipped(Combinator):
    """A method's direction, shortened to a norm where it is longer: d = d'·min(1, norm/‖d'‖).

    d' is the method's; the norm is over all parameters, and in a fleet each run's own. Nothing
    waits for the device. The passes inside the method are as they are without it.

    Args:
        method: of which d' is the direction.
        norm: the most that ‖d‖₂ may be, > 0.

    Source: Pascanu, Mikolov & Bengio, ICML 2013 (arXiv 1211.5063).
    """

    method: Method
    norm: Number = 1.0
    name: ClassVar[str] = "clipped"
    stackable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(norm=self.norm)
        super().__post_init__()

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`."""
        own = list({id(p): p for p in params}.values())
        loss = self.method.backward(loss_fn, own)
        gradients = [p.grad for p in own if p.grad is not None]
        if gradients:
            most = self.norm * LossScale(loss_fn, loss).value
            keep_share(own, radius_over_norm(most, gradients, self).clamp(max=1))
        return loss
