"""The loss and the accuracy of a classifier, of whole inputs or of every position."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["accuracy", "cross_entropy", "hits"]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean of -log softmax(logits)[target], in nats.

    Args:
        logits: (B, K), or (B, T, K) for one prediction a position.
        targets: whole numbers in [0, K), of shape (B,) or (B, T).

    Returns:
        A scalar. Every prediction has the same weight, so (B, T, K) is a mean over B·T.
    """
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


def accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """The fraction of predictions whose largest logit is the target's, in [0, 1].

    Shapes are those of :func:`cross_entropy`. The result is a scalar float32 tensor on the device
    of the logits: the caller decides when to wait for it.
    """
    return hits(logits, targets).float().mean()


def hits(logits: Tensor, targets: Tensor) -> Tensor:
    """True for the predictions whose largest logit is the target's, of the targets' shape."""
    return logits.argmax(dim=-1) == targets
