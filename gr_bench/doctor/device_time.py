"""The two readings of a sample on a GPU, which are one where kernels are long."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from gr_bench import stats
from gr_bench.doctor.check import Check, Tell, judge
from gr_bench.doctor.work import products, products_taking
from gr_bench.meters.device import Device, Work
from gr_bench.meters.held_stream import LAUNCHES
from gr_bench.stats import Interval

MARGIN = 0.05
"""A step that takes so much longer as trained is called bound by its launches."""

KERNEL_S = 200e-6
"""Long against its launch."""

READINGS = 5
"""At least."""

AT_ONCE, IN_PIECES = "device time", "device time in pieces"

SIZES = {AT_ONCE: (LAUNCHES // 20, 10), IN_PIECES: (3 * LAUNCHES, 2)}
"""By check: the launches of a step that is queued with others, and of one that is not queued as a
whole; and the steps of a sample."""


class Products:
    """A step of so many equal kernels, each the call of an operator."""

    eager = True

    def __init__(self, kernel: Work, launches: int) -> None:
        self._kernel, self._launches = kernel, launches

    def __call__(self) -> None:
        """One step."""
        for _ in range(self._launches):
            self._kernel()


def check_device_time(device: Device, seconds: float, tell: Tell) -> Iterator[Check]:
    """Samples of long kernels, whose time on the device is that as trained."""
    kernel = products(device, products_taking(device, KERNEL_S))
    for name, (launches, steps) in SIZES.items():
        step = Products(kernel, launches)
        logs: list[float] = []
        device.sample(step, 1)
        end = time.monotonic() + seconds / len(SIZES)
        while len(logs) < READINGS or time.monotonic() < end:
            tell()
            reading = device.sample(step, steps)
            if not reading.device_s:
                logs = []
                break
            logs.append(math.log(reading.device_s / reading.elapsed_s))
        yield _check(name, stats.ratio_interval(logs, stats.CALLING_CONFIDENCE) if logs else None)


def _check(name: str, ratio: Interval | None) -> Check:
    """The verdict on the device's time over that as trained; None if it could not be read."""
    trust = "do not trust device_time_ms or launch_bound from this device: "
    if ratio is None:
        return Check(name, "fail", "cannot be read", {}, trust + "the stream is not held")
    verdict = judge(ratio, 1.0, MARGIN)
    advice = {
        "pass": None,
        "fail": trust + "it is not that of long kernels",
        "unknown": "too much noise: stop other processes, or use a larger --budget",
    }[verdict]
    return Check(
        name,
        verdict,
        f"of long kernels {ratio.center:.4f} of that as trained "
        f"({ratio.low:.4f} to {ratio.high:.4f})",
        {
            "ratio": ratio.center,
            "ratio_low": ratio.low,
            "ratio_high": ratio.high,
            "margin": MARGIN,
        },
        advice,
    )
