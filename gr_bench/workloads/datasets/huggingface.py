"""A dataset of Hugging Face in a folder on disk, read without its package."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gr_bench.workloads.checks import check_positive
from gr_bench.workloads.datasets.base import Dataset
from gr_bench.workloads.datasets.frames import dataset_of_frame
from gr_bench.workloads.datasets.image_folder import decode_images
from gr_bench.workloads.datasets.layouts import (
    one_line,
    read_schema,
    shards,
    shortened,
    table_features,
)


def huggingface(
    path: str,
    inputs: str | Sequence[str] = "image",
    target: str = "label",
    size: int = 32,
    greyscale: bool = False,
    fill: bool = False,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """A dataset of Hugging Face on disk: ``huggingface(path='folder', inputs='image')``.

    The folder is one that ``save_to_disk`` wrote, or a snapshot from the hub with files like
    ``data/train-00000-of-00001.parquet``. Inputs are images, read as by the dataset ``images``; one
    column of lists of numbers, all of the same shape, standardised by their first axis; or columns
    as those of the dataset ``csv``. The splits ``train``, ``validation`` and ``test`` are the
    parts; one that is not there is drawn from ``train``, as from a dataset without splits.

    Args:
        path: of the folder, relative to the current directory.
        inputs: a column, or several as ``('a', 'b')``.
        target: column of the labels; a ``ClassLabel`` keeps its order and its names.
        size: side of images in pixels.
        greyscale: True for images of one channel.
        fill: True to fill in values that are missing in columns, as ``csv`` does.
        validation: fraction of the rows to draw for validation, stratified by class.
        test: likewise.
        seed: of the split.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it has another layout, lacks a column, or has values that cannot be used.
    """
    check_positive(size=size)
    features = table_features(path, inputs, target)
    files = shards(path)
    tables = {part: _read(own, [*features, target]) for part, own in files.items()}
    classes = _class_names(read_schema(files["train"][0]), target)
    schema = tables["train"].schema
    split: dict[str, Any] = {"validation": validation, "test": test, "seed": seed}
    if not (_is_image(schema, features) or _is_list(schema, features)):
        import pandas as pd

        for column in features:
            _refuse_nested(schema, column)
        frames = {part: table.to_pandas() for part, table in tables.items()}
        return dataset_of_frame(
            pd.concat(frames.values(), ignore_index=True),
            features,
            target,
            name="huggingface",
            where=str(path),
            lengths={part: len(frame) for part, frame in frames.items()},
            classes=classes,
            fill=fill,
            **split,
        )
    arrays: dict[str, Any] = {}
    for part, table in tables.items():
        suffix = "" if part == "train" else f"_{part}"
        column = table[features[0]]
        arrays[f"x{suffix}"] = (
            _images(column, part, size, greyscale)
            if _is_image(schema, features)
            else _dense(column)
        )
        arrays[f"y{suffix}"] = np.asarray(table[target].to_pandas())
    data = Dataset.from_arrays(
        **arrays,
        num_classes=len(classes) or None,
        name="huggingface",
        source=f"{path}, {sum(map(len, tables.values()))} rows, column {features[0]!r}",
        **split,
    )
    return replace(data, classes=tuple(classes) or data.classes)


def _read(files: Sequence[Path], columns: Sequence[str]) -> Any:
    """The columns of all files as one table."""
    from pyarrow import ArrowException, concat_tables, ipc, memory_map, parquet

    tables = []
    for file in files:
        try:
            if file.suffix == ".parquet":
                table = parquet.read_table(file, columns=columns)
            else:
                table = ipc.open_stream(memory_map(str(file))).read_all().select(columns)
        except (ArrowException, KeyError) as error:
            raise ValueError(f"{file} cannot be read: {one_line(error)}") from error
        tables.append(table)
    return concat_tables(tables)


def _class_names(schema: Any, column: str) -> list[str]:
    """The names of a ``ClassLabel``; none if the column is something else."""
    try:
        described = json.loads((schema.metadata or {})[b"huggingface"])
        return [str(name) for name in described["info"]["features"][column]["names"]]
    except (KeyError, TypeError, ValueError):
        return []


def _is_image(schema: Any, features: Sequence[str]) -> bool:
    from pyarrow import types

    kind = schema.field(features[0]).type
    return len(features) == 1 and types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def _is_list(schema: Any, features: Sequence[str]) -> bool:
    return len(features) == 1 and _has_lists(schema.field(features[0]).type)


def _has_lists(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _refuse_nested(schema: Any, column: str) -> None:
    from pyarrow import types

    kind = schema.field(column).type
    if types.is_nested(kind):
        raise ValueError(
            f"column {column!r} is {kind}: inputs are one column of images or of lists of numbers, "
            "or columns of plain values"
        )


def _images(column: Any, part: str, size: int, greyscale: bool) -> Any:
    stored = column.combine_chunks().field("bytes")
    if stored.null_count:
        raise ValueError(f"the {part} part has images that are not stored in it, only their paths")
    named = (
        (f"image {row} of the {part} part", io.BytesIO(content.as_buffer()))
        for row, content in enumerate(stored)
    )
    return decode_images(named, len(stored), size, greyscale)


def _dense(column: Any) -> Any:
    """An array of lists, of lists of lists and so on, that are all as long as the first."""
    from pyarrow import compute

    values, shape = column.combine_chunks(), [len(column)]
    while _has_lists(values.type):
        lengths = compute.unique(compute.list_value_length(values))
        if len(lengths) != 1 or not lengths[0].as_py():
            found = shortened(map(str, lengths.to_pylist()))
            raise ValueError(f"lists as inputs must have the same length, and not {found}")
        shape.append(lengths[0].as_py())
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(shape)
