"""The multilayer perceptron."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from gr_bench.workloads.checks import check_dropout, check_positive, check_shape
from gr_bench.workloads.models.layers import activation_layer


class MLP(nn.Module):
    """Fully connected network: (B, *input_shape) -> (B, num_classes).

    With x₀ the flattened input, xₗ = activation(Wₗ xₗ₋₁ + bₗ) for l < depth, and the logits are
    W x + b of the last of them.

    Args:
        input_shape: shape of one sample, of any number of entries; it is flattened.
        num_classes: number of logits.
        depth: number of linear layers, the output layer included; 1 is a linear classifier.
        width: units of every hidden layer.
        activation: ``relu``, ``gelu``, ``silu`` or ``tanh``.
        dropout: probability of zeroing a hidden unit while training.

    Raises:
        ValueError: a size is not a whole number of at least 1, the activation is unknown, or
            dropout is outside [0, 1).
    """

    takes_tokens: ClassVar[bool] = False

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        depth: int = 4,
        width: int = 512,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, depth=depth, width=width)
        check_dropout(dropout)
        features = math.prod(check_shape("input_shape", input_shape))
        sizes = [features] + [width] * (depth - 1)
        hidden: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            hidden += [nn.Linear(inputs, outputs), activation_layer(activation)]
            if dropout:
                hidden.append(nn.Dropout(dropout))
        self.hidden = nn.Sequential(*hidden)
        self.classifier = nn.Linear(sizes[-1], num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.hidden(inputs.flatten(1)))
        return logits
