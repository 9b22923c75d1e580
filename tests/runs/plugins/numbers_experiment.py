"""An experiment as another package would add it: its process dies in the middle of a unit."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from gr_bench.experiments.cell import Cell
from gr_bench.experiments.columns import build_table, cell_columns
from gr_bench.experiments.experiment import Experiment, Job, Picture, Summary, Unit
from gr_bench.experiments.grid import AnyGrid, DeviceName, Methods
from gr_bench.experiments.record import Progress, Record

STUCK = 13


@dataclass(frozen=True, kw_only=True)
class NumberCell(Cell):
    """A number; a negative one takes its process down, :data:`STUCK` does not come back."""

    experiment: ClassVar[str] = "numbers"

    number: int
    noted: bool
    """Whether the worker is told whose code is about to run."""


@dataclass(frozen=True, kw_only=True)
class Square(Record):
    """The number's square, and the process that found it, with its device."""

    kind: ClassVar[str] = "square"

    square: int
    process: int
    device: str
    """As the process calls it."""

    visible: str | None
    """The GPUs that the process may see."""

    variable: str | None = None
    """Its environment variable ``GR_BENCH_TEST``."""


class NumberGrid(AnyGrid):
    """Numbers to be squared, all in one unit."""

    methods: Methods = ["sgd"]
    device: DeviceName = "cpu"
    numbers: list[int]
    noted: bool


class Numbers(Experiment[NumberGrid, NumberCell]):
    """Squares numbers, one after the other."""

    name = "numbers"
    title = "What are their squares?"
    grid = NumberGrid
    cell = NumberCell
    records = (Square,)

    def cells(self, grid: NumberGrid) -> list[NumberCell]:
        return [
            NumberCell(
                spec=grid.methods[0],
                model="none",
                dataset="none",
                batch_size=1,
                device=grid.device,
                dtype="float32",
                threads=1,
                number=number,
                noted=grid.noted,
            )
            for number in grid.numbers
        ]

    def pending(
        self,
        grid: NumberGrid,
        cells: Sequence[NumberCell],
        records: Sequence[Record],
        left_s: float | None = None,
    ) -> list[Job[NumberCell]]:
        done = {record.cell.id for record in records}
        left = tuple(cell for cell in cells if cell.id not in done)
        return [Job((Unit(left),))] if left else []

    def remaining_units(
        self, grid: NumberGrid, cells: Sequence[NumberCell], records: Sequence[Record]
    ) -> dict[str, int]:
        return {self.name: len(self.pending(grid, cells, records))}

    def measure(self, unit: Unit[NumberCell]) -> Iterator[Record | Progress]:
        for cell in unit.cells:
            if cell.noted:
                unit.worker.at_work(cell)
            if cell.number < 0:
                os._exit(7)
            yield Square(
                cell=cell,
                square=cell.number**2,
                process=os.getpid(),
                device=cell.device,
                visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
                variable=os.environ.get("GR_BENCH_TEST"),
            )
            yield Progress(0.5)
            if cell.number == STUCK:
                time.sleep(3600)

    def tables(self, records: Sequence[Record]) -> dict[str, pd.DataFrame]:
        rows = [
            cell_columns(record.cell) | {"number": record.cell.number, "square": record.square}
            for record in records
            if isinstance(record, Square)
        ]
        return {"numbers": build_table(rows, ("number", "square"))}

    def headlines(self, tables: dict[str, pd.DataFrame]) -> dict[str, dict[str, str]]:
        return {}

    def summaries(self, tables: dict[str, pd.DataFrame]) -> list[Summary]:
        return []

    def figures(self, tables: dict[str, pd.DataFrame]) -> Iterator[Picture]:
        yield from ()
