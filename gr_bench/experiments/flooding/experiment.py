"""The flooding experiment: which trainings are to be traced, who traces and shows them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gr_bench.experiments.chart import Chart
from gr_bench.experiments.experiment import Experiment, Summary, Unit
from gr_bench.experiments.flooding.cell import FloodingCell, FloodingGrid
from gr_bench.experiments.flooding.record import Trace
from gr_bench.experiments.record import Progress, Record

if TYPE_CHECKING:
    from pandas import DataFrame


class FloodingTraces(Experiment[FloodingGrid, FloodingCell]):
    """Follow flooding step by step, and hold its pairs to the explicit steps of GR."""

    name = "flooding"
    title = "Does flooding perform gradient regularization?"
    grid = FloodingGrid
    cell = FloodingCell
    records = (Trace,)

    def cells(self, grid: FloodingGrid) -> list[FloodingCell]:
        """One cell for every point of the grid, way to draw batches, and seed."""
        return [
            FloodingCell(
                seed=seed, steps=grid.steps, learning_rate=grid.learning_rate, fresh=fresh, **point
            )
            for point, fresh, seed in itertools.product(grid.points(), grid.fresh, grid.seeds)
        ]

    def measure(self, unit: Unit[FloodingCell]) -> Iterator[Record | Progress]:
        """The trace of a unit's one cell."""
        from gr_bench.experiments.flooding.trace import trace

        (cell,) = unit.cells
        yield from trace(cell)

    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """``flooding``, a row a training, and ``flooding_traces``, a row a step."""
        from gr_bench.experiments.flooding import tables

        return {"flooding": tables.flooding(records), "flooding_traces": tables.traces(records)}

    def headlines(self, tables: dict[str, DataFrame]) -> dict[str, dict[str, str]]:
        """The distance of pairs from the explicit step of GR."""
        from gr_bench.experiments.flooding import findings

        return findings.headlines(tables["flooding"])

    def findings(self, tables: dict[str, DataFrame]) -> list[str]:
        """Pairs by order and how exact they are, by way to draw batches; what was lost."""
        from gr_bench.experiments.flooding import findings

        return findings.findings(tables["flooding"])

    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Pairs by order, and how exact they are."""
        from gr_bench.experiments.flooding import tables as build

        return build.summaries(tables["flooding"])

    def charts(self, tables: dict[str, DataFrame]) -> Iterator[Chart]:
        """The loss near the level, and the pairs."""
        from gr_bench.experiments.flooding import figures

        yield from figures.charts(tables["flooding"], tables["flooding_traces"])
