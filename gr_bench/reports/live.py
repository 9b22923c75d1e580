"""A run's report, drawn while the run goes on: a first page soon, and again as more is known."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from gr_bench.runs.executor import Event

FIRST_AFTER_S = 35.0
"""The first page is begun so long after the start; drawing it takes seconds, or many."""

AGAIN_AFTER_S = 60.0
"""And every further one so long after the last was done."""


class LiveReport:
    """A :class:`~gr_bench.runs.runner.Watcher` that has the report drawn by a process beside it.

    The process has the coordinator's processors, which are not those that are being timed.

    Args:
        folder: the run's.
        say: told once, when the first page is there.
    """

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        self._folder = folder
        self._say: Callable[[str], object] | None = say
        self._due = time.monotonic() + FIRST_AFTER_S
        self._drawing: subprocess.Popen[bytes] | None = None

    def remaining_units(self, units: dict[str, int], left_s: float | None) -> None:
        """Draw, if it is time."""
        self._draw()

    def event(self, event: Event) -> None:
        """Draw, if it is time."""
        self._draw()

    def _draw(self) -> None:
        if self._drawing is not None:
            if self._drawing.poll() is None:
                return
            if self._drawing.returncode == 0 and self._say is not None:
                self._say(
                    f"first report, updated during the run: {self._folder}/report/report.html"
                )
                self._say = None
            self._drawing = None
            self._due = time.monotonic() + AGAIN_AFTER_S
        if time.monotonic() >= self._due:
            command = [sys.executable, "-m", "gr_bench", "report", str(self._folder)]
            with self._log() as log:
                self._drawing = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )

    def _log(self) -> IO[bytes]:
        return open(self._folder / "workers.log", "ab")

    def stop(self) -> None:
        """End a drawing that is under way."""
        if self._drawing is not None:
            self._drawing.kill()
            self._drawing.wait()
            self._drawing = None
