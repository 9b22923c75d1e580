"""The one way to read a step's time: warm up, then samples long enough for the clock."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, field

from ..meters.device import Device, Work

WARM_UP_STEPS = 2
WARM_UP_S = 0.02
"""Steps in one warm-up reading, or fewer that take this long; two readings in a row must agree."""

STEADY = 0.05
"""Warm-up ends when a reading is no more than this part below the one before."""

SAMPLE_S = 5e-3
"""A sample takes at least this long: 10,000 times what the clock can tell apart, and long enough to
have its caches back from the sample before."""


@dataclass
class Samples:
    """The samples of one step, entry i of round i."""

    steps: int
    """Steps in one sample."""

    elapsed_s: list[float] = field(default_factory=list)
    """(rounds,) seconds a step."""

    waited_s: list[float] = field(default_factory=list)
    """(rounds,) part of it in which the thread waited for a processor that others had."""

    cpu_s: list[float] = field(default_factory=list)
    """(rounds,) seconds a step that this process's threads were on processors."""

    position: list[int] = field(default_factory=list)
    """(rounds,) place in the round's order."""

    @property
    def step_s(self) -> list[float]:
        """(rounds,) seconds a step, waiting taken off."""
        return [all_ - waited for all_, waited in zip(self.elapsed_s, self.waited_s, strict=True)]


@dataclass(frozen=True)
class Sample:
    """One timed reading, in seconds a step."""

    elapsed_s: float
    waited_s: float
    cpu_s: float


def warm_up(device: Device, step: Work, budget_s: float) -> float:
    """Step until the time no longer falls, at most ``budget_s``; returns seconds a step."""
    end = time.monotonic() + budget_s
    last = float("inf")
    while True:
        readings: list[float] = []
        while len(readings) < WARM_UP_STEPS and sum(readings) < WARM_UP_S:
            readings.append(device.time(step).seconds)
        now = statistics.median(readings)
        if now > last * (1 - STEADY) or time.monotonic() > end:
            return now
        last = now


def steps_in_a_sample(seconds: float) -> int:
    """Steps of about so many seconds that make a sample of at least :data:`SAMPLE_S`."""
    return max(1, math.ceil(SAMPLE_S / max(seconds, 1e-9)))


def take_sample(device: Device, step: Work, steps: int) -> Sample:
    """Read the time of ``steps`` steps in a row."""

    def work() -> None:
        for _ in range(steps):
            step()

    reading = device.time(work)
    return Sample(reading.elapsed_s / steps, reading.waited_s / steps, reading.cpu_s / steps)
