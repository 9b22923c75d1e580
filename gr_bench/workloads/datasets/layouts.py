"""The layouts of files and folders that datasets are read from, looked into but not read.

Nothing here imports PyTorch, so that a suite is checked at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .library import library_files

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
PART_NAMES = {
    "train": ("train",),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test",),
}
"""The parts, each with the names that folders and splits may have for it."""

_SHARD = re.compile(r"(?P<split>\w+?)(-\d+-of-\d+)?\.parquet")

Names = str | Sequence[str] | None


def find_file(path: Any) -> Path:
    """The file at ``path``, which is relative to the current directory or begins with ``~/``.

    Raises:
        ValueError: it is no path of a file, or the file is empty.
        FileNotFoundError: there is no such file.
    """
    found = _find(path, "file")
    if not found.is_file():
        raise ValueError(f"{path} is a folder: give the path of a file")
    if found.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    return found


def find_folder(path: Any) -> Path:
    """As :func:`find_file`, of a folder."""
    found = _find(path, "folder")
    if not found.is_dir():
        raise ValueError(f"{path} is a file: give the path of a folder")
    return found


def _find(path: Any, what: str) -> Path:
    if not isinstance(path, str) or not path:
        raise ValueError(f"path must be the path of a {what} in quotes, not {path!r}")
    found = Path(path).expanduser()
    if not found.exists():
        where = "" if found.is_absolute() else f" in {Path.cwd()}"
        raise FileNotFoundError(f"there is no {what} {path}{where}")
    return found


def csv_features(path: Any, target: str, features: Names = None, separator: str = ",") -> list[str]:
    """The columns of a CSV file that are inputs; only its header is read.

    Raises:
        ValueError: it is not to be read, or it lacks a column.
        OSError: there is no such file.
    """
    import pandas as pd

    if not isinstance(separator, str) or len(separator) != 1:
        raise ValueError(f"separator must be one character, not {separator!r}")
    file = find_file(path)
    try:
        columns = list(pd.read_csv(file, sep=separator, nrows=0).columns)
    except ValueError as error:
        raise ValueError(f"{path} is no CSV file: {one_line(error)}") from error
    return choose_columns(columns, target, features, str(path))


def choose_columns(columns: Sequence[str], target: str, features: Names, where: str) -> list[str]:
    """The columns that are inputs: those named, or all but the target.

    Raises:
        ValueError: a column that is not there, the target among the inputs, or none left.
    """
    wanted = [features] if isinstance(features, str) else features
    for column in (target, *(wanted or ())):
        if column not in columns:
            near = get_close_matches(str(column), columns, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {shortened(columns)}"
            raise ValueError(f"{where} has no column {column!r}: {hint}")
    if wanted is None:
        chosen = [column for column in columns if column != target]
        for column in chosen:
            if column.startswith("Unnamed: "):
                raise ValueError(
                    f"{where} has a column without a name, perhaps the numbers of the rows: "
                    "name the columns to use as features=('a', 'b')"
                )
    else:
        chosen = list(dict.fromkeys(wanted))
    if target in chosen:
        raise ValueError(f"the target {target!r} cannot be an input, too")
    if not chosen:
        raise ValueError(f"{where} has no column but the target {target!r}")
    return chosen


def npz_arrays(path: Any, inputs: str = "x", targets: str = "y") -> dict[str, tuple[str, str]]:
    """The names of the inputs and the targets of each part in an .npz file.

    Raises:
        ValueError: it is none, or lacks an array.
        OSError: there is no such file.
    """
    import zipfile

    file = find_file(path)
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except zipfile.BadZipFile:
        raise ValueError(f"{path} is no .npz file") from None
    pairs = {"train": (inputs, targets)}
    for part in ("validation", "test"):
        pair = (f"{inputs}_{part}", f"{targets}_{part}")
        if any(name in names for name in pair):
            pairs[part] = pair
    for name in (name for pair in pairs.values() for name in pair):
        if name not in names:
            raise ValueError(f"{path} has no array {name!r}: it has {shortened(names)}")
    return pairs


def image_files(path: Any) -> dict[str, list[tuple[str, Path]]]:
    """The images of every part in a folder, each with its class, in order.

    Raises:
        ValueError: there are none, or a sub-folder for a class has none.
        OSError: there is no such folder.
    """
    folder = find_folder(path)
    if not (folder / "train").is_dir():
        return {"train": _classes(folder)}
    return {
        part: _classes(folder / name)
        for part, names in PART_NAMES.items()
        for name in names
        if (folder / name).is_dir()
    }


def _classes(folder: Path) -> list[tuple[str, Path]]:
    """The images below each sub-folder."""
    found = []
    for sub in sorted(f for f in folder.iterdir() if f.is_dir() and not _is_hidden(f)):
        images = [file for file in sorted(sub.rglob("*")) if _is_image(file)]
        if not images:
            raise ValueError(f"{sub} has no image ({', '.join(IMAGE_SUFFIXES)})")
        found += [(sub.name, file) for file in images]
    if not found:
        raise ValueError(
            f"{folder} has no images in sub-folders: it needs one for every class, with that name"
        )
    return found


def _is_hidden(file: Path) -> bool:
    return file.name.startswith(".") or file.name == "__MACOSX"


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(file)


def shards(path: Any) -> dict[str, list[Path]]:
    """The Arrow or Parquet files of every part in a folder.

    Layouts are those of ``datasets.Dataset.save_to_disk`` and ``DatasetDict.save_to_disk``, and of
    a snapshot from the hub: ``train-00000-of-00001.parquet`` and so on in the folder, in ``data``
    or in the only sub-folder that has any.

    Raises:
        ValueError: it has none of these layouts, or lacks a file.
        OSError: there is no such folder.
    """
    folder = find_folder(path)
    if (folder / "dataset_dict.json").is_file():
        splits = {name: _arrow_files(folder / name) for name in _json(folder / "dataset_dict.json")}
    elif (folder / "state.json").is_file():
        splits = {"train": _arrow_files(folder)}
    else:
        splits = _parquet_files(folder)
    by_part = {
        part: splits[name] for part, names in PART_NAMES.items() for name in names if name in splits
    }
    if len(splits) == 1:
        return {"train": next(iter(splits.values()))}
    if "train" not in by_part:
        raise ValueError(f"{path} has no split 'train': it has {shortened(splits)}")
    return by_part


def _json(file: Path) -> list[str]:
    """The splits that a ``dataset_dict.json`` names, or the files that a ``state.json`` does."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if file.name == "dataset_dict.json":
            return [str(split) for split in content["splits"]]
        return [str(each["filename"]) for each in content["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} cannot be read: {one_line(error)}") from error


def _arrow_files(folder: Path) -> list[Path]:
    if not (folder / "state.json").is_file():
        raise ValueError(f"{folder} lacks its state.json")
    files = [folder / name for name in _json(folder / "state.json")]
    for file in files:
        if not file.is_file():
            raise ValueError(f"{folder} lacks {file.name}, which its state.json names")
    return files


def _parquet_files(folder: Path) -> dict[str, list[Path]]:
    places = [folder, folder / "data"]
    if not any(place.is_dir() and any(place.glob("*.parquet")) for place in places):
        places = [sub for sub in sorted(folder.iterdir()) if any(sub.glob("*.parquet"))]
        if len(places) > 1:
            names = shortened([place.name for place in places])
            raise ValueError(f"{folder} has several configurations: give the path of one: {names}")
    splits: dict[str, list[Path]] = {}
    for place in places:
        for file in sorted(place.glob("*.parquet")):
            if match := _SHARD.fullmatch(file.name):
                splits.setdefault(match["split"], []).append(file)
    if not splits:
        raise ValueError(
            f"{folder} is no dataset of Hugging Face: it has no dataset_dict.json, no state.json "
            "and no file like train-00000-of-00001.parquet"
        )
    return splits


def table_features(path: Any, inputs: Names = "image", target: str = "label") -> list[str]:
    """The columns of a dataset of Hugging Face that are inputs; only its schema is read.

    Raises:
        ValueError: it is not to be read, or it lacks a column.
        OSError: there is no such folder.
    """
    parts = shards(path)
    return choose_columns(read_schema(parts["train"][0]).names, target, inputs, str(path))


def read_schema(file: Path) -> Any:
    """The Arrow schema of a Parquet file, or of a file with a stream of Arrow's.

    Raises:
        ValueError: it is neither.
    """
    from pyarrow import ArrowException, OSFile, ipc, parquet

    try:
        if file.suffix == ".parquet":
            return parquet.read_schema(file)
        with OSFile(str(file)) as source, ipc.open_stream(source) as stream:
            return stream.schema
    except ArrowException as error:
        raise ValueError(f"{file} cannot be read: {one_line(error)}") from error


def shortened(names: Iterable[str]) -> str:
    """Names in a list, no more than ten of them."""
    known = list(names)
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    return ", ".join(known[:10]) + more


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split())


def _ignoring(function: Callable[..., Any], *known: str) -> Callable[..., None]:
    """``function`` of those parameters alone."""

    def check(**parameters: Any) -> None:
        function(**{key: value for key, value in parameters.items() if key in known})

    return check


def given_folder(root: Any = None) -> Path | None:
    """The folder that CIFAR is in; None if it is to be fetched.

    Raises:
        ValueError: it is no folder's path.
        OSError: there is no such folder.
    """
    return None if root is None else find_folder(root)


CHECKS: dict[str, Callable[..., None]] = {
    "csv": _ignoring(csv_features, "path", "target", "features", "separator"),
    "npz": _ignoring(npz_arrays, "path", "inputs", "targets"),
    "images": _ignoring(image_files, "path"),
    "text": _ignoring(find_file, "path"),
    "stdlib": _ignoring(library_files),
    "huggingface": _ignoring(table_features, "path", "inputs", "target"),
}
"""The datasets that are read from files that are not ours, each with a look at whether they are
there; it raises ValueError or OSError if not, or if they are not of its layout."""

FILES: dict[str, Callable[[Any], list[Path]]] = {
    "csv": lambda path: [find_file(path)],
    "npz": lambda path: [find_file(path)],
    "images": lambda path: [f for files in image_files(path).values() for _, f in files],
    "text": lambda path: [find_file(path)],
    "stdlib": lambda _: library_files(),
    "huggingface": lambda path: [file for files in shards(path).values() for file in files],
}
"""The same, each with the files that it reads at a path; those of ``stdlib`` are the running
Python's."""

FOLDERS: dict[str, Callable[..., None]] = {
    "cifar10": _ignoring(given_folder, "root"),
    "cifar100": _ignoring(given_folder, "root"),
}
"""Published datasets that may be in a user's folder, each with a look at whether that is there."""
