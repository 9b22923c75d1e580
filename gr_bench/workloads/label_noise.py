"""Wrong labels, to see what a method fits."""

from __future__ import annotations

from dataclasses import replace

import torch

from gr_bench.workloads.datasets import Dataset, Part


def with_label_noise(data: Dataset, part: float, seed: int = 0) -> Dataset:
    """The dataset with ``part`` of its training labels changed to another class, uniformly.

    Which labels, and to what, is drawn once for a split: every run on it sees the same wrong
    labels. The other parts stay as they are.

    Args:
        data: any; for one target a position, each position counts as a label.
        part: in [0, 1); round(part·N) labels are changed.
        seed: of the draws: that of the split.

    Raises:
        ValueError: a part outside [0, 1), or fewer than two classes to choose from.
    """
    if not 0 <= part < 1:
        raise ValueError(f"label noise must be in [0, 1), not {part}")
    count = round(part * data.train.targets.numel())
    if not count:
        return data
    if data.num_classes < 2:
        raise ValueError("label noise needs at least two classes")
    draws = torch.Generator().manual_seed(seed)
    flat = data.train.targets.flatten().cpu()
    chosen = torch.randperm(len(flat), generator=draws)[:count]
    shift = torch.randint(1, data.num_classes, (count,), generator=draws)
    flat = flat.clone()
    flat[chosen] = (flat[chosen] + shift) % data.num_classes
    targets = flat.view_as(data.train.targets).to(data.train.targets.device)
    return replace(data, train=Part(data.train.inputs, targets))
