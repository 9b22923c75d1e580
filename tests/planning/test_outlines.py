"""Data sets by their shapes: those of the real ones, without reading or making any."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from torch._subclasses.fake_tensor import FakeTensor

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.planning.outlines import CIFAR_SIZES, KNOWN, nbytes, outline
from gr_bench.workloads.datasets.cifar import CIFAR10, CIFAR100, Distribution, cifar10
from gr_bench.workloads.datasets.layouts import FILES

SMALL = [
    "random",
    "random(shape=(3, 8), num_classes=7, samples=10)",
    "random-tokens(length=5, vocabulary=11, samples=6)",
    "mnist1d(samples=200)",
    "digits",
    "plugged:blobs",
]


def shapes(data):
    parts = (data.train, data.validation, data.test)
    return [(p.inputs.shape, p.inputs.dtype, p.targets.shape, p.targets.dtype) for p in parts]


@pytest.mark.parametrize("text", SMALL)
def test_shapes_and_classes_are_those_of_the_data(text: str) -> None:
    real, fake = registry.build_dataset(text), outline(text)
    assert shapes(fake) == shapes(real)
    assert fake.num_classes == real.num_classes
    assert isinstance(fake.train.inputs, FakeTensor)
    assert nbytes(fake) == nbytes(real)


@pytest.mark.parametrize(("name", "of"), [("cifar10", CIFAR10), ("cifar100", CIFAR100)])
def test_cifar_need_not_be_there(name: str, of: Distribution) -> None:
    data = outline(f"{name}(root='/nowhere')")
    assert [len(part) for part in (data.train, data.validation, data.test)] == list(CIFAR_SIZES)
    assert (data.input_shape, data.num_classes) == ((3, 32, 32), of.num_classes)


def test_cifars_split_is_the_one_that_its_reader_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundredth of each published file, the same proportions as the whole."""
    small = dataclasses.replace(CIFAR10, train_records=100, test_records=100)
    monkeypatch.setattr("gr_bench.workloads.datasets.cifar.CIFAR10", small)
    rng = np.random.default_rng(0)

    def write(name: str, count: int) -> None:
        records = rng.integers(0, 256, (count, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(count) % 10
        records.tofile(tmp_path / name)

    for name in CIFAR10.train_files:
        write(name, 100)
    write(CIFAR10.test_file, 100)
    data = cifar10(tmp_path)
    sizes = [len(part) for part in (data.train, data.validation, data.test)]
    assert sizes == [size // 100 for size in CIFAR_SIZES]


def test_everything_built_in_but_digits_and_files_is_known_by_its_parameters() -> None:
    assert {*KNOWN} == {*registry.DATASETS.built_in} - {"digits", *FILES}


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(RequestError, match="nowhere"):
        outline("plugged:nowhere")
