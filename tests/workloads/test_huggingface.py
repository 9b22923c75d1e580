"""Folders as the datasets package of Hugging Face writes them, written here by pyarrow alone."""

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.workloads.datasets import Dataset
from gr_bench.workloads.datasets.content import check_files, content_hash

RANDOM = np.random.default_rng(0)
LABEL = {"names": ["cat", "ant"], "_type": "ClassLabel"}
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def described(table: pa.Table, features: dict[str, Any]) -> pa.Table:
    """With the schema's metadata as the package writes it."""
    return table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )


def png(red: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (red, 10, 10)).save(file, "png")
    return file.getvalue()


def pictures(count: int = 20, label: Any = LABEL) -> pa.Table:
    labels = [number % 2 for number in range(count)]
    images = [{"bytes": png(200 - 150 * own), "path": None} for own in labels]
    table = pa.table({"image": pa.array(images, IMAGE), "label": pa.array(labels, pa.int64())})
    return described(table, {"image": {"_type": "Image"}, "label": label})


def rows(count: int = 20) -> pa.Table:
    table = pa.table(
        {
            "a": RANDOM.normal(size=count),
            "b": np.arange(count),
            "c": ["x", "y"] * (count // 2),
            "v": pa.array(RANDOM.normal(size=(count, 3)).tolist(), pa.list_(pa.float32())),
            "m": pa.array(RANDOM.normal(size=(count, 2, 3)).tolist()),
            "label": [0, 1] * (count // 2),
        }
    )
    value = {"dtype": "float64", "_type": "Value"}
    return described(table, {**dict.fromkeys("abcvm", value), "label": LABEL})


def save_to_disk(table: pa.Table, folder: str, shards: int = 1) -> None:
    """The files of ``Dataset.save_to_disk``: shards of an Arrow stream, and two of JSON."""
    Path(folder).mkdir(parents=True)
    names = [f"data-{number:05}-of-{shards:05}.arrow" for number in range(shards)]
    size = -(-len(table) // shards)
    for number, name in enumerate(names):
        with pa.ipc.new_stream(Path(folder, name), table.schema) as stream:
            stream.write_table(table.slice(number * size, size), max_chunksize=3)
    state = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": "63fd6be7c51c7c10",
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    Path(folder, "state.json").write_text(json.dumps(state, indent=2))
    Path(folder, "dataset_info.json").write_text('{"citation": "", "description": ""}')


def save_dict_to_disk(tables: dict[str, pa.Table], folder: str) -> None:
    """The files of ``DatasetDict.save_to_disk``."""
    for split, table in tables.items():
        save_to_disk(table, f"{folder}/{split}")
    Path(folder, "dataset_dict.json").write_text(json.dumps({"splits": list(tables)}))


def snapshot(tables: dict[str, pa.Table], folder: str, shards: int = 1) -> None:
    """The Parquet files of a repository on the hub."""
    Path(folder).mkdir(parents=True)
    for split, table in tables.items():
        size = -(-len(table) // shards)
        for number in range(shards):
            name = f"{split}-{number:05}-of-{shards:05}.parquet"
            pq.write_table(table.slice(number * size, size), Path(folder, name))


def build(text: str) -> Dataset:
    check_files(text)
    return registry.build_dataset(text)


def same(one: Dataset, other: Dataset) -> bool:
    return all(
        torch.equal(getattr(a, field), getattr(b, field))
        for a, b in ((one.train, other.train), (one.test, other.test))
        for field in ("inputs", "targets")
    )


def test_images_of_every_layout_are_the_same() -> None:
    save_to_disk(pictures(), "one", shards=3)
    snapshot({"train": pictures()}, "hub/data", shards=2)
    snapshot({"train": pictures()}, "flat")
    snapshot({"train": pictures()}, "config/plain_text")
    first = build("huggingface(path='one', size=4)")
    assert first.input_shape == (3, 4, 4) and first.classes == ("cat", "ant")
    assert first.class_counts == {"cat": [6, 2, 2], "ant": [6, 2, 2]}
    for part in (first.train, first.validation, first.test):
        assert torch.equal(part.inputs[:, 0, 0, 0] < 0, part.targets == 1)
    for path in ("hub", "flat", "config", "config/plain_text"):
        assert same(build(f"huggingface(path={path!r}, size=4)"), first)
    grey = build("huggingface(path='one', size=4, greyscale=True)")
    assert grey.input_shape == (1, 4, 4)
    assert first.source == "one, 20 rows, column 'image'"


def test_splits_are_the_parts_and_others_are_left_out() -> None:
    tables = {"train": pictures(20), "test": pictures(6), "unsupervised": pictures(4)}
    save_dict_to_disk(tables, "splits")
    snapshot(tables, "hub/data")
    for path in ("splits", "hub"):
        data = build(f"huggingface(path={path!r})")
        assert [len(data.train), len(data.validation), len(data.test)] == [16, 4, 6]
    snapshot({"everything": pictures()}, "one")
    assert len(build("huggingface(path='one')").train) == 12
    save_dict_to_disk({"train": rows(), "dev": rows(6), "test": rows(4)}, "three")
    data = build("huggingface(path='three', inputs=('a', 'b'))")
    assert [len(data.train), len(data.validation), len(data.test)] == [20, 6, 4]


def test_columns_are_read_as_those_of_a_csv_file() -> None:
    table = rows(30)
    save_to_disk(table, "t", shards=2)
    table.select(["a", "b", "c", "label"]).to_pandas().to_csv("t.csv", index=False)
    data = build("huggingface(path='t', inputs=('a', 'b', 'c'))")
    assert data.input_shape == (4,) and data.classes == ("cat", "ant")
    expected = build("csv(path='t.csv', target='label')")
    for part in ("train", "validation", "test"):
        one, other = getattr(data, part), getattr(expected, part)
        assert torch.allclose(one.inputs, other.inputs, atol=1e-6)
        assert torch.equal(one.targets, other.targets)
    assert build("huggingface(path='t', inputs='a', target='c')").classes == ("x", "y")


def test_truth_values_and_dates_with_gaps_are_categories() -> None:
    old = pa.array([True, False, None, False] * 5)
    day = pa.array([date(2026, 1, 1), None] * 10)
    table = rows().set_column(0, "a", old).set_column(1, "b", day)
    save_to_disk(table, "t")
    data = build("huggingface(path='t', inputs=('a', 'b'), fill=True)")
    assert data.input_shape == (3,)
    inputs = torch.cat([part.inputs for part in (data.train, data.validation, data.test)])
    assert inputs.sum(dim=0).tolist() == [10, 5, 10]  # False, True, the day


@pytest.mark.parametrize(("column", "shape"), [("v", (3,)), ("m", (2, 3))])
def test_lists_of_the_same_length_are_an_array(column: str, shape: tuple[int, ...]) -> None:
    table = rows(30)
    save_to_disk(table, "t", shards=2)
    data = build(f"huggingface(path='t', inputs={column!r})")
    x = np.array(table[column].to_pylist(), np.float32 if column == "v" else np.float64)
    assert data.input_shape == shape
    assert same(data, Dataset.from_arrays(x, np.array(table["label"].to_pylist())))


def test_a_label_without_a_name_stays_a_number() -> None:
    save_to_disk(pictures(label={"dtype": "int64", "_type": "Value"}), "x")
    assert build("huggingface(path='x')").classes == ()
    save_to_disk(pictures().replace_schema_metadata(None), "y")
    assert build("huggingface(path='y')").classes == ()


def test_a_class_that_no_row_has_keeps_its_number() -> None:
    save_to_disk(pictures(label={"names": ["dog", "cat", "ant"], "_type": "ClassLabel"}), "x")
    data = build("huggingface(path='x')")
    assert data.num_classes == 3 and data.classes == ("dog", "cat", "ant")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("huggingface(path='nowhere')", "there is no folder nowhere"),
        ("huggingface(path='empty')", "empty is no dataset of Hugging Face"),
        ("huggingface(path='several')", "several configurations: .*: one, two"),
        ("huggingface(path='other')", "other has no split 'train': it has first, second"),
        ("huggingface(path='broken')", "broken/state.json cannot be read"),
        ("huggingface(path='lacking')", "lacks data-00000-of-00001.arrow"),
        ("huggingface(path='damaged')", "damaged/data-00000-of-00001.arrow cannot be read"),
        ("huggingface(path='rows')", "rows has no column 'image': it has a, b, c, v, m, label"),
        ("huggingface(path='rows', inputs='a', target='lable')", "did you mean 'label'?"),
    ],
)
def test_what_is_no_such_folder_is_refused_at_once(text: str, message: str) -> None:
    Path("empty").mkdir()
    snapshot({"train": rows()}, "several/one")
    snapshot({"train": rows()}, "several/two")
    snapshot({"first": rows(), "second": rows()}, "other")
    for name in ("broken", "lacking", "damaged", "rows"):
        save_to_disk(rows(), name)
    Path("broken/state.json").write_text("{}")
    Path("lacking/data-00000-of-00001.arrow").unlink()
    Path("damaged/data-00000-of-00001.arrow").write_bytes(b"no arrow at all")
    with pytest.raises(RequestError, match=message) as error:
        check_files(text)
    assert "\n" not in str(error.value)
    with pytest.raises(RequestError, match=message):
        registry.build_dataset(text)


def test_values_that_cannot_be_used_are_refused() -> None:
    hidden = pictures().set_column(1, "label", pa.array([0, 1] * 9 + [-1, -1], pa.int64()))
    save_to_disk(hidden, "hidden")
    with pytest.raises(RequestError, match="whole numbers from 0 to 1, not -1"):
        build("huggingface(path='hidden')")
    images = pa.array([{"bytes": None, "path": "x.png"}] * 20, IMAGE)
    save_to_disk(pictures().set_column(0, "image", images), "paths")
    with pytest.raises(RequestError, match="not stored in it, only their paths"):
        build("huggingface(path='paths')")
    images = pa.array([{"bytes": b"no image", "path": "x.png"}] * 20, IMAGE)
    save_to_disk(pictures().set_column(0, "image", images), "broken")
    with pytest.raises(RequestError, match="image 0 of the train part cannot be read"):
        build("huggingface(path='broken')")
    save_to_disk(rows().set_column(3, "v", pa.array([[1.0], [1.0, 2.0]] * 10)), "ragged")
    with pytest.raises(RequestError, match="must have the same length, and not 1, 2"):
        build("huggingface(path='ragged', inputs='v')")
    with pytest.raises(RequestError, match="column 'v' is list<"):
        build("huggingface(path='ragged', inputs=('a', 'v'))")
    with pytest.raises(RequestError, match="regression is not supported"):
        build("huggingface(path='ragged', inputs='b', target='a')")


def test_its_hash_is_that_of_its_data_files() -> None:
    text = "huggingface(path='x')"
    save_to_disk(pictures(), "x", shards=2)
    first = content_hash(text)
    Path("x/dataset_info.json").write_text("{}")
    assert content_hash(text) == first
    file = Path("x/data-00001-of-00002.arrow")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert content_hash(text) != first
