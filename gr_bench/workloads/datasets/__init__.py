"""The datasets, by the name that a suite uses.

A dataset is a function from keyword parameters to a :class:`Dataset`, with the same result every
time. Adding one takes a file and a line in ``DATASETS``.
"""

from __future__ import annotations

from collections.abc import Callable

from gr_bench.workloads.datasets.base import Dataset, Part, stratified_split
from gr_bench.workloads.datasets.cifar import cifar10, cifar100
from gr_bench.workloads.datasets.digits import digits
from gr_bench.workloads.datasets.mnist1d import mnist1d
from gr_bench.workloads.datasets.random import random_images, random_tokens

__all__ = ["DATASETS", "Dataset", "Part", "stratified_split"]

DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "mnist1d": mnist1d,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "random": random_images,
    "random-tokens": random_tokens,
}
