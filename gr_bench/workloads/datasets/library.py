"""The files of Python's standard library that people wrote: looked into, but not read.

Imports nothing slow: suites are checked with it.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

LEFT_OUT = {
    *("site-packages", "dist-packages", "__pycache__"),
    *("test", "tests", "testing", "idle_test"),
    *("encodings", "pydoc_data"),
}
"""Folders without source of the library: other packages, tests, and tables and texts that programs
wrote."""

BUILT = ("_sysconfigdata", "config-")
"""Beginnings of the names of files and folders that were written where Python was built."""


def library_folder() -> Path:
    """The folder of the running Python's standard library, also inside a virtual environment."""
    return Path(sysconfig.get_path("stdlib"))


def library_files(folder: Path | None = None) -> list[Path]:
    """Python files of the standard library, in the order of their relative paths.

    Folders of tests (``test...`` within one, too), of other packages and of generated tables
    (:data:`LEFT_OUT`), hidden files, links to elsewhere and empty files are left out.

    Args:
        folder: of the library; by default the running Python's.

    Raises:
        ValueError: there is no such folder, or no source in it.
    """
    root = library_folder() if folder is None else folder
    found = []
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if _is_source(name)]
        own = (Path(place, name) for name in files if name.endswith(".py") and _is_source(name))
        found += [file for file in own if file.is_file() and file.stat().st_size]
    if not found:
        raise ValueError(
            f"{root} has no Python source: this Python has no standard library in files"
        )
    return sorted(found, key=lambda file: file.relative_to(root).as_posix())


def _is_source(name: str) -> bool:
    return name not in LEFT_OUT and not name.startswith((".", *BUILT))
