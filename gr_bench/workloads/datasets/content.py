"""The content of the files that a user's dataset is read from: there at all, the same as before.

Imports are relative, and of nothing slow: suites are checked with it, and a comparison loads it
into processes that step an older revision.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

from ...errors import RequestError
from ...spec import Spec, parse
from .layouts import CHECKS, FILES, FOLDERS

Stamp = tuple[Path, str, int, int, int]
"""A file, its place below the folder of all, and its size, time and inode, by which a change of
content is seen."""


def check_files(text: str) -> None:
    """Look whether the files of a dataset are there and of its layout, where it reads a user's.

    Raises:
        RequestError: they are not.
    """
    spec = parse(text)
    if check := CHECKS.get(spec.name) or FOLDERS.get(spec.name):
        try:
            check(**spec.parameters)
        except (ValueError, OSError) as error:
            raise RequestError(f"dataset {text!r}: {error}") from error


def content_hash(text: str) -> str | None:
    """A hash of the content of the files that a dataset is read from; None if it reads no user's.

    BLAKE2b of the place, the size and the bytes of each of them in order, as 32 hexadecimal digits.
    Parameters and the path itself are not part of it. Files that keep size, time and inode are read
    once a process.

    Args:
        text: the dataset as a suite spells it.

    Raises:
        RequestError: a file is not there, or cannot be read.
    """
    spec = parse(text)
    if spec.name not in FILES:
        return None
    try:
        files = FILES[spec.name](spec.parameters.get("path"))
        above = files[0] if len(files) == 1 else Path(os.path.commonpath(files))
        return _digest(tuple(_stamp(file, above) for file in files))
    except (ValueError, OSError) as error:
        raise RequestError(f"dataset {text!r}: {error}") from error


def same_content(text: str, known: str) -> None:
    """Raise RequestError if the files of a dataset have another hash than ``known``."""
    if content_hash(text) != known:
        raise RequestError(f"dataset {text!r}: its files have changed since the run was begun")


def with_absolute_path(text: str) -> str:
    """A dataset's spelling for a process with another current directory."""
    spec = parse(text)
    if spec.name not in FILES or "path" not in spec.parameters:
        return text
    placed = {"path": str(Path(str(spec.parameters["path"])).expanduser().absolute())}
    return str(Spec(spec.name, tuple((spec.parameters | placed).items())))


def beside(text: str, folder: Path | None) -> str:
    """A dataset's spelling with the path from here, where its relative path is one from ``folder``.

    Args:
        text: the dataset as a suite spells it.
        folder: the suite's; None if it has none.
    """
    spec = parse(text)
    path = spec.parameters.get("path")
    if folder is None or spec.name not in FILES or not isinstance(path, str):
        return text
    there, here = folder / Path(path).expanduser(), Path(path).expanduser()
    if here.is_absolute() or not there.exists():
        return text
    if here.exists() and here.samefile(there):
        return text
    return str(Spec(spec.name, tuple((spec.parameters | {"path": os.path.relpath(there)}).items())))


def _stamp(file: Path, above: Path) -> Stamp:
    status = file.stat()
    place = file.relative_to(above).as_posix()
    return file, place, status.st_size, status.st_mtime_ns, status.st_ino


@cache
def _digest(stamps: tuple[Stamp, ...]) -> str:
    whole = hashlib.blake2b(digest_size=16)
    for file, place, size, _, _ in stamps:
        with open(file, "rb") as opened:
            content = hashlib.file_digest(opened, "blake2b").digest()
        whole.update(f"{place}\0{size}\0".encode() + content)
    return whole.hexdigest()
