"""The progress of a run as a file in its folder, for those who watch it from elsewhere."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr_bench.experiments.experiment import Unit
from gr_bench.experiments.record import Progress
from gr_bench.runs.executor import Crashed, Event, Finished, Measured, Started
from gr_bench.runs.tally import Tally

if TYPE_CHECKING:
    from gr_bench.runs.runner import Watcher

FILE = "progress.json"
EVERY_S = 2.0
"""Between two times that the file is written, at least."""


class Published:
    """A :class:`~gr_bench.runs.runner.Watcher` that writes ``progress.json``, and tells another.

    The file has ``units`` done and ``of`` how many as far as is known, ``clock``, the time so far
    and left in words, and ``running``, what is being measured. It is gone when the run has ended. A
    disk that is full costs the file and nothing else.

    Args:
        folder: the run's.
        other: told of everything, too.
    """

    def __init__(self, folder: Path, other: Watcher) -> None:
        self._file = folder / FILE
        self._other = other
        self._tally = Tally()
        self._running: dict[Unit[Any], str] = {}
        self._written = -EVERY_S

    def remaining_units(self, units: dict[str, int], left_s: float | None) -> None:
        """See :class:`gr_bench.runs.runner.Watcher`."""
        self._tally.remaining_units(units, left_s)
        self._write()
        self._other.remaining_units(units, left_s)

    def event(self, event: Event) -> None:
        """See :class:`gr_bench.runs.runner.Watcher`."""
        match event:
            case Started(unit, node):
                self._running[unit] = str(unit) if node is None else f"{node}: {unit}"
            case Measured(_, Progress()):
                pass
            case Finished(unit) | Crashed(unit):
                self._running.pop(unit, None)
                self._tally.done(unit.kind)
        self._write()
        self._other.event(event)

    def end(self) -> None:
        """Take the file away."""
        self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        now = time.monotonic()
        if now - self._written < EVERY_S:
            return
        self._written = now
        content = {
            "units": self._tally.completed,
            "of": self._tally.total,
            "clock": self._tally.clock(),
            "running": list(self._running.values()),
        }
        beside = self._file.with_suffix(".tmp")
        try:  # no wait for the disk: what a crash of the machine leaves does not matter
            beside.write_text(json.dumps(content))
            os.replace(beside, self._file)
        except OSError:
            beside.unlink(missing_ok=True)


def read_progress(folder: Path) -> dict[str, Any] | None:
    """The contents of the file; None if it is not there or is not such a file."""
    try:
        found = json.loads((folder / FILE).read_text())
        whole = isinstance(found["units"], int) and isinstance(found["of"], int)
        words = [found["clock"], *found["running"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if whole and all(isinstance(word, str) for word in words) else None
