"""A dataset, its parts, and their scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Part:
    """Samples of one part of a dataset.

    Attributes:
        inputs: (N, *input_shape).
        targets: int64, (N,), or (N, T) for one target a position.

    Raises:
        ValueError: the two differ in length.
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise ValueError(
                f"a part needs as many targets as inputs, not {len(self.targets)} for "
                f"{len(self.inputs)}"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def pieces(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets of ``size`` samples at a time; the last piece may have fewer."""
        return zip(self.inputs.split(size), self.targets.split(size), strict=True)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Part:
        """This part on ``device``; floating-point inputs become ``dtype``, whole numbers stay."""
        dtype = dtype if self.inputs.is_floating_point() else None
        return Part(self.inputs.to(device=device, dtype=dtype), self.targets.to(device=device))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification problem in three parts without a sample in common.

    Attributes:
        name: the name in ``DATASETS``.
        train: what a model is fitted to.
        validation: what hyper-parameters are chosen on.
        test: what is read once.
        num_classes: K; targets are whole numbers in [0, K).
        kind: whether the samples were observed in the world or made by a program.
        source: one line that says where the data come from.
        split: one line that says how the parts were made.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    num_classes: int
    kind: Literal["real", "synthetic"]
    source: str
    split: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch."""
        return tuple(self.train.inputs.shape[1:])

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Dataset:
        """Every part on ``device``; floating-point inputs become ``dtype``, whole numbers stay."""
        return replace(
            self,
            train=self.train.to(device, dtype),
            validation=self.validation.to(device, dtype),
            test=self.test.to(device, dtype),
        )


def standardise(train: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """(x - mean) / std for each channel, with the mean and std of ``train`` alone.

    Every tensor is float32, (N, C, ...). A channel that is constant in ``train`` is only centred.
    """
    # In float64, one channel at a time: the statistics then do not depend on the number of
    # threads, and no second copy of the data in double precision is made.
    spreads = [torch.std_mean(channel.double(), correction=0) for channel in train.unbind(1)]
    shape = [1, -1] + [1] * (train.ndim - 2)
    mean = torch.stack([mean for _, mean in spreads]).float().view(shape)
    std = torch.stack([std if std > 0 else torch.ones_like(std) for std, _ in spreads])
    std = std.float().view(shape)
    return tuple((part - mean).div_(std) for part in (train, *others))
