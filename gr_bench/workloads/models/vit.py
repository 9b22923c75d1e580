"""A small vision Transformer."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from gr_bench.workloads.checks import check_positive
from gr_bench.workloads.models.layers import (
    CONVOLUTIONS,
    channel_axis,
    split_input_shape,
)
from gr_bench.workloads.models.transformer import TransformerBlock, check_transformer


class ViT(nn.Module):
    """Vision Transformer, averaging over patches (Dosovitskiy et al. 2021).

    Patches are embedded linearly and given learned positions, pass ``depth`` pre-norm blocks, and
    their mean gives the logits, without a class token (Beyer, Zhai & Kolesnikov 2022). Input
    (B, *input_shape), output (B, num_classes).

    Args:
        input_shape: an image (C, H, W), cut into squares, or a signal (C, L) or (L,), cut into
            segments.
        num_classes: number of logits.
        patch: side of a patch; it must divide every spatial side of the input.
        width: size of a patch's embedding.
        depth: number of blocks.
        heads: attention heads of a block; must divide ``width``.
        mlp_ratio: hidden units of a block's MLP, in multiples of ``width``.
        dropout: probability of zeroing an attention weight or a value of a branch while training.

    Raises:
        ValueError: the patch does not divide the input, heads do not divide the width, a size is
            not a whole number of at least 1, dropout is outside [0, 1), or the input is neither an
            image nor a signal.
    """

    takes_tokens: ClassVar[bool] = False

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        patch: int = 4,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        mlp_ratio: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, patch=patch, mlp_ratio=mlp_ratio)
        check_transformer(width, depth, heads, dropout)
        channels, spatial = split_input_shape(input_shape)
        if any(side % patch for side in spatial):
            sides = "x".join(str(side) for side in spatial)
            raise ValueError(
                f"patch must divide every side of the {sides} input (so must divide "
                f"{math.gcd(*spatial)}), not {patch}"
            )
        tokens = math.prod(side // patch for side in spatial)
        self.embedding = nn.Sequential(
            channel_axis(input_shape),
            CONVOLUTIONS[len(spatial)](channels, width, kernel_size=patch, stride=patch),
        )
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, heads, mlp_ratio, dropout) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        patches = self.embedding(inputs).flatten(2).transpose(1, 2)
        encoded = self.norm(self.blocks(patches + self.positions))
        logits: Tensor = self.classifier(encoded.mean(dim=1))
        return logits
