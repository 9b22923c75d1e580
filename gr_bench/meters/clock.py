"""Step times: warm-up, samples long enough for the clock, and rounds that interleave methods."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gr_bench.meters.device import Device, Work

WARM_UP_STEPS = 3
"""Steps in one warm-up reading; two readings in a row must agree."""

STEADY = 0.05
"""Warm-up ends when a reading is no more than this part below the one before."""

SAMPLE_S = 2e-3
"""A sample takes at least this long, 10,000 times what the clock can tell apart."""


@dataclass(frozen=True)
class Rounds:
    """Samples of several methods read in the same rounds."""

    steps: dict[str, int]
    """Steps in one sample, by method."""

    seconds: dict[str, list[float]]
    """(rounds,) seconds a step, by method; entry i of every method is of round i."""

    position: dict[str, list[int]]
    """(rounds,) place in the round's order, by method."""


def warm_up(device: Device, step: Work, budget_s: float) -> float:
    """Step until the time no longer falls, at most ``budget_s``; returns seconds a step."""
    end = time.monotonic() + budget_s
    last = float("inf")
    while True:
        readings = [device.time(step) for _ in range(WARM_UP_STEPS)]
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
) -> Rounds:
    """Read every method once a round, in a fresh random order, until the budget is spent.

    Args:
        device: where the steps run.
        steps: one training step by method, each on state of its own.
        budget_s: seconds for warm-up and rounds together; warm-up gets at most a third.
        least_rounds: rounds to read even if the budget is spent.
        most_rounds: rounds after which to stop even if it is not.
        seed: of the orders.
    """
    begin = time.monotonic()
    order = random.Random(seed)
    names = list(steps)
    counts = {}
    for name in names:
        typical = warm_up(device, steps[name], budget_s / 3 / len(names))
        counts[name] = max(1, round(SAMPLE_S / typical))
    seconds: dict[str, list[float]] = {name: [] for name in names}
    position: dict[str, list[int]] = {name: [] for name in names}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        done = 0
        while done < most_rounds and (done < least_rounds or time.monotonic() - begin < budget_s):
            order.shuffle(names)
            for place, name in enumerate(names):
                sample = device.time(_repeated(steps[name], counts[name]))
                seconds[name].append(sample / counts[name])
                position[name].append(place)
            done += 1
    finally:
        if collecting:
            gc.enable()
    return Rounds(counts, seconds, position)


def _repeated(step: Work, count: int) -> Work:
    def work() -> None:
        for _ in range(count):
            step()

    return work


def medians(rounds: Rounds, names: Sequence[str]) -> dict[str, float]:
    """Median seconds a step, by method."""
    return {name: statistics.median(rounds.seconds[name]) for name in names}
