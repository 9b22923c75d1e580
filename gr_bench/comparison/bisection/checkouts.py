"""Commits of a path made ready to be run, each once and as long as it may be needed."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from gr_bench.comparison.bisection.path import Commit
from gr_bench.comparison.revisions import PREFIX, Revision, remove
from gr_bench.comparison.side import Side
from gr_bench.comparison.sides import Asked, make_ready


class Checkouts:
    """The sides that commits are.

    Args:
        root: the repository.
        home: every commit gets a folder in it; all their paths are of equal length.
        path: the commits.
        ends: names of the first and the last of them.
        python: the interpreter that runs them.
        command: a shell command that builds a checkout.
    """

    def __init__(
        self,
        root: Path,
        home: Path,
        path: Sequence[Commit],
        ends: tuple[str, str],
        python: str,
        command: str | None,
    ) -> None:
        self._root = root
        self._home = home
        self._path = path
        self._names = {0: ends[0], len(path) - 1: ends[1]}
        self._python = python
        self._command = command
        self._made: dict[int, Side] = {}
        self.building_s = 0.0
        """Seconds that checking out took where there is something to be built."""

    def side(self, position: int, name: str) -> Side:
        """The commit at a position as a side, made ready if it is not yet.

        Args:
            position: on the path.
            name: ``base`` or ``head``.

        Raises:
            RequestError: it cannot be checked out or built.
        """
        if position not in self._made:
            begin = time.monotonic()
            commit = self._path[position]
            known_as = self._names.get(position, f"commit {position} of {len(self._path) - 1}")
            revision = Revision(name, known_as, commit.hash)
            asked = Asked(self._root, {name: f"{PREFIX}{commit.hash}"}, {name: revision})
            folder = self._folder(position)
            self._made[position] = make_ready(name, asked, folder, self._python, self._command)
            if self._command is not None:
                self.building_s += time.monotonic() - begin
        return replace(self._made[position], name=name)

    def keep_only(self, positions: Collection[int]) -> None:
        """Remove what was made for all other positions, whole or not."""
        kept = {self._folder(position) for position in positions}
        self._made = {p: side for p, side in self._made.items() if p in positions}
        for folder in set(self._home.iterdir()) - kept:
            remove(self._root, folder)

    def _folder(self, position: int) -> Path:
        return self._home / str(position).zfill(len(str(len(self._path))))
