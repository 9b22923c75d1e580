"""The program of a Ray task: measures units on its node by the local executor, and tells it all."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gr_bench.errors import RequestError
from gr_bench.experiments import EXPERIMENTS
from gr_bench.experiments.experiment import Job, Unit
from gr_bench.experiments.lines import encode
from gr_bench.experiments.record import Progress
from gr_bench.plugins.place import PlugIn
from gr_bench.registry import adopt
from gr_bench.runs.cluster.mailbox import Begun, Letter, read_files, write_files
from gr_bench.runs.executor import (
    UNFINISHED,
    Crashed,
    Event,
    Finished,
    LocalExecutor,
    Measured,
    Started,
)
from gr_bench.runs.places import VISIBLE
from gr_bench.workers.channel import Message
from gr_bench.workers.request import unit_from_plain

TELL_S = 1.0
"""Seconds, at least, from one word of a unit's progress to the next, and between checkpoints."""


@dataclass(frozen=True)
class Order:
    """All that a task is to know beforehand, as plain data."""

    number: int
    units: tuple[Message, ...]
    plugins: tuple[dict[str, Any], ...]
    job: Mapping[str, Any]
    """The job's fields but for its units."""

    timeout_s: float
    memory_limit: int | None
    until: float | None
    """By the coordinator's ``time.monotonic()``."""

    folder: Path
    """The coordinator's working directory, which is this task's, too, where it is there."""


def measure(mailbox: Any, order: Order) -> None:
    """Measure the units that earlier attempts at the task have left.

    Of a job that is not exclusive, a cell that has a record is not measured again. Blocks that are
    timed are measured as a whole.

    Raises:
        RequestError: a worker process could not start here.
    """
    import ray

    with suppress(OSError):
        os.chdir(order.folder)
    adopt((PlugIn(**plugin) for plugin in order.plugins), EXPERIMENTS)
    units = [unit_from_plain(plain) for plain in order.units]
    names = [str(unit.folder) for unit in units if unit.folder is not None]
    node = ray.get_runtime_context().get_node_id()
    with ThreadPoolExecutor(1) as beside:

        def get(reference: Any) -> Any:
            """``ray.get`` in another thread than the task's: there it keeps the task's cores, which
            Ray would lend to the next task while this one waits for an answer.
            """
            return beside.submit(ray.get, reference).result()

        begun = get(mailbox.begin.remote(order.number, node, names, order.until))
        if begun is not None:
            with tempfile.TemporaryDirectory(prefix="gr-bench-") as scratch:
                call = _Caller(mailbox, get, order.number, begun)
                _Attempt(order, units, Path(scratch), begun, call).run()


class _Caller:
    """The way to the mailbox; what it says is false if the attempt is to stop."""

    def __init__(self, mailbox: Any, get: Callable[[Any], bool], number: int, begun: Begun) -> None:
        self._mailbox = mailbox
        self._get = get
        self._number = number
        self._attempt = begun.attempt

    def post(self, unit: int, kind: str, content: Any = None, cell: str | None = None) -> bool:
        """See :meth:`~gr_bench.runs.cluster.mailbox.Mailbox.post`."""
        letter = Letter(self._number, unit, kind, content)
        return self._get(self._mailbox.post.remote(letter, self._attempt, cell))

    def keep(self, folder: Path) -> bool:
        """See :meth:`~gr_bench.runs.cluster.mailbox.Mailbox.keep`."""
        files = read_files(folder)
        return self._get(self._mailbox.keep.remote(self._number, self._attempt, folder.name, files))


class _Attempt:
    """One attempt at a task.

    Args:
        order: the task.
        units: its units.
        scratch: a folder on this node, in the place of the run's.
        begun: what earlier attempts have left.
        caller: the way to the coordinator.
    """

    def __init__(
        self, order: Order, units: list[Unit[Any]], scratch: Path, begun: Begun, caller: _Caller
    ) -> None:
        self._order = order
        self._units = units
        self._scratch = scratch
        self._begun = begun
        self._caller = caller
        self._places: dict[Unit[Any], int] = {}
        self._told_s = 0.0
        self._kept: dict[str, list[tuple[str, int, int]]] = {}

    def run(self) -> None:
        """Measure, and tell all of it, until it is done or another attempt has begun."""
        order, begun = self._order, self._begun
        for name, files in begun.folders.items():
            write_files(self._scratch / UNFINISHED / name, files)
        for place, unit in enumerate(self._units):
            left = self._left(unit)
            if place in begun.ended:
                continue
            if not left:
                self._caller.post(place, "finished")
                continue
            self._places[replace(unit, cells=left)] = place
        if not self._places:
            return
        job: Job[Any] = Job(tuple(self._places), **order.job)
        gpus = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
        until = None if begun.left_s is None else time.monotonic() + begun.left_s
        executor = LocalExecutor(self._scratch, workers=1, gpus=gpus)
        events = executor.run(job, order.timeout_s, until, order.memory_limit)
        try:
            with closing(events):
                for event in events:
                    if not self._tell(event):
                        return
        except RequestError as error:
            raise RequestError(str(error).replace(f"{self._scratch}/", "")) from None
        finally:
            with suppress(OSError):
                log = (self._scratch / "workers.log").read_bytes()
                self._caller.post(0, "log", log)

    def _left(self, unit: Unit[Any]) -> tuple[Any, ...]:
        """The cells of a unit that are still to be measured."""
        if self._order.job["exclusive"]:
            return unit.cells
        return tuple(cell for cell in unit.cells if cell.id not in self._begun.have)

    def _tell(self, event: Event) -> bool:
        """Tell the coordinator of an event; False if it does not want to hear of it any more."""
        call = self._caller
        match event:
            case Started(unit):
                return call.post(self._places[unit], "started")
            case Measured(unit, Progress(part)):
                now = time.monotonic()
                if now - self._told_s < TELL_S:
                    return True
                self._told_s = now
                return self._keep(unit) and call.post(self._places[unit], "progress", part)
            case Measured(unit, record):
                assert not isinstance(record, Progress)
                return call.post(self._places[unit], "record", encode(record), record.cell.id)
            case Finished(unit):
                return call.post(self._places[unit], "finished")
            case Crashed(unit):
                what = {
                    "reason": event.reason,
                    "culprits": [cell.id for cell in event.culprits],
                    "circumstances": dict(event.circumstances),
                }
                return self._keep(unit) and call.post(self._places[unit], "crashed", what)
        return True

    def _keep(self, unit: Unit[Any]) -> bool:
        """Send the unit's checkpoint, if there is a new one; as :meth:`_tell`."""
        if unit.folder is None:
            return True
        folder = self._scratch / UNFINISHED / unit.folder
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        stats = [(f.name, f.stat()) for f in files if not f.name.startswith(".")]
        seen = [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]
        if seen == self._kept.get(folder.name, []):
            return True
        self._kept[folder.name] = seen
        return self._caller.keep(folder)


def as_order(
    number: int,
    job: Job[Any],
    units: tuple[Message, ...],
    plugins: list[PlugIn],
    timeout_s: float,
    memory_limit: int | None,
    until: float | None,
) -> Order:
    """The order to measure some of a job's units."""
    return Order(
        number=number,
        units=units,
        plugins=tuple(asdict(plugin) for plugin in plugins),
        job={
            "exclusive": job.exclusive,
            "isolated": job.isolated,
            "any_gpu": job.any_gpu,
            "allocator": job.allocator,
            "variables": dict(job.variables),
        },
        timeout_s=timeout_s,
        memory_limit=memory_limit,
        until=until,
        folder=Path.cwd(),
    )
