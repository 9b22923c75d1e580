"""Streams, events and clocks of GPUs, simulated at the boundary of ``torch.cuda`` and ``time``.

A host that launches, devices that execute one launch after the other, and a queue between them
that holds so many launches: the host waits while it is full. Times are exact.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gr_bench.meters.counters import launches

QUEUE = 1000
"""Launches that a device's queue has room for."""

CLOCK_HZ = 1.5e9
"""Cycles of a spinning kernel in a second."""


class Streams:
    """One stream a device, and the host's clock."""

    def __init__(self) -> None:
        self.host_s = 0.0
        self.busy_until_s: dict[int, float] = defaultdict(float)
        self.ends: dict[int, list[float]] = defaultdict(list)
        self.waits: Counter[str] = Counter()
        self.events: list[int] = []
        """The device of every event that was recorded."""

    def install(self) -> None:
        """Put the simulated clock and events in place of the real ones, until the process ends."""
        streams = self

        class Event:
            def __init__(self, enable_timing: bool = False) -> None:
                self.timing = enable_timing
                self.at_s: float | None = None

            def record(self) -> None:
                device = torch.cuda.current_device()
                streams.events.append(device)
                self.at_s = max(streams.host_s, streams.busy_until_s[device])

            def query(self) -> bool:
                assert self.at_s is not None
                return self.at_s <= streams.host_s

            def synchronize(self) -> None:
                assert self.at_s is not None
                streams.waits["event"] += 1
                streams.host_s = max(streams.host_s, self.at_s)

            def elapsed_time(self, end: Event) -> float:
                assert self.timing and end.timing and self.query() and end.query()
                assert self.at_s is not None and end.at_s is not None
                return 1e3 * (end.at_s - self.at_s)

        def synchronize(device: Any = None) -> None:
            streams.waits["device"] += 1
            index = torch.device(device).index
            streams.host_s = max(streams.host_s, streams.busy_until_s[index])

        torch.cuda.Event = Event
        torch.cuda.synchronize = synchronize
        torch.cuda._sleep = lambda cycles: self.launch(cycles / CLOCK_HZ, 1e-6)
        time.perf_counter = time.monotonic = time.process_time = lambda: self.host_s

    @property
    def busy(self) -> bool:
        """Whether a device has work left."""
        return max(self.busy_until_s.values(), default=0.0) > self.host_s

    def launch(self, device_s: float, host_s: float) -> None:
        """A kernel on the current device: its time there, and the host's to launch it."""
        device = torch.cuda.current_device()
        ends = self.ends[device]
        if len(ends) >= QUEUE:
            self.host_s = max(self.host_s, ends[-QUEUE])
        self.host_s += host_s
        self.busy_until_s[device] = max(self.host_s, self.busy_until_s[device]) + device_s
        ends.append(self.busy_until_s[device])

    def step(self, launches: int, device_s: float, host_s: float) -> Callable[[], None]:
        """A step of so many launches, each with these times."""

        def step() -> None:
            for _ in range(launches):
                self.launch(device_s, host_s)

        return step

    def launching(self, device_s: float, host_s: float) -> TorchDispatchMode:
        """A ``with`` in which every operator that launches something has these times.

        Where it reads a number back from the device, the host waits.
        """
        return _Launching(self, device_s, host_s)


class _Launching(TorchDispatchMode):
    def __init__(self, streams: Streams, device_s: float, host_s: float) -> None:
        super().__init__()
        self._streams = streams
        self._each = device_s, host_s

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket.__name__ == "_local_scalar_dense":
            device = torch.cuda.current_device()
            self._streams.host_s = max(self._streams.host_s, self._streams.busy_until_s[device])
            return 1.0
        out = func(*args, **(kwargs or {}))
        if launches(func, args, kwargs, out):
            self._streams.launch(*self._each)
        return out
