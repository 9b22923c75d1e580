"""Executors, which have units measured, and that of this machine: worker processes."""

from __future__ import annotations

import os
import selectors
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from gr_bench.errors import RequestError
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.experiment import Job, Unit
from gr_bench.experiments.lines import decode
from gr_bench.experiments.record import Progress, Record
from gr_bench.meters.conditions import allowed_processors, keep_off, preload, timed_processors
from gr_bench.workers.channel import Message, WorkerDied
from gr_bench.workers.process import WorkerProcess

UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Started:
    """A unit is being measured."""

    unit: Unit[Any]


@dataclass(frozen=True)
class Measured:
    """A unit yielded something."""

    unit: Unit[Any]
    result: Record | Progress


@dataclass(frozen=True)
class Finished:
    """A unit is done; whatever it had to say has been said."""

    unit: Unit[Any]


@dataclass(frozen=True)
class Crashed:
    """A unit ended without finishing: a dead worker, a time-out."""

    unit: Unit[Any]
    reason: str
    culprit: Cell | None = None
    """The cell whose code was running, where that is known."""


Event = Started | Measured | Finished | Crashed


class Executor(ABC):
    """Measures the units of a job and tells what happens."""

    @abstractmethod
    def run(self, job: Job[Any], timeout_s: float, until: float | None = None) -> Iterator[Event]:
        """Measure every unit of the job; every unit that is started ends as finished or crashed,
        just once.

        Closing the iterator stops what is under way.

        Args:
            job: the units.
            timeout_s: a unit that takes longer is given up.
            until: no unit is started after this, by ``time.monotonic()``.
        """


class LocalExecutor(Executor):
    """Runs an exclusive job in one fresh process, others in one process for every free core.

    Args:
        folder: the run's; the workers' own output and tracebacks are appended to its
            ``workers.log``, and units have their folders in its ``unfinished``.
        workers: how many processes a job that is not exclusive may use; by default the number of
            physical cores, divided by the threads a cell wants.
    """

    def __init__(self, folder: Path, workers: int | None = None) -> None:
        self._folder = folder
        self._workers = workers

    def run(self, job: Job[Any], timeout_s: float, until: float | None = None) -> Iterator[Event]:
        """See :meth:`Executor.run`."""
        waiting = deque(job.units)
        threads = max(cell.threads for unit in job.units for cell in unit.cells)
        cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
        wanted = 1 if job.exclusive else self._workers or max(1, cores // threads)
        workers: list[_Worker] = []
        allowed = allowed_processors()  # before this process narrows what its children inherit
        timed = None
        if job.exclusive:
            near = _near_processors({cell.device for unit in job.units for cell in unit.cells})
            timed = timed_processors(threads, allowed, near=near)
        with (
            keep_off(timed) if timed else nullcontext(),
            open(self._folder / "workers.log", "a") as log,
            selectors.DefaultSelector() as selector,
        ):
            try:
                while waiting or workers:
                    if until is not None and time.monotonic() > until:
                        waiting.clear()
                    while waiting and len(workers) < wanted:
                        worker = _Worker(self._folder, log, job, allowed)
                        workers.append(worker)
                        selector.register(worker.process.channel, selectors.EVENT_READ, worker)
                        yield from worker.start(waiting.popleft(), timeout_s)
                    for key, _ in selector.select(timeout=1.0):
                        ready: _Worker = key.data
                        yield from ready.read()
                    for worker in list(workers):
                        again = waiting and not job.isolated
                        if worker.unit is None and again and not worker.dead:
                            yield from worker.start(waiting.popleft(), timeout_s)
                        elif worker.late():
                            yield from worker.crash(f"took longer than {timeout_s / 60:g} minutes")
                        if worker.dead or worker.unit is None:
                            selector.unregister(worker.process.channel)
                            workers.remove(worker)
                            worker.stop()
            finally:
                for worker in workers:
                    worker.stop()
                with suppress(OSError):  # it is not there, or a unit is to go on from what it has
                    (self._folder / UNFINISHED).rmdir()


def _near_processors(devices: set[str]) -> set[int] | None:
    """Those near the job's GPU; None where it has none or several, or they are not known."""
    if len(devices) != 1 or devices == {"cpu"}:
        return None
    from gr_bench.meters.device import get_device  # and with it PyTorch

    return get_device(*devices).near_processors()


class _Worker:
    """One process of ``gr_bench.workers.unit_worker`` and the unit that it is at."""

    def __init__(self, folder: Path, log: IO[str], job: Job[Any], allowed: set[int] | None) -> None:
        program = [sys.executable, "-m", "gr_bench.workers.unit_worker"]
        self.process = WorkerProcess(
            [*program, job.allocator],
            log,
            environment=preload(job.allocator),
        )
        self.unit: Unit[Any] | None = None
        self.dead = False
        self._folder = folder
        self._log = log
        self._processors = sorted(allowed) if job.exclusive and allowed is not None else None
        self._ready = False
        self._deadline = 0.0

    def start(self, unit: Unit[Any], timeout_s: float) -> Iterator[Event]:
        """Hand the worker a unit."""
        self.unit = unit
        self._deadline = time.monotonic() + timeout_s
        yield Started(unit)
        self.process.channel.send(
            {
                "experiment": unit.cells[0].experiment,
                "cells": [asdict(cell) for cell in unit.cells],
                "options": {"kind": unit.options.kind, **asdict(unit.options)},
                "folder": str(own) if (own := self._of(unit)) else None,
                "processors": self._processors,
            }
        )

    def read(self) -> Iterator[Event]:
        """The worker's messages since it was last asked, as events."""
        try:
            messages = self.process.channel.read()
        except WorkerDied:
            death = self.process.death()
            if not self._ready:
                why = f"a worker process could not start ({death}): see {self._log.name}"
                raise RequestError(why) from None
            yield from self.crash(f"worker {death}")
            return
        for message in messages:
            yield from self._said(message)

    def _said(self, message: Message) -> Iterator[Event]:
        if "ready" in message:
            self._ready = True
            return
        unit = self.unit
        assert unit is not None
        if "record" in message:
            yield Measured(unit, decode(message["record"]))
        elif "progress" in message:
            yield Measured(unit, Progress(message["progress"]))
        else:
            self.unit = None
            yield Finished(unit)  # all that it said has been dealt with when we go on
            if own := self._of(unit):
                shutil.rmtree(own, ignore_errors=True)

    def _of(self, unit: Unit[Any]) -> Path | None:
        """The unit's own folder."""
        return None if unit.folder is None else self._folder / UNFINISHED / unit.folder

    def late(self) -> bool:
        """True if the unit at hand has had its time."""
        return self.unit is not None and time.monotonic() > self._deadline

    def crash(self, reason: str) -> Iterator[Event]:
        """Give the worker up, and with it the unit at hand."""
        self.dead = True
        unit, self.unit = self.unit, None
        if unit is not None:
            at_work = self.process.at_work
            culprit = next((cell for cell in unit.cells if cell.id == at_work), None)
            yield Crashed(unit, reason, culprit)

    def stop(self) -> None:
        """End the process, at once if it is at work."""
        if self.unit is not None or self.dead:
            self.process.kill()
        else:
            self.process.leave()
