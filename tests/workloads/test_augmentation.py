"""Augmentation against pixel-by-pixel loops."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from gr_bench.workloads.augmentation import AUGMENTATIONS, PADDING, crop_flip, draw_crop_flip


def by_hand(image: Tensor, down: int, right: int, mirrored: bool) -> Tensor:
    """One image (C, H, W), shifted by (down, right) - 4 with zeros beyond its edges."""
    _, height, width = image.shape
    out = torch.zeros_like(image)
    for i, j in itertools.product(range(height), range(width)):
        row, column = i + down - PADDING, j + right - PADDING
        if 0 <= row < height and 0 <= column < width:
            out[:, i, width - 1 - j if mirrored else j] = image[:, row, column]
    return out


def test_every_place_and_side_is_the_one_drawn() -> None:
    """All 9 x 9 places and both sides, on images that are not square."""
    draws = torch.tensor(list(itertools.product(range(9), range(9), range(2))))
    images = torch.rand(len(draws), 2, 3, 5)
    found = crop_flip(images, draws)
    for image, out, (down, right, mirrored) in zip(images, found, draws.tolist(), strict=True):
        assert torch.equal(out, by_hand(image, down, right, bool(mirrored)))


def test_draws_are_uniform_and_independent() -> None:
    """Within five standard deviations of their counts."""
    count = 40_000
    draws = draw_crop_flip(count, torch.Generator().manual_seed(0))
    assert draws.shape == (count, 3)
    kinds = draws @ torch.tensor([18, 2, 1])
    counts = torch.bincount(kinds, minlength=162).double()
    assert len(counts) == 162
    mean = count / 162
    assert (counts - mean).abs().max() < 5 * mean**0.5


def test_the_same_generator_gives_the_same_draws() -> None:
    first, again = (draw_crop_flip(7, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, draw_crop_flip(7, torch.Generator().manual_seed(4)))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_draws_do_for_any_split_of_the_batch(name: str) -> None:
    augmentation = AUGMENTATIONS[name]
    inputs = torch.rand(6, 1, 4, 4)
    draws = augmentation.draw(6, torch.Generator().manual_seed(0))
    parts = [augmentation.apply(inputs[i : i + 2], draws[i : i + 2]) for i in (0, 2, 4)]
    assert torch.equal(augmentation.apply(inputs, draws), torch.cat(parts))
    assert augmentation.apply(inputs.double(), draws).dtype == torch.float64
