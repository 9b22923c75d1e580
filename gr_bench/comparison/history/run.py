"""A stored run as a point of a history: what it read of each cell, and where it comes from."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gr_bench.comparison.stored import Stored
from gr_bench.experiments.step_cost.cell import StepCostCell

Quantity = Literal["ratio", "products"]

LETTERS = 8
"""Of a commit, where it is shown."""


@dataclass(frozen=True)
class Reading:
    """The mean of a logarithm over the replicates of a run."""

    mean: float
    error: float
    """Its standard error s/√K; NaN of a single replicate."""

    freedom: int
    """K - 1."""

    @classmethod
    def of(cls, logs: Sequence[float]) -> Reading | None:
        """The reading of those logarithms that are finite; None if none is."""
        known = np.array([log for log in logs if math.isfinite(log)])
        if not known.size:
            return None
        error = known.std(ddof=1) / math.sqrt(known.size) if known.size > 1 else math.nan
        return cls(float(known.mean()), float(error), known.size - 1)


@dataclass(frozen=True)
class Run:
    """The step costs of a stored run."""

    folder: Path
    about: Mapping[str, Any]
    """``run.json``."""

    cells: Mapping[str, StepCostCell]
    """By id, without controls."""

    readings: Mapping[tuple[str, Quantity], Reading]
    """By cell id and quantity: ``ratio`` is log(time/baseline's time), ``products`` the logarithm
    of the FLOPs that a matrix product does on the machine in the time of a step.
    """

    counters: Mapping[str, Mapping[str, int]]
    """By cell id."""

    @property
    def environment(self) -> dict[str, Any]:
        """As it was described when the run began."""
        found: dict[str, Any] = self.about["environment"]
        return found

    @property
    def commit(self) -> str | None:
        """The whole hash of gr-bench's commit; None where gr-bench was installed."""
        git = self.environment.get("git")
        return None if git is None else str(git["commit"])

    @property
    def name(self) -> str:
        """The commit in short, with a star if there were changes; else the folder's name."""
        if self.commit is None:
            return self.folder.name
        return f"{self.commit[:LETTERS]}{'*' if self.environment['git']['dirty'] else ''}"

    @property
    def suite(self) -> str:
        """The suite as it was asked for: a name, or the path of a TOML file."""
        command = list(self.about["command"])
        if "run" in command[:-1]:
            asked = str(command[command.index("run") + 1])
            if not asked.startswith("-"):
                return asked
        return str(self.about["name"])


def read_run(folder: Path) -> Run:
    """A run's step costs, from its journal.

    Raises:
        RequestError: the folder is not a run's, or its journal has no step costs.
    """
    stored = Stored(folder)
    cells = {key: cell for key, cell in stored.cells.items() if not cell.control}
    readings: dict[tuple[str, Quantity], Reading] = {}
    for key, cell in cells.items():
        logs: dict[Quantity, list[float]] = {"products": stored.log_products(cell)}
        if not cell.is_baseline:
            logs["ratio"] = stored.log_ratios(cell)
        for quantity, each in logs.items():
            if (reading := Reading.of(each)) is not None:
                readings[key, quantity] = reading
    counters = {key: stored.counted(cell) for key, cell in cells.items()}
    return Run(folder, stored.about, cells, readings, counters)


def in_order(runs: Sequence[Run]) -> list[Run]:
    """Runs in the order of their commits in time or, if some commit is not in the repository here,
    of their starts.
    """
    by_start = sorted(runs, key=lambda run: str(run.about["started"]))
    times = _committed_s([run.commit for run in by_start])
    if times is None:
        return by_start
    order = sorted(range(len(runs)), key=times.__getitem__)  # runs of one commit stay as they are
    return [by_start[i] for i in order]


def _committed_s(commits: Sequence[str | None]) -> list[float] | None:
    """The time at which each was committed; None if one is not known here."""
    known = [commit for commit in commits if commit is not None]
    if len(known) < len(commits):
        return None
    asked = ["git", "show", "--no-patch", "--format=%H %ct", *known, "--"]
    told = subprocess.run(asked, capture_output=True, text=True)
    if told.returncode:
        return None
    # git tells of a commit that is asked for twice once
    times = {name: float(time) for name, time in map(str.split, told.stdout.splitlines())}
    return [times[commit] for commit in known] if times.keys() >= {*known} else None
