"""An NVIDIA GPU as a device. Not yet run on one: written to the documentation, and tested against
a simulated stream.
"""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

import torch

from . import hardware, nvml
from .device import Device, Reading, Work
from .device_state import DeviceState
from .held_stream import HeldStream, between, events

POLL_S = 1e-3
MOST_POLLS = 500
"""Readings of the energy counter, until it has moved; one that has not by then does not count."""


class CUDA(Device):
    """An NVIDIA GPU; its times are between events on its current stream."""

    kind = "cuda"
    sample_s = 50e-3
    least_steps = 10
    matrix_size = 4096

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._held = HeldStream()

    def select(self) -> None:
        """Make it the current device."""
        torch.cuda.set_device(self.torch_device)

    def time(self, work: Work) -> Reading:
        """Time between two events around ``work``; waits for the second."""
        with torch.cuda.device(self.torch_device):
            start, end = events()
            cpu = time.process_time()
            start.record()
            work()
            end.record()
            end.synchronize()
            cpu = time.process_time() - cpu
            return Reading(between(start, end), 0.0, cpu)

    def sample(self, step: Work, steps: int) -> Reading:
        """Two readings of ``steps`` steps: as trained, and by the device alone.

        As trained, the host runs ahead: one more step is queued before the first event, so that the
        device is at work when the sample begins, and nothing waits for it until the sample ends.
        For ``device_s`` the stream is held until work is queued, so that the device finds all of it
        waiting (:mod:`~gr_bench.meters.held_stream`).
        """
        with torch.cuda.device(self.torch_device):
            start, end = events()
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
            device_s = self._held.step_s(step, steps, queue_s)
        # the processor's time is that of one step more
        cpu_s = cpu * steps / (steps + 1)
        return Reading(
            between(start, end), 0.0, cpu_s, None if device_s is None else device_s * steps
        )

    def state(self, work: Work) -> DeviceState:
        """Load of the host; clocks in MHz, temperature and throttle reasons as NVML tells them."""
        with torch.cuda.device(self.torch_device):
            half, _ = events()
            work()
            half.record()
            work()
            half.synchronize()
        state = DeviceState(
            load=os.getloadavg()[0],
            clock_mhz=self._ask("ClockInfo", "NVML_CLOCK_SM"),
            memory_clock_mhz=self._ask("ClockInfo", "NVML_CLOCK_MEM"),
            temperature_c=self._ask("Temperature", "NVML_TEMPERATURE_GPU"),
            throttle_reasons=self._throttle_reasons(),
        )
        torch.cuda.synchronize(self.torch_device)
        return state

    def _throttle_reasons(self) -> int | None:
        """By the library's present name for them, or by that of older drivers."""
        found: int | None = self._ask("CurrentClocksEventReasons")
        if found is None:
            found = self._ask("CurrentClocksThrottleReasons")
        return found

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
        """NVML's counter since the driver was loaded; the whole board's, other processes' too.

        It moves every 20 to 100 ms, and is read when it has: up to that much idling is in it.
        """
        torch.cuda.synchronize(self.torch_device)
        before = self._ask("TotalEnergyConsumption")
        if before is None:
            return None
        for _ in range(MOST_POLLS):
            time.sleep(POLL_S)
            millijoules = self._ask("TotalEnergyConsumption")
            if millijoules != before:
                return None if millijoules is None else 1e-3 * float(millijoules)
        return None

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
