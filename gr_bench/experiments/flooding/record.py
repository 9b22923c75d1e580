"""The record of a traced training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from gr_bench.experiments.flooding.cell import FloodingCell
from gr_bench.experiments.record import Record

Order = Literal["descent, ascent", "ascent, descent"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two consecutive steps in opposite directions."""

    step: int
    """The first of the two, counted from 0."""

    order: Order
    difference: float
    """‖Δθ + η²·ΔR‖/‖η²·ΔR‖: how far the pair leads from the explicit step of GR, relative to it."""


@dataclass(frozen=True, kw_only=True)
class Trace(Record):
    """One training with flooding, step by step."""

    kind: ClassVar[str] = "trace"

    cell: FloodingCell
    level: float
    """b, in nats."""

    losses: tuple[float, ...]
    """Of every step before it was taken, in nats; they end where one was not finite."""

    pairs: tuple[Pair, ...]
    diverged: bool

    @classmethod
    def from_0_1(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The fields of a record of version 0.1, but for its cell and conditions: the same."""
        return {key: data[key] for key in ("level", "losses", "pairs", "diverged")}
