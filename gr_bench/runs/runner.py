"""Running a suite: from its cells to a folder with everything that was measured."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from gr_bench.errors import RequestError
from gr_bench.experiments.base import Job, Record, failure
from gr_bench.meters.device import get_device
from gr_bench.runs import environment
from gr_bench.runs.executors import Crashed, Event, Executor, Measured
from gr_bench.runs.results import Results
from gr_bench.runs.store import Store, open_store
from gr_bench.runs.suite import Suite


class Watcher(Protocol):
    """Who is told what happens."""

    def outlook(self, units: dict[str, int]) -> None:
        """How many units are still to come, at least, by sort; said before every job."""

    def event(self, event: Event) -> None:
        """Something happened to a unit."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    folder: Path
    cells: int
    failed: int
    unsupported: int
    measured_now: int
    """Records written by this execution; 0 if everything was there already."""


def run(
    suite: Suite,
    folder: Path,
    make_executor: Callable[[Path], Executor],
    watcher: Watcher,
    *,
    fresh: bool = False,
) -> Outcome:
    """Measure what ``folder`` does not yet have of the suite.

    Cells that failed in an earlier execution are tried again. Whatever ends the run, what was
    measured until then is in the journal, and the tables are made from it.

    Args:
        suite: what to measure.
        folder: the run's own.
        make_executor: gives the executor, for the folder.
        watcher: told of everything that happens.
        fresh: put an earlier run's results aside and start over.

    Raises:
        RequestError: the folder is another run's, or was begun on another machine or software.
    """
    devices = sorted({cell.device for cell in suite.cells})
    for device in devices:
        get_device(device)
    about: dict[str, Any] = {
        "name": suite.name,
        "title": suite.title,
        "description": suite.description,
        "suite": suite.resolved,
        "cells": len(suite.cells),
        "environment": environment.describe(devices[0]),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started": _now(),
        "ended": None,
        "status": "running",
    }
    with open_store(folder, about, fresh=fresh) as store:
        changed = environment.differences(store.about["environment"], about["environment"])
        if changed:
            raise RequestError(
                f"{folder} was begun under other conditions ({'; '.join(changed)}): "
                "choose another --out, or --fresh to start over"
            )
        before = len(store.records)
        store.describe(status="running", ended=None)
        status = "interrupted"
        try:
            executor = make_executor(folder)
            while jobs := _next_jobs(suite, store, before, watcher):
                for job in jobs:
                    _do(job, store, executor, suite.timeout_s, watcher)
            status = "done"
        finally:
            Results(folder).write_parquet()
            measured = len({record.cell.id for record in store.records})
            store.describe(status=status, cells=measured, ended=_now())
        failures = Results(folder).failures
        unsupported = int(failures["unsupported"].sum())
        return Outcome(
            folder=folder,
            cells=measured,
            failed=len(failures) - unsupported,
            unsupported=unsupported,
            measured_now=len(store.records) - before,
        )


def _next_jobs(suite: Suite, store: Store, before: int, watcher: Watcher) -> list[Job]:
    """What the first plan that is not done asks for. Failures from before are not held against it.

    Args:
        before: how many of the store's records are from earlier executions.
    """
    known = [r for r in store.records[:before] if r.kind != "failure" or r.data["unsupported"]]
    known += store.records[before:]
    outlook: Counter[str] = Counter()
    jobs: list[Job] = []
    for plan in suite.plans:
        own = [r for r in known if r.cell.experiment == plan.experiment.name]
        outlook.update(plan.experiment.outlook(plan.grid, plan.cells, own))
        jobs = jobs or plan.experiment.pending(plan.grid, plan.cells, own)
    watcher.outlook(dict(outlook))
    return jobs


def _do(job: Job, store: Store, executor: Executor, timeout_s: float, watcher: Watcher) -> None:
    """Have a job done and keep what comes of it."""
    for event in executor.run(job, timeout_s):
        if isinstance(event, Measured) and isinstance(event.result, Record):
            store.append(event.result)
        elif isinstance(event, Crashed):
            for cell in event.unit.cells:
                store.append(failure(cell, event.reason))
        watcher.event(event)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
