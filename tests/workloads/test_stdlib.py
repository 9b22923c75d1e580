"""Bytes of Python's standard library: on trees that are written here, and on the real one."""

from __future__ import annotations

import math
import os
import platform
import sysconfig
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.workloads.datasets import Dataset, Part
from gr_bench.workloads.datasets.content import content_hash, same_content, with_absolute_path
from gr_bench.workloads.datasets.library import library_files, library_folder
from gr_bench.workloads.datasets.stdlib import Source, divide, read_library

RANDOM = np.random.default_rng(5)
NOT_SOURCE = [
    "site-packages/numpy/core.py",
    "dist-packages/apt.py",
    "__pycache__/os.py",
    "test/test_os.py",
    "test/support/helpers.py",
    "unittest/test/test_case.py",
    "lib2to3/tests/data/py3.py",
    "idlelib/idle_test/test_run.py",
    "encodings/cp037.py",
    "pydoc_data/topics.py",
    "config-3.11-x86_64-linux-gnu/python-config.py",
    "_sysconfigdata__linux.py",
    ".hidden.py",
    "os.pyc",
    "LICENSE.txt",
]
"""Files of a library's folder that nobody wrote as its source, or that are not its own."""


def write(root: Path, path: str, content: bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A library of 60 files, of 1 to 4 kB each: the number of a file, in two bytes, over and over
    with a counter."""
    root = tmp_path / "lib"
    for number in range(60):
        words = (f"{number}:{at} " for at in range(1000))
        size = 1000 + int(RANDOM.integers(3000))
        write(root, f"package{number % 7}/module{number}.py", "".join(words).encode()[:size])
    for path in NOT_SOURCE:
        write(root, path, b"not this\n" * 100)
    write(root, "empty.py", b"")
    return root


def parts(data: Dataset) -> list[Part]:
    return [data.train, data.validation, data.test]


def number_of(row: torch.Tensor) -> str:
    """The file that a sample is from: its words have its number before the colon."""
    (_, *words, _) = bytes(row.tolist()).split(b" ")
    (number,) = {word.partition(b":")[0] for word in words}
    return number.decode()


def files_of(part: Part) -> set[str]:
    return {number_of(row) for row in part.inputs}


def test_source_is_all_that_people_wrote_of_the_library(tree: Path) -> None:
    found = library_files(tree)
    names = [file.relative_to(tree).as_posix() for file in found]
    assert names == sorted(f"package{n % 7}/module{n}.py" for n in range(60))
    assert not {*names} & {*NOT_SOURCE}


@pytest.mark.parametrize("length", [32, 41])
def test_samples_follow_each_other_in_every_file(tree: Path, length: int) -> None:
    data = read_library(tree, length)
    assert (data.input_shape, data.num_classes, data.kind) == ((length,), 256, "real")
    rows: dict[str, list[bytes]] = {}
    for part in parts(data):
        assert torch.equal(part.inputs[:, 1:], part.targets[:, :-1])
        for inputs, targets in zip(part.inputs, part.targets, strict=True):
            row = bytes(inputs.tolist()) + bytes(targets.tolist()[-1:])
            rows.setdefault(number_of(inputs), []).append(row)
    for file in library_files(tree):
        content, own = file.read_bytes(), rows[file.stem.removeprefix("module")]
        assert len(own) == (len(content) - 1) // length
        for first, second in pairwise(own):
            assert first[-1] == second[0]
        assert b"".join(row[:-1] for row in own) == content[: length * len(own)]


@pytest.mark.parametrize("seed", [0, 1, 17])
def test_a_file_is_in_one_part_and_each_in_some(tree: Path, seed: int) -> None:
    data = read_library(tree, 32).redrawn(seed)
    own = [files_of(part) for part in parts(data)]
    assert sum(map(len, own)) == 60 == len(set.union(*own))
    sizes = np.array([len(part) for part in parts(data)])
    assert sizes / sizes.sum() == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
    counts = "/".join(str(len(files)) for files in own)
    assert f"({counts})" in data.split and f"seed {seed}" in data.split


def test_another_split_divides_train_and_test_anew_and_keeps_validation(tree: Path) -> None:
    first = read_library(tree, 32)
    assert first.redrawn(0) is first
    tests = [files_of(first.redrawn(seed).test) for seed in range(4)]
    assert len({*map(frozenset, tests)}) == 4
    held = files_of(first.validation)
    for seed, test in enumerate(tests):
        again = first.redrawn(seed)
        assert files_of(again.validation) == held
        assert not held & test
        assert again.unit == "byte"
        assert torch.equal(read_library(tree, 32, split_seed=seed).test.inputs, again.test.inputs)


SIZES = st.lists(st.integers(1, 10_000), min_size=1, max_size=80)


@given(SIZES, st.integers(0, 1000))
def test_parts_are_a_tenth_to_half_of_a_file(sizes: list[int], seed: int) -> None:
    sources = [Source(f"{n}.py", np.zeros(size, np.uint8)) for n, size in enumerate(sizes)]
    names = divide(sources, seed)
    assert names == divide(sources, seed)
    total, largest = sum(sizes), max(sizes)
    for part in ("validation", "test"):
        own = sum(size for size, name in zip(sizes, names, strict=True) if name == part)
        assert abs(own - total / 10) <= largest / 2
    if seed:
        kept = [name == "validation" for name in divide(sources, 0)]
        assert kept == [name == "validation" for name in names]


def test_every_file_is_for_test_in_a_tenth_of_the_splits() -> None:
    """But for those of validation; the standard error over 400 splits is 0.017."""
    sources = [Source(f"{n}.py", np.zeros(100, np.uint8)) for n in range(50)]
    held = np.array([name == "validation" for name in divide(sources, 0)])
    often = np.mean(
        [[n == "test" for n in divide(sources, seed)] for seed in range(1, 401)], axis=0
    )
    assert not often[held].any()
    assert often[~held] == pytest.approx(np.full(45, 5 / 45), abs=5 * 0.017)


@pytest.mark.parametrize("kilobytes", [200, 140, 100])
def test_a_limit_takes_files_until_it_is_full(tree: Path, kilobytes: int) -> None:
    write(tree, "large.py", b"x" * (20 * kilobytes + 1))  # larger than a fiftieth
    small = [f for f in library_files(tree) if f.stat().st_size <= 20 * kilobytes]
    data = read_library(tree, 8, kilobytes / 1000)
    taken = sum(map(len, parts(data))) * 8
    most = min(1000 * kilobytes, sum(f.stat().st_size for f in small))
    assert most - 1000 - 8 * 60 < taken <= most  # no file has less than 1,000 bytes
    assert not (data.train.inputs == ord("x")).all(dim=1).any()


def test_names_on_other_systems_give_the_same_parts(tree: Path, tmp_path: Path) -> None:
    """Neither the place of the folder nor the order in which the system lists files matters."""
    other = tmp_path / "another" / "place"
    for file in reversed(library_files(tree)):
        write(other, file.relative_to(tree).as_posix(), file.read_bytes())
    for one, two in zip(parts(read_library(tree)), parts(read_library(other)), strict=True):
        assert torch.equal(one.inputs, two.inputs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length must be a whole number of at least 1"),
        ({"megabytes": 0}, "megabytes must be a number above 0, not 0"),
        ({"megabytes": math.nan}, "megabytes must be"),
        ({"megabytes": True}, "megabytes must be"),
        ({"length": 10_000}, "leave no sample of 10000 bytes for the train part"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    tree: Path, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        read_library(tree, **settings)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_python_without_source_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "nothing.zip"))
    for ask in (content_hash, registry.build_dataset):
        with pytest.raises(RequestError, match=r"dataset 'stdlib': .*nothing.zip has no Python"):
            ask("stdlib")


# --- the real library


@pytest.fixture(scope="module")
def real() -> Dataset:
    return registry.build_dataset("stdlib(megabytes=1)")


def test_the_library_is_this_pythons(real: Dataset) -> None:
    assert library_folder() == Path(os.__file__).parent
    assert f"Python {platform.python_version()}: " in real.source
    size = int(real.source.partition(": ")[2].partition(" ")[0])
    assert 0.9e6 < size <= 1e6
    assert 0.95 * size < 64 * sum(map(len, parts(real))) <= size
    assert real.unit == "byte"
    counts = real.class_counts
    assert len(counts) == 256
    assert sum(counts["'e'"]) > sum(counts["'z'"]) > 0 == sum(counts["'\\x00'"])
    assert counts["'\\n'"][0] == int((real.train.targets == 10).sum())
    assert registry.build_dataset("random-tokens").unit is None


def test_samples_are_source_of_the_library(real: Dataset) -> None:
    names = {file.relative_to(library_folder()).as_posix() for file in library_files()}
    assert {"os.py", "json/decoder.py", "asyncio/tasks.py"} <= names
    whole = b"\0".join(file.read_bytes() for file in library_files())
    for part in parts(real):
        for row in part.inputs[:: len(part) // 20]:
            assert bytes(row.tolist()) in whole
    text = bytes(real.train.inputs.flatten().tolist())
    assert text.count(b"def ") > 1000
    assert len(zlib.compress(text)) < len(text) / 3


def test_parts_share_next_to_no_line_of_text(real: Dataset) -> None:
    """Some files begin with the same licence: nothing else is there twice."""
    rows = [{bytes(row.tolist()) for row in part.inputs} for part in parts(real)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert len(rows[first] & rows[second]) <= 0.01 * len(rows[second])


def test_its_content_is_that_of_all_its_files(tmp_path: Path) -> None:
    known = content_hash("stdlib")
    assert known is not None and len(known) == 32
    assert known == content_hash("stdlib(length=8, megabytes=0.5)")
    same_content("stdlib", known)
    with pytest.raises(RequestError, match="its files have changed"):
        same_content("stdlib", "0" * 32)
    assert with_absolute_path("stdlib(length=8)") == "stdlib(length=8)"


@settings(deadline=None, max_examples=5)
@given(st.integers(1, 100))
def test_building_it_again_gives_the_same(seed: int) -> None:
    first = read_library(library_folder(), 64, 0.5).redrawn(seed)
    torch.manual_seed(seed)
    again = read_library(library_folder(), 64, 0.5, seed)
    for one, other in zip(parts(first), parts(again), strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)
