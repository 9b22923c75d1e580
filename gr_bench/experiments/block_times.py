"""Blocks that are timed: the record of a replicate, its measurement, and what they say together.

A block's cells differ in the method only. A replicate is one freshly started process that reads all
of them in the same rounds; beside them it times a matrix product, which is what the machine can do.
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from gr_bench import stats
from gr_bench.experiments.cell import TimedCell
from gr_bench.experiments.experiment import Job, Options, Unit
from gr_bench.experiments.record import Record, failure
from gr_bench.meters.device_state import DeviceState
from gr_bench.meters.operators import Operator
from gr_bench.timing.replicates import (
    BlockState,
    Precision,
    log_ratio,
    next_visits,
    seconds_to,
)

START_S = 4.0
"""About what the start of a process takes, until one has been seen."""

C = TypeVar("C", bound=TimedCell)


@dataclass(frozen=True, kw_only=True)
class TimesOptions(Options):
    """One block's part of a replicate."""

    kind: ClassVar[str] = "times"

    replicate: int
    budget_s: float
    """For warm-up and rounds."""

    least_rounds: int
    target: float
    """Relative half-width that ratios are to be known to."""

    most_replicates: int
    sequential: bool = False
    """True if the baseline and its control are timed one after the other, too."""

    operators: bool = False
    """True if a few steps are profiled after the timed ones."""

    energy: bool = False
    """True if the energy of a step is read after the timed ones, where the device counts it."""

    left_s: float | None = None
    """Time that the run had when the replicate was planned; None if it takes what it needs."""


@dataclass(frozen=True, kw_only=True)
class Times(Record):
    """The samples of one cell in one replicate; lists have an entry a round."""

    kind: ClassVar[str] = "times"

    replicate: int
    began_unix_s: float
    """The time at which the block began: all its cells have the same."""

    steps: int
    """In a sample."""

    elapsed_s: tuple[float, ...]
    """Seconds a step."""

    waited_s: tuple[float, ...]
    """Part of it in which the thread waited for a processor that others had."""

    cpu_s: tuple[float, ...]
    """Seconds a step that the process was on processors."""

    position: tuple[int, ...]
    """Place in the round's order."""

    machine_flops_per_s: float
    """Of the matrix product in the same rounds."""

    device_s: tuple[float | None, ...] = ()
    """Seconds a step of a GPU that does not wait for the host; None: not known."""

    energy_j: float | None = None
    """Joules a step of the whole device; None where it does not count them."""

    in_samples_s: float
    """Seconds inside the samples of the whole block."""

    spent_s: float
    """Seconds that the whole block took, preparation included."""

    start_s: float | None
    """Seconds from the start of the process until it was ready."""

    options: TimesOptions
    state_before: DeviceState = field(default_factory=DeviceState)
    state_after: DeviceState = field(default_factory=DeviceState)
    operators: tuple[Operator, ...] = ()
    sequential_step_s: tuple[float, ...] = ()
    """Seconds a step, all samples of one method before the other's, as other harnesses do."""

    @property
    def step_s(self) -> list[float]:
        """Seconds a step, waiting taken off."""
        return [all_ - waited for all_, waited in zip(self.elapsed_s, self.waited_s, strict=True)]

    @classmethod
    def from_0_1(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The fields of a record of gr-bench 0.1, which knew of no waiting; those behind equal time
        had step times alone.
        """
        elapsed = data["wall_s"] if "wall_s" in data else data["step_s"]
        rounds = range(len(elapsed))
        return {
            "replicate": data["replicate"],
            "began_unix_s": data.get("began_unix_s", 0.0),
            "steps": data.get("steps", 1),
            "elapsed_s": elapsed,
            "waited_s": [0.0 for _ in rounds],
            "cpu_s": data.get("cpu_s", elapsed),
            "position": data.get("position", list(rounds)),
            "machine_flops_per_s": data.get("machine_flops_per_s", float("nan")),
            "in_samples_s": data.get("in_samples_s", 0.0),
            "spent_s": data.get("spent_s", 0.0),
            "start_s": None,
            "options": {
                "replicate": data["replicate"],
                "budget_s": data.get("budget_s", 1.5),
                "least_rounds": data.get("least_rounds", 5),
                "target": data.get("target_half_width", 0.01),
                "most_replicates": data.get("most_replicates", 5),
            },
            "state_before": data.get("state_before", {}),
            "state_after": data.get("state_after", {}),
            "operators": data.get("by_operator", ()),
            "sequential_step_s": data.get("in_turn_step_s", ()),
            "conditions": data.get("conditions"),
        }


def measure_block(
    cells: Sequence[C],
    options: TimesOptions,
    at_work: Callable[[C], None],
    start_s: float | None = None,
) -> Iterator[Record]:
    """One replicate of a block: rounds in which every method is timed once.

    A method that fails is left out, and the rounds are begun anew for the others.

    Args:
        cells: of one block.
        options: which replicate this is, and its time.
        at_work: told whose code is about to run, in case it never comes back.
        start_s: seconds that the start of this process took.
    """
    from gr_bench import registry
    from gr_bench.meters.cuda_context import free_unused
    from gr_bench.timing.block import BlockReplicate

    began, begin = time.time(), time.monotonic()
    block = BlockReplicate(cells, registry, options.replicate, at_work)
    for cell, error in block.measure(options.budget_s, options.least_rounds):
        yield failure(cell, error)
        del error  # and with it the step that raised it, before the others go on
        free_unused()
    energy = block.energy_j() if options.energy else {}
    spent_s = time.monotonic() - begin
    sequential = block.sequential() if options.sequential else {}
    operators = block.profile() if options.operators else {}  # last: it may slow what follows
    for cell, own in block.samples.items():
        yield Times(
            cell=cell,
            replicate=options.replicate,
            began_unix_s=began,
            steps=own.steps,
            elapsed_s=tuple(own.elapsed_s),
            waited_s=tuple(own.waited_s),
            cpu_s=tuple(own.cpu_s),
            position=tuple(own.position),
            device_s=tuple(own.device_s),
            energy_j=energy.get(cell),
            machine_flops_per_s=block.machine_flops_per_s,
            in_samples_s=block.in_samples_s,
            spent_s=spent_s,
            start_s=start_s,
            options=options,
            state_before=block.state_before,
            state_after=block.state_after,
            operators=tuple(operators.get(cell, ())),
            sequential_step_s=tuple(sequential.get(cell, ())),
        )


class BlockTimes:
    """The replicates so far, cell by cell.

    A block that is measured anew in a replicate, after a failure or an interruption, is so as a
    whole: only records of the same measurement are compared. All replicates of a block that
    count are from one node of a cluster: where that is lost, another one begins anew, and takes its
    place once it has as many.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        times = [record for record in records if isinstance(record, Times)]
        self._numbers: dict[str, set[int]] = defaultdict(set)
        """Per cell id, the replicates that any node has measured."""

        for record in times:
            self._numbers[record.cell.id].add(record.replicate)
        times = _of_one_node(times)
        self.records: dict[str, dict[int, Times]] = defaultdict(dict)
        """Per cell id and replicate, the record of its times."""

        self._cells: dict[str, TimedCell] = {}
        self._baselines: dict[tuple[Any, ...], Times] = {}
        last = {(_timed(r).block, r.replicate): r.began_unix_s for r in times}
        for record in times:
            cell = _timed(record)
            if record.began_unix_s == last[cell.block, record.replicate]:
                self._cells[cell.id] = cell
                self.records[cell.id][record.replicate] = record
                if cell.is_baseline:
                    self._baselines[cell.block, record.replicate] = record
        self.log_ratios: dict[str, dict[int, float]] = {
            cell_id: {
                replicate: log_ratio(record.step_s, baseline.step_s)
                for replicate, record in replicates.items()
                if (baseline := self.baseline(self._cells[cell_id], replicate)) is not None
            }
            for cell_id, replicates in self.records.items()
        }
        """Per cell id and replicate, log(time/baseline's time)."""

    def baseline(self, cell: TimedCell, replicate: int) -> Times | None:
        """The times of the cell's baseline in the same replicate."""
        return self._baselines.get((cell.block, replicate))

    def of_rounds(self, cell: TimedCell) -> list[list[float]]:
        """Per replicate, log(time/baseline's time) of every round."""
        return [
            stats.log_ratios(record.step_s, baseline.step_s)
            for replicate, record in sorted(self.records.get(cell.id, {}).items())
            if (baseline := self.baseline(cell, replicate)) is not None
        ]

    def ratio(self, cell: TimedCell) -> stats.Interval | None:
        """Time over the baseline's, with the interval over replicates; None without a baseline."""
        logs = self.log_ratios.get(cell.id)
        return stats.ratio_interval(list(logs.values())) if logs else None

    def replicates(self, block: Sequence[TimedCell]) -> int:
        """Replicates in which every cell of the block has been timed."""
        return min((len(self.records.get(cell.id, {})) for cell in block), default=0)

    def next_replicate(self, block: Sequence[TimedCell]) -> int:
        """The first replicate in which not every cell of the block has been timed on some node."""
        have = [self._numbers.get(cell.id, set()) for cell in block]
        return next(k for k in itertools.count() if not all(k in own for own in have))

    def start_s(self) -> float:
        """Seconds that the start of a process takes here."""
        seen = [
            record.start_s
            for replicates in self.records.values()
            for record in replicates.values()
            if record.start_s is not None
        ]
        return statistics.median(seen) if seen else START_S

    def state(self, block: Sequence[TimedCell]) -> BlockState | None:
        """The result and the cost of the block's replicates so far; None before the first."""
        count = self.replicates(block)
        if not count:
            return None
        others = [cell for cell in block if not cell.is_baseline and self.log_ratios.get(cell.id)]
        one = list(self.records[block[0].id].values())
        rounds = statistics.mean(len(record.position) for record in one)
        usual = [record for record in one if not record.options.energy] or one
        return BlockState(
            replicates=count,
            log_ratios=tuple(tuple(self.log_ratios[cell.id].values()) for cell in others),
            within=tuple(stats.within_spread(self.of_rounds(cell)) for cell in others),
            rounds=rounds,
            round_s=max(1e-6, statistics.mean(r.in_samples_s / len(r.position) for r in one)),
            overhead_s=max(0.0, statistics.mean(r.spent_s - r.in_samples_s for r in usual)),
        )

    def more_s(self, block: Sequence[TimedCell], target: float) -> float:
        """About how much longer it takes until all ratios of the block are known to a target."""
        state = self.state(block)
        return 0.0 if state is None else seconds_to(state, target, self.start_s())


def timing_job(
    blocks: Sequence[Sequence[C]],
    times: BlockTimes,
    precision: Precision,
    *,
    first_s: float,
    least_rounds: int,
    left_s: float | None,
    sequential: bool = False,
    operators: bool = False,
    energy: bool = False,
) -> list[Job[C]]:
    """The next replicate of those blocks that still need one: a job, or none.

    Args:
        blocks: that are not finished; their cells have one allocator.
        times: what there is.
        precision: what is wanted.
        first_s: seconds for a block's warm-up and rounds in its first replicates.
        least_rounds: of a replicate.
        left_s: time that the run has; None if it takes what it needs.
        sequential: see :class:`TimesOptions`.
        operators: see :class:`TimesOptions`. On a GPU, where a profiler slows what comes after it,
            each block then has a process of its own.
        energy: see :class:`TimesOptions`; read in a block's first replicate alone.
    """
    states = [times.state(block) for block in blocks]
    start_s = times.start_s()
    visits = next_visits(states, precision, first_s=first_s, start_s=start_s, left_s=left_s)
    if not visits:
        return []
    replicates = {visit.block: times.next_replicate(blocks[visit.block]) for visit in visits}
    units = [
        Unit(
            tuple(blocks[visit.block]),
            TimesOptions(
                replicate=replicates[visit.block],
                budget_s=visit.seconds,
                least_rounds=least_rounds,
                target=precision.target,
                most_replicates=precision.most_replicates,
                sequential=sequential,
                operators=operators,
                energy=energy and replicates[visit.block] == 0,
                left_s=left_s,
            ),
        )
        for visit in visits
    ]
    random.Random(min(replicates.values())).shuffle(units)
    refines = min(replicates.values()) >= precision.least_replicates
    isolated = operators and any(unit.cells[0].device != "cpu" for unit in units)
    return [Job(tuple(units), exclusive=True, isolated=isolated, refines=refines)]


def blocks_of(cells: Sequence[C]) -> list[list[C]]:
    """The cells, block by block."""
    blocks: dict[tuple[Any, ...], list[C]] = defaultdict(list)
    for cell in cells:
        blocks[cell.block].append(cell)
    return list(blocks.values())


def _of_one_node(times: Sequence[Times]) -> list[Times]:
    """Of each block, the records of the node that has the most replicates, of several the last."""
    found: dict[tuple[Any, ...], dict[str | None, set[int]]] = defaultdict(dict)
    for record in times:
        of_block = found[_timed(record).block]
        node = _node(record)
        of_block[node] = of_block.pop(node, set()) | {record.replicate}  # the last node comes last
    if all(len(of_block) == 1 for of_block in found.values()):
        return list(times)
    chosen = {}
    for block, of_block in found.items():
        most = max(map(len, of_block.values()))
        chosen[block] = [node for node, own in of_block.items() if len(own) == most][-1]
    return [record for record in times if _node(record) == chosen[_timed(record).block]]


def _node(record: Times) -> str | None:
    return record.conditions.node if record.conditions else None


def _timed(record: Times) -> TimedCell:
    assert isinstance(record.cell, TimedCell)
    return record.cell
