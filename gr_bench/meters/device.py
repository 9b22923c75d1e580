"""All that differs between devices, behind one small interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from .device_state import DeviceState

if TYPE_CHECKING:
    import torch

Work = Callable[[], object]

HOST_SPARE_BYTES = 1 << 30
"""Of the host's memory, for one piece of work."""


@dataclass(frozen=True)
class Reading:
    """The time that some work took."""

    elapsed_s: float
    """By the wall clock on a CPU; between two events on the stream of a GPU."""

    waited_s: float
    """Part of it in which this thread was ready to run and had no processor, since something else
    had it; 0 where that is not known (several threads, a GPU, another system than Linux)."""

    cpu_s: float
    """Time that this process's threads spent on processors."""

    device_s: float | None = None
    """Time that the same work takes a GPU that never waits for the host; None on a CPU, and where
    it cannot be read (:mod:`~gr_bench.meters.held_stream`)."""

    @property
    def seconds(self) -> float:
        """Elapsed time without the waiting: what a step takes on a processor of its own."""
        return self.elapsed_s - self.waited_s


class Device(ABC):
    """A device that steps run on, and its clock and memory.

    On the CPU, time is read without importing PyTorch: a step need not use it.
    """

    kind: ClassVar[str]

    sample_s: ClassVar[float] = 5e-3
    """A sample takes at least this long: 10,000 times what the clock can tell apart, and long
    enough to have its caches back from the sample before."""

    least_steps: ClassVar[int] = 1
    """Steps of a sample, however long they take."""

    matrix_size: ClassVar[int] = 512
    """Rows of the square matrices whose product shows what the machine can do."""

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def torch_device(self) -> torch.device:
        """The device as PyTorch names it."""
        import torch

        return torch.device(self.name)

    @abstractmethod
    def time(self, work: Work) -> Reading:
        """The time that ``work`` takes, with one synchronisation at its end."""

    def sample(self, step: Work, steps: int) -> Reading:
        """The time that ``steps`` steps in a row take, all together."""

        def work() -> None:
            for _ in range(steps):
                step()

        return self.time(work)

    @abstractmethod
    def state(self, work: Work) -> DeviceState:
        """Load, clocks and throttling; on a GPU while it is at ``work`` for the second time.

        A GPU that has nothing to do clocks down, and nothing holds it back.
        """

    @abstractmethod
    def peak_growth(self, work: Work) -> int:
        """The rise of the bytes allocated above their level at the start while ``work`` runs."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Hardware and numeric settings, for the record."""

    def select(self) -> None:  # noqa: B027  (there is nothing to choose on a CPU)
        """Make it the one that this process uses unless told otherwise."""

    def release_memory(self) -> bool:
        """Give back what is kept for later allocations; False where that is not counted."""
        return False

    def peaks(self) -> tuple[int | None, int | None]:
        """Most bytes allocated, and reserved from the system, in the last :meth:`peak_growth`.

        They are those of the whole process; None where they are not counted.
        """
        return None, None

    def spare_bytes(self) -> int:
        """Memory that a large piece of work may take beside what is there already.

        On the host :data:`HOST_SPARE_BYTES`, whatever is free: other processes work beside it.
        """
        return HOST_SPARE_BYTES

    def energy_j(self) -> float | None:
        """Joules that the device has used so far, once its work is done; None: not counted.

        A counter that moves in steps is read when it does: that may take a moment.
        """
        return None

    def near_processors(self) -> set[int] | None:
        """Numbers of the hardware threads nearest to it; None: not known, or all alike."""
        return None
