"""Mini-batches: order and augmentation of an epoch, against what they are by definition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from synthetic import training
from torch import Tensor

from gr_bench import registry
from gr_bench.experiments.generalization.training.fleet import Fleet
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.meters.get_device import get_device
from gr_bench.timing.step import load_data
from gr_bench.workloads.augmentation import crop_flip
from gr_bench.workloads.datasets import Dataset

IMAGES: dict[str, Any] = {
    "model": "mlp(depth=1)",
    "dataset": "random(shape=(2, 6, 5), num_classes=3, samples=70)",
    "batch_size": 16,
    "augmentation": "crop-flip",
}
CELL = training("sgd", **IMAGES)
DATA: Dataset = load_data(CELL, registry)
CPU = get_device("cpu")


def by_definition(draws: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch: a permutation, then batch by batch the places and the sides of its images."""
    order = torch.randperm(70, generator=draws)
    for chosen in order[:64].split(16):
        places = torch.randint(9, (2, 16), generator=draws)
        mirrored = torch.randint(2, (16, 1), generator=draws)
        images = DATA.train.inputs[chosen]
        yield crop_flip(images, torch.cat([places.T, mirrored], 1)), DATA.train.targets[chosen]


def test_batches_are_drawn_in_order_from_the_seed_alone() -> None:
    """Through two epochs; these are the draws of versions before an epoch's were made at once."""
    for seed in (0, 5):
        loop = Loop(replace(CELL, seed=seed), DATA, CPU)
        draws = torch.Generator().manual_seed(seed)
        for _ in range(2):
            pairs = zip(loop.batches(), by_definition(draws), strict=True)
            for (inputs, targets), (own_inputs, own_targets) in pairs:
                assert torch.equal(inputs[0], own_inputs)
                assert torch.equal(targets[0], own_targets)


def test_a_run_has_the_same_batches_in_any_fleet() -> None:
    cells = [replace(CELL, seed=seed) for seed in (3, 1, 3)]
    alone = [list(Loop(cell, DATA, CPU).batches()) for cell in cells]
    for index, (inputs, targets) in enumerate(Fleet(cells, DATA, CPU).batches()):
        for run, own in enumerate(alone):
            assert torch.equal(inputs[run], own[index][0][0])
            assert torch.equal(targets[run], own[index][1][0])
