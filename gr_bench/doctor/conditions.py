"""The conditions that make times more or less certain: they are never the harness's fault."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gr_bench.doctor.check import Check, Number
from gr_bench.meters import nvml
from gr_bench.meters.conditions import Conditions, hold_still
from gr_bench.meters.device import Device
from gr_bench.meters.device_state import DeviceState
from gr_bench.meters.hardware import clock

WAITING = 0.02
"""The share of the time spent waiting for a processor from which times are less certain."""

THROTTLES = {
    0x04: "power cap",
    0x08: "slowdown by the hardware",
    0x20: "heat (driver)",
    0x40: "heat (hardware)",
    0x80: "power brake",
}
"""NVML's bits for a clock below what was asked for; idling and clocks set by hand are none.

Source: nvml.h, nvmlClocksEventReasons."""

LOCK = "lock its clocks below the limit (nvidia-smi -lgc) and cool it"


@contextmanager
def as_timed() -> Iterator[Conditions]:
    """The conditions of a worker that times with one thread, inside the ``with``."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield hold_still("held")
    finally:
        torch.set_num_threads(threads)


def allocator_check(conditions: Conditions) -> Check:
    """The check that the C allocator keeps memory and that denormals count as zero."""
    held = conditions.allocator == "held"
    measured: dict[str, Number] = {
        "allocator": conditions.allocator,
        "denormals_flushed": conditions.denormals_flushed,
    }
    words = f"{'held' if held else 'as the system has it'}; denormals " + (
        "flushed" if conditions.denormals_flushed else "computed"
    )
    if held and conditions.denormals_flushed:
        return Check("allocator", "pass", words, measured)
    advice = (
        "processes will differ more (2.6 % instead of 0.3 % in a measurement): use glibc 2.33 "
        "or newer, or allocators = ['jemalloc'] in the suite"
        if not held
        else "steps slow down with tiny numbers: keep values away from 1e-38"
    )
    return Check("allocator", "unknown", words, measured, advice)


def load_check(waited_share: float) -> Check:
    """The check that others did not have the processor while steps were timed."""
    load = os.getloadavg()[0]
    words = f"timed steps waited {waited_share:.1%}; load average {load:.2f}"
    measured = {"waited_share": waited_share, "load_average": load, "most_share": WAITING}
    if waited_share <= WAITING:
        return Check("load", "pass", words, measured)
    advice = (
        "other processes are running: stop them, or use a quieter machine; precise ratios "
        "take longer"
    )
    return Check("load", "unknown", words, measured, advice)


def clocks_check(device: Device, states: list[DeviceState]) -> Check:
    """The check that clocks stay, as far as the device tells.

    Args:
        device: the device.
        states: its state before the timing and after it.
    """
    if device.kind == "cpu":
        return _cpu_clocks(states)
    reasons = [s.throttle_reasons for s in states if s.throttle_reasons is not None]
    found = {name for bits in reasons for bit, name in THROTTLES.items() if bits & bit}
    measured = _clock_numbers(states) | {"throttled": ", ".join(sorted(found)) or None}
    if not reasons:
        advice = "install nvidia-ml-py; a MIG slice or a vGPU reports less"
        return Check("clocks", "unknown", "the device tells none", measured, advice)
    words = _clock_words(states)
    if found:
        words += f"; throttled by {', '.join(sorted(found))}"
        return Check("clocks", "unknown", words, measured, LOCK)
    return Check("clocks", "pass", f"{words}; not throttled", measured)


def _cpu_clocks(states: list[DeviceState]) -> Check:
    told = clock()
    measured = _clock_numbers(states) | {"governor": told.governor, "turbo": told.turbo}
    words = f"{_clock_words(states)}; governor {told.governor or 'not told'}"
    if told.governor in (None, "performance"):
        return Check("clocks", "pass", words, measured)
    advice = (
        f"clocks follow the load ({told.governor}): set the governor to performance "
        "(cpupower frequency-set -g performance)"
    )
    return Check("clocks", "unknown", words, measured, advice)


def _clock_numbers(states: list[DeviceState]) -> dict[str, Number]:
    return {
        "clock_mhz_before": states[0].clock_mhz,
        "clock_mhz_after": states[-1].clock_mhz,
        "temperature_c": states[-1].temperature_c,
    }


def _clock_words(states: list[DeviceState]) -> str:
    mhz = [s.clock_mhz for s in states if s.clock_mhz is not None]
    if not mhz:
        return "not told"
    heat = states[-1].temperature_c
    return f"{min(mhz):.0f} to {max(mhz):.0f} MHz" + ("" if heat is None else f", {heat:.0f} °C")


def others_check(device: Device) -> Check:
    """The check that no other process uses the GPU."""
    others = other_processes(device)
    measured = {"other_processes": others}
    if others is None:
        advice = "install nvidia-ml-py, or see nvidia-smi; a MIG slice or a vGPU does not report it"
        return Check(
            "other processes", "unknown", "the device does not report it", measured, advice
        )
    if others:
        advice = "stop them (nvidia-smi lists them), or wait: processes take turns on a GPU"
        return Check("other processes", "unknown", f"{others} on this GPU", measured, advice)
    return Check("other processes", "pass", "none on this GPU", measured)


def other_processes(device: Device) -> int | None:
    """The number of other processes that compute on the GPU; None where nobody tells."""
    uuid = str(getattr(torch.cuda.get_device_properties(device.torch_device), "uuid", ""))
    found = nvml.ask(uuid, "ComputeRunningProcesses")
    if found is None:
        return None
    running = {process.pid for process in found}
    # in a container the process has another number outside: then one of those is this one
    return len(running - {os.getpid()}) if os.getpid() in running else max(0, len(running) - 1)
