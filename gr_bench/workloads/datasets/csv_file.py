"""Rows of a CSV file."""

from __future__ import annotations

from collections.abc import Sequence

from gr_bench.workloads.datasets.base import Dataset
from gr_bench.workloads.datasets.frames import dataset_of_frame
from gr_bench.workloads.datasets.layouts import csv_features, find_file, one_line


def csv(
    path: str,
    target: str,
    features: str | Sequence[str] | None = None,
    separator: str = ",",
    fill: bool = False,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Rows of a CSV file: ``csv(path='x.csv', target='label')``.

    Inputs are float32 (N, D). A column of numbers is one input, standardised with the mean and
    standard deviation of the train part; a column of anything else one input a category, 1 or 0.

    Args:
        path: of a file whose first line names the columns, relative to the current directory.
        target: column of the labels: whole numbers or names, numbered in sorted order.
        features: columns that are inputs; by default all but the target.
        separator: the character between columns.
        fill: True to put the train part's mean for a missing number and no category for a missing
            one; otherwise they are refused. Missing is what is empty, NA, NaN, None or null.
        validation: fraction of the rows, stratified by class.
        test: likewise.
        seed: of the split.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it lacks a column, or has values or labels that cannot be used.
    """
    chosen = csv_features(path, target, features, separator)
    import pandas as pd

    try:
        frame = pd.read_csv(find_file(path), sep=separator, low_memory=False)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {one_line(error)}") from error
    if not isinstance(frame.index, pd.RangeIndex):  # it takes the first values for an index
        raise ValueError(f"{path} has more values in a row than the header has names")
    return dataset_of_frame(
        frame,
        chosen,
        target,
        name="csv",
        where=str(path),
        fill=fill,
        validation=validation,
        test=test,
        seed=seed,
    )
