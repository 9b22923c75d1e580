"""The model of a step's time, on times whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gr_bench.meters.memory import Memory
from gr_bench.planning.fake_step import Footprint
from gr_bench.planning.time_model import Observation, TimeModel, counts
from gr_bench.stats import Interval

RATES = (4e-6, 1 / 80e9, 1 / 40e9, 1 / 8e9)
"""Seconds a call, a FLOP of a product and of a convolution, and a byte."""

METHODS = {"sgd": 1.0, "f-gr": 2.0, "db-gr": 3.0}


def counted(calls: float, products: float, convolutions: float, touched: float) -> Footprint:
    return Footprint(
        parameters=1,
        flops=products + convolutions,
        convolution_flops=convolutions,
        calls=calls,
        touched_bytes=touched,
        memory=Memory(0, 0, 0, 0, 0, 0),
        lasting_bytes=0,
    )


def seconds(footprint: Footprint) -> float:
    return float(np.dot(counts(footprint), RATES))


def draw(
    rng: np.random.Generator, workloads: int, spread: float = 0.0, convolutions: bool = True
) -> list[Observation]:
    """Workloads of random sizes whose times are off by a factor of their own."""
    found = []
    for number in range(workloads):
        size = np.array([100.0, 1e8, 1e8 if convolutions else 0.0, 1e7])
        size *= np.exp(rng.normal(0, 1.5, 4))
        off = math.exp(spread * rng.normal())
        for spec, factor in METHODS.items():
            footprint = counted(*(factor * size))
            time = off * seconds(footprint) * math.exp(spread / 5 * rng.normal())
            found.append(Observation(number, spec, footprint, Interval(time, time, time)))
    return found


def test_what_was_measured_is_told_as_it_was() -> None:
    own = draw(np.random.default_rng(0), 4, 0.3)
    one = own[4]
    found = TimeModel(own).predict(one.footprint, one.workload, one.spec)
    assert (found.seconds, found.source) == (one.seconds, "measured")


def test_exact_times_give_the_rates_and_narrow_intervals() -> None:
    own = draw(np.random.default_rng(1), 20)
    new = counted(200, 3e8, 2e8, 4e7)
    found = TimeModel(own).predict(new, "new", "sgd")
    assert found.source == "model"
    assert found.seconds.center == pytest.approx(seconds(new), rel=0.03)
    assert found.seconds.high / found.seconds.low < 1.3


def test_of_too_few_workloads_nothing_is_known() -> None:
    own = draw(np.random.default_rng(2), 2)
    assert TimeModel(own).predict(counted(1, 1, 1, 1), "new", "sgd") is None


def test_another_method_on_the_same_workload_moves_the_prediction() -> None:
    """Workloads are off by half; their methods are off alike."""
    rng = np.random.default_rng(3)
    own = draw(rng, 8, 0.5)
    left, rest = own[2], own[:2] + own[3:]
    found = TimeModel(rest).predict(left.footprint, left.workload, left.spec)
    alone = TimeModel(rest[2:]).predict(left.footprint, left.workload, left.spec)
    assert (found.source, alone.source) == ("same workload", "model")
    width = math.log(found.seconds.high / found.seconds.low)
    assert width < 0.6 * math.log(alone.seconds.high / alone.seconds.low)
    assert found.seconds.low <= left.seconds.center <= found.seconds.high


def test_nothing_is_claimed_of_a_rate_that_was_not_measured() -> None:
    """A run without convolutions says little of a network of them."""
    own = draw(np.random.default_rng(4), 10, 0.05, convolutions=False)
    like, unlike = (
        TimeModel(own).predict(counted(100, 1e9 * (1 - share), 1e9 * share, 1e7), "new", "sgd")
        for share in (0, 1)
    )
    assert like.seconds.high / like.seconds.low < 2
    assert unlike.seconds.high / unlike.seconds.low > 20


def test_intervals_hold_nine_of_ten_new_workloads() -> None:
    """Over 60 simulated runs of six workloads, each asked for one workload more."""
    rng = np.random.default_rng(5)
    held = []
    for _ in range(60):
        own = draw(rng, 7, 0.25)
        known, new = own[:-3], own[-3]
        found = TimeModel(known).predict(new.footprint, new.workload, new.spec)
        held.append(found.seconds.low <= new.seconds.center <= found.seconds.high)
    assert np.mean(held) >= 0.9


def test_steps_without_a_rate_of_their_own_do_not_sway_the_others() -> None:
    """A workload that was measured with fifty methods weighs as much as any other."""
    own = draw(np.random.default_rng(6), 8, 0.02)
    strange = counted(1000, 1e9, 1e9, 1e9)
    time = 3 * seconds(strange)
    many = [Observation("strange", f"m{i}", strange, Interval(time, time, time)) for i in range(50)]
    new = counted(200, 3e8, 2e8, 4e7)
    before, after = (TimeModel(o).predict(new, "new", "sgd") for o in (own, own + many))
    assert after.seconds.center == pytest.approx(before.seconds.center, rel=0.5)
