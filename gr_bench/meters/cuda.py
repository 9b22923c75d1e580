"""An NVIDIA GPU as a device. Not yet run on one: written to the documentation, and tested against
a simulated stream.
"""

from __future__ import annotations

import itertools
import os
import time
from functools import cached_property
from typing import Any

import torch

from . import hardware, nvml
from .device import Device, Reading, Work
from .device_state import DeviceState

HOLD = 1.5
"""The stream is held for the time that queueing a sample should take, times this."""

LEAST_HOLD_S = 1e-3

LONGER_HOLDS = 3
"""Retries of a single step that could not be queued in time, each with twice the hold."""

CALIBRATION_CYCLES = 10_000_000
"""Some 5 to 10 ms of spinning."""


class CUDA(Device):
    """An NVIDIA GPU; its times are between events on its current stream."""

    kind = "cuda"
    sample_s = 50e-3
    least_steps = 10
    matrix_size = 4096

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._most_queued: dict[int, int] = {}
        """By a step's id, how many of it could be queued in advance at last."""

    def select(self) -> None:
        """Make it the current device."""
        torch.cuda.set_device(self.torch_device)

    def time(self, work: Work) -> Reading:
        """Time between two events around ``work``; waits for the second."""
        with torch.cuda.device(self.torch_device):
            start, end = _events()
            cpu = time.process_time()
            start.record()
            work()
            end.record()
            end.synchronize()
            cpu = time.process_time() - cpu
            return Reading(_between(start, end), 0.0, cpu)

    def sample(self, step: Work, steps: int) -> Reading:
        """Two readings of ``steps`` steps: as trained, and by the device alone.

        As trained, the host runs ahead: one more step is queued before the first event, so that the
        device is at work when the sample begins, and nothing waits for it until the sample ends.
        For ``device_s`` the stream is held by a spinning kernel until the steps are queued, so that
        the device finds all of its work waiting.
        """
        with torch.cuda.device(self.torch_device):
            start, end = _events()
            queued_at = []
            cpu = time.process_time()
            step()
            start.record()
            for _ in range(steps):
                queued_at.append(time.perf_counter())
                step()
            queued_at.append(time.perf_counter())
            end.record()
            end.synchronize()
            cpu = time.process_time() - cpu
            # where the queue was full, the host waited: the fastest step did so least
            queue_s = min(b - a for a, b in itertools.pairwise(queued_at))
            device_s = self._device_s(step, steps, queue_s)
        # the processor's time is that of one step more
        cpu_s = cpu * steps / (steps + 1)
        return Reading(
            _between(start, end), 0.0, cpu_s, None if device_s is None else device_s * steps
        )

    def _device_s(self, step: Work, steps: int, queue_s: float) -> float | None:
        """Seconds a step of a device that does not wait for the host; None if it cannot be read.

        A driver's queue has room for about a thousand kernels; beyond that the host waits for the
        device, and work can no longer be queued in advance. So fewer steps are tried, down to one.
        That holds of a method and a model; it is remembered.
        """
        count = min(steps, self._most_queued.get(id(step), steps))
        longer = 0
        while count:
            hold_s = (HOLD * count * queue_s + LEAST_HOLD_S) * 2**longer
            seconds = self._held(step, count, hold_s)
            if seconds is not None:
                self._most_queued[id(step)] = count
                return seconds / count
            if count > 1:
                count //= 2
            elif longer < LONGER_HOLDS:
                longer += 1
            else:
                count = self._most_queued[id(step)] = 0
        return None

    def _held(self, step: Work, steps: int, hold_s: float) -> float | None:
        """Seconds of ``steps`` steps behind a kernel that spins for ``hold_s``; None if that was
        over before they were queued.
        """
        start, end = _events()
        torch.cuda._sleep(round(hold_s * self._cycles_per_s))
        start.record()
        for _ in range(steps):
            step()
        end.record()
        in_time = not start.query()
        end.synchronize()
        return _between(start, end) if in_time else None

    @cached_property
    def _cycles_per_s(self) -> float:
        start, end = _events()
        torch.cuda._sleep(1)  # its first call loads it
        start.record()
        torch.cuda._sleep(CALIBRATION_CYCLES)
        end.record()
        end.synchronize()
        return CALIBRATION_CYCLES / _between(start, end)

    def state(self) -> DeviceState:
        """Load of the host; clocks in MHz, temperature and throttle reasons as NVML tells them."""
        return DeviceState(
            load=os.getloadavg()[0],
            clock_mhz=self._ask("ClockInfo", "NVML_CLOCK_SM"),
            memory_clock_mhz=self._ask("ClockInfo", "NVML_CLOCK_MEM"),
            temperature_c=self._ask("Temperature", "NVML_TEMPERATURE_GPU"),
            throttle_reasons=self._ask("CurrentClocksThrottleReasons"),
        )

    def peak_growth(self, work: Work) -> int:
        """``max_memory_allocated`` above ``memory_allocated`` at the start."""
        torch.cuda.synchronize(self.torch_device)
        before = torch.cuda.memory_allocated(self.torch_device)
        torch.cuda.reset_peak_memory_stats(self.torch_device)
        work()
        torch.cuda.synchronize(self.torch_device)
        return torch.cuda.max_memory_allocated(self.torch_device) - before

    def release_memory(self) -> bool:
        """Empty the allocator's cache, which counts as reserved."""
        torch.cuda.synchronize(self.torch_device)
        torch.cuda.empty_cache()
        return True

    def peaks(self) -> tuple[int | None, int | None]:
        """``max_memory_allocated`` and ``max_memory_reserved``."""
        return (
            torch.cuda.max_memory_allocated(self.torch_device),
            torch.cuda.max_memory_reserved(self.torch_device),
        )

    def spare_bytes(self) -> int:
        """Half of what is free on the GPU or held back by PyTorch's allocator.

        The other half is for what nobody foresees: gradients on their way, workspaces, fragments.
        """
        free, _ = torch.cuda.mem_get_info(self.torch_device)
        reserved = torch.cuda.memory_reserved(self.torch_device)
        return (free + reserved - torch.cuda.memory_allocated(self.torch_device)) // 2

    def energy_j(self) -> float | None:
        """NVML's counter since the driver was loaded; the whole board's, other processes' too."""
        torch.cuda.synchronize(self.torch_device)
        millijoules = self._ask("TotalEnergyConsumption")
        return None if millijoules is None else 1e-3 * millijoules

    def near_processors(self) -> set[int] | None:
        """Those of the NUMA node that the GPU is attached to."""
        properties = torch.cuda.get_device_properties(self.torch_device)
        numbers: list[Any] = [getattr(properties, f"pci_{part}_id", None) for part in _PCI_PARTS]
        if None not in numbers:
            domain, bus, slot = map(int, numbers)
            return hardware.near_processors(f"{domain:04x}:{bus:02x}:{slot:02x}.0")
        address = getattr(self._ask("PciInfo"), "busId", None)
        if address is None:
            return None
        text = address.decode() if isinstance(address, bytes) else str(address)
        return hardware.near_processors(text.lower()[-len("0000:00:00.0") :])

    def describe(self) -> dict[str, Any]:
        """The GPU, its driver and power limit, and the settings that change its arithmetic."""
        properties = torch.cuda.get_device_properties(self.torch_device)
        limit = self._ask("EnforcedPowerLimit")
        return {
            "name": properties.name,
            "memory_bytes": properties.total_memory,
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "driver": nvml.driver_version(),
            "power_limit_w": None if limit is None else 1e-3 * limit,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "cudnn_enabled": torch.backends.cudnn.enabled,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "cudnn_deterministic": torch.backends.cudnn.deterministic,
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
            "tf32_cudnn": torch.backends.cudnn.allow_tf32,
        }

    def _ask(self, what: str, *constants: str) -> Any:
        properties = torch.cuda.get_device_properties(self.torch_device)
        return nvml.ask(str(getattr(properties, "uuid", "")), what, *constants)


_PCI_PARTS = ("domain", "bus", "device")


def _events() -> tuple[torch.cuda.Event, torch.cuda.Event]:
    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)


def _between(start: torch.cuda.Event, end: torch.cuda.Event) -> float:
    """Seconds from one event to a later one, both over."""
    return float(start.elapsed_time(end)) / 1e3
