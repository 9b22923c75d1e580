"""Random changes to a batch of training images, made on the device that holds them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = 4


def crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pad by four zeros, crop back to size at a random place, mirror half of the images.

    Args:
        images: (B, C, H, W); every image gets a place and a side of its own.
        generator: on the CPU, so that the same seed gives the same draws on every device.

    Raises:
        ValueError: the inputs are not images.

    Source: He et al., CVPR 2016 (arXiv 1512.03385), section 4.2.
    """
    if images.ndim != 4:
        raise ValueError(
            f"crop-flip is for images (B, C, H, W), not for inputs of shape {tuple(images.shape)}"
        )
    batch, _, height, width = images.shape
    draws = torch.randint(2 * PADDING + 1, (2, batch), generator=generator)
    mirrored = torch.randint(2, (batch, 1), generator=generator).bool()
    columns = torch.arange(width).expand(batch, width)
    columns = torch.where(mirrored, columns.flip(1), columns) + draws[1][:, None]
    rows = torch.arange(height) + draws[0][:, None]
    padded = F.pad(images, (PADDING,) * 4)
    each = torch.arange(batch)[:, None, None, None].to(images.device)
    channels = torch.arange(images.shape[1])[None, :, None, None].to(images.device)
    rows, columns = rows.to(images.device), columns.to(images.device)
    return padded[each, channels, rows[:, None, :, None], columns[:, None, None, :]]


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {"crop-flip": crop_flip}
"""The augmentations by name; ``none`` is the absence of one."""
