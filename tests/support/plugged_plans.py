"""Plug-ins for plans: a method of a cycle, one that reads a number, a model with tied layers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from gr_bench.methods import SAM, SGD, LossFunction, Method


@dataclass(frozen=True)
class EveryThird(Method):
    """SAM in the first of three steps, SGD in the others."""

    name: ClassVar[str] = "every-third"
    passes: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_sam", SAM())

    @property
    def cycle(self) -> int:
        return 3

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        step = self.state.get("step", 0)
        self.state["step"] = (step + 1) % 3
        object.__setattr__(self, "workspace", self._sam.workspace)
        return (SGD() if step else self._sam).backward(loss_fn, params)


@dataclass(frozen=True)
class Reading(SGD):
    """SGD that looks at its loss."""

    name: ClassVar[str] = "reading"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        print("a look at the loss")
        loss = super().backward(loss_fn, params)
        if loss.item() > 1e9:
            raise ValueError
        return loss


class Tied(nn.Module):
    """The same linear layer under two names."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(math.prod(input_shape), num_classes)
        self.second = nn.Linear(math.prod(input_shape), num_classes)
        self.second.weight, self.second.bias = self.first.weight, self.first.bias

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.first(inputs.flatten(1)) + self.second(inputs.flatten(1))
        return logits
