"""A run that is going on, seen from another process."""

from __future__ import annotations

import fcntl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr_bench.runs.about import read_about
from gr_bench.runs.published import read_progress
from gr_bench.runs.results import Results
from gr_bench.runs.so_far import SoFar, so_far
from gr_bench.runs.store import LOCK, journal_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

EVERY_S = 2.0
"""Between two looks, at least."""

REST = 10.0
"""Looking takes one part in so many of the time, at most."""

MOST_RUNNING = 8
"""Things under way that are named."""

MOST_FAILURES = 3


@dataclass(frozen=True)
class View:
    """A run at some moment; Rich prints it."""

    folder: Path
    about: dict[str, Any]
    progress: dict[str, Any] | None
    cells: int
    """With results."""

    failures: tuple[str, ...]
    known: SoFar
    open: bool
    """True if a process is writing to it."""

    @property
    def stopped(self) -> bool:
        """True if it says that it is running and no process does."""
        return self.about["status"] == "running" and not self.open

    @property
    def status(self) -> str:
        """The state in words."""
        if self.stopped:
            return "stopped without an end: the same command goes on"
        return "running" if self.open else str(self.about["status"])

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        lines = [f"{self.about['name']} in {self.folder}: {self.status}"]
        failed = f"; failed: {len(self.failures)}" if self.failures else ""
        lines.append(f"cells with results: {self.cells}{failed}")
        if self.open and self.progress:
            own = self.progress
            lines.append(f"{own['units']}/{own['of']} units · {own['clock']}")
            lines += [f"  {text}" for text in own["running"][:MOST_RUNNING]]
            if (more := len(own["running"]) - MOST_RUNNING) > 0:
                lines.append(f"  and {more} more")
        lines += [f"failed: {text}" for text in self.failures[-MOST_FAILURES:]]
        parts: list[RenderableType] = [Text(line) for line in lines]
        if len(self.known.table):
            parts += ["", self.known.rich()]
        return Group(*parts)


def look(folder: Path) -> View:
    """A run as it is now.

    Raises:
        RequestError: the folder is not a run's, or its journal cannot be read.
    """
    about = read_about(folder)
    is_open = about["status"] == "running" and _is_locked(folder)
    results = Results(folder)
    failures = results.tables["failures"]
    failed = failures[~failures["unsupported"].astype(bool)]
    return View(
        folder=folder,
        about=about,
        progress=read_progress(folder),
        cells=_cells(results),
        failures=tuple(
            f"{row['experiment']} / {row['model']} / {row['spec']}: {row['reason']}"
            for row in failed.to_dict("records")
        ),
        known=so_far(results.tables),
        open=is_open,
    )


def _cells(results: Results) -> int:
    """Cells with results: of a run that has lost its journal, as many as it had at its end."""
    if journal_of(results.folder) is None:
        return int(results.about["cells"])
    return len({record.cell.id for record in results.records})


def follow(folder: Path, console: Console) -> View:
    """Show a run until it ends.

    Returns:
        It as it was at the end.

    Raises:
        RequestError: as :func:`look`.
    """
    from rich.live import Live

    with Live(console=console, transient=True, auto_refresh=False) as live:
        while True:
            begin = time.monotonic()
            seen = look(folder)
            if not seen.open:
                return seen
            live.update(seen, refresh=True)
            time.sleep(max(EVERY_S, REST * (time.monotonic() - begin)))


def _is_locked(folder: Path) -> bool:
    """True if a process holds the run's lock, which is asked for and given back at once."""
    try:
        with open(folder / LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
