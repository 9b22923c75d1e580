"""The one way to read a step's time: warm up, then samples long enough for the clock."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, field

from ..meters.device import Device, Work

ENERGY_S = 2.0
"""Time of the steps whose energy is read: a GPU's counter moves ten times a second, or more."""

WARM_UP_STEPS = 2
WARM_UP_S = 0.02
"""Steps in one warm-up reading, or fewer that take this long; two readings in a row must agree."""

STEADY = 0.05
"""Warm-up ends when a reading is no more than this part below the one before."""


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

    device_s: list[float | None] = field(default_factory=list)
    """(rounds,) seconds a step of a GPU that does not wait for the host; None: not known."""

    position: list[int] = field(default_factory=list)
    """(rounds,) place in the round's order."""

    @property
    def step_s(self) -> list[float]:
        """(rounds,) seconds a step, waiting taken off."""
        return [all_ - waited for all_, waited in zip(self.elapsed_s, self.waited_s, strict=True)]

    @property
    def round_s(self) -> float:
        """Seconds of a sample, waiting included; on average."""
        return self.steps * statistics.fmean(self.elapsed_s)


@dataclass(frozen=True)
class Sample:
    """One timed reading, in seconds a step."""

    elapsed_s: float
    waited_s: float
    cpu_s: float
    device_s: float | None = None


def settle_and_warm_up(device: Device, step: Work, budget_s: float) -> int:
    """Make a step ready to be timed; returns the steps of a sample.

    Args:
        device: that it runs on.
        step: with a method ``settle`` for its first step, or without, and with a ``cycle``, or of 1
            (:func:`whole_cycles`).
        budget_s: for the warm-up (:func:`warm_up`), which takes one reading at least.
    """
    getattr(step, "settle", step)()
    steps = steps_in_a_sample(device, warm_up(device, step, budget_s))
    return whole_cycles(step, steps)


def whole_cycles(step: Work, least: int) -> int:
    """The least number of steps that is at least ``least`` and a multiple of the step's cycle.

    Steps that differ are only timed by the cycle: wherever one begins, it holds the same steps.
    """
    cycle: int = getattr(step, "cycle", 1)
    return cycle * math.ceil(least / cycle)


def warm_up(device: Device, step: Work, budget_s: float) -> float:
    """Step until the time no longer falls, at most ``budget_s``; returns seconds a step."""
    steps = whole_cycles(step, device.least_steps)  # one alone would show its launch, too

    def work() -> None:
        for _ in range(steps):
            step()

    end = time.monotonic() + budget_s
    last = float("inf")
    while True:
        readings: list[float] = []
        while len(readings) < WARM_UP_STEPS and sum(readings) < WARM_UP_S:
            readings.append(device.time(work).seconds / steps)
        now = statistics.median(readings)
        if now > last * (1 - STEADY) or time.monotonic() > end:
            return now
        last = now


def steps_in_a_sample(device: Device, seconds: float) -> int:
    """Steps of about so many seconds that make a sample long enough for the device's clock."""
    return max(device.least_steps, math.ceil(device.sample_s / max(seconds, 1e-9)))


def take_sample(device: Device, step: Work, steps: int) -> Sample:
    """Read the time of ``steps`` steps in a row."""
    reading = device.sample(step, steps)
    return Sample(
        elapsed_s=reading.elapsed_s / steps,
        waited_s=reading.waited_s / steps,
        cpu_s=reading.cpu_s / steps,
        device_s=None if reading.device_s is None else reading.device_s / steps,
    )


def joules(device: Device, step: Work, step_s: float) -> float | None:
    """Joules a step of the whole device over :data:`ENERGY_S` of steps, its idle power included.

    Args:
        device: where it steps.
        step: what to step.
        step_s: seconds that a step takes: the host's time to queue one says nothing of that.

    Returns:
        None where the device does not count its energy.
    """
    before = device.energy_j()
    if before is None:
        return None
    steps = whole_cycles(step, math.ceil(ENERGY_S / step_s))
    for _ in range(steps):
        step()
    after = device.energy_j()  # once all of them are done
    return None if after is None else (after - before) / steps
