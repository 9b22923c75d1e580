"""The step-cost experiment: which blocks are open, and who measures and shows them."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from gr_bench.experiments.block_times import (
    BlockTimes,
    Times,
    TimesOptions,
    blocks_of,
    measure_block,
    timing_job,
)
from gr_bench.experiments.chart import Chart
from gr_bench.experiments.experiment import (
    Experiment,
    Job,
    Summary,
    Unit,
)
from gr_bench.experiments.record import Failure, Progress, Record, failure
from gr_bench.experiments.step_cost.cell import StepCostCell, StepCostGrid
from gr_bench.experiments.step_cost.record import Check, CheckOptions, Counters, CountersOptions
from gr_bench.timing.replicates import Precision
from gr_bench.timing.variant import in_force, variables

if TYPE_CHECKING:
    from pandas import DataFrame


class StepCost(Experiment[StepCostGrid, StepCostCell]):
    """Time per step by interleaved rounds in fresh processes; memory and FLOPs in a pass before."""

    name = "step_cost"
    title = "What does a step cost?"
    grid = StepCostGrid
    cell = StepCostCell
    records = (Check, Counters, Times)
    options = (CheckOptions, CountersOptions, TimesOptions)
    later_columns: ClassVar = {
        "step_cost": {"uncounted_operators": None, "gradient_evaluations": math.nan}
    }

    def cells(self, grid: StepCostGrid) -> list[StepCostCell]:
        """One cell for every point of the grid, variant and allocator, and the controls."""
        cells: list[StepCostCell] = []
        for point, variant, allocator in itertools.product(
            grid.points(), grid.variants, grid.allocators
        ):
            cell = StepCostCell(
                baseline=grid.baseline, allocator=allocator, variant=variant, **point
            )
            cells.append(cell)
            if grid.control and cell.is_baseline:
                cells.append(replace(cell, control=True))
        return cells

    def pending(
        self,
        grid: StepCostGrid,
        cells: Sequence[StepCostCell],
        records: Sequence[Record],
        left_s: float | None = None,
    ) -> list[Job[StepCostCell]]:
        """First the check of variants, then memory and FLOPs of every cell, side by side; then
        replicate after replicate. What needs processes that are started otherwise has its own jobs.
        """
        state = _State(grid, cells, records)
        if state.unchecked:
            units = [Unit((cell,), CheckOptions()) for cell in state.unchecked]
            return [replace(job, isolated=True) for job in _jobs(units)]
        if state.uncounted:
            return _jobs([Unit((cell,), CountersOptions()) for cell in state.uncounted])
        alike: dict[object, list[list[StepCostCell]]] = defaultdict(list)
        for block in state.blocks:
            alike[block[0].allocator, *variables(block[0].variant)].append(block)
        for blocks in sorted(alike.values(), key=state.fewest):
            jobs = timing_job(
                blocks,
                state.times,
                state.precision,
                first_s=grid.seconds_per_block,
                least_rounds=grid.least_rounds,
                left_s=left_s,
                sequential=grid.sequential,
                operators=grid.operators,
                energy=True,
            )
            if jobs:
                one = blocks[0][0]
                return [
                    replace(job, allocator=one.allocator, variables=variables(one.variant))
                    for job in jobs
                ]
        return []

    def remaining_units(
        self, grid: StepCostGrid, cells: Sequence[StepCostCell], records: Sequence[Record]
    ) -> dict[str, int]:
        """Checks and counters still to be read, and replicates that open blocks need at least."""
        state = _State(grid, cells, records)
        to_come = 0
        for block in state.blocks:
            counted = state.times.replicates(block)
            known = state.times.state(block)
            if counted < grid.replicates:
                to_come += grid.replicates - counted
            elif (
                known
                and counted < grid.most_replicates
                and not known.is_known(grid.target_half_width)
            ):
                to_come += 1
        return {
            f"{self.name} {CheckOptions.kind}": len(state.unchecked),
            f"{self.name} {CountersOptions.kind}": len(state.uncounted),
            f"{self.name} {TimesOptions.kind}": to_come,
        }

    def measure(self, unit: Unit[StepCostCell]) -> Iterator[Record | Progress]:
        """A variant's check, a cell's counters, or the times of a block in this replicate."""
        options = unit.options
        if isinstance(options, TimesOptions):
            with in_force(unit.cells[0].variant):
                yield from measure_block(
                    unit.cells, options, unit.worker.at_work, unit.worker.start_s
                )
        elif isinstance(options, CheckOptions):
            from gr_bench.experiments.step_cost.check import check

            yield from map(check, unit.cells)
        else:
            from gr_bench.experiments.step_cost.measure import counters

            for cell in unit.cells:
                with in_force(cell.variant):
                    yield counters(cell)

    def lost(
        self, unit: Unit[StepCostCell], cell: StepCostCell, reason: BaseException | str
    ) -> Record:
        """A variant that takes its process down in the check computes something else. A cell that
        cannot be counted, as when the counting itself is out of memory, may still be timed.
        """
        if isinstance(unit.options, CheckOptions) and isinstance(reason, str):
            return Check(cell=cell, agrees=False, where=reason)
        counting = isinstance(unit.options, CountersOptions)
        return failure(cell, reason, lacks=Counters.kind if counting else None)

    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """``step_cost``, a row a cell; ``step_samples``, a row a sample; ``step_operators``, a row
        an operator of a cell, where the grid asked for them.
        """
        from gr_bench.experiments.step_cost import operators, tables

        times = BlockTimes(records)
        return {
            "step_cost": tables.step_cost(records, times),
            "step_samples": tables.step_samples(times),
            "step_operators": operators.step_operators(times),
        }

    def headlines(self, tables: dict[str, DataFrame]) -> dict[str, dict[str, str]]:
        """Ranges over workloads of the time ratio, the FLOP ratio and the extra memory."""
        from gr_bench.experiments.step_cost import findings

        return findings.headlines(tables["step_cost"])

    def findings(self, tables: dict[str, DataFrame]) -> list[str]:
        """Every method's step against the baseline's: the ratios, the workloads, how sure."""
        from gr_bench.experiments.step_cost import findings

        return findings.findings(tables["step_cost"])

    def warnings(self, tables: dict[str, DataFrame]) -> list[str]:
        """Ratios that are not known to their target, wrong steps, waiting, controls apart."""
        from gr_bench.experiments.step_cost import findings

        return findings.warnings(tables["step_cost"])

    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Ratios first, then memory, the cost model, and the costliest operators."""
        from gr_bench.experiments.step_cost import operators, summaries

        found = summaries.summaries(tables["step_cost"])
        return [*found, *operators.summaries(tables["step_operators"])]

    def paper_tables(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Ratios, and memory."""
        from gr_bench.experiments.step_cost import paper

        return paper.paper_tables(tables["step_cost"])

    def protocol(self, tables: dict[str, DataFrame]) -> list[str]:
        """Rounds, processes, the estimator, intervals, the control."""
        from gr_bench.experiments.step_cost import paper

        return paper.protocol(tables["step_cost"])

    def charts(self, tables: dict[str, DataFrame]) -> Iterator[Chart]:
        """Time ratios, times, scaling with the batch, memory, where the time goes."""
        from gr_bench.experiments.step_cost import figures, operator_figures

        yield from figures.charts(tables["step_cost"])
        yield from operator_figures.charts(tables["step_operators"])


def _jobs(units: Sequence[Unit[StepCostCell]]) -> list[Job[StepCostCell]]:
    """A job for those units whose processes are started with the same variables."""
    alike: dict[object, list[Unit[StepCostCell]]] = defaultdict(list)
    for unit in units:
        alike[tuple(variables(unit.cells[0].variant))].append(unit)
    return [Job(tuple(own), variables=variables(own[0].cells[0].variant)) for own in alike.values()]


class _State:
    """The state of a grid: what has been done, and what has not."""

    def __init__(
        self, grid: StepCostGrid, cells: Sequence[StepCostCell], records: Sequence[Record]
    ) -> None:
        failures = [record for record in records if isinstance(record, Failure)]
        lost = {record.cell.id for record in failures if record.lacks is None}
        lost |= {r.cell.id for r in records if isinstance(r, Check) and not r.agrees}
        checked = {record.cell.id for record in records if isinstance(record, Check)}
        counted = {record.cell.id for record in records if isinstance(record, Counters)}
        counted |= {record.cell.id for record in failures if record.lacks == Counters.kind}
        alive = [cell for cell in cells if cell.id not in lost]
        self.unchecked = [c for c in alive if not c.is_plain and c.id not in checked]
        self.uncounted = [cell for cell in alive if cell.id not in counted]
        self.times = BlockTimes(records)
        self.blocks = blocks_of(alive)
        self.precision = Precision(grid.target_half_width, grid.replicates, grid.most_replicates)

    def fewest(self, blocks: Sequence[Sequence[StepCostCell]]) -> int:
        """Replicates of the block that has the fewest."""
        return min(map(self.times.replicates, blocks))
