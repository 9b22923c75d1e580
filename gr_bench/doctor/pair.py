"""An A/A pair: SGD timed twice in one block, and the machine's matrix product beside it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from gr_bench import registry, stats
from gr_bench.doctor.check import Check, Tell, judge
from gr_bench.doctor.conditions import load_check
from gr_bench.doctor.rate import rate_check
from gr_bench.doctor.steps import DoctorCell
from gr_bench.meters.device import Device
from gr_bench.timing.block import BlockReplicate
from gr_bench.timing.replicates import LEAST_ROUNDS, log_ratio

MODEL, DATA, BATCH = "mlp(depth=4, width=512)", "random(shape=(512,))", 32

MARGIN = 0.02
"""Of the ratio. One process knows it less well than a run's several: see ``gr-bench calibrate``."""

REPLICATES = 24
"""In the time that there is, about: they differ by where in memory each has its steps, so that many
short ones tell more than a few long ones."""

LEAST_REPLICATES = 6
"""Even, so that each of the two is built first as often as the other."""


@dataclass
class PairTimes:
    """The replicates of the pair, each with both steps built anew."""

    log_ratios: list[float] = field(default_factory=list)
    flops_per_s: list[float] = field(default_factory=list)
    """Of the machine's matrix product in the same rounds."""

    elapsed_s: float = 0.0
    """In samples of the two steps."""

    waited_s: float = 0.0
    """Part of it in which the thread waited for a processor."""

    @property
    def ratio(self) -> stats.Interval:
        """Control over baseline."""
        return stats.ratio_interval(self.log_ratios, stats.CALLING_CONFIDENCE)


def check_pair(device: Device, seconds: float, tell: Tell) -> Iterator[Check]:
    """Time equal steps as if they were different; what else the rounds tell goes with them."""
    times = time_pair(device, seconds, tell)
    yield pair_check(times)
    yield rate_check(device, statistics.median(times.flops_per_s))
    if device.kind == "cpu":
        yield load_check(times.waited_s / times.elapsed_s)


def time_pair(device: Device, seconds: float, tell: Tell) -> PairTimes:
    """Replicates of the pair until it is known that the two are equal, or the time is gone."""
    baseline = DoctorCell("sgd", MODEL, DATA, BATCH, str(device.torch_device), is_baseline=True)
    control = replace(baseline, is_baseline=False, is_control=True)
    times = PairTimes()
    end = time.monotonic() + seconds
    while len(times.log_ratios) < LEAST_REPLICATES or (
        time.monotonic() < end and judge(times.ratio, 1.0, MARGIN) != "pass"
    ):
        tell()
        block = BlockReplicate(
            [baseline, control], registry, len(times.log_ratios), at_work=lambda cell: None
        )
        for _, error in block.measure(seconds / REPLICATES, LEAST_ROUNDS):
            raise error
        samples = block.samples
        times.log_ratios.append(log_ratio(samples[control].step_s, samples[baseline].step_s))
        times.flops_per_s.append(block.machine_flops_per_s)
        for own in samples.values():
            times.elapsed_s += sum(own.elapsed_s) * own.steps
            times.waited_s += sum(own.waited_s) * own.steps
    return times


def pair_check(times: PairTimes) -> Check:
    """The verdict on the pair's ratio, whose true value is 1."""
    ratio = times.ratio
    verdict = judge(ratio, 1.0, MARGIN)
    advice = {
        "pass": None,
        "fail": "do not trust ratios from this device: equal steps are timed as different",
        "unknown": "too much noise: stop other processes, or use a larger --budget; gr-bench "
        "calibrate measures the smallest difference that this machine can detect",
    }[verdict]
    return Check(
        "equal pair",
        verdict,
        f"ratio {ratio.center:.4f} ({ratio.low:.4f} to {ratio.high:.4f})",
        {
            "ratio": ratio.center,
            "ratio_low": ratio.low,
            "ratio_high": ratio.high,
            "margin": MARGIN,
            "replicates": len(times.log_ratios),
        },
        advice,
    )
