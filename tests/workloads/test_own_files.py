"""Datasets read from a user's files: CSV, .npz, images, text."""

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.workloads.datasets import Dataset, stratified_split
from gr_bench.workloads.datasets.content import check_files
from gr_bench.workloads.loss import cross_entropy

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parts(data: Dataset) -> tuple[Any, Any, Any]:
    return data.train, data.validation, data.test


def refused(text: str, message: str, *, at_once: bool = True) -> None:
    """A dataset is refused when it is built, and already when a suite is checked, in one line."""
    with pytest.raises(RequestError, match=message) as error:
        registry.build_dataset(text)
    assert "\n" not in str(error.value)
    if at_once:
        with pytest.raises(RequestError, match=message):
            check_files(text)
    else:
        check_files(text)


# --- CSV


def frame(rows: int = 90) -> pd.DataFrame:
    numbers = np.arange(rows) % 3
    return pd.DataFrame(
        {
            "size": RANDOM.normal(5, 2, rows),
            "colour": np.array(["red", "green", "blue", "grey"])[RANDOM.integers(0, 4, rows)],
            "count": RANDOM.integers(0, 100, rows),
            "old": RANDOM.integers(0, 2, rows).astype(bool),
            "kind": np.array(["cat", "ant", "bee"])[numbers],
        }
    )


CSV = "csv(path='x.csv', target='kind')"


def test_a_table_is_made_into_inputs_as_scikit_learn_does() -> None:
    table = frame()
    table.loc[[3, 50], "colour"] = ["only here", "and here"]  # in whichever part they are
    table.to_csv("x.csv", index=False)
    data = registry.build_dataset(CSV)
    split = stratified_split(table["kind"], 0.2, 0.2, seed=0)
    made = ColumnTransformer(
        [
            ("size", StandardScaler(), ["size"]),
            ("colour", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["colour"]),
            ("numbers", StandardScaler(), ["count", "old"]),
        ]
    ).fit(table.iloc[split[0]])
    for part, rows in zip(parts(data), split, strict=True):
        expected = made.transform(table.iloc[rows]).astype(np.float32)
        assert np.allclose(part.inputs.numpy(), expected, atol=1e-6)
        assert [data.classes[target] for target in part.targets] == table["kind"][rows].tolist()
    assert data.classes == ("ant", "bee", "cat")
    assert data.split == "60/20/20 % train/validation/test, stratified, seed 0"
    width = made.transform(table).shape[1] - 3
    assert data.source == (
        f"x.csv, 90 rows, 4 columns, 3 of numbers, 1 of categories: colour ({width})"
    )


def test_columns_and_separator_are_chosen() -> None:
    frame().to_csv("x.csv", index=False, sep=";")
    text = "csv(path='x.csv', target='colour', features=('count', 'size'), separator=';')"
    data = registry.build_dataset(text)
    assert data.input_shape == (2,) and data.classes == ("blue", "green", "grey", "red")
    one = registry.build_dataset("csv(path='x.csv', target='kind', features='old', separator=';')")
    assert one.input_shape == (1,)


def test_a_path_may_be_absolute_in_the_home_or_packed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    table = frame()
    table.to_csv("x.csv", index=False)
    (here / "x.csv.gz").write_bytes(gzip.compress((here / "x.csv").read_bytes()))
    first = registry.build_dataset(CSV).train.inputs
    for path in (here / "x.csv", "~/x.csv", "x.csv.gz"):
        check_files(text := f"csv(path='{path}', target='kind')")
        assert torch.equal(registry.build_dataset(text).train.inputs, first)


def test_missing_values_are_filled_if_that_is_asked_for() -> None:
    table = frame()
    table.loc[7, "size"] = None
    table.loc[11, "colour"] = None
    table.to_csv("x.csv", index=False)
    refused(CSV, r"column 'size' has no value in row 8 \(and 0 more\)", at_once=False)
    filled = registry.build_dataset("csv(path='x.csv', target='kind', fill=True)")
    train, validation, test = stratified_split(table["kind"], 0.2, 0.2, seed=0)
    rows = np.concatenate([train, validation, test])
    inputs = torch.cat([part.inputs for part in parts(filled)])
    size, colour = inputs[rows == 7][0], inputs[rows == 11][0]
    assert size[0] == 0  # the mean of the train part
    assert not colour[1:5].any()
    known = inputs[: len(train), 0][train != 7]
    assert float(known.mean()) == pytest.approx(0, abs=1e-6)


def test_the_first_rows_of_a_large_table_are_right() -> None:
    """No step is taken a row: a million rows take seconds."""
    rows = 200_000
    values = RANDOM.normal(size=(rows, 4)).round(3)
    table = pd.DataFrame(values, columns=list("abcd")).assign(y=np.arange(rows) % 2)
    table.to_csv("x.csv", index=False)
    data = registry.build_dataset("csv(path='x.csv', target='y')")
    train, _, _ = stratified_split(table["y"], 0.2, 0.2, seed=0)
    scaled = StandardScaler().fit_transform(values[train])
    assert np.allclose(data.train.inputs[:5].numpy(), scaled[:5], atol=1e-5)


def write(text: str, name: str = "x.csv") -> None:
    Path(name).write_text(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("csv(path='y.csv', target='kind')", "there is no file y.csv in /"),
        ("csv(path='/nowhere/y.csv', target='kind')", "there is no file /nowhere/y.csv$"),
        ("csv(path='.', target='kind')", r"\. is a folder: give the path of a file"),
        ("csv(path=3, target='kind')", "path must be the path of a file in quotes, not 3"),
        ("csv(path='', target='kind')", "path must be the path of a file in quotes"),
        ("csv(path='x.csv', target='kinf')", "no column 'kinf': did you mean 'kind'?"),
        ("csv(path='x.csv', target='zzz')", "no column 'zzz': it has size, colour, count, old"),
        ("csv(path='x.csv', target='kind', features=('siz',))", "did you mean 'size'?"),
        ("csv(path='x.csv', target='kind', features=('kind',))", "cannot be an input, too"),
        ("csv(path='x.csv', target='kind', features=())", "no column but the target"),
        ("csv(path='x.csv', target='kind', separator=';')", "no column 'kind'"),
        ("csv(path='x.csv', target='kind', separator=';;')", "separator must be one character"),
    ],
)
def test_a_wrong_request_for_a_table_is_refused_at_once(text: str, message: str) -> None:
    frame().to_csv("x.csv", index=False)
    refused(text, message)


@pytest.mark.parametrize("text", ["csv", "csv(path='x.csv')", "csv(target='kind')"])
def test_a_table_needs_a_path_and_a_target(text: str) -> None:
    lacks = "target" if "path" in text else "path"
    with pytest.raises(RequestError, match=f"lacks its {lacks}$"):
        registry.build_dataset(text)


@pytest.mark.parametrize(
    ("content", "message", "at_once"),
    [
        ("", "x.csv is empty", True),
        ("\n\n", "is no CSV file: No columns to parse", True),
        ("kind\na\nb\n", "no column but the target", True),
        (",a,kind\n0,1,x\n1,2,y\n", "a column without a name", True),
        ("a,kind\n", "has no rows", False),
        ("a,kind\n" + "1,x\n2,x\n" * 9, "target 'kind': every sample is of class x", False),
        ("a,kind\n" + "1,x\n2,y\n" * 9 + "3,\n", "target 'kind' is missing in row 19", False),
        ("a,kind\n" + "1,0.5\n2,1.5\n" * 9, "target 'kind': .*regression is not supp", False),
        ("a,kind\n" + "1,x\n2,y\n" * 9 + "3,z\n", "class z has 1 sample, and needs 3", False),
        ("a,kind\n" + "1,x\ninf,y\n" * 9, "column 'a' is infinite in row 2", False),
        ("a,kind\n" + "1,x\n2,y\n" * 9 + "1,2,3\n", "cannot be read: .*Expected 2 fields", False),
        ("a,kind\n" + "0,1,x\n1,2,y\n" * 9, "more values in a row than the header", False),
        (
            "a,kind\n" + "".join(f"{n},x\n{n},y\n" for n in range(3000)) + "oops,x\n",
            r"column 'a' has .* not all numbers \(the first that is none: 'oops' in row 6001\)",
            False,
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(content: str, message: str, at_once: bool) -> None:
    write(content)
    refused(CSV, message, at_once=at_once)


def test_bytes_that_are_no_text_are_refused() -> None:
    Path("x.csv").write_bytes(b"a,kind\n\xff\xfe,x\n")
    refused(CSV, "x.csv cannot be read: 'utf-8' codec", at_once=False)


def test_a_file_that_has_changed_is_read_again_in_the_same_process() -> None:
    frame(90).to_csv("x.csv", index=False)
    first = registry.build_dataset(CSV)
    assert registry.build_dataset(CSV) is first
    frame(60).to_csv("x.csv", index=False)
    assert len(registry.build_dataset(CSV).train) == 36


# --- npz


def test_arrays_of_a_file_are_read_with_the_parts_that_it_has() -> None:
    x, y = RANDOM.normal(size=(60, 2, 5)), np.arange(60) % 3
    np.savez("x.npz", x=x, y=y, images=x, classes=y, images_test=x[:7], classes_test=y[:7])
    whole = registry.build_dataset("npz(path='x.npz')")
    expected = Dataset.from_arrays(x, y)
    for one, other in zip(parts(whole), parts(expected), strict=True):
        assert torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)
    assert (whole.name, whole.source) == ("npz", "x.npz")
    given = registry.build_dataset("npz(path='x.npz', inputs='images', targets='classes')")
    assert given.test.targets.tolist() == y[:7].tolist()
    assert len(given.train) + len(given.validation) == 60


def test_arrays_that_were_compressed_are_read() -> None:
    np.savez_compressed("x.npz", x=np.eye(30), y=np.array(["a", "b", "c"])[np.arange(30) % 3])
    assert registry.build_dataset("npz(path='x.npz', standardise=False)").classes == ("a", "b", "c")


def test_what_is_no_file_of_arrays_is_refused() -> None:
    np.savez("x.npz", x=np.eye(3), x_test=np.eye(3), labels=np.arange(3))
    refused("npz(path='x.npz')", "x.npz has no array 'y': it has x, x_test, labels")
    np.savez("x.npz", x=np.eye(3), y=np.arange(3), x_test=np.eye(3))
    refused("npz(path='x.npz')", "x.npz has no array 'y_test'")
    np.save("y.npy", np.eye(3))
    refused("npz(path='y.npy')", "y.npy is no .npz file")
    np.savez("x.npz", x=np.eye(3), y=np.array([{}, 1, 2]))
    refused("npz(path='x.npz')", "array 'y' cannot be read: it holds Python objects", at_once=False)


# --- images


def image(path: str, colour: Any, size: tuple[int, int] = (10, 10), mode: str = "RGB") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def folder(where: str = "pets", count: int = 5) -> None:
    for number in range(count):
        image(f"{where}/cat/{number}.png", (200 + number, 0, 0))
        image(f"{where}/ant/sub/{number}.JPG", (0, 0, 100 + number))
    write("not an image", f"{where}/cat/README.txt")
    write("nor this", f"{where}/cat/.hidden.png")


def test_images_are_read_from_a_folder_a_class() -> None:
    folder()
    data = registry.build_dataset("images(path='pets', size=4)")
    assert data.classes == ("ant", "cat") and data.input_shape == (3, 4, 4)
    assert [len(part) for part in parts(data)] == [6, 2, 2]
    assert data.class_counts == {"ant": [3, 1, 1], "cat": [3, 1, 1]}
    assert data.source == "pets, 10 images"
    for part in parts(data):
        red_wins = part.inputs[:, 0, 0, 0] > part.inputs[:, 2, 0, 0]
        assert torch.equal(red_wins.long(), part.targets)
    assert float(data.train.inputs[:, 0].mean()) == pytest.approx(0, abs=1e-6)


def test_parts_of_a_folder_are_kept() -> None:
    folder("pets/train", 4)
    folder("pets/val", 2)
    folder("pets/test", 3)
    data = registry.build_dataset("images(path='pets', size=4)")
    assert [len(part) for part in parts(data)] == [8, 4, 6]
    assert data.split == "the parts as given"


def test_an_image_is_cut_to_its_middle_and_scaled() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 250
    for kind in "01":
        Path("x", kind).mkdir(parents=True)
    for number in range(12):
        Image.fromarray(wide if number % 2 else 0 * wide).save(f"x/{number % 2}/{number}.png")
    data = registry.build_dataset("images(path='x', size=5)")
    for part in parts(data):
        middle = part.inputs[part.targets == 1][:, :, :, 1:-1]  # the outer ones see a black pixel
        assert len(middle.unique()) == 1


def test_greyscale_has_one_channel_and_other_modes_are_converted() -> None:
    for number, mode in enumerate(["RGB", "RGBA", "L", "P", "1", "CMYK"]):
        suffix = "tif" if mode == "CMYK" else "png"
        for kind in "ab":
            image(f"x/{kind}/{number}.{suffix}", 1 if kind == "a" else 0, mode=mode)
    assert registry.build_dataset("images(path='x', size=3)").input_shape == (3, 3, 3)
    grey = registry.build_dataset("images(path='x', size=3, greyscale=True)")
    assert grey.input_shape == (1, 3, 3)


def test_folders_and_images_that_cannot_be_used_are_refused() -> None:
    refused("images(path='pets')", "there is no folder pets in")
    image("pets/0.png", 0)
    refused("images(path='pets')", "pets has no images in sub-folders")
    refused("images(path='pets/0.png')", "is a file: give the path of a folder")
    Path("pets/ant").mkdir()
    refused("images(path='pets')", "pets/ant has no image")
    folder()
    refused("images(path='pets', size=0)", "size must be a whole number", at_once=False)
    write("no image", "pets/cat/broken.png")
    refused("images(path='pets')", "pets/cat/broken.png cannot be read", at_once=False)
    whole = Path("pets/cat/0.png").read_bytes()
    Path("pets/cat/broken.png").write_bytes(whole[:-40])
    refused("images(path='pets')", "pets/cat/broken.png cannot be read", at_once=False)
    Image.fromarray(np.zeros((4, 4), np.uint16)).save("pets/cat/broken.png")
    refused("images(path='pets')", "broken.png .*more than eight bits a channel", at_once=False)


# --- text

TEXT = "".join(RANDOM.choice(list("abcdé \n"), 1000))


@pytest.mark.parametrize("length", [16, 11, 9])  # 99 characters to predict in a part: all or most
def test_a_text_is_cut_into_parts_one_after_the_other(length: int) -> None:
    Path("x.txt").write_text(TEXT, encoding="utf-8")
    data = registry.build_dataset(f"text(path='x.txt', length={length}, validation=0.1, test=0.2)")
    assert data.num_classes == 7 and data.input_shape == (length,)
    characters = sorted(set(TEXT))
    assert data.classes == tuple(map(repr, characters))
    at = 0
    for part, size in zip(parts(data), (700, 100, 200), strict=True):
        own = TEXT[at : at + size]
        samples = (size - 1) // length
        assert len(part) == samples
        read = ["".join(characters[token] for token in row) for row in part.inputs]
        assert "".join(read) == own[: length * samples]
        following = ["".join(characters[token] for token in row) for row in part.targets]
        assert "".join(following) == own[1 : length * samples + 1]
        at += size
    assert data.split == "70/10/20 % train/validation/test, one after the other in the text"


def test_a_transformer_learns_from_a_text() -> None:
    write(TEXT.replace("é", "e"), "x.txt")
    data = registry.build_dataset("text(path='x.txt', length=8)")
    model = registry.build_model("char-transformer(width=8)", data.input_shape, data.num_classes)
    loss = cross_entropy(model(data.train.inputs[:4]), data.train.targets[:4])
    loss.backward()
    assert loss.isfinite()


def test_texts_that_cannot_be_used_are_refused() -> None:
    refused("text(path='x.txt')", "there is no file x.txt")
    write("", "x.txt")
    refused("text(path='x.txt')", "x.txt is empty")
    write("a" * 1000, "x.txt")
    refused("text(path='x.txt')", "one character, again and again", at_once=False)
    write("ab" * 300, "x.txt")
    refused(
        "text(path='x.txt')", "600 characters, and its parts 480/60/60: each .* 65", at_once=False
    )
    refused("text(path='x.txt', length=8, test=0)", "test must be a fraction", at_once=False)
    refused("text(path='x.txt', test=0.9)", "below 1 together, not 1", at_once=False)
    Path("x.txt").write_bytes(b"ab\xff" * 300)
    refused("text(path='x.txt')", "no text in UTF-8: byte 2 is wrong", at_once=False)


# --- what is known without PyTorch


def test_files_are_looked_at_without_slow_imports() -> None:
    frame().to_csv("x.csv", index=False)
    folder()
    np.savez("x.npz", x=np.eye(3), y=np.arange(3))
    write(TEXT, "x.txt")
    probe = (
        "import sys; from gr_bench.workloads.datasets.content import check_files, content_hash\n"
        f"for text in ({CSV!r}, \"npz(path='x.npz')\", \"images(path='pets')\",\n"
        "             \"text(path='x.txt')\"):\n"
        "    check_files(text); content_hash(text)\n"
        "print(sorted({'torch', 'PIL', 'pyarrow.parquet'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert ended.stdout == "[]\n", ended.stderr
