"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gr_bench.errors import RequestError


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that, whatever happens, it is there whole or as it was before."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(target: Path, marks: Collection[str]) -> Iterator[Path]:
    """A fresh folder that takes the place of ``target`` when the context ends without an error.

    Args:
        target: made if it is not there, with the folders above it.
        marks: names of which a folder that may be replaced has at least one.

    Raises:
        RequestError: ``target`` is a file, a folder that holds something else, or cannot be made.
    """
    check_replaceable(target, marks)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot write to {target}: {error.strerror}") from error
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as made:
        fresh = Path(made, target.name)
        fresh.mkdir()
        yield fresh
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)


def check_replaceable(target: Path, marks: Collection[str]) -> None:
    """Raise RequestError if ``target`` is there and is not an empty folder or one with a mark."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise RequestError(f"cannot write to {target}: it is not a folder")
    is_ours = any((target / mark).exists() for mark in marks)
    if target.is_dir() and any(target.iterdir()) and not is_ours:
        raise RequestError(f"{target} holds something else: name a folder of its own")


def check_writable(file: Path) -> None:
    """Raise RequestError unless ``file`` can be a file in a folder that is there."""
    if file.is_dir() or not file.parent.is_dir():
        raise RequestError(f"cannot write to {file}: name a file in a folder that is there")
