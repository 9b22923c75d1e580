"""Data sets by their shapes alone: fake tensors, nothing read or made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from gr_bench import registry
from gr_bench.spec import parse
from gr_bench.workloads.datasets import Dataset, Part
from gr_bench.workloads.datasets.cifar import CIFAR10, CIFAR100, IMAGE_SHAPE, Distribution
from gr_bench.workloads.datasets.random import part_sizes

CIFAR_SIZES = (45_000, 5_000, 10_000)
"""Of CIFAR's parts: a tenth of the published train part is for validation."""

Parameters = Mapping[str, Any]


@cache
def fake_mode() -> FakeTensorMode:
    """The mode that all fake tensors of this process belong to.

    Tensors from elsewhere are let in as they are: a plug-in may have made one when it was imported.
    """
    return FakeTensorMode(allow_non_fake_inputs=True)


@cache
def outline(text: str) -> Dataset:
    """The data set spelled ``text`` with fake tensors of its shapes and dtypes.

    Of those that would have to be read, downloaded or made at length the shapes are known; any
    other is read, and only its shapes are kept.

    Raises:
        RequestError: as in :func:`gr_bench.registry.build_dataset`.
    """
    spec = parse(text)
    known = KNOWN.get(spec.name)
    if known is None:
        data = registry.build_dataset(text)
        parts = [
            _fake(part.inputs, part.targets) for part in (data.train, data.validation, data.test)
        ]
        return _dataset(spec.name, parts, data.num_classes)
    registry.DATASETS.resolve(spec)
    signature = registry.DATASETS.signature(spec.name)
    defaults = {key: parameter.default for key, parameter in signature.parameters.items()}
    return known(spec.name, defaults | spec.parameters)


def _cifar(distribution: Distribution) -> Callable[[str, Parameters], Dataset]:
    def build(name: str, parameters: Parameters) -> Dataset:
        parts = [_images(count, IMAGE_SHAPE) for count in CIFAR_SIZES]
        return _dataset(name, parts, distribution.num_classes)

    return build


def _mnist1d(name: str, parameters: Parameters) -> Dataset:
    """The generator keeps a fifth for the test part, the split a fifth of the rest."""
    rest = round(0.8 * parameters["samples"])
    validation = round(0.2 * rest)
    sizes = (rest - validation, validation, parameters["samples"] - rest)
    return _dataset(name, [_images(count, (1, 40)) for count in sizes], 10)


def _random(name: str, parameters: Parameters) -> Dataset:
    shape = tuple(parameters["shape"])
    parts = [_images(count, shape) for count in part_sizes(parameters["samples"])]
    return _dataset(name, parts, parameters["num_classes"])


def _random_tokens(name: str, parameters: Parameters) -> Dataset:
    with fake_mode():
        parts = [
            Part(*(torch.zeros(count, parameters["length"], dtype=torch.int64) for _ in range(2)))
            for count in part_sizes(parameters["samples"])
        ]
    return _dataset(name, parts, parameters["vocabulary"])


KNOWN: dict[str, Callable[[str, Parameters], Dataset]] = {
    "cifar10": _cifar(CIFAR10),
    "cifar100": _cifar(CIFAR100),
    "mnist1d": _mnist1d,
    "random": _random,
    "random-tokens": _random_tokens,
}
"""Data sets whose shapes follow from their parameters; the tests hold them to the data sets."""


def _images(count: int, shape: tuple[int, ...]) -> Part:
    with fake_mode():
        return Part(torch.empty(count, *shape), torch.zeros(count, dtype=torch.int64))


def _fake(inputs: Tensor, targets: Tensor) -> Part:
    with fake_mode():
        return Part(*(torch.empty(tuple(t.shape), dtype=t.dtype) for t in (inputs, targets)))


def _dataset(name: str, parts: Sequence[Part], num_classes: int) -> Dataset:
    train, validation, test = parts
    return Dataset(
        name=name,
        train=train,
        validation=validation,
        test=test,
        num_classes=num_classes,
        kind="synthetic",
        source="shapes alone",
        split="as the data set has it",
    )


def nbytes(data: Dataset) -> int:
    """Bytes of all parts."""
    parts = (data.train, data.validation, data.test)
    return sum(part.inputs.nbytes + part.targets.nbytes for part in parts)
