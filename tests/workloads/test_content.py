"""The hash of the files that a dataset is read from, and which files these are."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gr_bench import registry
from gr_bench.comparison.subject import portable_cell
from gr_bench.errors import RequestError
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.spec import parse
from gr_bench.workloads.datasets.content import (
    content_hash,
    same_content,
    with_absolute_path,
)
from gr_bench.workloads.datasets.layouts import CHECKS, FILES

TEXT, IMAGES = "text(path='x.txt')", "images(path='x')"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(content: bytes, path: str = "x.txt") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)


def folder() -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        put(name.encode(), f"x/{name}")


def step(dataset: str, data: str = "") -> StepCostCell:
    return StepCostCell(
        spec="sgd",
        model="mlp",
        dataset=dataset,
        batch_size=1,
        device="cpu",
        dtype="float32",
        threads=1,
        baseline="sgd",
        data=data,
    )


def test_every_dataset_that_is_looked_for_has_files_and_is_registered() -> None:
    assert CHECKS.keys() == FILES.keys() <= registry.DATASETS.built_in.keys()
    for name in CHECKS.keys() - {"stdlib"}:
        assert "path" in registry.DATASETS.signature(name).parameters


@pytest.mark.parametrize("text", ["digits", "random(samples=8)", "plugged:blobs", "cifar10"])
def test_what_reads_no_file_of_the_users_has_no_hash(text: str) -> None:
    assert content_hash(text) is None
    assert with_absolute_path(text) == text


def test_it_is_blake2b_of_place_size_and_content() -> None:
    content = os.urandom(3_000_000)
    put(content)
    inner = hashlib.blake2b(content).digest()
    expected = hashlib.blake2b(b".\0" + b"3000000\0" + inner, digest_size=16).hexdigest()
    assert content_hash(TEXT) == expected


def test_parameters_and_the_path_are_no_part_of_it(here: Path) -> None:
    put(b"abc")
    put(b"abc", "elsewhere/y.txt")
    same = {
        content_hash(text)
        for text in (TEXT, "text(path='x.txt', length=3)", "text(path='elsewhere/y.txt')")
    }
    same.add(content_hash(f"csv(path='{here}/x.txt', target='a')"))
    assert len(same) == 1
    folder()
    first = content_hash(IMAGES)
    Path("x").rename("y")
    assert content_hash("images(path='y')") == first


def grow() -> None:
    put(b"a/1.png and more", "x/a/1.png")


def change() -> None:
    put(b"A/1.png", "x/a/1.png")


def add() -> None:
    put(b"", "x/b/2.png")


def remove() -> None:
    Path("x/a/2.png").unlink()


def rename() -> None:
    Path("x/a/2.png").rename("x/a/3.png")


def move() -> None:
    Path("x/a/2.png").rename("x/b/2.png")


def swap() -> None:
    put(b"a/2.png", "x/a/1.png")
    put(b"a/1.png", "x/a/2.png")


@pytest.mark.parametrize("happen", [grow, change, add, remove, rename, move, swap])
def test_whatever_happens_to_an_image_changes_it(happen: Callable[[], None]) -> None:
    folder()
    first = content_hash(IMAGES)
    same_content(IMAGES, first)
    happen()
    assert content_hash(IMAGES) != first
    with pytest.raises(RequestError, match="its files have changed since the run was begun"):
        same_content(IMAGES, first)


def test_a_file_that_is_no_image_changes_nothing() -> None:
    folder()
    first = content_hash(IMAGES)
    put(b"notes", "x/a/README.md")
    put(b"", "x/.DS_Store")
    assert content_hash(IMAGES) == first


def test_a_file_that_is_not_there_is_refused() -> None:
    for text in (TEXT, IMAGES, "csv(path='x.csv', target='y')", "huggingface(path='x')"):
        with pytest.raises(RequestError, match="there is no"):
            content_hash(text)


def test_a_cell_of_before_and_one_without_files_keep_their_identity() -> None:
    assert "data" not in step("digits").identity
    ids = {step(TEXT, data).id for data in ("", "1", "2")}
    assert len(ids) == 3
    assert len({step(TEXT, data).workload for data in ("1", "2")}) == 2


def test_another_folder_finds_the_same_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(b"abc")
    cell: Cell = step("text(path='x.txt', length=3)", content_hash(TEXT) or "")
    sent = portable_cell(cell)
    spec = parse(sent["dataset"])
    assert spec.parameters == {"path": str(here / "x.txt"), "length": 3}
    monkeypatch.chdir("/")
    same_content(sent["dataset"], sent["data"])
