"""A step's time, operator by operator, as PyTorch's profiler has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

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

    device_s: float | None = None
    """Seconds a step of the kernels that it launches itself on a GPU; None on a CPU."""

    @property
    def cost_s(self) -> float:
        """The time that counts: on the GPU, or where there is none on the processor."""
        return self.self_s if self.device_s is None else self.device_s


def operators(step: Work, steps: int = 5, *, device: torch.device | None = None) -> list[Operator]:
    """The operators of ``step``, by falling time on its device.

    The profiler slows every call by about a microsecond or two: shares are to be believed, and
    those of many short calls a little less. Times on a GPU are the kernels' own.

    Args:
        step: what to profile.
        steps: how often.
        device: where it runs; None: the CPU.
    """
    from torch.cuda import synchronize
    from torch.profiler import ProfilerActivity, profile

    on_gpu = device is not None and device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        for _ in range(steps):
            step()
        if on_gpu:
            synchronize(device)
    found = [
        Operator(
            name=event.key,
            calls=event.count / steps,
            self_s=1e-6 * event.self_cpu_time_total / steps,
            device_s=1e-6 * event.self_device_time_total / steps if on_gpu else None,
        )
        for event in profiler.key_averages()
        if event.key.startswith("aten::")
    ]
    return sorted(found, key=lambda operator: -operator.cost_s)


def kind(name: str) -> str:
    """The one of :data:`KINDS` that an operator belongs to.

    What batch norm's second derivative is made of counts as everything else: PyTorch has no
    operator for it and puts it together from elementwise ones.
    """
    bare = name.removeprefix("aten::").strip("_")
    if bare in ("mm", "addmm", "bmm", "baddbmm") or "convolution" in bare:
        return KINDS[0]
    return KINDS[1] if "batch_norm" in bare else KINDS[2]
