"""The contract of an experiment: cells from a grid, records from cells, tables from records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from gr_bench.experiments.cell import Cell
from gr_bench.experiments.chart import Chart as Chart
from gr_bench.experiments.chart import Picture as Picture
from gr_bench.experiments.grid import AnyGrid
from gr_bench.experiments.record import Progress, Record, failure

if TYPE_CHECKING:
    from pandas import DataFrame

G = TypeVar("G", bound=AnyGrid)
C = TypeVar("C", bound=Cell)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of a measurement, beside its cells. An experiment has a class for each pass."""

    kind: ClassVar[str] = ""
    """The pass, where an experiment has several."""


def _nobody(*cells: Cell) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Worker:
    """The process that a measurement runs in, as far as it may know it."""

    start_s: float | None = None
    """Seconds from the start of the process until it was ready."""

    at_work: Callable[..., None] = _nobody
    """To be told of the cell whose code is about to run, or of the cells that run together: if that
    never comes back, they are to blame, and no other of the unit."""


@dataclass(frozen=True, eq=False)
class Unit(Generic[C]):
    """Cells that are measured together, by one call of :meth:`Experiment.measure`."""

    cells: tuple[C, ...]
    options: Options = Options()
    folder: Path | None = None
    """The folder for what the measurement needs to go on after a kill; removed when it is done.
    Whoever makes the unit gives it a name, which the executor places inside the run's folder."""

    worker: Worker = Worker()
    """Filled in where the unit is measured."""

    @property
    def kind(self) -> str:
        """The common name of units of like length: the experiment and its pass."""
        return f"{self.cells[0].experiment} {self.options.kind}".strip()

    def __str__(self) -> str:
        first = self.cells[0]
        if len(self.cells) == 1:
            return str(first)
        count = f"{len(self.cells)} cells"
        return " / ".join((first.experiment, first.model, first.dataset, count))


@dataclass(frozen=True)
class Job(Generic[C]):
    """Units to be measured now.

    A job that is not exclusive may be spread over worker processes that run side by side. An
    exclusive one is timed: one freshly started process walks through its units, alone.
    """

    units: tuple[Unit[C], ...]
    exclusive: bool = False
    isolated: bool = False
    """True if every unit gets a process of its own, since it may damage the one that it runs in."""

    refines: bool = False
    """True if it makes what is there already more precise: it waits until the rest is done."""

    any_gpu: bool = False
    """True if a cell on ``cuda`` may be measured on any GPU, so that all of them are used, and not
    on the first one only."""

    allocator: str = "held"
    """The memory allocator of its processes (see :mod:`gr_bench.meters.conditions`)."""

    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that its processes are started with."""


class Experiment(ABC, Generic[G, C]):
    """One question. A new one is a folder with a subclass, and a line in ``experiments``."""

    name: ClassVar[str]
    title: ClassVar[str]
    grid: ClassVar[type[AnyGrid]]
    cell: ClassVar[type[Cell]]
    records: ClassVar[tuple[type[Record], ...]]
    """The kinds of record that it writes, beside :class:`~gr_bench.experiments.record.Failure`."""

    options: ClassVar[tuple[type[Options], ...]] = (Options,)
    """The classes of its units' options, told apart by their ``kind``."""

    later_columns: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """By table, columns that older runs' files lack, with the value that theirs would have."""

    @abstractmethod
    def cells(self, grid: G) -> list[C]:
        """The cells that a grid of this experiment's type spans."""

    def pending(
        self, grid: G, cells: Sequence[C], records: Sequence[Record], left_s: float | None = None
    ) -> list[Job[C]]:
        """The jobs still to be done for ``cells``, given the records so far; none when done.

        The runner asks again after every round of jobs, so a measurement can depend on what the
        ones before it showed. A cell with a failure among its records is not asked for again, save
        for other kinds of record than the failure says that it lacks.

        Args:
            grid: where the cells are from.
            cells: those of the grid that are wanted.
            records: of this experiment, in the order in which they were written.
            left_s: time that the run has left; None if it takes what it needs.

        Returns:
            By default every cell without a record, each by itself, side by side.
        """
        have = {record.cell.id for record in records}
        units = tuple(Unit((cell,)) for cell in cells if cell.id not in have)
        return [Job(units)] if units else []

    def remaining_units(
        self, grid: G, cells: Sequence[C], records: Sequence[Record]
    ) -> dict[str, int]:
        """The least number of units still to come, by :attr:`Unit.kind`; by default the cells
        without a record.
        """
        have = {record.cell.id for record in records}
        return {self.name: sum(cell.id not in have for cell in cells)}

    @abstractmethod
    def measure(self, unit: Unit[C]) -> Iterator[Record | Progress]:
        """Measure one unit, in a worker process. What it raises becomes a failure of those of its
        cells that have no record yet.
        """

    def lost(self, unit: Unit[C], cell: C, reason: BaseException | str) -> Record:
        """The record of a cell that gave none, because of an exception or, in words, of how its
        process ended while it was at work.
        """
        return failure(cell, reason)

    @abstractmethod
    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """The experiment's tables by name, each with the columns of
        :func:`~gr_bench.experiments.columns.build_table`.
        """

    def later_tables(self, tables: dict[str, DataFrame]) -> dict[str, DataFrame]:
        """Tables that are made from others of a run, as those that older runs' files lack."""
        return {}

    def headlines(self, tables: dict[str, DataFrame]) -> dict[str, dict[str, str]]:
        """The columns of a report's overview: by title, what to print for each method's spec."""
        return {}

    @abstractmethod
    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """The tables that a reader is shown, in order."""

    def paper_tables(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """The tables that a paper would print, of texts; by default those that a reader is shown.
        Cells that are :class:`~gr_bench.experiments.paper_tables.Strong` are bold.
        """
        return self.summaries(tables)

    def protocol(self, tables: dict[str, DataFrame]) -> list[str]:
        """Sentences on how the numbers were made, for a paper's section on methods. What they cite
        are keys of ``gr_bench/methods/references.bib``: ``[@hodges1963]``.
        """
        return []

    def charts(self, tables: dict[str, DataFrame]) -> Iterator[Chart]:
        """The figures that there are data for, in order."""
        return iter(())

    def figures(self, tables: dict[str, DataFrame]) -> Iterator[Picture]:
        """The figures that a reader is shown, in order, in the look of now
        (:func:`gr_bench.experiments.looks.look`); by default those of its charts.
        """
        for chart in self.charts(tables):
            yield from chart.pictures()

    def findings(self, tables: dict[str, DataFrame]) -> list[str]:
        """The findings, in sentences with numbers; at most a few."""
        return []

    def warnings(self, tables: dict[str, DataFrame]) -> list[str]:
        """Reservations that a reader must know before believing the numbers, in sentences."""
        return []


@dataclass(frozen=True)
class Summary:
    """A table for a reader, with what its numbers are."""

    name: str
    title: str
    caption: str
    table: DataFrame
    main: tuple[str, ...] = ()
    """The columns that a reader sees at once, the others when asked for; all, if there are none."""
