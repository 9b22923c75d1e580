"""The step-cost experiment: which blocks are open, and who measures and shows them."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gr_bench.experiments.base import (
    Cell,
    Experiment,
    Job,
    Picture,
    Progress,
    Record,
    Summary,
    Unit,
)
from gr_bench.experiments.step_cost.cell import StepCostCell, StepCostGrid
from gr_bench.experiments.step_cost.timed import Timed

if TYPE_CHECKING:
    from pandas import DataFrame


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
            "operators": grid.operators,
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
        """``step_cost``, a row a cell; ``step_samples``, a row a sample; ``step_operators``, a row
        an operator of a cell, where the grid asked for them.
        """
        from gr_bench.experiments.step_cost import operators, tables

        return {
            "step_cost": tables.step_cost(records),
            "step_samples": tables.step_samples(records),
            "step_operators": operators.step_operators(records),
        }

    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Ratios first, then memory, the cost model, and the costliest operators."""
        from gr_bench.experiments.step_cost import operators
        from gr_bench.experiments.step_cost import tables as build

        found = build.summaries(tables["step_cost"])
        return [*found, *operators.summaries(tables["step_operators"])]

    def figures(self, tables: dict[str, DataFrame]) -> Iterator[Picture]:
        """Time ratios, times, scaling with the batch, memory, where the time goes."""
        from gr_bench.experiments.step_cost import figures, operators

        yield from figures.pictures(tables["step_cost"])
        yield from operators.pictures(tables["step_operators"])


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
