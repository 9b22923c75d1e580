"""Step times: warm-up, samples long enough for the clock, and rounds that interleave methods."""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

from gr_bench.meters.device import Device, Work

WARM_UP_STEPS = 3
WARM_UP_S = 0.05
"""Steps in one warm-up reading, or fewer that take this long; two readings in a row must agree."""

STEADY = 0.05
"""Warm-up ends when a reading is no more than this part below the one before."""

SAMPLE_S = 2e-3
"""A sample takes at least this long, 10,000 times what the clock can tell apart."""


@dataclass(frozen=True)
class Samples:
    """The samples of one method, entry i of round i."""

    steps: int
    """Steps in one sample."""

    step_s: list[float]
    """(rounds,) seconds a step on the device."""

    wall_s: list[float]
    """(rounds,) seconds of wall time a step."""

    cpu_s: list[float]
    """(rounds,) seconds a step that this process was on a processor."""

    position: list[int]
    """(rounds,) place in the round's order."""


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


def interleave(
    device: Device,
    steps: Mapping[str, Work],
    *,
    budget_s: float,
    least_rounds: int,
    most_rounds: int,
    seed: int,
) -> dict[str, Samples]:
    """Read every method once a round, in a fresh random order, until the budget is spent.

    The garbage collector is off meanwhile.

    Args:
        device: where the steps run.
        steps: one training step by name, each on state of its own.
        budget_s: seconds for warm-up and rounds together; warm-up gets at most a third.
        least_rounds: rounds to read even if the budget is spent.
        most_rounds: rounds after which to stop even if it is not.
        seed: of the orders.
    """
    begin = time.monotonic()
    samples = {}
    for name, step in steps.items():
        typical = warm_up(device, step, budget_s / 3 / len(steps))
        samples[name] = Samples(max(1, math.ceil(SAMPLE_S / typical)), [], [], [], [])
    order = random.Random(seed)
    names = list(steps)
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        done = 0
        while done < most_rounds and (done < least_rounds or time.monotonic() - begin < budget_s):
            order.shuffle(names)
            for place, name in enumerate(names):
                own = samples[name]
                reading = device.time(repeated(steps[name], own.steps))
                own.step_s.append(reading.seconds / own.steps)
                own.wall_s.append(reading.wall_s / own.steps)
                own.cpu_s.append(reading.cpu_s / own.steps)
                own.position.append(place)
            done += 1
    finally:
        if collecting:
            gc.enable()
    return samples


def repeated(step: Work, count: int) -> Work:
    """``count`` steps as one piece of work."""

    def work() -> None:
        for _ in range(count):
            step()

    return work
