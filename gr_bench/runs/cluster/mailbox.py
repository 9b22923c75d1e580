"""The mailbox of a run: a Ray actor beside the coordinator, to which tasks say what they find.

It outlives the nodes of the tasks, and so a task that Ray starts again on another node is told here
what its earlier attempts have said, and is given the unit's checkpoint.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from gr_bench.files import write_whole

Files = dict[str, bytes]
"""A folder's files by their names."""


@dataclass(frozen=True)
class Begun:
    """The knowledge that an attempt at a task begins with."""

    attempt: int
    ended: frozenset[int] = frozenset()
    """Units that earlier attempts have ended, by their place in the task."""

    have: frozenset[str] = frozenset()
    """The ids of cells that have a record from an earlier attempt."""

    folders: dict[str, Files] = field(default_factory=dict)
    """By the unit's folder's name, what is there to go on from."""

    left_s: float | None = None
    """Seconds in which units may still be started; None: no limit."""


@dataclass(frozen=True)
class Letter:
    """Something that an attempt says of one of its units."""

    task: int
    unit: int
    """Its place in the task."""

    kind: str
    """``begun``, ``started``, ``record``, ``progress``, ``finished``, ``crashed`` or ``log``."""

    content: Any = None


class Mailbox:
    """Letters that the coordinator has not read yet, and the checkpoints in the run's folder.

    Args:
        unfinished: the folder for the units' folders, on this machine.
    """

    def __init__(self, unfinished: Path) -> None:
        self._unfinished = unfinished
        self._letters: list[Letter] = []
        self._arrived = asyncio.Event()
        self._attempts: dict[int, int] = defaultdict(int)
        self._ended: dict[int, set[int]] = defaultdict(set)
        self._have: dict[int, set[str]] = defaultdict(set)

    async def begin(
        self, task: int, node: str, folders: list[str], until: float | None
    ) -> Begun | None:
        """Begin an attempt at a task; what is left of an earlier one is not heard any more.

        Args:
            task: its number.
            node: Ray's id of the node.
            folders: the names of its units' folders.
            until: by this machine's ``time.monotonic()``; afterwards it may not begin.

        Returns:
            None if there is no time.
        """
        left_s = None if until is None else until - time.monotonic()
        if left_s is not None and left_s <= 0:
            return None
        self._attempts[task] += 1
        self._put(Letter(task, 0, "begun", node))
        return Begun(
            self._attempts[task],
            frozenset(self._ended[task]),
            frozenset(self._have[task]),
            {name: read_files(self._unfinished / name) for name in folders},
            left_s,
        )

    async def post(self, letter: Letter, attempt: int, cell: str | None = None) -> bool:
        """Take a letter; False if its attempt is not the last one, and is to stop.

        Args:
            letter: to the coordinator.
            attempt: the one that writes it.
            cell: the id of the cell that it has the record of.
        """
        if attempt != self._attempts[letter.task]:
            return False
        if letter.kind in ("finished", "crashed"):
            self._ended[letter.task].add(letter.unit)
        if cell is not None:
            self._have[letter.task].add(cell)
        self._put(letter)
        return True

    async def keep(self, task: int, attempt: int, folder: str, files: Files) -> bool:
        """Keep a unit's checkpoint in the run's folder; False as for :meth:`post`."""
        if attempt != self._attempts[task]:
            return False
        write_files(self._unfinished / folder, files)
        return True

    async def take(self, wait_s: float) -> list[Letter]:
        """The letters that have come since, after ``wait_s`` at most if there is none."""
        if not self._letters and wait_s > 0:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), wait_s)
            except TimeoutError:
                return []
        letters, self._letters = self._letters, []
        return letters

    def _put(self, letter: Letter) -> None:
        self._letters.append(letter)
        self._arrived.set()


def read_files(folder: Path) -> Files:
    """The files of a folder; none if it is not there. One that is being written is none."""
    if not folder.is_dir():
        return {}
    return {name: (folder / name).read_bytes() for name in sorted(read_names(folder))}


def read_names(folder: Path) -> set[str]:
    """The names of a folder's files."""
    return {file.name for file in folder.iterdir() if not file.name.startswith(".")}


def write_files(folder: Path, files: Files) -> None:
    """Make a folder have these files, each whole; a full disk costs the checkpoint."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for gone in read_names(folder) - files.keys():
            (folder / gone).unlink()
        for name, content in files.items():
            write_whole(folder / Path(name).name, partial(_write, content))
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)


def _write(content: bytes, file: IO[bytes]) -> None:
    file.write(content)
