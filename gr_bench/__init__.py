"""gr-bench: what gradient regularization costs, what it gains, and which solution it picks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gr_bench.runs.results import Results

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(folder: str | Path) -> Results:
    """The tables of a run folder as attributes: ``load("runs/quick").step_cost`` and so on.

    Works while the run is going on, too: the tables then hold what is there so far.

    Raises:
        RequestError: the folder is not a run's.
    """
    from gr_bench.runs.results import Results

    return Results(folder)
