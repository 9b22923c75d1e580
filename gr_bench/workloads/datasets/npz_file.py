"""Arrays of an .npz file."""

from __future__ import annotations

import zipfile
import zlib
from typing import Any

import numpy as np

from gr_bench.workloads.datasets.base import Dataset
from gr_bench.workloads.datasets.layouts import find_file, npz_arrays, one_line


def npz(
    path: str,
    inputs: str = "x",
    targets: str = "y",
    standardise: bool | None = None,
    num_classes: int | None = None,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Arrays of an .npz file: ``npz(path='x.npz', inputs='x', targets='y')``.

    What the arrays may be is said of :meth:`Dataset.from_arrays`. Where the file has the arrays
    ``x_test`` and ``y_test``, or ``x_validation`` and ``y_validation``, these are the parts.

    Args:
        path: of a file that ``numpy.savez`` wrote, relative to the current directory.
        inputs: name of the array of inputs, and before ``_test`` and ``_validation``.
        targets: name of the array of labels or targets, likewise.
        standardise: see :meth:`Dataset.from_arrays`, as the next.
        num_classes: likewise.
        validation: fraction of ``x`` to draw for validation, if that is not there.
        test: fraction of ``x`` to draw for test, likewise.
        seed: of the split.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no .npz file, lacks an array, or has arrays that cannot be used.
    """
    names = npz_arrays(path, inputs, targets)
    arrays: dict[str, Any] = {}
    with np.load(find_file(path), allow_pickle=False) as file:
        for part, (x, y) in names.items():
            suffix = "" if part == "train" else f"_{part}"
            arrays |= {f"x{suffix}": _read(file, x, path), f"y{suffix}": _read(file, y, path)}
    return Dataset.from_arrays(
        **arrays,
        standardise=standardise,
        num_classes=num_classes,
        validation=validation,
        test=test,
        seed=seed,
        name="npz",
        source=str(path),
    )


def _read(file: Any, name: str, path: str) -> Any:
    try:
        return file[name]
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        why = "it holds Python objects" if "pickle" in str(error) else one_line(error)
        raise ValueError(f"{path}: array {name!r} cannot be read: {why}") from error
