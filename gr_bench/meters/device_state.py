"""The state of a device, which changes from minute to minute."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DeviceState:
    """Load, clocks and throttling at one moment; None where it is not known."""

    load: float | None = None
    """The host's load average over the last minute."""

    clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    temperature_c: float | None = None
    throttle_reasons: int | None = None
    """NVML's bits."""
