"""The executor of a Ray cluster.

Ray is the scheduler: it places tasks, counts cores and GPUs, and starts a task again when its node
is lost. What runs in a task is the local executor.
"""

from __future__ import annotations

import itertools
import shutil
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gr_bench.errors import RequestError
from gr_bench.experiments import EXPERIMENTS
from gr_bench.experiments.block_times import Times
from gr_bench.experiments.cell import Cell, TimedCell
from gr_bench.experiments.experiment import Job, Unit
from gr_bench.experiments.lines import decode
from gr_bench.experiments.record import Progress
from gr_bench.registry import admitted
from gr_bench.runs.cluster.mailbox import Letter, Mailbox
from gr_bench.runs.cluster.nodes import Node, alive, described, in_a_line
from gr_bench.runs.cluster.task import as_order, measure
from gr_bench.runs.executor import (
    UNFINISHED,
    Crashed,
    Event,
    Executor,
    Finished,
    Joined,
    Measured,
    Started,
)
from gr_bench.runs.store import read_journal
from gr_bench.workers.request import unit_as_plain

RETRIES = 3
"""Times that Ray starts a task again after the loss of its node. One that has a node of its own is
not among them: how much it takes is that node's, and the runner asks for it anew."""

WAIT_S = 1.0
"""Seconds after which tasks are looked at that say nothing."""

LEAVE_S = 5.0
"""A task that was asked to stop is ended after so long."""

TASKS_A_PLACE = 4
"""Tasks for each place at which units can be measured side by side: units that keep no checkpoint
are short, and several share a task and its process."""


@dataclass
class _Task:
    """A task and how far its units have come."""

    number: int
    units: tuple[Unit[Any], ...]
    bound_to: str | None = None
    """The id of the only node where it may run."""

    node: str | None = None
    """The name of the node where it runs, once it has begun."""

    started: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)


class RayExecutor(Executor):
    """Runs units as tasks of the Ray cluster that this process is connected to.

    A unit of an exclusive job has a whole node for itself, on ``cuda`` a whole GPU; the replicates
    of a block are all from one node while that is there. Other units share nodes by the threads
    that their cells compute with, on ``cuda`` by ``gpu_share`` besides.

    Args:
        folder: the run's. Checkpoints are kept in its ``unfinished``.
        devices: where the suite's steps run, the most important one first.
        gpu_share: the part of a GPU that a unit takes which is not timed.
    """

    def __init__(self, folder: Path, devices: Sequence[str], gpu_share: float = 1.0) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for device in devices:
            if device not in ("cpu", "cuda", "cuda:0"):
                raise RequestError(
                    f"device {device!r} with --executor ray: use cuda, and Ray chooses the GPU"
                )
        self._folder = folder
        self._devices = devices
        self._gpu_share = gpu_share
        self._nodes: dict[str, Node] = {}
        self._lost_nodes: set[str] = set()
        self._numbers = itertools.count()
        self._homes = {
            _place(record.cell): record.conditions.node
            for record in read_journal(folder)
            if isinstance(record, Times) and record.conditions and record.conditions.node
        }
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here)
        self._mailbox = actor.remote(folder.absolute() / UNFINISHED)

    def run(
        self,
        job: Job[Any],
        timeout_s: float,
        until: float | None = None,
        memory_limit: int | None = None,
    ) -> Generator[Event]:
        """See :meth:`~gr_bench.runs.executor.Executor.run`.

        Raises:
            RequestError: no node has what a unit needs, or has the same software as this machine.
        """
        import ray

        yield from self._join()
        tasks: dict[Any, _Task] = {}
        numbered: dict[int, _Task] = {}
        plugins = admitted(EXPERIMENTS)
        try:
            for units, options in self._exclusive(job) if job.exclusive else self._shared(job):
                strategy = options["scheduling_strategy"]
                bound_to = getattr(strategy, "node_id", None)
                task = _Task(next(self._numbers), tuple(units), bound_to)
                plain = tuple(map(unit_as_plain, units))
                order = as_order(task.number, job, plain, plugins, timeout_s, memory_limit, until)
                tasks[ray.remote(measure).options(**options).remote(self._mailbox, order)] = task
                numbered[task.number] = task
            while tasks:
                done, _ = ray.wait([*tasks], num_returns=len(tasks), timeout=0, fetch_local=False)
                letters = ray.get(self._mailbox.take.remote(0 if done else WAIT_S))
                for letter in letters:
                    if letter.task in numbered:
                        yield from self._read(letter, numbered[letter.task])
                for reference in done:
                    yield from self._ended(reference, tasks.pop(reference))
        finally:
            if ray.is_initialized():
                _stop([*tasks])
            with suppress(OSError):  # it is not there, or a unit is to go on from what it has
                (self._folder / UNFINISHED).rmdir()

    def _join(self) -> Iterator[Event]:
        """Make the acquaintance of nodes that are new."""
        new = [node for id_, node in alive().items() if id_ not in self._nodes]
        for node in described(new, self._devices):
            self._nodes[node.id] = node
            yield Joined(node.name, node.environment)

    def _present(self) -> list[Node]:
        """The nodes that are there. Ray may list one for a while that was lost."""
        here = alive().keys() - self._lost_nodes
        return [node for id_, node in self._nodes.items() if id_ in here]

    def _exclusive(self, job: Job[Any]) -> Iterator[tuple[list[Unit[Any]], dict[str, Any]]]:
        """The job's units node by node, or GPU by GPU, each with its task's options."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = self._present()
        load: Counter[tuple[str, int]] = Counter()
        found: dict[tuple[str, int], list[Unit[Any]]] = defaultdict(list)
        gpus = 0 if job.units[0].cells[0].device == "cpu" else 1
        for unit in job.units:
            able = [node for node in nodes if _is_enough(node, unit, gpus)]
            if not able:
                raise _too_small(unit, nodes)
            home = self._homes.get(_place(unit.cells[0]))
            able = [node for node in able if node.name == home] or able
            seats = [(n.id, k) for n in able for k in range(int(n.gpus) if gpus else 1)]
            seat = min(seats, key=lambda seat: load[seat])
            load[seat] += 1
            found[seat].append(unit)
        for (id_, _), units in found.items():
            whole = self._nodes[id_].processors
            yield (
                units,
                {
                    "num_cpus": _threads(units) if gpus else whole,
                    "num_gpus": gpus,
                    "max_retries": 0,
                    "scheduling_strategy": NodeAffinitySchedulingStrategy(id_, soft=False),
                },
            )

    def _shared(self, job: Job[Any]) -> Iterator[tuple[list[Unit[Any]], dict[str, Any]]]:
        """The job's units, those that are short several together, each with its task's options."""
        nodes = self._present()
        for on_gpu in (False, True):
            units = [unit for unit in job.units if (unit.cells[0].device != "cpu") is on_gpu]
            if not units:
                continue
            threads, gpus = _threads(units), self._gpu_share if on_gpu else 0
            for unit in units:
                if not any(_is_enough(node, unit, gpus) for node in nodes):
                    raise _too_small(unit, nodes)
            places = sum(
                int(min(n.processors / threads, n.gpus / gpus if gpus else n.processors))
                for n in nodes
            )
            short = [unit for unit in units if unit.folder is None and not job.isolated]
            together = max(1, len(short) // (TASKS_A_PLACE * max(1, places)))
            parts = [short[k : k + together] for k in range(0, len(short), together)]
            parts += [[unit] for unit in units if unit not in short]
            for part in parts:
                yield (
                    part,
                    {
                        "num_cpus": threads,
                        "num_gpus": gpus,
                        "max_retries": RETRIES,
                        "scheduling_strategy": "SPREAD",
                    },
                )

    def _read(self, letter: Letter, task: _Task) -> Iterator[Event]:
        """A letter, as events. What a later attempt says again is none."""
        place = letter.unit
        unit = task.units[place]
        match letter.kind:
            case "begun":
                if letter.content not in self._nodes:
                    yield from self._join()
                node = self._nodes.get(letter.content)
                task.node = node.name if node else None
            case "log":
                with suppress(OSError), open(self._folder / "workers.log", "ab") as log:
                    log.write(letter.content)
            case _ if place in task.ended:
                return
            case "started":
                yield from self._start(task, place)
            case "record":
                record = decode(letter.content)
                if record.conditions is not None:
                    conditions = replace(record.conditions, node=task.node)
                    record = replace(record, conditions=conditions)
                if isinstance(record, Times) and task.node is not None:
                    self._homes[_place(record.cell)] = task.node
                yield Measured(unit, record)
            case "progress":
                yield Measured(unit, Progress(letter.content))
            case "finished":
                yield from self._start(task, place)  # of whose cells the last attempt had all
                task.ended.add(place)
                yield Finished(unit)
                if unit.folder is not None:
                    shutil.rmtree(self._folder / UNFINISHED / unit.folder, ignore_errors=True)
            case "crashed":
                task.ended.add(place)
                found = letter.content
                culprits = tuple(cell for cell in unit.cells if cell.id in found["culprits"])
                yield Crashed(unit, found["reason"], culprits, found["circumstances"])

    def _start(self, task: _Task, place: int) -> Iterator[Event]:
        """A unit's start, once, whatever the number of attempts."""
        if place not in task.started:
            task.started.add(place)
            yield Started(task.units[place], task.node)

    def _ended(self, reference: Any, task: _Task) -> Iterator[Event]:
        """The end of a task that has said all that it will.

        Raises:
            RequestError: a worker process could not start there.
        """
        import ray

        try:
            ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, RequestError):
                raise RequestError(str(error.cause)) from error
            yield from self._lost(task, f"its task failed: {in_a_line(error.cause)}", killed=False)
        except ray.exceptions.RayError as error:
            if task.bound_to and task.node is None:  # no unit began: the runner asks for all anew
                self._lost_nodes.add(task.bound_to)
                return
            where = f"node {task.node}" if task.node else "its node"
            why = f"{where} was lost ({type(error).__name__})"
            yield from self._lost(task, why, killed=True)

    def _lost(self, task: _Task, reason: str, *, killed: bool) -> Iterator[Event]:
        """The end of what was under way; units that had not been started are asked for anew."""
        under_way = task.started - task.ended
        left = sorted({*range(len(task.units))} - task.ended)
        for place in sorted(under_way) or left[:1]:
            yield from self._start(task, place)
            task.ended.add(place)
            yield Crashed(task.units[place], reason, circumstances={"killed": killed})


def _stop(references: Sequence[Any]) -> None:
    """Have tasks stop: at first in their own time, so that they end their processes."""
    import ray

    for force in (False, True):
        for reference in references:
            ray.cancel(reference, force=force)
        if references:
            _, references = ray.wait(
                [*references], num_returns=len(references), timeout=LEAVE_S, fetch_local=False
            )


def _place(cell: Cell) -> tuple[Any, ...]:
    """The thing that is timed on one node: a cell's block."""
    block = cell.block if isinstance(cell, TimedCell) else (cell.id,)
    return (cell.experiment, *block)


def _threads(units: Sequence[Unit[Any]]) -> int:
    return max(int(cell.threads) for unit in units for cell in unit.cells)


def _is_enough(node: Node, unit: Unit[Any], gpus: float) -> bool:
    return node.processors >= _threads([unit]) and node.gpus >= gpus


def _too_small(unit: Unit[Any], nodes: Sequence[Node]) -> RequestError:
    threads = _threads([unit])
    wanted = f"{threads} core{'s' if threads > 1 else ''}"
    wanted += "" if unit.cells[0].device == "cpu" else " and a GPU"
    have = ", ".join(f"{node.processors:g} and {node.gpus:g}" for node in nodes) or "there is none"
    return RequestError(
        f"no node of the cluster has {wanted}, which {unit} needs (cores and GPUs of its nodes: "
        f"{have}): start one that has"
    )
