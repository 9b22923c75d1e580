"""SAM as tutorials write it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gr_bench.methods import LossFunction, Method


@dataclass(frozen=True)
class TextbookSAM(Method):
    """SAM by a loop over the parameters, a clone of each and a fresh perturbation of each.

    The structure of the most used implementation in PyTorch (davda54/sam): batch-norm statistics
    move twice, dropout draws a second mask.
    """

    rho: float = 0.05
    name: ClassVar[str] = "TextbookSAM"
    passes: ClassVar[int] = 2

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """d = ∇L(θ + ρ·g/‖g‖)."""
        params = list(params)
        for p in params:
            p.grad = None
        loss = loss_fn()
        loss.backward()
        old = {}
        with torch.no_grad():
            norms = [p.grad.norm(p=2) for p in params if p.grad is not None]
            scale = self.rho / (torch.norm(torch.stack(norms), p=2) + 1e-12)
            for p in params:
                if p.grad is not None:
                    old[p] = p.data.clone()
                    p.add_(p.grad * scale)
                    p.grad = None
        loss_fn().backward()
        for p, value in old.items():
            p.data = value
        return loss.detach()
