"""What an experiment is: cells from a grid, records from cells, tables from records."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from gr_bench import registry
from gr_bench.errors import Unsupported
from gr_bench.meters.device import check_name
from gr_bench.spec import Spec, expand, parse

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of a grid: everything that decides its result. Experiments add their own fields."""

    experiment: ClassVar[str]

    method: str
    """The method as a suite spells it, parameters in full: ``f-gr(gamma=0.1, epsilon=0.05)``."""

    model: str
    dataset: str
    batch_size: int
    device: str
    dtype: str
    threads: int
    compiled: bool = False

    @property
    def id(self) -> str:
        """Identity: a hash of the experiment's name and all fields."""
        text = json.dumps([self.experiment, dataclasses.asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def workload(self) -> tuple[Any, ...]:
        """What the cells of one comparison share: everything but the method."""
        rest = dataclasses.asdict(self)
        del rest["method"]
        return tuple(rest.items())

    def __str__(self) -> str:
        how = " compiled" if self.compiled else ""
        size = f"batch {self.batch_size}{how}"
        return " / ".join((self.experiment, self.model, self.dataset, size, self.method))


COLUMNS = (
    "method",
    "gamma",
    "epsilon",
    "rho",
    "model",
    "dataset",
    "batch_size",
    "device",
    "dtype",
    "threads",
    "compiled",
    "label",
)
"""The columns that every table starts with; ``label`` is the method spelled in full."""


def columns(cell: Cell) -> dict[str, Any]:
    """A cell's fields as the first columns of a row (see :data:`COLUMNS`)."""
    method = parse(cell.method)
    numbers = {key: _number(method.parameters.get(key)) for key in ("gamma", "epsilon", "rho")}
    rest = {key: getattr(cell, key) for key in COLUMNS[4:-1]}
    return {"method": method.name, **numbers, **rest, "label": cell.method}


def _number(value: object) -> float | None:
    """The value, or None where a plug-in's parameter of that name is something else."""
    return value if isinstance(value, int | float) else None


def method_place(label: str) -> int:
    """Where a method stands in tables and figures: the built-in ones in order, then others."""
    names = list(registry.METHODS.built_in)
    name = parse(label).name
    return names.index(name) if name in names else len(names)


def in_order(table: DataFrame, *more: str) -> DataFrame:
    """A table's rows by workload, then by method, then by the columns ``more``.

    The order does not depend on which worker was done first.
    """
    by = ["model", "dataset", "batch_size", "threads", "dtype", "device"]
    placed = table.assign(_place=table["label"].map(method_place).astype(int))
    placed = placed.sort_values([*by, "_place", "label", *more], kind="stable", ignore_index=True)
    return placed.drop(columns="_place")


@dataclass(frozen=True)
class Record:
    """What one measurement of one cell gave: a line of a run's journal."""

    cell: Cell
    kind: str
    """Which sort of result: an experiment names its own; ``failure`` belongs to all."""

    data: dict[str, Any]


def failure(cell: Cell, error: BaseException | str) -> Record:
    """The record of a cell that gave no result; one that is ``unsupported`` is no fault."""
    if isinstance(error, str):
        return Record(cell, "failure", {"reason": error, "unsupported": False})
    unsupported = isinstance(error, Unsupported)
    reason = f"{type(error).__name__}: {error}".strip()
    return Record(cell, "failure", {"reason": reason, "unsupported": unsupported})


def failure_status(data: dict[str, Any]) -> str:
    """The word for a failure in tables, from its record's data: ``unsupported`` or ``failed``."""
    return "unsupported" if data["unsupported"] else "failed"


@dataclass(frozen=True)
class Progress:
    """How far the unit at hand is, as a part of 1; a measurement may yield these on its way."""

    part: float


@dataclass(frozen=True, eq=False)
class Unit:
    """Cells that are measured together, by one call of :meth:`Experiment.measure`."""

    cells: tuple[Cell, ...]
    options: dict[str, Any] = field(default_factory=dict)
    """What the measurement needs to know beside the cells: its pass, its replicate, its budget."""

    folder: Path | None = None
    """Where the measurement may keep what it needs to go on after a kill; removed when it is done.
    Whoever makes the unit gives it a name, which the executor places inside the run's folder."""

    @property
    def sort(self) -> str:
        """What units of like length have in common: the experiment and its pass."""
        first = self.cells[0].experiment
        return f"{first} {self.options['pass']}" if "pass" in self.options else first

    def __str__(self) -> str:
        first = self.cells[0]
        if len(self.cells) == 1:
            return str(first)
        together = f"{len(self.cells)} cells"
        return " / ".join((first.experiment, first.model, first.dataset, together))


@dataclass(frozen=True)
class Job:
    """Units to be measured now.

    A job that is not exclusive may be spread over worker processes that run side by side. An
    exclusive one is timed: one freshly started process walks through its units, alone.
    """

    units: tuple[Unit, ...]
    exclusive: bool = False
    allocator: str = "held"
    """The memory allocator of its processes (see :mod:`gr_bench.meters.conditions`)."""


def _distinct(kind: str, values: Iterable[Any]) -> list[Any]:
    seen = list(values)
    for value in seen:
        if seen.count(value) > 1:
            raise ValueError(f"{kind} {value!r} is named twice")
    return seen


def _known_methods(texts: list[str]) -> list[str]:
    specs = [spec for text in texts for spec in expand(text)]
    return _distinct("method", [registry.spell_method(str(spec)) for spec in specs])


def known(texts: list[str], things: registry.Registry, *, given: int = 0) -> list[str]:
    """Every spec that ``texts`` stand for, as a grid keeps them, names and parameters checked.

    Args:
        texts: as a suite spells them; a list inside a spec stands for several.
        things: where they are registered.
        given: see :meth:`gr_bench.registry.Registry.resolve`.

    Raises:
        ValueError: an unknown name or parameter, or a spec that is named twice.
    """
    specs: list[Spec] = [spec for text in texts for spec in expand(text)]
    for spec in specs:
        things.resolve(spec, given=given)
    return _distinct(things.kind, map(str, specs))


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Name], Field(min_length=1)]
Sizes = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
Dtype = Literal["float32", "float64", "bfloat16", "bfloat16-mixed"]
Methods = Annotated[Names, AfterValidator(_known_methods)]
DeviceName = Annotated[str, AfterValidator(check_name)]


class AnyGrid(BaseModel):
    """What every grid has in common: no unknown key, and no value twice in a list.

    An experiment whose cells are not a model on a batch of a data set derives its grid from this;
    it needs ``methods`` and ``device``, which the command line sets.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _each_value_once(self) -> Self:
        for key, values in self:
            if isinstance(values, list):
                _distinct(f"{key}: value", values)
        return self


class Grid(AnyGrid):
    """The part of a suite that spans a grid of cells; each experiment adds its own settings."""

    methods: Methods
    models: Names
    datasets: Names
    batch_sizes: Sizes
    device: DeviceName = "cpu"
    dtypes: Annotated[list[Dtype], Field(min_length=1)] = ["float32"]
    """Of parameters and data. ``bfloat16-mixed`` has both in float32, and training's forward passes
    under ``torch.autocast``."""

    threads: Sizes = [1]
    compiled: Annotated[list[bool], Field(min_length=1)] = [False]
    """Whether the forward and backward passes run under ``torch.compile``."""

    @field_validator("models")
    @classmethod
    def _known_models(cls, texts: list[str]) -> list[str]:
        return known(texts, registry.MODELS, given=2)

    @field_validator("datasets")
    @classmethod
    def _known_datasets(cls, texts: list[str]) -> list[str]:
        return known(texts, registry.DATASETS)

    def points(self) -> Iterator[dict[str, Any]]:
        """The fields that every cell has, method varying fastest."""
        for model, dataset, batch_size, dtype, threads, compiled, method in itertools.product(
            self.models,
            self.datasets,
            self.batch_sizes,
            self.dtypes,
            self.threads,
            self.compiled,
            self.methods,
        ):
            yield {
                "method": method,
                "model": model,
                "dataset": dataset,
                "batch_size": batch_size,
                "device": self.device,
                "dtype": dtype,
                "threads": threads,
                "compiled": compiled,
            }


class Experiment(ABC):
    """One question. A new one is a folder with a subclass, and a line in ``experiments``."""

    name: ClassVar[str]
    title: ClassVar[str]
    grid: ClassVar[type[AnyGrid]]
    cell: ClassVar[type[Cell]]

    @abstractmethod
    def cells(self, grid: Any) -> list[Cell]:
        """The cells that a grid of this experiment's type spans."""

    @abstractmethod
    def pending(self, grid: Any, cells: Sequence[Cell], records: Sequence[Record]) -> list[Job]:
        """What is still to be measured of ``cells``, given what has been; none when done.

        The runner asks again after every round of jobs, so a measurement can depend on what the
        ones before it showed. A cell with a ``failure`` among its records is not asked for again.
        """

    @abstractmethod
    def outlook(
        self, grid: Any, cells: Sequence[Cell], records: Sequence[Record]
    ) -> dict[str, int]:
        """How many units there are still to come, at least, by :attr:`Unit.sort`."""

    @abstractmethod
    def measure(self, unit: Unit) -> Iterator[Record | Progress]:
        """Measure one unit, in a worker process. What it raises becomes a failure of its cells."""

    @abstractmethod
    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """The experiment's tables by name, each starting with :data:`COLUMNS`."""

    @abstractmethod
    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """The tables that a reader is shown, in order."""

    @abstractmethod
    def figures(self, tables: dict[str, DataFrame]) -> Iterator[Picture]:
        """The figures that a reader is shown, in order."""


@dataclass(frozen=True)
class Summary:
    """A table for a reader, with what its numbers are."""

    name: str
    title: str
    caption: str
    table: DataFrame


@dataclass(frozen=True)
class Picture:
    """A figure for a reader, with what it shows."""

    name: str
    title: str
    caption: str
    figure: Figure
