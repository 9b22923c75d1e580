"""Flooding: keep the training loss near a level above zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Method, Number, require_at_least_zero
from .fleet import differentiate, per_run
from .scaling import LossScale
from .step import LossFunction, Step


@dataclass(frozen=True)
class Flooding(Method):
    """Descent above the flood level, ascent below it: d = sign(L - b)·g.

    It is the gradient of abs(L - b) + b. A descent step followed by an ascent step with learning
    rate η is -η² times the penalty part of B-GR with ε = η, (g - ∇L(θ - ηg))/η; in the other
    order, of F-GR (Karakida et al., ICML 2023, section 5). At L = b exactly, d = 0.

    Args:
        level: b >= 0, the flood level, in units of the loss.

    Source: Ishida et al., ICML 2020 (arXiv 2002.08709).
    """

    level: Number = 0.05
    name: ClassVar[str] = "flooding"
    stackable: ClassVar[bool] = True
    scalable: ClassVar[bool] = True
    maskable: ClassVar[bool] = True
    passes: ClassVar[int] = 1

    def __post_init__(self) -> None:
        require_at_least_zero(level=self.level)
        super().__post_init__()

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`."""
        with Step(loss_fn, params) as step:
            loss = step.first()
            level = self.level
            (height,) = step.mean_over_workers([loss.detach()])
            above = height - (per_run(level, loss) if isinstance(level, Tensor) else level)
            differentiate(self, loss, above.sign() * LossScale(loss_fn, loss).value)
            return loss.detach()
