"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Page:
    """A folder that is written as a whole, and what of it tells that it may be replaced."""

    marks: tuple[str, ...]
    """Names of pages, of which it has one that names gr-bench."""

    others: tuple[str, ...] | None
    """All other names that it may have; None: any."""


@contextmanager
def whole_folder(target: Path, page: Page) -> Iterator[Path]:
    """A fresh folder that takes the place of ``target`` when the context ends without an error.

    Args:
        target: made if it is not there, with the folders above it.
        page: the sort of folder that it is.

    Raises:
        RequestError: as :func:`check_replaceable`, or it cannot be made.
    """
    check_replaceable(target, page)
    target = target.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-")
    except OSError as error:
        raise RequestError(f"cannot write to {target}: {error.strerror}") from error
    with made as folder:
        fresh = Path(folder, target.name)
        fresh.mkdir()
        yield fresh
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)


def check_replaceable(target: Path, page: Page) -> None:
    """Make sure that nothing of anybody else's is lost with a folder.

    Raises:
        RequestError: ``target`` is there and is no folder, is the current one, or holds anything
            else than such a page.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise RequestError(f"cannot write to {target}: it is not a folder")
    if not target.is_dir():
        return
    if target.resolve() == Path.cwd().resolve():
        raise RequestError(f"{target} is the current folder: name a folder of its own")
    names = {own.name for own in target.iterdir()}
    known = names if page.others is None else {*page.marks, *page.others}
    if strange := sorted(names - known):
        raise RequestError(f"{target} holds something else, {strange[0]}: name a folder of its own")
    if names and not any(_is_ours(target / mark) for mark in page.marks):
        raise RequestError(f"{target} holds something else: name a folder of its own")


def _is_ours(page: Path) -> bool:
    try:
        return "gr-bench" in page.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def check_writable(file: Path) -> None:
    """Raise RequestError unless ``file`` can be a file in a folder that is there."""
    if file.is_dir() or not file.parent.is_dir():
        raise RequestError(f"cannot write to {file}: name a file in a folder that is there")
