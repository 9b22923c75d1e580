"""SAM of the package pytorch-optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from gr_bench.methods import LossFunction, Method


class _NoStep(torch.optim.Optimizer):
    """Stands where the base optimizer would: the caller's own steps after the method."""

    def __init__(self, params: Iterable[Tensor], **_: Any) -> None:
        super().__init__(list(params), {})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Nothing."""


@dataclass(frozen=True)
class PytorchOptimizerSAM(Method):
    """``pytorch_optimizer.SAM``, first and second step around two plain passes.

    Args:
        rho: radius of the ascent step.
        foreach: fused operations over all tensors; the package's default on a CPU is not to.
    """

    rho: float = 0.05
    foreach: bool = False
    name: ClassVar[str] = "PytorchOptimizerSAM"
    passes: ClassVar[int] = 2

    _made: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False, kw_only=True
    )

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """d = ∇L(θ + ρ·g/‖g‖)."""
        params = list(params)
        if "optimizer" not in self._made:
            from pytorch_optimizer import SAM

            self._made["optimizer"] = SAM(params, _NoStep, rho=self.rho, foreach=self.foreach)
        optimizer = self._made["optimizer"]
        if "loaded" in self._made:
            optimizer.load_state_dict(self._made.pop("loaded"))
        for p in params:
            p.grad = None
        loss = loss_fn()
        loss.backward()
        optimizer.first_step(zero_grad=True)
        loss_fn().backward()
        optimizer.second_step(zero_grad=False)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's, whose memory counts as the method's; empty before the first step."""
        made = self._made.get("optimizer")
        return {} if made is None else {"optimizer": made.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hand it to the optimizer, which is made in the first step."""
        self._made.update({"loaded": state["optimizer"]} if "optimizer" in state else {})
