"""All that differs between devices, behind one small interface."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import psutil
import torch

from ..errors import RequestError
from .device_name import check_device_name
from .device_state import DeviceState
from .waiting import WaitingAccount

Work = Callable[[], object]


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

    @property
    def seconds(self) -> float:
        """Elapsed time without the waiting: what a step takes on a processor of its own."""
        return self.elapsed_s - self.waited_s


class Device(ABC):
    """A device that steps run on, and its clock and memory."""

    kind: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.torch_device = torch.device(name)

    @abstractmethod
    def time(self, work: Work) -> Reading:
        """The time that ``work`` takes, with one synchronisation at its end."""

    @abstractmethod
    def state(self) -> DeviceState:
        """Load, clocks and throttling at this moment."""

    @abstractmethod
    def peak_growth(self, work: Work) -> int:
        """The rise of the bytes allocated above their level at the start while ``work`` runs."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Hardware and numeric settings, for the record."""


class CPU(Device):
    """The host's processor. Memory is read from the profiler's allocator events."""

    kind = "cpu"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._waiting = WaitingAccount()

    def time(self, work: Work) -> Reading:
        """Elapsed time around ``work``, how much of it was waiting, and processor time.

        Nobody can tell how long a thread has waited for another that waits: with several threads
        the waiting counts as 0.
        """
        alone = torch.get_num_threads() == 1
        cpu = time.process_time()
        begin, waited_before = self._waiting.now()
        work()
        end, waited = self._waiting.now()
        cpu = time.process_time() - cpu
        return Reading(end - begin, waited - waited_before if alone else 0.0, cpu)

    def state(self) -> DeviceState:
        """Load average over the last minute and, where the system tells, the clock in MHz."""
        frequency = psutil.cpu_freq()
        clock_mhz = frequency.current if frequency else None
        return DeviceState(load=os.getloadavg()[0], clock_mhz=clock_mhz)

    def peak_growth(self, work: Work) -> int:
        """Largest running sum of the bytes that PyTorch's CPU allocator gives out and takes back.

        What a library allocates behind the allocator's back (oneDNN's scratch) is not seen.
        """
        from torch.profiler import ProfilerActivity, profile  # for counters alone

        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            work()
        events = profiler.profiler.kineto_results.events()
        changes = sorted(
            (event.start_ns(), index, event.nbytes())
            for index, event in enumerate(events)
            if event.name() == "[memory]"
        )
        level = peak = 0
        for _, _, change in changes:
            level += change
            peak = max(peak, level)
        return peak

    def describe(self) -> dict[str, Any]:
        """The processor's name and PyTorch's CPU capability."""
        return {
            "name": _processor_name(),
            "cores": os.cpu_count(),
            "capability": torch.backends.cpu.get_cpu_capability(),
        }


class CUDA(Device):
    """An NVIDIA GPU. Not yet run on one: written to the documentation, tested nowhere."""

    kind = "cuda"

    def time(self, work: Work) -> Reading:
        """Time between two events on the stream; waits for the second event."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        cpu = time.process_time()
        start.record()
        work()
        end.record()
        end.synchronize()
        elapsed = float(start.elapsed_time(end)) / 1e3
        return Reading(elapsed, 0.0, time.process_time() - cpu)

    def state(self) -> DeviceState:
        """Clocks in MHz, temperature and throttle reasons, through nvidia-ml-py where installed."""
        try:
            import pynvml
        except ImportError:
            return DeviceState()
        pynvml.nvmlInit()
        try:
            properties = torch.cuda.get_device_properties(self.torch_device)
            gpu = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{properties.uuid}")
            return DeviceState(
                clock_mhz=pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
                memory_clock_mhz=pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
                temperature_c=pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
                throttle_reasons=pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
            )
        finally:
            pynvml.nvmlShutdown()

    def peak_growth(self, work: Work) -> int:
        """``max_memory_allocated`` above ``memory_allocated`` at the start."""
        torch.cuda.synchronize(self.torch_device)
        before = torch.cuda.memory_allocated(self.torch_device)
        torch.cuda.reset_peak_memory_stats(self.torch_device)
        work()
        torch.cuda.synchronize(self.torch_device)
        return torch.cuda.max_memory_allocated(self.torch_device) - before

    def describe(self) -> dict[str, Any]:
        """The GPU's name, memory and the settings that change its arithmetic."""
        properties = torch.cuda.get_device_properties(self.torch_device)
        return {
            "name": properties.name,
            "memory_bytes": properties.total_memory,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
            "tf32_cudnn": torch.backends.cudnn.allow_tf32,
        }


def get_device(name: str) -> Device:
    """The device called ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        RequestError: no such device here.
    """
    if check_device_name(name) == "cpu":
        return CPU(name)
    index = int(name.partition(":")[2] or 0)
    if torch.cuda.is_available() and index < torch.cuda.device_count():
        return CUDA(name)
    raise RequestError(f"device {name!r} is not here: this PyTorch sees no such GPU; use cpu")


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    import platform

    return platform.processor() or platform.machine()
