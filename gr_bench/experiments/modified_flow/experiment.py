"""The modified-flow experiment: which steps are held to flows, who does and shows it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gr_bench.experiments.chart import Chart
from gr_bench.experiments.experiment import Experiment, Job, Summary, Unit
from gr_bench.experiments.modified_flow.cell import DATASET, ModifiedFlowCell, ModifiedFlowGrid
from gr_bench.experiments.modified_flow.problem import samples_of
from gr_bench.experiments.modified_flow.record import Epoch, Path
from gr_bench.experiments.record import Progress, Record

if TYPE_CHECKING:
    from pandas import DataFrame


class ModifiedFlow(Experiment[ModifiedFlowGrid, ModifiedFlowCell]):
    """Hold finite steps of descent to the flow of the loss and to that of the modified loss."""

    name = "modified_flow"
    title = "Which flow do finite steps follow?"
    grid = ModifiedFlowGrid
    cell = ModifiedFlowCell
    records = (Epoch, Path)

    def cells(self, grid: ModifiedFlowGrid) -> list[ModifiedFlowCell]:
        """One cell for every problem, seed, number of batches and step; one for every path."""
        return [
            cell
            for method, problem, seed in itertools.product(grid.methods, grid.problems, grid.seeds)
            for cell in _cells(grid, method, problem, seed)
        ]

    def pending(
        self,
        grid: ModifiedFlowGrid,
        cells: Sequence[ModifiedFlowCell],
        records: Sequence[Record],
        left_s: float | None = None,
    ) -> list[Job[ModifiedFlowCell]]:
        """Every cell without a record, those of one problem, seed and part together."""
        units = _units(cells, records)
        return [Job(tuple(units))] if units else []

    def remaining_units(
        self,
        grid: ModifiedFlowGrid,
        cells: Sequence[ModifiedFlowCell],
        records: Sequence[Record],
    ) -> dict[str, int]:
        """The units of cells without a record."""
        return {self.name: len(_units(cells, records))}

    def measure(self, unit: Unit[ModifiedFlowCell]) -> Iterator[Record | Progress]:
        """The epochs and paths of a unit."""
        from gr_bench.experiments.modified_flow.measure import measure_epoch, measure_path

        for cell in unit.cells:
            unit.worker.at_work(cell)
            yield measure_epoch(cell) if cell.part == "epoch" else measure_path(cell)

    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """``modified_flow``, a row an epoch; ``modified_flow_orders``, a row a problem and seed;
        ``modified_flow_paths``, a row a path.
        """
        from gr_bench.experiments.modified_flow import tables

        found = tables.epochs(records)
        return {
            "modified_flow": found,
            "modified_flow_orders": tables.orders(found),
            "modified_flow_paths": tables.paths(records),
        }

    def headlines(self, tables: dict[str, DataFrame]) -> dict[str, dict[str, str]]:
        """The order of the distance from the modified flow."""
        from gr_bench.experiments.modified_flow import findings

        return findings.headlines(tables["modified_flow_orders"])

    def findings(self, tables: dict[str, DataFrame]) -> list[str]:
        """Orders by flow, the curvature that large steps end at, and what was lost."""
        from gr_bench.experiments.modified_flow import findings

        return findings.findings(tables["modified_flow_orders"], tables["modified_flow_paths"])

    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Orders by flow, then ends of paths."""
        from gr_bench.experiments.modified_flow import tables as build

        return build.summaries(tables["modified_flow_orders"], tables["modified_flow_paths"])

    def charts(self, tables: dict[str, DataFrame]) -> Iterator[Chart]:
        """The distance from each flow against the step."""
        from gr_bench.experiments.modified_flow import figures

        yield from figures.charts(tables["modified_flow"])


def _cells(
    grid: ModifiedFlowGrid, method: str, problem: str, seed: int
) -> Iterator[ModifiedFlowCell]:
    common: dict[str, Any] = {
        "spec": method,
        "model": problem,
        "dataset": DATASET,
        "batch_size": samples_of(problem),
        "device": "cpu",
        "dtype": "float64",
        "threads": 1,
        "seed": seed,
    }
    for batches, step in itertools.product(grid.batches, grid.steps):
        yield ModifiedFlowCell(batches=batches, step=step, part="epoch", **common)
    for step in grid.path_steps:
        yield ModifiedFlowCell(batches=1, step=step, part="path", time=grid.time, **common)


def _units(
    cells: Sequence[ModifiedFlowCell], records: Sequence[Record]
) -> list[Unit[ModifiedFlowCell]]:
    have = {record.cell.id for record in records}
    groups: dict[tuple[Any, ...], list[ModifiedFlowCell]] = defaultdict(list)
    for cell in cells:
        if cell.id not in have:
            groups[cell.model, cell.seed, cell.part].append(cell)
    return [Unit(tuple(group)) for group in groups.values()]
