"""The flooding experiment: which trainings are to be traced, who traces and shows them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

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
from gr_bench.experiments.flooding.cell import FloodingCell, FloodingGrid

if TYPE_CHECKING:
    from pandas import DataFrame


class FloodingTraces(Experiment):
    """Follow flooding step by step, and hold its pairs to the explicit steps of GR."""

    name = "flooding"
    title = "Does flooding perform gradient regularization?"
    grid = FloodingGrid
    cell = FloodingCell

    def cells(self, grid: FloodingGrid) -> list[Cell]:
        """One cell for every point of the grid, way to draw batches, and seed."""
        return [
            FloodingCell(
                seed=seed, steps=grid.steps, learning_rate=grid.learning_rate, fresh=fresh, **point
            )
            for point, fresh, seed in itertools.product(grid.points(), grid.fresh, grid.seeds)
        ]

    def pending(
        self, grid: FloodingGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> list[Job]:
        """Every cell without a record, side by side."""
        have = {record.cell.id for record in records}
        units = tuple(Unit((cell,)) for cell in cells if cell.id not in have)
        return [Job(units)] if units else []

    def outlook(
        self, grid: FloodingGrid, cells: Sequence[Cell], records: Sequence[Record]
    ) -> dict[str, int]:
        """The cells without a record."""
        have = {record.cell.id for record in records}
        return {self.name: sum(cell.id not in have for cell in cells)}

    def measure(self, unit: Unit) -> Iterator[Record | Progress]:
        """The trace of a unit's one cell."""
        from gr_bench.experiments.flooding.trace import trace

        (cell,) = unit.cells
        assert isinstance(cell, FloodingCell)
        yield from trace(cell)

    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """``flooding``, a row a training, and ``flooding_traces``, a row a step."""
        from gr_bench.experiments.flooding import tables

        return {"flooding": tables.flooding(records), "flooding_traces": tables.traces(records)}

    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Pairs by order, and how exact they are."""
        from gr_bench.experiments.flooding import tables as build

        return build.summaries(tables["flooding"])

    def figures(self, tables: dict[str, DataFrame]) -> Iterator[Picture]:
        """The loss near the level, and the pairs."""
        from gr_bench.experiments.flooding import figures

        yield from figures.pictures(tables["flooding"], tables["flooding_traces"])
