"""A cell: one point of a grid, and everything that decides its result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from gr_bench.optimizers import SGD
from gr_bench.plugins.place import read_stamp

LATER = "added later"


def added_later(default: Any) -> Any:
    """A field that older cells have not, with the value that theirs would be.

    It is part of a cell's identity only where it differs from that, so that runs that were begun
    before go on.
    """
    return dataclasses.field(default=default, metadata={LATER: True})


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of a grid: everything that decides its result. Experiments add their own fields."""

    experiment: ClassVar[str]

    spec: str
    """The method as a suite spells it, parameters in full: ``f-gr(gamma=0.1, epsilon=0.05)``."""

    model: str
    dataset: str
    batch_size: int
    device: str
    dtype: str
    threads: int
    compiled: bool = False
    variant: str = added_later("plain")
    """Further switches of the step (:mod:`gr_bench.timing.variant`)."""

    optimizer: str = added_later(SGD)
    """The optimizer that steps after the method, as a suite spells it."""

    data: str = added_later("")
    """A hash of the files that the dataset is read from, if it reads a user's."""

    method_source: str = added_later("")
    """The method as a plug-in with a hash of its source (:func:`gr_bench.plugins.place.stamp`), so
    that what was changed is measured anew; empty if it is ours; several with a blank between, of a
    method that is made of others. So are the next four."""

    optimizer_source: str = added_later("")
    model_source: str = added_later("")
    dataset_source: str = added_later("")
    experiment_source: str = added_later("")

    @property
    def sources(self) -> dict[tuple[str, str], str]:
        """The hashes of its plug-ins' sources, by the kind of thing and its name."""
        own = (getattr(self, f.name) for f in dataclasses.fields(self) if _is_source(f.name))
        return dict(map(read_stamp, " ".join(own).split()))

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that it is told by: those :func:`added_later` only where they differ."""
        later = {f.name: f.default for f in dataclasses.fields(self) if LATER in f.metadata}
        fields = self._fields.items()
        return {key: value for key, value in fields if key not in later or value != later[key]}

    @property
    def _fields(self) -> dict[str, Any]:
        """Its fields by their names; they are plain values, so that none is copied."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @cached_property
    def id(self) -> str:
        """A hash of the experiment's name and the identity."""
        text = json.dumps([self.experiment, self.identity], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def workload(self) -> tuple[Any, ...]:
        """The common part of the cells of one comparison: everything but the method."""
        rest = self._fields
        del rest["spec"], rest["method_source"]
        return tuple(rest.items())

    @classmethod
    def from_0_1(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a cell of gr-bench 0.1, where ``spec`` was called ``method``."""
        rest = {key: value for key, value in fields.items() if key != "method"}
        return {"spec": fields["method"], **rest}

    @property
    def name(self) -> str:
        """The cell in words, the experiment left out."""
        return str(self).partition(" / ")[2]

    def __str__(self) -> str:
        how = " compiled" if self.compiled else ""
        how += "" if self.variant == "plain" else f" {self.variant}"
        how += "" if self.optimizer == SGD else f" {self.optimizer}"
        size = f"batch {self.batch_size}{how}"
        return " / ".join((self.experiment, self.model, self.dataset, size, self.spec))


def _is_source(field: str) -> bool:
    return field.endswith("_source")


C = TypeVar("C", bound=Cell)


def without_sources(cell: C) -> C:
    """The cell whatever the sources of its plug-ins, to be compared with others."""
    if not cell.sources:
        return cell
    own: dict[str, Any] = {f.name: "" for f in dataclasses.fields(cell) if _is_source(f.name)}
    return dataclasses.replace(cell, **own)


@dataclass(frozen=True, kw_only=True)
class TimedCell(Cell, ABC):
    """A cell whose step is timed, together with the others of its block."""

    @property
    @abstractmethod
    def block(self) -> tuple[Any, ...]:
        """The common part of the cells of a block, which are timed in the same rounds."""

    @property
    @abstractmethod
    def is_baseline(self) -> bool:
        """True if the others of the block are divided by it."""

    @property
    @abstractmethod
    def is_control(self) -> bool:
        """True if it is the baseline timed a second time: its true ratio is 1."""
