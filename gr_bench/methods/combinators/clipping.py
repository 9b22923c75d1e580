"""Clipping: a method whose direction, or whose ascent, is by no longer a gradient than a norm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ..base import Method, Number, require_positive
from ..scaling import LossScale
from ..step import LossFunction
from ..two_point import keep_share, radius_over_norm
from .combinator import Combinator

ASCENT = "ascent"


class _ShortAscent:
    """A loss function that has methods ascend by no longer a gradient than a norm.

    Methods that are ``clippable`` look for it. All else is as with ``loss_fn``.
    """

    def __init__(self, loss_fn: LossFunction, longest: Number) -> None:
        self._loss_fn = loss_fn
        self.longest = longest

    def __call__(self) -> Tensor:
        return self._loss_fn()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loss_fn, name)


@dataclass(frozen=True)
class Clipped(Combinator):
    """A method with a gradient that is shortened to a norm where it is longer.

    - ``of="direction"``: d = d'·min(1, norm/‖d'‖), with the method's d', over all parameters. The
      passes inside the method are as they are without it.
    - ``of="ascent"``: θ' = θ + s·g·min(1, norm/‖g‖), over the parameters that are perturbed; all
      else is the method's, so that F-GR's d = (1 - c)·g + c·∇L(θ'). It is for methods that are
      ``clippable``: in others, as in SAM, the length of g does not matter.

    In a fleet each norm is a run's own. Nothing waits for the device.

    Args:
        method: the method.
        norm: the most that the gradient's norm may be, > 0.
        of: ``direction`` or ``ascent``.

    Source: Pascanu, Mikolov & Bengio, ICML 2013 (arXiv 1211.5063).
    """

    method: Method
    norm: Number = 1.0
    of: str = "direction"
    name: ClassVar[str] = "clipped"
    stackable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(norm=self.norm)
        super().__post_init__()
        if self.of not in ("direction", ASCENT):
            raise ValueError(f"of must be 'direction' or '{ASCENT}', not {self.of!r}")
        if self.of == ASCENT and not self.method.clippable:
            raise ValueError(f"{self.method.name} has no ascent that grows with the gradient")

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`."""
        if self.of == ASCENT:
            return self.method.backward(_ShortAscent(loss_fn, self.norm), params)
        own = list({id(p): p for p in params}.values())
        loss = self.method.backward(loss_fn, own)
        gradients = [p.grad for p in own if p.grad is not None]
        if gradients:
            most = self.norm * LossScale(loss_fn, loss).value
            keep_share(own, radius_over_norm(most, gradients, self).clamp(max=1))
        return loss
