"""The step-cost experiment: which blocks are open, and what a table is made of."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from gr_bench import registry, stats
from gr_bench.experiments.base import (
    Cell,
    Experiment,
    Grid,
    Job,
    Picture,
    Progress,
    Record,
    Summary,
    Unit,
)
from gr_bench.meters.conditions import Allocator

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True)
class StepCostCell(Cell):
    """A method's step on one batch, with momentum SGD behind it."""

    experiment: ClassVar[str] = "step_cost"

    baseline: str
    allocator: str = "held"
    control: bool = False
    """The baseline a second time: its ratio to the first is 1 but for the noise."""

    @property
    def workload(self) -> tuple[Any, ...]:
        """What the cells of a block share."""
        return tuple(pair for pair in super().workload if pair[0] != "control")

    def __str__(self) -> str:
        how = "" if self.allocator == "held" else f" / {self.allocator} allocator"
        return f"{super().__str__()}{how}{' (control)' if self.control else ''}"


class StepCostGrid(Grid):
    """Blocks to be timed, and how well."""

    baseline: str = "sgd"
    """The method that every other one is divided by; it must be one of ``methods``."""

    control: bool = True
    """Whether every block times its baseline twice, so that the run shows its own noise."""

    contrast: bool = False
    """Whether the baseline and its control are also timed one after the other, as harnesses that do
    not interleave would."""

    allocators: Annotated[list[Allocator], Field(min_length=1)] = ["held"]
    """Memory allocators of the timed processes (see :mod:`gr_bench.meters.conditions`)."""

    budget_minutes: Annotated[float, Field(gt=0)] | None = None
    """Time for the replicates of this grid; what is not known by then is reported as it is."""

    replicates: Annotated[int, Field(ge=2)] = 5
    """Freshly started processes that every block is measured in, at least."""

    most_replicates: Annotated[int, Field(ge=2)] = 10
    """Processes after which a block is left as it is."""

    target_half_width: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """A block is done when every ratio's interval is no wider than this to either side."""

    seconds_per_block: Annotated[float, Field(gt=0)] = 2.0
    """Time for one block in one process, warm-up included."""

    least_rounds: Annotated[int, Field(ge=1)] = 5
    most_rounds: Annotated[int, Field(ge=1)] = 200

    @field_validator("baseline")
    @classmethod
    def _spelled_in_full(cls, text: str) -> str:
        return registry.spell_method(text)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.baseline not in self.methods:
            raise ValueError(
                f"baseline {self.baseline!r} is not among the methods: {', '.join(self.methods)}"
            )
        if self.most_replicates < self.replicates:
            raise ValueError("most_replicates must be at least replicates")
        if self.most_rounds < self.least_rounds:
            raise ValueError("most_rounds must be at least least_rounds")
        return self


class StepCost(Experiment):
    """Time per step by interleaved rounds in fresh processes; memory and FLOPs in a pass before."""

    name = "step_cost"
    title = "What does a step cost?"
    grid = StepCostGrid
    cell = StepCostCell

    def cells(self, grid: StepCostGrid) -> list[Cell]:
        """One cell for every point of the grid and allocator, and the controls."""
        cells: list[Cell] = []
        for point, allocator in itertools.product(grid.points(), grid.allocators):
            cell = StepCostCell(baseline=grid.baseline, allocator=allocator, **point)
            cells.append(cell)
            if grid.control and cell.method == grid.baseline:
                cells.append(replace(cell, control=True))
        return cells

    def pending(
        self, grid: StepCostGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> list[Job]:
        """First memory and FLOPs of every cell, side by side; then replicate after replicate."""
        state = _State(grid, cells, records)
        if state.uncounted:
            return [Job(tuple(Unit((cell,), {"pass": "counters"}) for cell in state.uncounted))]
        if not state.open_blocks:
            return []
        timed, open_blocks = state.timed, state.open_blocks
        replicate = min(timed.replicates(block) for block in open_blocks)
        now = [block for block in open_blocks if timed.replicates(block) == replicate]
        allocator = _allocator(now[0])
        now = [block for block in now if _allocator(block) == allocator]
        random.Random(replicate).shuffle(now)
        options = {
            "pass": "times",
            "replicate": replicate,
            "budget_s": grid.seconds_per_block,
            "least_rounds": grid.least_rounds,
            "most_rounds": grid.most_rounds,
            "most_replicates": grid.most_replicates,
            "target_half_width": grid.target_half_width,
            "budget_minutes": grid.budget_minutes,
            "contrast": grid.contrast,
        }
        units = tuple(Unit(tuple(block), options) for block in now)
        return [Job(units, exclusive=True, allocator=allocator)]

    def outlook(
        self, grid: StepCostGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> dict[str, int]:
        """Counters still to be read, and the replicates that every open block needs at least."""
        state = _State(grid, cells, records)
        to_come = [
            max(1, grid.replicates - state.timed.replicates(block)) for block in state.open_blocks
        ]
        return {f"{self.name} counters": len(state.uncounted), f"{self.name} times": sum(to_come)}

    def measure(self, unit: Unit) -> Iterator[Record | Progress]:
        """Counters of a cell, or the times of a block in this replicate."""
        from gr_bench.experiments.step_cost import measure

        if unit.options["pass"] == "counters":
            yield measure.counters(unit.cells[0])
        else:
            yield from measure.times(unit.cells, unit.options)

    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """``step_cost``, a row a cell, and ``step_samples``, a row a sample."""
        from gr_bench.experiments.step_cost import tables

        return {
            "step_cost": tables.step_cost(records),
            "step_samples": tables.step_samples(records),
        }

    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Ratios first, then memory."""
        from gr_bench.experiments.step_cost import tables as build

        return build.summaries(tables["step_cost"])

    def figures(self, tables: dict[str, DataFrame]) -> Iterator[Picture]:
        """Time ratios, times, scaling with the batch, memory."""
        from gr_bench.experiments.step_cost import figures

        yield from figures.pictures(tables["step_cost"])


def _allocator(block: Sequence[Cell]) -> str:
    first = block[0]
    assert isinstance(first, StepCostCell)
    return first.allocator


class _State:
    """What of a grid has been done."""

    def __init__(
        self, grid: StepCostGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> None:
        failed = {record.cell.id for record in records if record.kind == "failure"}
        counted = {record.cell.id for record in records if record.kind == "counters"}
        alive = [cell for cell in cells if cell.id not in failed]
        self.uncounted = [cell for cell in alive if cell.id not in counted]
        self.timed = Timed(records)
        blocks: dict[tuple[Any, ...], list[Cell]] = defaultdict(list)
        for cell in alive:
            blocks[cell.workload].append(cell)
        ids = {cell.id for cell in cells}
        spent = self.timed.spent_s(ids)
        if grid.budget_minutes is not None and spent >= 60 * grid.budget_minutes:
            self.open_blocks = []
        else:
            self.open_blocks = [b for b in blocks.values() if not self.timed.is_done(b, grid)]


class Timed:
    """What the replicates so far say, cell by cell.

    A block that is measured anew in a replicate, after a failure or an interruption, is so as a
    whole: only records of the same measurement are compared.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records: dict[str, dict[int, Record]] = defaultdict(dict)
        """Per cell id and replicate, the record of its times."""

        self.log_ratios: dict[str, dict[int, list[float]]] = defaultdict(dict)
        """Per cell id and replicate, log(time/baseline's time) of every round."""

        self._baselines: dict[tuple[Any, ...], Record] = {}
        times = [record for record in records if record.kind == "times"]
        last = {(*r.cell.workload, r.data["replicate"]): r.data["began_unix_s"] for r in times}
        for record in times:
            cell, replicate = record.cell, record.data["replicate"]
            if record.data["began_unix_s"] == last[(*cell.workload, replicate)]:
                self.records[cell.id][replicate] = record
                assert isinstance(cell, StepCostCell)
                if cell.method == cell.baseline and not cell.control:
                    self._baselines[(*cell.workload, replicate)] = record
        for cell_id, replicates in self.records.items():
            for replicate, record in replicates.items():
                baseline = self.baseline(record.cell, replicate)
                if baseline is not None:
                    self.log_ratios[cell_id][replicate] = stats.log_ratios(
                        record.data["step_s"], baseline.data["step_s"]
                    )

    def baseline(self, cell: Cell, replicate: int) -> Record | None:
        """The times of the cell's baseline in the same replicate."""
        return self._baselines.get((*cell.workload, replicate))

    def spent_s(self, ids: Collection[str]) -> float:
        """Seconds that the replicates of these cells took, preparation included."""
        spent = {
            (record.cell.workload, replicate): record.data["spent_s"]
            for cell_id in ids
            for replicate, record in self.records.get(cell_id, {}).items()
        }
        return float(sum(spent.values()))

    def replicates(self, block: Sequence[Cell]) -> int:
        """Replicates in which every cell of the block has been timed."""
        return min(len(self.records.get(cell.id, {})) for cell in block)

    def ratio(self, cell_id: str) -> stats.Interval | None:
        """Time over the baseline's, with the interval over replicates; None without a baseline."""
        rounds = self.log_ratios.get(cell_id)
        if not rounds:
            return None
        return stats.ratio_interval([stats.median(log) for log in rounds.values()])

    def is_done(self, block: Sequence[Cell], grid: StepCostGrid) -> bool:
        """Whether the block needs no further replicate."""
        count = self.replicates(block)
        if count < grid.replicates:
            return False
        if count >= grid.most_replicates:
            return True
        ratios = [ratio for cell in block if (ratio := self.ratio(cell.id)) is not None]
        return all(known_to(ratio, grid.target_half_width) for ratio in ratios)


def known_to(ratio: stats.Interval, target: float) -> bool:
    """Whether a ratio's interval reaches no further than ``target``, relative, to either side."""
    return ratio.high - ratio.center <= target * ratio.center
