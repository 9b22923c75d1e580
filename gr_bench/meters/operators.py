"""A step's time, operator by operator, as PyTorch's profiler has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .device import Work

KINDS = ("matrix products", "batch norm", "everything else")


@dataclass(frozen=True)
class Operator:
    """One operator's part of a step."""

    name: str
    calls: float
    """A step."""

    self_s: float
    """Seconds a step on the processor, without the operators that it calls."""


def operators(step: Work, steps: int = 5) -> list[Operator]:
    """The operators of ``step``, by falling self time.

    The profiler slows every call by about a microsecond or two: shares are to be believed, and
    those of many short calls a little less.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step()
    found = [
        Operator(event.key, event.count / steps, 1e-6 * event.self_cpu_time_total / steps)
        for event in profiler.key_averages()
        if event.key.startswith("aten::")
    ]
    return sorted(found, key=lambda operator: -operator.self_s)


def kind(name: str) -> str:
    """The one of :data:`KINDS` that an operator belongs to.

    What batch norm's second derivative is made of counts as everything else: PyTorch has no
    operator for it and puts it together from elementwise ones.
    """
    bare = name.removeprefix("aten::").strip("_")
    if bare in ("mm", "addmm", "bmm", "baddbmm") or "convolution" in bare:
        return KINDS[0]
    return KINDS[1] if "batch_norm" in bare else KINDS[2]
