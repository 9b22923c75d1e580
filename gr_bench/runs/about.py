"""A run's description, ``run.json``, by which a folder is known as a run's, and as which run's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gr_bench.errors import RequestError
from gr_bench.files import write_whole
from gr_bench.plugins.place import renamed
from gr_bench.runs.about_shape import fault_of

RUN = "run.json"
DATA = "data"
"""The key, in it and in its suite, of the datasets that are read from a user's files."""

PLUGINS = "plugins"
"""The entry of ``run.json`` with the plug-ins of the suite, as they were when it was run last."""

MERGED = "merged"
"""The entry of ``run.json`` with the runs that a merge was made from."""

NODES = "nodes"
"""The entry of ``run.json`` with the environment of each node of a cluster that measured, by the
name that records have in their conditions."""

Plain = dict[str, Any]


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Write a folder's ``run.json``."""
    text = json.dumps(about, indent=2)
    write_whole(folder / RUN, lambda file: file.write(text.encode()))


def read_about(folder: Path) -> dict[str, Any]:
    """The contents of a folder's ``run.json``.

    Raises:
        RequestError: it is not there or not readable.
    """
    try:
        about = json.loads((folder / RUN).read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RequestError(f"{folder} is not a run's folder: it has no {RUN}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{folder / RUN} cannot be read: {error}") from error
    if not isinstance(about, dict) or "suite" not in about:
        raise RequestError(f"{folder / RUN} is not a run's description")
    if fault := fault_of(about):
        raise RequestError(f"{folder / RUN} is not a run's description: {fault}")
    return about


def sources(about: Plain) -> dict[tuple[str, str], str]:
    """The hash of every plug-in's source when the suite was run last, by its kind and name."""
    return {(own["kind"], own["name"]): own["source"] for own in about.get(PLUGINS, ())}


def earlier_run(folder: Path, suite: Plain, plugins: Iterable[Plain] = ()) -> dict[str, Any] | None:
    """The description of the run of ``suite`` that a folder holds; None if there is no run in it.

    Args:
        folder: which may not be there yet.
        suite: as :attr:`gr_bench.runs.suite.Suite.resolved` has it.
        plugins: its plug-ins. They may have moved since.

    Raises:
        RequestError: the folder holds something else, or a run of another suite, or cannot be made.
    """
    if (folder / RUN).exists():
        about = read_about(folder)
        if MERGED in about:
            raise RequestError(
                f"{folder} is a merge of runs and cannot be continued: continue those runs, and "
                "merge again"
            )
        if suite_by_names(about) == suite_by_names({"suite": suite, PLUGINS: list(plugins)}):
            return about
        own = about["suite"] | {DATA: None}
        what = "other data: a file has changed" if own == suite | {DATA: None} else "other settings"
        raise RequestError(
            f"{folder} holds another run ({about['name']}, with {what}): "
            "choose another --out, or --fresh to start over"
        )
    if folder.is_dir() and own_files(folder):
        raise RequestError(f"{folder} is not empty and not a run's folder: choose another --out")
    here = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not (here.is_dir() and os.access(here, os.W_OK)):
        raise RequestError(f"cannot write to {folder}: {here} is not a writable folder")
    return None


def suite_by_names(about: Plain) -> Any:
    """A run's suite whose plug-ins go by their names, wherever they stood."""
    names = {(own["kind"], own["where"]): own["name"] for own in about.get(PLUGINS, ())}
    return renamed(about["suite"], names)


def own_files(folder: Path) -> list[Path]:
    """A folder's content without what was put aside, and without the lock and what a kill left of a
    file that was being written, whose names begin with a dot.
    """
    return [f for f in folder.iterdir() if not f.name.startswith((".", "before-"))]
