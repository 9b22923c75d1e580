"""The device's clock and its account of waiting, held to clocks of another sort."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from gr_bench.doctor.check import Check, Tell, judge
from gr_bench.doctor.work import independent_s, lasting, products, products_taking, synchronize
from gr_bench.meters.device import Device, Reading, Work
from gr_bench.stats import Interval, hodges_lehmann

CLOCK_MARGIN = 0.01
"""A clock that NTP slews is off by 0.0005 at most."""

WAITING_MARGIN = 0.05
"""Interrupts are in no thread's account."""

READINGS = 8

PIECE_S = 1e-3
"""Of the work that a long reading repeats: long against the launch of a kernel."""


@dataclass(frozen=True)
class Bracketed:
    """A reading of the device between two of the independent clock and of the thread's own time.

    The inner two are taken by the work itself, as its first and its last act, the outer two around
    the whole reading: what the device says must lie between them, on the busiest machine too.
    """

    reading: Reading
    inner_s: float
    outer_s: float
    inner_cpu_s: float
    outer_cpu_s: float

    @property
    def low(self) -> float:
        """The least that the clock's rate can be: 1 is right."""
        return self.reading.elapsed_s / self.outer_s

    @property
    def high(self) -> float:
        """The most that the clock's rate can be."""
        return self.reading.elapsed_s / self.inner_s


def read_bracketed(device: Device, work: Work) -> Bracketed:
    """Read work that waits for the device at its end."""
    inner: list[float] = []

    def bracketed() -> None:
        begin, cpu = independent_s(), time.thread_time()
        work()
        inner.extend((independent_s() - begin, time.thread_time() - cpu))

    synchronize(device)
    begin, cpu = independent_s(), time.thread_time()
    reading = device.time(bracketed)
    outer_s, outer_cpu_s = independent_s() - begin, time.thread_time() - cpu
    inner_s, inner_cpu_s = inner
    return Bracketed(reading, inner_s, outer_s, inner_cpu_s, outer_cpu_s)


def check_clock(device: Device, seconds: float, tell: Tell) -> Iterator[Check]:
    """Long readings by the device's clock, against the wall clock; on a CPU, its waiting too."""
    piece = products(device, products_taking(device, PIECE_S))
    work = lasting(device, piece, seconds / (3 * READINGS))
    readings = []
    for _ in range(READINGS):
        tell()
        readings.append(read_bracketed(device, work))
    yield _clock(readings)
    if device.kind == "cpu" and torch.get_num_threads() == 1:
        yield _waiting(readings)


def _clock(readings: list[Bracketed]) -> Check:
    """The rate of the clock: no less than any reading allows, and no more."""
    low, high = max(r.low for r in readings), min(r.high for r in readings)
    rate = Interval((low + high) / 2, low, high)
    verdict = judge(rate, 1.0, CLOCK_MARGIN)
    advice = {
        "pass": None,
        "fail": "do not trust times from this device: its clock and the system's disagree; on a "
        "GPU, check that events are recorded on the stream of the measured device",
        "unknown": "readings were too short or too disturbed: stop other processes, or use a "
        "larger --budget",
    }[verdict]
    return Check(
        "clock",
        verdict,
        f"{rate.center:.4f} s read per second ({low:.4f} to {high:.4f})",
        {
            "rate": rate.center,
            "rate_low": low,
            "rate_high": high,
            "margin": CLOCK_MARGIN,
            "readings": len(readings),
            "reading_s": hodges_lehmann([r.outer_s for r in readings]),
        },
        advice,
    )


def _waiting(readings: list[Bracketed]) -> Check:
    """Wall time without the waiting, against the time that the thread was on a processor.

    More than that can be a hypervisor's doing; less is waiting that never was.
    """
    low = hodges_lehmann([(r.inner_s - r.reading.waited_s) / r.outer_cpu_s for r in readings])
    high = hodges_lehmann([(r.outer_s - r.reading.waited_s) / r.inner_cpu_s for r in readings])
    waited = sum(r.reading.waited_s for r in readings) / sum(r.outer_s for r in readings)
    verdict = judge(Interval((low + high) / 2, low, high), 1.0, WAITING_MARGIN)
    if verdict == "fail" and low > 1:
        verdict = "unknown"
    advice = {
        "pass": None,
        "fail": "step times are too short here: the system reports more waiting than the thread's",
        "unknown": "time is lost without being accounted for (a hypervisor, interrupts, a "
        "system other than Linux): use a quieter machine",
    }[verdict]
    return Check(
        "waiting",
        verdict,
        f"{waited:.1%}; the rest is {low:.3f} to {high:.3f} of processor time",
        {"waited_share": waited, "ratio_low": low, "ratio_high": high, "margin": WAITING_MARGIN},
        advice,
    )
