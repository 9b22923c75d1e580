"""A small Transformer that predicts the next character."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from gr_bench.workloads.checks import check_positive, check_shape
from gr_bench.workloads.models.transformer import TransformerBlock, check_transformer


class CharTransformer(nn.Module):
    """Decoder-only, causal Transformer: tokens (B, T) -> logits (B, T, num_classes).

    Learned token and position embeddings, ``depth`` pre-norm blocks with an MLP of 4·``width``
    units, a linear output layer of its own (Radford et al. 2019, "Language Models are
    Unsupervised Multitask Learners", made small). The logits at t depend on tokens up to t only.

    Args:
        input_shape: (T,), the length of a sequence of whole-number tokens in [0, num_classes).
        num_classes: size of the vocabulary.
        width: size of a token's embedding.
        depth: number of blocks.
        heads: attention heads of a block; must divide ``width``.
        dropout: probability of zeroing an attention weight or a value of a branch while training.

    Raises:
        ValueError: the input is not a sequence (T,), heads do not divide the width, a size is not a
            whole number of at least 1, or dropout is outside [0, 1).
    """

    takes_tokens: ClassVar[bool] = True

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes)
        check_transformer(width, depth, heads, dropout)
        shape = check_shape("input_shape", input_shape)
        if len(shape) != 1:
            raise ValueError(f"input_shape must be (T,), a sequence of tokens, not {shape}")
        (length,) = shape
        self.tokens = nn.Embedding(num_classes, width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, heads, 4, dropout, length) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        embedded = self.tokens(inputs) + self.positions
        logits: Tensor = self.output(self.norm(self.blocks(embedded)))
        return logits
