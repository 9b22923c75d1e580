"""The results so far of a run that is going on, read beside it now and then."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gr_bench.runs.so_far import SoFar, so_far

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gr_bench.runs.executor import Event

FIRST_AFTER_S = 5.0
REST = 20.0
"""Reading takes one part in so many of the time, at most: of a large run it is read seldom."""


class Known:
    """A :class:`~gr_bench.runs.runner.Watcher` that reads the run's tables, in a thread of its own.

    Printed by Rich, it is the table of what is known so far.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._due = time.monotonic() + FIRST_AFTER_S
        self._thread: threading.Thread | None = None
        self._found: SoFar | None = None

    def remaining_units(self, units: dict[str, int], left_s: float | None) -> None:
        """Read, if it is time."""
        self._read_if_due()

    def event(self, event: Event) -> None:
        """Read, if it is time."""
        self._read_if_due()

    def line(self) -> str:
        """The results so far in a line; empty if nothing is known."""
        return self._found.line() if self._found else ""

    def __rich__(self) -> RenderableType:
        return self._found.rich() if self._found and len(self._found.table) else ""

    def _read_if_due(self) -> None:
        if time.monotonic() >= self._due and not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()

    def _read(self) -> None:
        from gr_bench.runs.results import Results

        begin = time.monotonic()
        with suppress(Exception):  # a line that is just being written; the end says all
            self._found = so_far(Results(self._folder).tables)
        now = time.monotonic()
        self._due = now + max(FIRST_AFTER_S, REST * (now - begin))
