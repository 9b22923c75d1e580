"""Records: the results of measurements, each kind a class with named fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from gr_bench.errors import Unsupported, printable
from gr_bench.experiments.cell import Cell
from gr_bench.meters.conditions import Conditions


@dataclass(frozen=True, kw_only=True)
class Record:
    """The result of one measurement of one cell: a line of a run's journal.

    An experiment's kinds of record are frozen dataclasses derived from this, with units in the
    names of their fields and nothing in them but plain data and further dataclasses.
    """

    kind: ClassVar[str]
    """Its name in the journal."""

    cell: Cell
    conditions: Conditions | None = None
    """Of the process that measured it."""

    origin: str | None = None
    """The run that it was merged from, as ``run.json`` names it; None of one that was measured
    here."""

    @classmethod
    def from_0_1(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The fields, but for the cell, of a record of gr-bench 0.1."""
        return data


@dataclass(frozen=True, kw_only=True)
class Failure(Record):
    """A cell that gave no result. It belongs to all experiments."""

    kind: ClassVar[str] = "failure"

    reason: str
    unsupported: bool = False
    """By the nature of its parts it cannot work, which is no fault."""

    lacks: str | None = None
    """The kind of record that could not be had, of a cell that may still give others; None of a
    cell that is given up."""

    duration_s: float | None = None
    """Seconds from the start of its unit; None in runs of before."""

    peak_memory_bytes: int | None = None
    """The most resident memory of its worker, of one that has died as it was last seen, a second
    before its end at most; None where that is not known."""

    last_output: tuple[str, ...] = ()
    """The last lines that its worker had printed in this unit, standard error among them."""

    killed: bool = False
    """True where a SIGKILL came from outside, as when memory runs out: it is tried once more."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", printable(self.reason))

    @property
    def status(self) -> str:
        """The word for it in tables: ``unsupported`` or ``failed``."""
        return "unsupported" if self.unsupported else "failed"


def failure(cell: Cell, error: BaseException | str, lacks: str | None = None) -> Failure:
    """The record of a cell that gave no result, for a reason or because of an exception.

    Args:
        cell: that gave none.
        error: the reason.
        lacks: see :class:`Failure`. What is unsupported is given up.
    """
    if isinstance(error, str):
        return Failure(cell=cell, reason=error, lacks=lacks)
    reason = f"{type(error).__name__}: {error}".strip()
    if isinstance(error, Unsupported):
        return Failure(cell=cell, reason=reason, unsupported=True)
    return Failure(cell=cell, reason=reason, lacks=lacks)


@dataclass(frozen=True)
class Progress:
    """The part of the unit at hand that is done; a measurement may yield these on its way."""

    part: float
