"""Rows of named columns made into a dataset: CSV files, and tables of Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from gr_bench.workloads.datasets.base import Dataset, Part
from gr_bench.workloads.datasets.labels import Labels, divide, encode_labels
from gr_bench.workloads.datasets.split import Indices, Split

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MOST_CATEGORIES = 1000
"""A column of names with more different ones is refused: it is hardly a feature."""


@dataclass(frozen=True)
class Column:
    """One column as inputs: numbers (N,) standardised, or the place (N,) of each category.

    Attributes:
        name: of the column.
        values: float64 numbers, or int64 places, -1 for none.
        width: inputs that it makes: 1, or the number of categories.
        is_numeric: which of the two.
    """

    name: str
    values: NDArray[Any]
    width: int
    is_numeric: bool


def dataset_of_frame(
    frame: DataFrame,
    features: Sequence[str],
    target: str,
    *,
    name: str,
    where: str,
    lengths: Mapping[str, int] | None = None,
    classes: Sequence[str] = (),
    fill: bool = False,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """The dataset of a table: inputs (N, D), float32, and labels (N,).

    A column of numbers is one input, standardised with the mean and standard deviation of the train
    part. Any other is one input a category, 1 or 0, for the categories in the train part in sorted
    order; another category is 0 in all of them.

    Args:
        frame: rows of all given parts, one part after the other.
        features: columns that are inputs.
        target: column of labels.
        name: of the dataset.
        where: the source, in words.
        lengths: rows of each given part; by default all are of ``train``.
        classes: names of the labels 0 ... K-1, if these are such.
        fill: True to put the mean of the train part for a missing number, and no category for a
            missing one; otherwise they are refused.
        validation: see :func:`~gr_bench.workloads.datasets.labels.divide`, as the next two.
        test: likewise.
        seed: likewise.

    Raises:
        ValueError: no rows, values or labels that are missing or infinite, names that are no
            categories, or labels that cannot be divided.
    """
    if frame.empty:
        raise ValueError(f"{where} has no rows")
    labels = _labels(frame[target], classes)
    division = divide(
        labels, lengths or {"train": len(frame)}, validation=validation, test=test, seed=seed
    )

    def build(split: Split) -> Dataset:
        columns = [_column(frame[feature], split.train, fill) for feature in features]
        inputs = torch.from_numpy(_matrix(columns, len(frame)))
        targets = torch.from_numpy(labels.numbers)
        train, validation_part, test_part = (
            Part(inputs[torch.from_numpy(part)], targets[torch.from_numpy(part)]) for part in split
        )
        names = [f"{column.name} ({column.width})" for column in columns if not column.is_numeric]
        numeric = len(columns) - len(names)
        kinds = [f"{numeric} of numbers"] if numeric else []
        kinds += [f"{len(names)} of categories: {', '.join(names[:10])}"] if names else []
        return Dataset(
            name=name,
            train=train,
            validation=validation_part,
            test=test_part,
            num_classes=labels.num_classes,
            kind="real",
            source=f"{where}, {len(frame)} rows, {len(columns)} columns, {', '.join(kinds)}",
            split=division.words,
            classes=tuple(classes) or labels.names,
        )

    return Dataset.divided(build, division.split, labels.numbers, division.drawn)


def _labels(column: Series[Any], classes: Sequence[str]) -> Labels:
    missing = column.isna().to_numpy()
    if missing.any():
        raise ValueError(f"target {column.name!r} is missing in row {missing.argmax() + 1}")
    try:
        return encode_labels(column, len(classes) or None)
    except ValueError as error:
        raise ValueError(f"target {column.name!r}: {error}") from error


def _column(column: Series[Any], train: Indices, fill: bool) -> Column:
    from pandas.api.types import is_numeric_dtype

    name = str(column.name)
    missing = column.isna().to_numpy()
    if missing.any() and not fill:
        raise ValueError(
            f"column {name!r} has no value in row {missing.argmax() + 1} (and "
            f"{missing.sum() - 1} more): fill=True puts the mean of the train part, or no category"
        )
    if is_numeric_dtype(column.dtype):
        return Column(name, _standardised(name, column, missing, train), 1, True)
    if missing[train].all():
        raise ValueError(f"column {name!r} has no value in the train part: leave it out")
    places, width = _categories(name, column, missing, train)
    return Column(name, places, width, False)


def _standardised(
    name: str, column: Series[Any], missing: NDArray[np.bool_], train: Indices
) -> NDArray[np.float64]:
    values = column.to_numpy(np.float64, na_value=np.nan, copy=True)
    if np.isinf(values).any():
        raise ValueError(f"column {name!r} is infinite in row {np.isinf(values).argmax() + 1}")
    own = values[train[~missing[train]]]
    if not len(own):
        raise ValueError(f"column {name!r} has no value in the train part: leave it out")
    constant = own.min() == own.max()
    centre = own[0] if constant else own.mean()
    values[missing] = centre
    values -= centre
    if not constant:
        values /= values[train].std()
    return values


def _categories(
    name: str, column: Series[Any], missing: NDArray[np.bool_], train: Indices
) -> tuple[Indices, int]:
    import pandas as pd

    texts = column.astype(str)
    found = sorted(texts.iloc[train[~missing[train]]].unique())
    if len(found) > MOST_CATEGORIES:
        numbers = pd.to_numeric(column, errors="coerce").isna() & column.notna()
        row = int(numbers.to_numpy().argmax())
        raise ValueError(
            f"column {name!r} has {len(found)} different values that are not all numbers (the "
            f"first that is none: {column.iloc[row]!r} in row {row + 1}): more than "
            f"{MOST_CATEGORIES} are no categories; leave it out"
        )
    places: Indices = pd.Index(found).get_indexer(pd.Index(texts)).astype(np.int64)
    places[missing] = -1
    return places, len(found)


def _matrix(columns: Sequence[Column], rows: int) -> NDArray[np.float32]:
    """The inputs (N, D) of all columns side by side."""
    matrix = np.zeros((rows, sum(column.width for column in columns)), np.float32)
    at = 0
    for column in columns:
        if column.is_numeric:
            matrix[:, at] = column.values
        else:
            (there,) = np.nonzero(column.values >= 0)
            matrix[there, at + column.values[there]] = 1
        at += column.width
    return matrix
