"""Worker processes on this machine."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import psutil

from gr_bench.errors import RequestError
from gr_bench.experiments.base import Job, Progress, Unit
from gr_bench.meters.conditions import preload
from gr_bench.runs.executors.base import Crashed, Event, Executor, Finished, Measured, Started
from gr_bench.runs.store import decode

UNFINISHED = "unfinished"


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

    def run(self, job: Job, timeout_s: float) -> Iterator[Event]:
        """See :meth:`Executor.run`."""
        waiting = deque(job.units)
        threads = max(cell.threads for unit in job.units for cell in unit.cells)
        cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
        wanted = 1 if job.exclusive else self._workers or max(1, cores // threads)
        workers: list[_Worker] = []
        with (
            open(self._folder / "workers.log", "a") as log,
            selectors.DefaultSelector() as selector,
        ):
            try:
                while waiting or workers:
                    while waiting and len(workers) < wanted:
                        worker = _Worker(self._folder, log, job)
                        workers.append(worker)
                        selector.register(worker.output, selectors.EVENT_READ, worker)
                        yield from worker.start(waiting.popleft(), timeout_s)
                    for key, _ in selector.select(timeout=1.0):
                        ready: _Worker = key.data
                        yield from ready.read()
                    for worker in list(workers):
                        if worker.unit is None and waiting and not worker.dead:
                            yield from worker.start(waiting.popleft(), timeout_s)
                        elif worker.late():
                            yield from worker.crash(f"took longer than {timeout_s / 60:g} minutes")
                        if worker.dead or worker.unit is None:
                            selector.unregister(worker.output)
                            workers.remove(worker)
                            worker.stop()
            finally:
                for worker in workers:
                    worker.stop()
                with suppress(OSError):  # it is not there, or a unit is to go on from what it has
                    (self._folder / UNFINISHED).rmdir()


class _Worker:
    """One process of ``gr_bench.runs.executors.worker`` and the unit that it is at."""

    def __init__(self, folder: Path, log: IO[str], job: Job) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gr_bench.runs.executors.worker", job.allocator]
            + ["alone"] * job.exclusive,
            env=os.environ | preload(job.allocator),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            start_new_session=True,  # Ctrl-C goes to the coordinator alone, which then stops it
        )
        assert self.process.stdout is not None
        self.output = self.process.stdout
        self.unit: Unit | None = None
        self.dead = False
        self._folder = folder
        self._log = log
        self._ready = False
        self._deadline = 0.0
        self._rest = b""

    def start(self, unit: Unit, timeout_s: float) -> Iterator[Event]:
        """Hand the worker a unit."""
        self.unit = unit
        self._deadline = time.monotonic() + timeout_s
        request = {
            "experiment": unit.cells[0].experiment,
            "cells": [asdict(cell) for cell in unit.cells],
            "options": unit.options,
            "folder": str(own) if (own := self._of(unit)) else None,
        }
        yield Started(unit)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has died: reading from it will tell
            self.process.stdin.write(json.dumps(request).encode() + b"\n")

    def read(self) -> Iterator[Event]:
        """What the worker has said since it was last asked."""
        data = os.read(self.output.fileno(), 1 << 20)
        if not data:
            if not self._ready:
                raise RequestError(f"a worker process could not start: see {self._log.name}")
            yield from self.crash(self._death())
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield from self._said(json.loads(line))

    def _said(self, message: dict[str, Any]) -> Iterator[Event]:
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

    def _of(self, unit: Unit) -> Path | None:
        """The unit's own folder."""
        return None if unit.folder is None else self._folder / UNFINISHED / unit.folder

    def late(self) -> bool:
        """Whether the unit at hand has had its time."""
        return self.unit is not None and time.monotonic() > self._deadline

    def crash(self, reason: str) -> Iterator[Event]:
        """Give the worker up, and with it the unit at hand."""
        self.dead = True
        unit, self.unit = self.unit, None
        if unit is not None:
            yield Crashed(unit, reason)

    def _death(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        code = self.process.returncode
        if code is not None and code < 0:
            return f"worker killed by signal {-code} ({signal.Signals(-code).name})"
        return f"worker exited with code {code}"

    def stop(self) -> None:
        """End the process, at once if it is at work."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()  # the end of its input is a worker's sign to leave
        try:
            if self.unit is not None or self.dead:
                self.process.kill()
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()
