"""Running a suite: from its cells to a folder with everything that was measured."""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from gr_bench.errors import RequestError
from gr_bench.experiments import EXPERIMENTS, get_experiment
from gr_bench.experiments.experiment import Job, Unit
from gr_bench.experiments.record import Failure, Record
from gr_bench.plugins.place import PlugIn
from gr_bench.registry import adopt
from gr_bench.runs import environment
from gr_bench.runs.about import DATA, NODES, PLUGINS, sources
from gr_bench.runs.executor import Crashed, Event, Executor, Joined, Measured, Started
from gr_bench.runs.outcome import Outcome
from gr_bench.runs.published import Published
from gr_bench.runs.results import Results
from gr_bench.runs.store import Store, current, open_store
from gr_bench.runs.suite import Suite


class Watcher(Protocol):
    """An observer that is told of everything that happens."""

    def remaining_units(self, units: dict[str, int], left_s: float | None) -> None:
        """Take note of the least number of units still to come, by kind, and of the time that
        there is for them; called before every job.
        """

    def event(self, event: Event) -> None:
        """Something happened to a unit."""


class Unwatched:
    """A watcher that tells nobody."""

    def remaining_units(self, units: dict[str, int], left_s: float | None) -> None:
        """See :class:`Watcher`."""

    def event(self, event: Event) -> None:
        """See :class:`Watcher`."""


def run_suite(
    suite: Suite,
    folder: Path,
    make_executor: Callable[[Path], Executor],
    watcher: Watcher,
    *,
    fresh: bool = False,
    budget_s: float | None = None,
    elsewhere: bool = False,
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
        budget_s: time for this execution. What every question needs at least is measured first;
            then times are made more precise, where they are least so, until the time is gone.
            By default the suite's own; without any, times are made as precise as the suite asks.
        elsewhere: other machines measure, which have the devices that may not be here.

    Raises:
        RequestError: a method that cannot be built; a dataset that cannot be read; a folder that is
            another run's, or was begun on another machine or software.
    """
    from gr_bench.meters.get_device import get_device  # and with it PyTorch

    begin = time.monotonic()
    budget_s = suite.budget_s if budget_s is None else budget_s
    until = None if budget_s is None else begin + budget_s
    devices = []
    for device in suite.devices:
        try:
            get_device(device)
            devices.append(device)
        except RequestError:
            if not elsewhere:
                raise
    first, *others = devices or ["cpu"]
    adopt(suite.plugins, EXPERIMENTS)
    suite.check_methods()
    data = suite.read_data()
    plugins = [asdict(plugin) for plugin in suite.plugins]
    about: dict[str, Any] = {
        "name": suite.name,
        "title": suite.title,
        "description": suite.description,
        "suite": suite.resolved,
        **({PLUGINS: plugins} if plugins else {}),
        "cells": len(suite.cells),
        **({DATA: data} if data else {}),
        "environment": environment.describe(first, others=others),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started": _now(),
        "ended": None,
        "status": "running",
        "budget_s": budget_s,
    }
    with open_store(folder, about, fresh=fresh) as store:
        changed = environment.differences(store.about["environment"], about["environment"])
        if changed:
            raise RequestError(
                f"{folder} was started under other conditions ({'; '.join(changed)}): choose "
                "another --out, or --fresh to start over"
            )
        published = Published(folder, watcher)
        before = len(store.records)
        now = {"suite": suite.resolved, PLUGINS: plugins} if plugins else {}
        store.describe(status="running", ended=None, budget_s=budget_s, **now)
        changed_plugins = _changed(suite.plugins, store.records)
        status = "interrupted"
        left: dict[str, int] = {}
        try:
            executor = make_executor(folder)
            while True:
                job, left = _next_job(suite, store, before, until, published)
                if job is None:
                    break
                _do(job, store, executor, suite, until, published)
            left = {kind: count for kind, count in left.items() if count}
            status = "budget spent" if left else "done"
        finally:
            published.end()
            ended = environment.steal()
            measured = len({record.cell.id for record in store.current})
            store.describe(status=status, cells=measured, ended=_now(), environment_at_end=ended)
            results = Results(folder)
            results.write_parquet()
        failures = results.failures
        unsupported = int(failures["unsupported"].sum())
        return Outcome(
            folder=folder,
            cells=measured,
            failed=len(failures) - unsupported,
            unsupported=unsupported,
            measured_now=len(store.records) - before,
            left=left,
            changed=changed_plugins,
        )


def _changed(plugins: Sequence[PlugIn], records: Sequence[Record]) -> tuple[str, ...]:
    """The places of the plug-ins of which there are records with another source."""
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in records:
        for key, source in record.cell.sources.items():
            seen[key].add(source)
    return tuple(own.where for own in plugins if seen[own.kind, own.name] - {own.source})


def _next_job(
    suite: Suite, store: Store, before: int, until: float | None, watcher: Watcher
) -> tuple[Job[Any] | None, dict[str, int]]:
    """The next job, or None when nothing is left to do or the time is gone; and what is to come.

    Failures from before this execution are not held against a cell, nor is the first SIGKILL of its
    worker, which may have been meant for another. What makes something known
    more precise comes after all that is not known yet.

    Args:
        before: how many of the store's records are from earlier executions.
    """
    known = [r for r in store.records[:before] if not isinstance(r, Failure) or r.unsupported]
    known = current([*known, *_held(store.records[before:])], sources(store.about))
    left_s = None if until is None else max(0.0, until - time.monotonic())
    remaining: Counter[str] = Counter()
    found: list[Job[Any]] = []
    for plan in suite.plans:
        own = [r for r in known if r.cell.experiment == plan.experiment.name]
        remaining.update(plan.experiment.remaining_units(plan.grid, plan.cells, own))
        if left_s != 0:
            found += plan.experiment.pending(plan.grid, plan.cells, own, left_s)
    watcher.remaining_units(dict(remaining), left_s)
    first = [job for job in found if not job.refines] or found
    return _side_by_side(first) if first else None, dict(remaining)


def _held(records: Sequence[Record]) -> Iterator[Record]:
    """An execution's records without the first failure of every cell whose worker was killed."""
    once: set[str] = set()
    for record in records:
        if isinstance(record, Failure) and record.killed and record.cell.id not in once:
            once.add(record.cell.id)
        else:
            yield record


def _side_by_side(jobs: Sequence[Job[Any]]) -> Job[Any]:
    """The first job, with the units of the others that can be measured beside it.

    Grids have a device each: so all GPUs are used, and not one grid's after the other's. A cell
    that several grids have is in one unit only.
    """
    first = jobs[0]
    if first.exclusive:
        return first
    units: list[Unit[Any]] = []
    taken: set[str] = set()
    for unit in itertools.chain.from_iterable(j.units for j in jobs if _sort(j) == _sort(first)):
        ids = {cell.id for cell in unit.cells}
        if not ids & taken:
            units.append(unit)
            taken |= ids
    return replace(first, units=tuple(units))


def _sort(job: Job[Any]) -> tuple[object, ...]:
    """The common part of jobs whose units can be measured side by side."""
    cells = [cell for unit in job.units for cell in unit.cells]
    kinds = {unit.kind for unit in job.units}
    threads = max(cell.threads for cell in cells)
    return kinds, threads, replace(job, units=())


def _do(
    job: Job[Any],
    store: Store,
    executor: Executor,
    suite: Suite,
    until: float | None,
    watcher: Watcher,
) -> None:
    """Have a job done and keep what comes of it."""
    have: dict[Unit[Any], set[str]] = {}
    with closing(executor.run(job, suite.timeout_s, until, suite.memory_limit)) as events:
        for event in events:
            if isinstance(event, Started):
                have[event.unit] = set()
            elif isinstance(event, Measured) and isinstance(event.result, Record):
                store.append(event.result)
                have[event.unit].add(event.result.cell.id)
            elif isinstance(event, Crashed):
                experiment = get_experiment(event.unit.cells[0].experiment)
                for cell in to_blame(event, have[event.unit]):
                    record = experiment.lost(event.unit, cell, event.reason)
                    store.append(event.told(record))
            elif isinstance(event, Joined):
                nodes = store.about.get(NODES, {})
                store.describe(**{NODES: {**nodes, event.node: dict(event.environment)}})
            watcher.event(event)


def to_blame(crash: Crashed, have: set[str]) -> list[Any]:
    """The cells that a crash is recorded for: those whose code was running, where that is known.

    The others are then measured again without them. Cells that had their records are not among
    them.
    """
    lost = [cell for cell in crash.unit.cells if cell.id not in have]
    return [cell for cell in lost if cell in crash.culprits] if crash.culprits else lost


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
