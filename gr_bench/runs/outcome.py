"""The outcome of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """The outcome of one execution of a suite."""

    folder: Path
    cells: int
    failed: int
    unsupported: int
    measured_now: int
    """Records written by this execution; 0 if everything was there already."""

    left: dict[str, int]
    """Units that there was no time for, by kind."""

    changed: tuple[str, ...] = ()
    """Places of plug-ins of which there are results with another source, which are not shown."""
