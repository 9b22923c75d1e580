"""Executors, which have units measured, and that of this machine: worker processes."""

from __future__ import annotations

import os
import selectors
import shutil
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from gr_bench.errors import RequestError, printable
from gr_bench.experiments import EXPERIMENTS
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.experiment import Job, Unit
from gr_bench.experiments.lines import decode
from gr_bench.experiments.record import Failure, Progress, Record
from gr_bench.meters.conditions import allowed_processors, keep_off, preload, timed_processors
from gr_bench.registry import admitted
from gr_bench.runs.places import Place, places_for
from gr_bench.units import size
from gr_bench.workers.channel import Garbled, Message, WorkerDied
from gr_bench.workers.process import WorkerProcess
from gr_bench.workers.request import unit_as_plain

UNFINISHED = "unfinished"

LOOK_S = 1.0
"""Seconds after which workers are looked at that say nothing."""

SOON_S = 0.1
"""As :data:`LOOK_S`, where their memory is limited."""

LAST_LINES, LAST_WIDTH, LAST_BYTES = 10, 200, 20_000
"""The most lines, characters of each, and bytes in all, that a failure has of what was printed."""

NOT_A_MESSAGE = (ValueError, KeyError, TypeError, AttributeError, AssertionError)
"""Raised where a worker's message is not one that it could have meant."""


@dataclass(frozen=True)
class Started:
    """A unit is being measured."""

    unit: Unit[Any]
    node: str | None = None
    """The node of a cluster where it is; None on this machine."""


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
    """A unit ended without finishing: a dead worker, a time-out, a GPU's context that broke."""

    unit: Unit[Any]
    reason: str
    culprits: tuple[Cell, ...] = ()
    """The cells whose code was running, where that is known."""

    circumstances: Mapping[str, Any] = field(default_factory=dict)
    """The rest of what is known: fields of :class:`Failure`."""

    def told(self, record: Record) -> Record:
        """The record of a cell that was lost with the unit, with the circumstances if it is a
        failure.
        """
        return replace(record, **self.circumstances) if isinstance(record, Failure) else record


@dataclass(frozen=True)
class Joined:
    """A node of a cluster measures, too."""

    node: str
    environment: Mapping[str, Any]


Event = Started | Measured | Finished | Crashed | Joined


class Executor(ABC):
    """Measures the units of a job and tells what happens."""

    @abstractmethod
    def run(
        self,
        job: Job[Any],
        timeout_s: float,
        until: float | None = None,
        memory_limit: int | None = None,
    ) -> Generator[Event]:
        """Measure every unit of the job; every unit that is started ends as finished or crashed,
        just once.

        Closing the iterator stops what is under way.

        Args:
            job: the units.
            timeout_s: a unit that yields nothing for so long, no progress either, is given up.
            until: no unit is started after this, by ``time.monotonic()``.
            memory_limit: a worker that has more bytes resident is ended, where that can be seen.
        """


class LocalExecutor(Executor):
    """Runs an exclusive job in one fresh process, others in one process for every free core or GPU.

    A process for a GPU sees that one alone, where it is ``cuda:0``.

    Args:
        folder: the run's; the workers' own output and tracebacks are appended to its
            ``workers.log``, and units have their folders in its ``unfinished``.
        workers: how many processes a job that is not exclusive may use on the CPU; by default the
            number of physical cores, divided by the threads a cell wants.
        gpus: the GPUs to be used, ``cuda:0`` first, as ``CUDA_VISIBLE_DEVICES`` names them; by
            default all that this process may see.
    """

    def __init__(
        self, folder: Path, workers: int | None = None, gpus: Sequence[str] | None = None
    ) -> None:
        self._folder = folder
        self._workers = workers
        self._gpus = gpus

    def run(
        self,
        job: Job[Any],
        timeout_s: float,
        until: float | None = None,
        memory_limit: int | None = None,
    ) -> Generator[Event]:
        """See :meth:`Executor.run`."""
        waiting = list(job.units)
        free = places_for(job, self._workers, self._gpus)
        most = 1 if job.exclusive else len(free)
        workers: list[_Worker] = []
        allowed = allowed_processors()  # before this process narrows what its children inherit
        threads = max(cell.threads for unit in job.units for cell in unit.cells)
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
                    while len(workers) < most and (place := _next_place(free, waiting)):
                        free.remove(place)
                        worker = _Worker(self._folder, log, job, place, allowed, timeout_s)
                        workers.append(worker)
                        selector.register(worker.process.channel, selectors.EVENT_READ, worker)
                        yield from worker.start(_take(waiting, place))
                    ended = [worker for worker in workers if worker.process.has_ended]
                    chosen = selector.select(timeout=LOOK_S if memory_limit is None else SOON_S)
                    for ready in (key.data for key, _ in chosen):
                        if ready in ended:
                            ended.remove(ready)  # it has not been heard to the end
                        yield from ready.read()
                    for worker in ended:  # what it has started still holds its channel
                        yield from worker.died()
                    for worker in list(workers):
                        worker.look()
                        again = not (job.isolated or worker.dead or worker.unit)
                        if again and _next_place([worker.place], waiting):
                            yield from worker.start(_take(waiting, worker.place))
                        elif worker.late():
                            minutes = f"{timeout_s / 60:g} minutes"
                            yield from worker.crash(f"made no progress for {minutes}")
                        elif memory_limit is not None and worker.memory_bytes > memory_limit:
                            has = f"{size(worker.memory_bytes)} of memory"
                            limit = size(memory_limit)
                            yield from worker.crash(f"had {has}: memory_limit is {limit}")
                        if worker.dead or worker.unit is None:
                            selector.unregister(worker.process.channel)
                            workers.remove(worker)
                            worker.stop()
                            free.append(worker.place)
            finally:
                for worker in workers:
                    worker.stop()
                with suppress(OSError):  # it is not there, or a unit is to go on from what it has
                    (self._folder / UNFINISHED).rmdir()


def _near_processors(devices: set[str]) -> set[int] | None:
    """Those near the job's GPU; None where it has none or several, or they are not known."""
    if len(devices) != 1 or devices == {"cpu"}:
        return None
    from gr_bench.meters.get_device import get_device  # and with it PyTorch

    return get_device(*devices).near_processors()


def _next_place(free: Sequence[Place], waiting: Sequence[Unit[Any]]) -> Place | None:
    """The place of the first unit that has a free one; None if there is no such unit."""
    return next((place for unit in waiting for place in free if place.takes(unit)), None)


def _take(waiting: list[Unit[Any]], place: Place) -> Unit[Any]:
    """Take the first unit that is measured there from those that wait."""
    return waiting.pop(next(i for i, unit in enumerate(waiting) if place.takes(unit)))


class _Worker:
    """One process of ``gr_bench.workers.unit_worker`` and the unit that it is at."""

    def __init__(
        self,
        folder: Path,
        log: TextIOWrapper,
        job: Job[Any],
        place: Place,
        allowed: set[int] | None,
        timeout_s: float,
    ) -> None:
        self._output = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        program = [sys.executable, "-m", "gr_bench.workers.unit_worker"]
        self.process = WorkerProcess(
            [*program, job.allocator],
            self._output,
            environment={**job.variables, **place.environment, **preload(job.allocator)},
        )
        self.place = place
        self.unit: Unit[Any] | None = None
        self.dead = False
        self._folder = folder
        self._log = log
        self._processors = sorted(allowed) if job.exclusive and allowed is not None else None
        self._ready = False
        self._timeout_s = timeout_s
        self._deadline = 0.0
        self._begin = 0.0
        self._printed_before = 0
        self._peak_bytes: int | None = None
        self.memory_bytes = 0
        """Resident, when it was last looked at."""

    def start(self, unit: Unit[Any]) -> Iterator[Event]:
        """Hand the worker a unit."""
        self.unit = unit
        self._begin = time.monotonic()
        self._printed_before = os.fstat(self._output.fileno()).st_size
        self._renew()
        yield Started(unit)
        self.process.channel.send(
            {
                **unit_as_plain(replace(unit, folder=self._of(unit))),
                "plugins": [asdict(plugin) for plugin in admitted(EXPERIMENTS)],
                "device": self.place.device,
                "gpu": self.place.gpu,
                "processors": self._processors,
            }
        )

    def _renew(self) -> None:
        """Give the unit at hand its time anew."""
        self._deadline = time.monotonic() + self._timeout_s

    def read(self) -> Iterator[Event]:
        """The worker's messages since it was last asked, as events."""
        try:
            messages = self.process.channel.read()
        except Garbled as error:
            yield from self.crash(f"worker could not be understood: {error}")
            return
        except WorkerDied:
            yield from self.died()
            return
        for message in messages:
            try:
                yield from self._said(message)
            except NOT_A_MESSAGE as error:
                yield from self.crash(f"worker could not be understood: {error!r}")
            if self.dead:
                return

    def died(self) -> Iterator[Event]:
        """The end of the process, as an event.

        Raises:
            RequestError: it has not even started.
        """
        death = self.process.death()
        if not self._ready:
            why = f"a worker process could not start ({death}): see {self._log.name}"
            raise RequestError(why)
        yield from self.crash(f"worker {death}")

    def look(self) -> None:
        """Take note of its memory."""
        if memory := self.process.memory():
            self.memory_bytes, self._peak_bytes = memory

    def _said(self, message: Message) -> Iterator[Event]:
        if "ready" in message:
            self._ready = True
            return
        unit = self.unit
        assert unit is not None
        self._renew()
        if "record" in message:
            record = decode(message["record"])
            if isinstance(record, Failure):
                self.look()
                record = replace(record, **self._circumstances())
            yield Measured(unit, record)
        elif "progress" in message:
            yield Measured(unit, Progress(message["progress"]))
        elif "broken" in message:
            yield from self.crash(message["broken"])
        else:
            self.unit = None
            yield Finished(unit)  # all that it said has been dealt with when we go on
            if own := self._of(unit):
                shutil.rmtree(own, ignore_errors=True)

    def _of(self, unit: Unit[Any]) -> Path | None:
        """The unit's own folder."""
        return None if unit.folder is None else self._folder / UNFINISHED / unit.folder

    def late(self) -> bool:
        """True if the unit at hand has not been heard of in its time."""
        return self.unit is not None and time.monotonic() > self._deadline

    def crash(self, reason: str) -> Iterator[Event]:
        """Give the worker up, and with it the unit at hand."""
        self.dead = True
        unit, self.unit = self.unit, None
        if unit is not None:
            at_work = self.process.at_work
            culprits = tuple(cell for cell in unit.cells if cell.id in at_work)
            found = {**self._circumstances(), "killed": self.process.was_killed}
            yield Crashed(unit, reason, culprits, found)

    def _circumstances(self) -> dict[str, Any]:
        """Those of a failure at this moment, as fields of its record."""
        return {
            "duration_s": time.monotonic() - self._begin,
            "peak_memory_bytes": self._peak_bytes,
            "last_output": self._last_output(),
        }

    def _last_output(self) -> tuple[str, ...]:
        """The last lines that it has printed in the unit at hand."""
        end = os.fstat(self._output.fileno()).st_size
        start = max(self._printed_before, end - LAST_BYTES)
        text = os.pread(self._output.fileno(), end - start, start).decode(errors="replace")
        lines = [printable(line)[:LAST_WIDTH] for line in text.splitlines() if line.strip()]
        return tuple(lines[-LAST_LINES:])

    def stop(self) -> None:
        """End the process, at once if it is at work; what it has printed goes into the log."""
        if self.unit is not None or self.dead:
            self.process.kill()
        else:
            self.process.leave()
        with suppress(OSError), self._output:  # a full disk costs the log, and not what is measured
            self._output.seek(0)
            shutil.copyfileobj(self._output, self._log.buffer)
            self._log.flush()
