"""``gr-bench doctor``: every check in its turn, within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from gr_bench.doctor.check import LEAST_S, Check, Tell
from gr_bench.doctor.clock import check_clock
from gr_bench.doctor.conditions import allocator_check, as_timed, clocks_check, others_check
from gr_bench.doctor.contract import check_contract
from gr_bench.doctor.counts import check_flops, check_memory
from gr_bench.doctor.device_time import AT_ONCE, IN_PIECES, check_device_time
from gr_bench.doctor.doubling import check_doubling
from gr_bench.doctor.pair import check_pair
from gr_bench.doctor.synchronisation import check_synchronisation
from gr_bench.doctor.work import queued
from gr_bench.meters.device import Device
from gr_bench.meters.device_state import DeviceState
from gr_bench.meters.get_device import get_device
from gr_bench.units import require_budget

LOAD_S = 0.2
"""A GPU is at work for so long before it is asked for its clocks, which take a while to rise."""

ProgressCallback = Callable[[float, str], None]
"""Told the seconds that have passed, and what is being checked."""


@dataclass(frozen=True)
class Part:
    """A few checks that are made together."""

    names: tuple[str, ...]
    """Of its checks, the first of which stands for all if they cannot be made."""

    make: Callable[[Device, float, Tell], Iterator[Check]]
    """The checks on a device, in about so many seconds."""

    share: float = 0.0
    """Of the budget; what does not depend on the clock takes what it needs."""

    of_gpu: bool = False
    """True if a CPU has nothing of the sort."""


PARTS = (
    Part(("clock",), check_clock, 0.1),
    Part((AT_ONCE, IN_PIECES), check_device_time, 0.1, of_gpu=True),
    Part(("twice the work",), check_doubling, 0.15),
    Part(("equal pair", "flop rate"), check_pair, 0.5),
    Part(("memory",), check_memory),
    Part(("flops",), check_flops),
    Part(("parameters", "batch norm", "dropout"), check_contract),
    Part(("synchronisation",), check_synchronisation),
)


def examine(
    device_name: str, budget_s: float, progress: ProgressCallback = lambda spent_s, what: None
) -> list[Check]:
    """Check the harness on a device in about ``budget_s``, sooner where nothing is in doubt.

    Where the clock is wrong, what is timed by it is left out: it would say the same once more, or
    go on for ever.

    Raises:
        RequestError: no such device here, or a budget that is too short.
    """
    require_budget(budget_s, LEAST_S, "a device")
    device = get_device(device_name)
    device.select()
    begin = time.monotonic()
    found: list[Check] = []
    with as_timed() as conditions:
        states = [_state(device)]
        for part in PARTS:
            if part.of_gpu and device.kind == "cpu":
                continue
            what = part.names[0]

            def tell(what: str = what) -> None:
                progress(time.monotonic() - begin, what)

            tell()
            if part.share and any(c.name == "clock" and c.verdict == "fail" for c in found):
                found += [_left_out(name) for name in part.names]
                continue
            try:
                for check in part.make(device, part.share * budget_s, tell):
                    found.append(check)
            except Exception as error:  # the other checks go on
                found.append(_raised(part.names[0], error))
            if part.share:
                states.append(_state(device))
    found.append(clocks_check(device, states))
    if device.kind != "cpu":
        found.append(others_check(device))
    return [*found, allocator_check(conditions)]


def _state(device: Device) -> DeviceState:
    """The device's state at work; not known where it cannot work, which the checks tell of."""
    try:
        return device.state(queued(device, LOAD_S))
    except Exception:
        return DeviceState()


def _left_out(name: str) -> Check:
    return Check(name, "unknown", "not tested: the clock is wrong", {}, "fix the clock first")


def _raised(name: str, error: Exception) -> Check:
    words = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, torch.OutOfMemoryError):
        return Check(name, "unknown", words, {}, "free some of the device's memory")
    return Check(name, "fail", words, {}, "the step or kernel does not run correctly here")
