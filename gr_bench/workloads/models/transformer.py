"""The pre-norm Transformer block, shared by the models for images and for text."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gr_bench.workloads.checks import check_dropout, check_positive


def check_transformer(width: int, depth: int, heads: int, dropout: float) -> None:
    """Raise ValueError unless a stack of blocks can be built from these."""
    check_positive(width=width, depth=depth, heads=heads)
    check_dropout(dropout)
    if width % heads:
        raise ValueError(f"heads must divide width: width={width} is no multiple of heads={heads}")


class SelfAttention(nn.Module):
    """softmax(QKᵀ/√d) V for each head of size d, then a linear layer: (B, T, W) -> (B, T, W).

    With ``causal_length`` = T, position t sees positions up to t only (Vaswani et al. 2017).
    """

    causal_mask: Tensor | None

    def __init__(
        self, width: int, heads: int, dropout: float, causal_length: int | None = None
    ) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1 / math.sqrt(width // heads)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, width)
        mask = (
            None
            if causal_length is None
            else torch.ones(causal_length, causal_length, dtype=torch.bool).triu(diagonal=1)
        )
        self.register_buffer("causal_mask", mask, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        projected = self.query_key_value(inputs)
        query, key, value = projected.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # Written out: the fused attention kernels have no double backward.
        scores = query @ key.transpose(-2, -1) * self.scale
        if self.causal_mask is not None:
            scores = scores.masked_fill(self.causal_mask, -math.inf)
        mixed = self.dropout(scores.softmax(dim=-1)) @ value
        outputs: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return outputs


class TransformerBlock(nn.Module):
    """x <- x + attention(LN(x)), then x <- x + MLP(LN(x)): (B, T, W) -> (B, T, W).

    The MLP has one hidden layer of mlp_ratio·W GELU units.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: int,
        dropout: float,
        causal_length: int | None = None,
    ) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.LayerNorm(width),
            SelfAttention(width, heads, dropout, causal_length),
            nn.Dropout(dropout),
        )
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, mlp_ratio * width),
            nn.GELU(),
            nn.Linear(mlp_ratio * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        attended = inputs + self.attention(inputs)
        outputs: Tensor = attended + self.mlp(attended)
        return outputs
