"""The records of step cost beside its times: counters, and the check of variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gr_bench.experiments.experiment import Options
from gr_bench.experiments.record import Record


@dataclass(frozen=True, kw_only=True)
class CheckOptions(Options):
    """The pass in which a variant's step is held to the plain one."""

    kind: ClassVar[str] = "check"


@dataclass(frozen=True, kw_only=True)
class CountersOptions(Options):
    """The pass in which memory and FLOPs are counted."""

    kind: ClassVar[str] = "counters"


@dataclass(frozen=True, kw_only=True)
class Check(Record):
    """The results of a step's variant beside those of the plain step."""

    kind: ClassVar[str] = "check"

    agrees: bool
    where: str = ""
    """The parameter or buffer that differs most, or what happened to the process."""

    error: float | None = None
    """Relative to the plain step's; None if the process did not come back."""

    tolerance: float | None = None
    """The error that rounding may make."""

    def __str__(self) -> str:
        if self.error is None:
            return self.where
        return f"{self.where} differs by {self.error:.2g} (rounding: at most {self.tolerance:.2g})"


@dataclass(frozen=True, kw_only=True)
class Counters(Record):
    """Peak memory and FLOPs of a steady-state step, which do not depend on the clock."""

    kind: ClassVar[str] = "counters"

    flops: int | None
    """None if some are not counted: those of the operators in :attr:`uncounted`."""

    peak_bytes: int
    parameter_bytes: int
    gradient_bytes: int
    optimizer_state_bytes: int
    method_bytes: int
    rest_bytes: int
    resident_bytes: int
    """Of the process, after the step."""

    parameters: int
    finite: bool
    """True if the losses were finite."""

    uncounted: tuple[str, ...] = ()
    """Names of operators that do arithmetic which cannot be counted."""

    launches: int | None = None
    """Calls of operators that launch something on a GPU; None on a CPU."""

    peak_allocated_bytes: int | None = None
    """Of the whole process on a GPU, as is the next; None where it is not counted."""

    peak_reserved_bytes: int | None = None
    gradient_evaluations: float | None = None
    """Forward-backward passes of a step as the method counts them; None in older records."""

    predicted_flops: int | None = None
    """The cost model's (:mod:`~gr_bench.experiments.step_cost.cost_model`), as are the next."""

    predicted_extra_low_bytes: int | None = None
    predicted_extra_high_bytes: int | None = None
    predicted_peak_low_bytes: int | None = None
