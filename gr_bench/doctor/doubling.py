"""A kernel with twice the work, which must take twice as long."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gr_bench import stats
from gr_bench.doctor.check import Check, Tell, judge
from gr_bench.doctor.work import products, products_taking
from gr_bench.meters.device import Device
from gr_bench.timing.clock import Sample, settle_and_warm_up, take_sample
from gr_bench.timing.replicates import LEAST_ROUNDS, log_ratio
from gr_bench.timing.rounds import collector_at_rest, interleave

MARGIN = 0.1
"""Twice the results miss a cache more often. A clock that stops before the work is done reads 1."""

ONCE, TWICE = "once", "twice"

KERNEL_S = 2e-3
"""Of the smaller one, at least: long against its launch."""

REPEATS = 5


def check_doubling(device: Device, seconds: float, tell: Tell) -> Iterator[Check]:
    """Matrix products in one kernel, and twice as many: read in rounds, as steps are."""
    begin = time.monotonic()
    count = products_taking(device, KERNEL_S)
    works = {ONCE: products(device, count), TWICE: products(device, 2 * count)}
    steps = max(settle_and_warm_up(device, work, seconds / 10) for work in works.values())

    def take(name: str, steps: int) -> Sample:
        return take_sample(device, works[name], steps)

    logs = []
    with collector_at_rest():
        for repeat in range(REPEATS):
            tell()
            samples = interleave(
                [list(works)],
                take,
                dict.fromkeys(works, steps),
                until=begin + seconds * (repeat + 1) / REPEATS,
                least_rounds=LEAST_ROUNDS,
                seed=repeat,
            )
            logs.append(log_ratio(samples[TWICE].step_s, samples[ONCE].step_s))
    ratio = stats.ratio_interval(logs, stats.CALLING_CONFIDENCE)
    verdict = judge(ratio, 2.0, MARGIN)
    advice = {
        "pass": None,
        "fail": "do not trust ratios from this device: the measured time is not that of the "
        "work done; on a GPU, check that the reading waits for the device",
        "unknown": "too much noise: stop other processes, or use a larger --budget",
    }[verdict]
    yield Check(
        "twice the work",
        verdict,
        f"takes {ratio.center:.3f} times as long ({ratio.low:.3f} to {ratio.high:.3f})",
        {
            "ratio": ratio.center,
            "ratio_low": ratio.low,
            "ratio_high": ratio.high,
            "margin": MARGIN,
            "products": count,
        },
        advice,
    )
