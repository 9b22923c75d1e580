"""Random changes to training inputs: drawn on the host for a whole epoch, made on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = 4


@dataclass(frozen=True)
class Augmentation:
    """A random change in two halves, so that the draws of an epoch can move to a device at once.

    What is drawn is the same on every device: a GPU's own generators give other numbers than the
    host's, and other ones on another GPU.
    """

    draw: Callable[[int, torch.Generator], Tensor]
    """``draw(batch, generator)``: whole numbers (B, n) on the host, n for every example."""

    apply: Callable[[Tensor, Tensor], Tensor]
    """``apply(inputs, draws)``: the changed inputs (B, ...), where both are; waits for nothing."""


def draw_crop_flip(batch: int, generator: torch.Generator) -> Tensor:
    """Rows down and columns right in [0, 8], and whether to mirror, for every image: (B, 3)."""
    places = torch.randint(2 * PADDING + 1, (2, batch), generator=generator)
    mirrored = torch.randint(2, (batch, 1), generator=generator)
    return torch.cat([places.T, mirrored], dim=1)


def crop_flip(images: Tensor, draws: Tensor) -> Tensor:
    """Pad by four zeros, crop back to size at a place drawn before, mirror if that was drawn.

    Args:
        images: (B, C, H, W).
        draws: of :func:`draw_crop_flip`, (B, 3), on the same device.

    Raises:
        ValueError: the inputs are not images.

    Source: He et al., CVPR 2016 (arXiv 1512.03385), section 4.2.
    """
    if images.ndim != 4:
        raise ValueError(
            f"crop-flip is for images (B, C, H, W), not for inputs of shape {tuple(images.shape)}"
        )
    batch, channels, height, width = images.shape
    down, right, mirrored = draws.split(1, dim=1)

    def count(length: int) -> Tensor:
        return torch.arange(length, device=images.device)

    columns = torch.where(mirrored.bool(), width - 1 - count(width), count(width)) + right
    rows = count(height) + down
    padded = F.pad(images, (PADDING,) * 4)
    each, channel = count(batch)[:, None, None, None], count(channels)[:, None, None]
    return padded[each, channel, rows[:, None, :, None], columns[:, None, None, :]]


AUGMENTATIONS = {"crop-flip": Augmentation(draw_crop_flip, crop_flip)}
"""The augmentations by name; ``none`` is the absence of one."""
