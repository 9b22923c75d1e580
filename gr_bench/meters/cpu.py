"""The host's processor as a device."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from .device import Device, Reading, Work
from .device_state import DeviceState
from .waiting import WaitingAccount


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
        torch = sys.modules.get("torch")
        alone = torch is None or torch.get_num_threads() == 1
        cpu = time.process_time()
        begin, waited_before = self._waiting.now()
        work()
        end, waited = self._waiting.now()
        cpu = time.process_time() - cpu
        return Reading(end - begin, waited - waited_before if alone else 0.0, cpu)

    def state(self, work: Work) -> DeviceState:
        """Load average over the last minute and, where the system tells, the clock in MHz.

        ``work`` is not done: whoever asks is at work.
        """
        import psutil

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
        import torch

        return {
            "name": _processor_name(),
            "cores": os.cpu_count(),
            "capability": torch.backends.cpu.get_cpu_capability(),
        }


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
