"""Random data of any shape: they have a step's cost and nothing to learn."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gr_bench.workloads.checks import check_positive, check_shape
from gr_bench.workloads.datasets.base import Dataset, Part

SOURCE = "pseudo-random numbers, for the cost of a step only"


def random_images(
    shape: Sequence[int] = (3, 32, 32), num_classes: int = 10, samples: int = 512, seed: int = 0
) -> Dataset:
    """Standard normal float32 inputs of any shape, with uniformly drawn classes.

    Args:
        shape: shape of one sample.
        num_classes: number of classes.
        samples: size of the train part; validation and test get a quarter of that each.
        seed: the same seed gives the same data; the global generator is left alone.

    Raises:
        ValueError: a size is not a whole number of at least 1.
    """
    sample_shape = check_shape("shape", shape)
    check_positive(num_classes=num_classes, samples=samples)
    generator = torch.Generator().manual_seed(seed)

    def part(count: int) -> Part:
        return Part(
            torch.randn(count, *sample_shape, generator=generator),
            torch.randint(num_classes, (count,), generator=generator),
        )

    train, validation, test = (part(count) for count in part_sizes(samples))
    return Dataset(
        name="random",
        train=train,
        validation=validation,
        test=test,
        num_classes=num_classes,
        kind="synthetic",
        source=SOURCE,
        split=f"three independent draws, seed {seed}",
    )


def random_tokens(
    length: int = 64, vocabulary: int = 65, samples: int = 512, seed: int = 0
) -> Dataset:
    """Uniformly drawn token sequences; the target of each position is the next token.

    Inputs and targets are int64 (N, length), with targets[:, t] = inputs[:, t + 1].

    Args:
        length: tokens of one sample.
        vocabulary: number of different tokens, which is the number of classes.
        samples: size of the train part; validation and test get a quarter of that each.
        seed: the same seed gives the same data; the global generator is left alone.

    Raises:
        ValueError: a size is not a whole number of at least 1.
    """
    check_positive(length=length, vocabulary=vocabulary, samples=samples)
    generator = torch.Generator().manual_seed(seed)

    def part(count: int) -> Part:
        tokens = torch.randint(vocabulary, (count, length + 1), generator=generator)
        return Part(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())

    train, validation, test = (part(count) for count in part_sizes(samples))
    return Dataset(
        name="random-tokens",
        train=train,
        validation=validation,
        test=test,
        num_classes=vocabulary,
        kind="synthetic",
        source=SOURCE,
        split=f"three independent draws, seed {seed}",
    )


def part_sizes(samples: int) -> tuple[int, int, int]:
    """Sizes of the train, validation and test parts."""
    return samples, max(1, samples // 4), max(1, samples // 4)
