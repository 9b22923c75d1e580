"""The step-cost cell, and the grid that spans such cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from gr_bench import registry
from gr_bench.experiments.base import Cell, Grid
from gr_bench.meters.conditions import Allocator


@dataclass(frozen=True, kw_only=True)
class StepCostCell(Cell):
    """A method's step on one batch, with momentum SGD behind it."""

    experiment: ClassVar[str] = "step_cost"

    baseline: str
    allocator: str = "held"
    control: bool = False
    """The baseline a second time: its ratio to the first is 1 but for the noise."""

    @property
    def workload(self) -> tuple[Any, ...]:
        """What the cells of a block share."""
        return tuple(pair for pair in super().workload if pair[0] != "control")

    def __str__(self) -> str:
        how = "" if self.allocator == "held" else f" / {self.allocator} allocator"
        return f"{super().__str__()}{how}{' (control)' if self.control else ''}"


class StepCostGrid(Grid):
    """Blocks to be timed, and how well."""

    baseline: str = "sgd"
    """The method that every other one is divided by; it must be one of ``methods``."""

    control: bool = True
    """Whether every block times its baseline twice, so that the run shows its own noise."""

    contrast: bool = False
    """Whether the baseline and its control are also timed one after the other, as harnesses that do
    not interleave would."""

    operators: bool = False
    """Whether to profile a few steps after the timed ones: where does the time go?"""

    allocators: Annotated[list[Allocator], Field(min_length=1)] = ["held"]
    """Memory allocators of the timed processes (see :mod:`gr_bench.meters.conditions`)."""

    budget_minutes: Annotated[float, Field(gt=0)] | None = None
    """Time for the replicates of this grid; what is not known by then is reported as it is."""

    replicates: Annotated[int, Field(ge=2)] = 5
    """Freshly started processes that every block is measured in, at least."""

    most_replicates: Annotated[int, Field(ge=2)] = 10
    """Processes after which a block is left as it is."""

    target_half_width: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """A block is done when every ratio's interval is no wider than this to either side."""

    seconds_per_block: Annotated[float, Field(gt=0)] = 2.0
    """Time for one block in one process, warm-up included."""

    least_rounds: Annotated[int, Field(ge=1)] = 5
    most_rounds: Annotated[int, Field(ge=1)] = 200

    @field_validator("baseline")
    @classmethod
    def _spelled_in_full(cls, text: str) -> str:
        return registry.spell_method(text)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.baseline not in self.methods:
            raise ValueError(
                f"baseline {self.baseline!r} is not among the methods: {', '.join(self.methods)}"
            )
        if self.most_replicates < self.replicates:
            raise ValueError("most_replicates must be at least replicates")
        if self.most_rounds < self.least_rounds:
            raise ValueError("most_rounds must be at least least_rounds")
        return self
