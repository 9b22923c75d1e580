"""How steep and how curved the loss is at a point."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def gradient_norm(params: Iterable[Tensor]) -> Tensor:
    """‖g‖₂ over all ``p.grad``, a 0-d tensor (0 where no parameter has a gradient)."""
    gradients = [p.grad for p in params if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)
