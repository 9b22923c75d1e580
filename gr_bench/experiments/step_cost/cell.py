"""The step-cost cell, and the grid that spans such cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from gr_bench import registry
from gr_bench.experiments.cell import TimedCell
from gr_bench.experiments.grid import OptimizerGrid
from gr_bench.meters.conditions import Allocator
from gr_bench.timing.variant import (
    PLAIN,
    REDUCE_OVERHEAD,
    spell_variant,
    switches,
    without_graphs,
)

Variant = Annotated[str, AfterValidator(spell_variant)]


@dataclass(frozen=True, kw_only=True)
class StepCostCell(TimedCell):
    """A method's step on one batch, with an optimizer behind it."""

    experiment: ClassVar[str] = "step_cost"

    baseline: str
    allocator: str = "held"
    control: bool = False
    """The baseline a second time: its true ratio to the first is 1."""

    @property
    def workload(self) -> tuple[Any, ...]:
        """The common part of the cells of a block."""
        return tuple(pair for pair in super().workload if pair[0] != "control")

    @property
    def block(self) -> tuple[Any, ...]:
        """The same as the workload."""
        return self.workload

    @property
    def is_baseline(self) -> bool:
        """Its method is the baseline, and it is not the control."""
        return self.spec == self.baseline and not self.control

    @property
    def is_control(self) -> bool:
        """The field ``control``."""
        return self.control

    @property
    def is_plain(self) -> bool:
        """A step that is run as it is written, in float32: what variants of it are held to."""
        eager = not self.compiled and self.variant == PLAIN
        return eager and self.dtype in ("float32", "float64")

    @property
    def unreplayed(self) -> Self:
        """The same step launched anew every time: no CUDA graph, though it may be compiled."""
        compiled = self.compiled or REDUCE_OVERHEAD in switches(self.variant)
        return replace(self, compiled=compiled, variant=without_graphs(self.variant))

    def __str__(self) -> str:
        how = "" if self.allocator == "held" else f" / {self.allocator} allocator"
        return f"{super().__str__()}{how}{' (control)' if self.control else ''}"


class StepCostGrid(OptimizerGrid):
    """Blocks to be timed, and how well."""

    baseline: str = "sgd"
    """The method that every other one is divided by; it must be one of ``methods``."""

    control: bool = True
    """True if every block times its baseline twice, so that the run shows its own noise."""

    sequential: bool = False
    """True if the baseline and its control are also timed one after the other, as harnesses that do
    not interleave would."""

    operators: bool = False
    """True to profile a few steps after the timed ones, to see where the time goes."""

    allocators: Annotated[list[Allocator], Field(min_length=1)] = ["held"]
    """Memory allocators of the timed processes (see :mod:`gr_bench.meters.conditions`)."""

    variants: Annotated[list[Variant], Field(min_length=1)] = [PLAIN]
    """Switches of the step (:mod:`gr_bench.timing.variant`), as ``tf32+channels-last+fused``."""

    replicates: Annotated[int, Field(ge=2)] = 5
    """Freshly started processes that every block is measured in, at least."""

    most_replicates: Annotated[int, Field(ge=2)] = 20
    """Processes after which a block is left as it is."""

    target_half_width: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """A block is done when every ratio's interval is no wider than this to either side."""

    seconds_per_block: Annotated[float, Field(gt=0)] = 6.0
    """Time for one block in each of its first processes, from when it is built; in later ones it
    gets what its two spreads, of rounds and of processes, make worth while."""

    least_rounds: Annotated[int, Field(ge=1)] = 5

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
        return self
