"""Subjects of a comparison: the steps that both sides build and take in alternation."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.spec import parse
from gr_bench.workloads.datasets.content import with_absolute_path

if TYPE_CHECKING:
    from gr_bench.experiments.cell import Cell
    from gr_bench.experiments.step_cost.cell import StepCostCell

FORM = "write it as package.module:function or file.py:function, with NAME= before it if you like"


class Subject(ABC):
    """A step that both sides can build."""

    wanted: ClassVar[str]
    """The thing to ask for in its place, where a side lacks it for good."""

    cell: StepCostCell | None = None

    @property
    @abstractmethod
    def id(self) -> str:
        """Its identity, without blanks."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The subject in words."""

    @property
    @abstractmethod
    def threads(self) -> int:
        """Threads that its step computes with."""

    @abstractmethod
    def request(self, side: str) -> dict[str, Any]:
        """The part of a request to a side's worker that says what to build."""

    @abstractmethod
    def plain(self) -> dict[str, Any]:
        """The subject as plain data, for the record."""


@dataclass(frozen=True)
class CellSubject(Subject):
    """A step-cost cell, built by either side's own gr-bench."""

    wanted: ClassVar[str] = "choose others with --only or a --suite of your own"
    cell: StepCostCell

    @property
    def id(self) -> str:
        """The cell's."""
        return self.cell.id

    @property
    def name(self) -> str:
        """The cell, the experiment left out."""
        return self.cell.name

    @property
    def threads(self) -> int:
        """The cell's."""
        return self.cell.threads

    def request(self, side: str) -> dict[str, Any]:
        """The cell, as another revision understands it."""
        return {"cell": portable_cell(self.cell)}

    def plain(self) -> dict[str, Any]:
        """The cell's fields."""
        return asdict(self.cell)


@dataclass(frozen=True)
class Call(Subject):
    """A function that prepares and returns a step: a callable without arguments."""

    wanted: ClassVar[str] = "call something that both have"

    label: str
    """The name it was given, or the place where it stands."""

    function: str
    """Its name within the module or file, dotted if it is a part of something."""

    module: str | None = None
    """A module of either side's own; None for a function in a file."""

    file: str | None = None
    """A file's path: relative to either side's checkout, or an absolute one that both share."""

    device: str = "cpu"
    cores: int = 1

    @property
    def id(self) -> str:
        """The label, without blanks."""
        return re.sub(r"\s", "_", self.label)

    @property
    def name(self) -> str:
        """The label."""
        return self.label

    @property
    def threads(self) -> int:
        """As many as cores."""
        return self.cores

    @property
    def is_shared(self) -> bool:
        """True if both sides run the same file."""
        return self.file is not None and Path(self.file).is_absolute()

    def request(self, side: str) -> dict[str, Any]:
        """The call's fields."""
        return {"call": self.plain()}

    def plain(self) -> dict[str, Any]:
        """The call's fields."""
        return asdict(self)


def portable_cell(cell: Cell) -> dict[str, Any]:
    """A cell as plain data, for a process that steps another revision.

    A method with the parameters that it has by default goes by its name alone, since another
    revision may have other parameters. Plug-ins are named where they stand, and a dataset's file is
    found from another folder, too.
    """
    name = parse(cell.spec).kind
    default = registry.spell_method(name) == cell.spec
    return asdict(cell) | {
        "spec": registry.METHODS.placed(name if default else cell.spec),
        "model": registry.MODELS.placed(cell.model),
        "dataset": portable_dataset(cell.dataset),
        "optimizer": registry.OPTIMIZERS.placed(cell.optimizer),
    }


def portable_dataset(text: str) -> str:
    """A dataset's spelling for a process elsewhere, which knows no plug-in's displayed name."""
    return registry.DATASETS.placed(with_absolute_path(text))


def read_calls(
    texts: Mapping[str, str] | Iterable[str], *, device: str, threads: int
) -> list[Call]:
    """Calls as they are asked for: ``package.module:function``, ``file.py:function``, each with
    ``name=`` before it or not; or a dictionary from names to such places.

    Files are taken as shared, with their paths made absolute: see
    :func:`gr_bench.comparison.sides.placed`.

    Raises:
        RequestError: a text that is none, a file that is not there, or a name given twice.
    """
    if isinstance(texts, Mapping):
        named = [(str(name), str(place)) for name, place in texts.items()]
    else:
        named = [_named(text) for text in texts]
    calls = [_call(name, place, device, threads) for name, place in named]
    for call in calls:
        if sum(other.id == call.id for other in calls) > 1:
            raise RequestError(f"two calls are named {call.label!r}: give them names of their own")
    return calls


def _named(text: str) -> tuple[str, str]:
    name, given, place = text.partition("=")
    return (name.strip(), place.strip()) if given else (text.strip(), text.strip())


def _call(name: str, place: str, device: str, threads: int) -> Call:
    where, colon, function = place.rpartition(":")
    parts = function.split(".")
    if not (name and colon and where and all(part.isidentifier() for part in parts)):
        raise RequestError(f"cannot read the call {place!r}: {FORM}")
    if where.endswith(".py"):
        path = Path(where).expanduser().resolve()
        return Call(name, function, file=str(path), device=device, cores=threads)
    if not all(part.isidentifier() for part in where.split(".")):
        raise RequestError(f"cannot read the call {place!r}: {FORM}")
    return Call(name, function, module=where, device=device, cores=threads)
