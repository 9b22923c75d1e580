from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from gr_bench.meters.clock import SAMPLE_S, Samples, interleave, warm_up
from gr_bench.meters.device import Device, Reading, Work, get_device

NAMES = ("sgd", "sam", "f-gr", "b-gr", "db-gr")


class Simulated(Device):
    """A device with a clock of its own, which steps move on by what they cost."""

    kind = "simulated"

    def __init__(self) -> None:
        super().__init__("cpu")
        self.now = 0.0

    def costing(self, *seconds: float) -> Work:
        """A step that takes so long, call by call; the last figure repeats."""
        costs = itertools.chain(seconds, itertools.repeat(seconds[-1]))

        def step() -> None:
            self.now += next(costs)

        return step

    def time(self, work: Work) -> Reading:
        start = self.now
        work()
        return Reading(self.now - start, 2 * (self.now - start), 3 * (self.now - start))

    def peak_growth(self, work: Work) -> int:
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        raise NotImplementedError


def read(steps: dict[str, Work], *, rounds: int = 20, seed: int = 0) -> dict[str, Samples]:
    return interleave(
        get_device("cpu"), steps, budget_s=0.0, least_rounds=rounds, most_rounds=rounds, seed=seed
    )


def logging(log: list[str]) -> dict[str, Work]:
    def step(name: str) -> Callable[[], None]:
        return lambda: log.append(name)

    return {name: step(name) for name in NAMES}


def orders(samples: dict[str, Samples]) -> list[list[str]]:
    """Round by round, the methods in the order in which they were read."""
    rounds = range(len(samples[NAMES[0]].position))
    return [sorted(NAMES, key=lambda name: samples[name].position[r]) for r in rounds]


# --- rounds


def test_every_method_is_read_once_a_round_in_an_order_that_changes() -> None:
    samples = read(logging([]))
    for places in zip(*(samples[name].position for name in NAMES), strict=True):
        assert sorted(places) == [0, 1, 2, 3, 4]
    distinct = {tuple(order) for order in orders(samples)}
    assert len(distinct) > 10
    assert len({order[0] for order in distinct}) == 5


def test_the_order_on_record_is_the_order_of_the_steps() -> None:
    log: list[str] = []
    samples = read(logging(log))
    in_rounds = sum(sum(samples[name].steps for name in order) for order in orders(samples))
    expected = [
        name for order in orders(samples) for name in order for _ in range(samples[name].steps)
    ]
    assert log[-in_rounds:] == expected


def test_the_seed_decides_the_orders() -> None:
    first, again, other = (orders(read(logging([]), seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_method_has_a_sample_in_every_round() -> None:
    for own in read(logging([]), rounds=7).values():
        assert len(own.step_s) == len(own.wall_s) == len(own.cpu_s) == len(own.position) == 7
        assert min(own.step_s) > 0


@pytest.mark.parametrize(("budget_s", "rounds"), [(0.0, 3), (3600.0, 9)])
def test_rounds_end_with_the_budget_but_within_their_limits(budget_s: float, rounds: int) -> None:
    samples = interleave(
        get_device("cpu"),
        logging([]),
        budget_s=budget_s,
        least_rounds=3,
        most_rounds=9,
        seed=0,
    )
    assert {len(own.step_s) for own in samples.values()} == {rounds}


@pytest.mark.parametrize("cost", [1e-6, 1.7e-4, SAMPLE_S, 0.5])
def test_steps_too_short_for_the_clock_are_read_several_at_once(cost: float) -> None:
    device = Simulated()
    (own,) = interleave(
        device,
        {"sgd": device.costing(cost)},
        budget_s=0.0,
        least_rounds=2,
        most_rounds=2,
        seed=0,
    ).values()
    assert own.steps * cost >= SAMPLE_S * (1 - 1e-9)
    assert own.steps == 1 or (own.steps - 1) * cost <= SAMPLE_S * (1 + 1e-9)
    assert own.step_s == pytest.approx([cost] * 2)
    assert own.wall_s == pytest.approx([2 * cost] * 2)
    assert own.cpu_s == pytest.approx([3 * cost] * 2)


def test_warm_up_goes_on_until_the_time_no_longer_falls() -> None:
    device = Simulated()
    falling = device.costing(*[9e-3] * 3, *[6e-3] * 3, *[4e-3] * 3, 3.9e-3)
    assert warm_up(device, falling, budget_s=3600.0) == pytest.approx(3.9e-3)
    assert device.now == pytest.approx(3 * (9 + 6 + 4 + 3.9) * 1e-3)


def test_a_long_step_is_a_reading_by_itself() -> None:
    device = Simulated()
    falling = device.costing(9.0, 6.0, 4.0, 3.9)
    assert warm_up(device, falling, budget_s=3600.0) == pytest.approx(3.9)
    assert device.now == pytest.approx(9 + 6 + 4 + 3.9)
    middling = device.costing(0.03)
    before = device.now
    warm_up(device, middling, budget_s=3600.0)
    assert device.now - before == pytest.approx(2 * 2 * 0.03)


def test_warm_up_ends_with_its_budget() -> None:
    device = Simulated()
    for_ever_faster = device.costing(*(2.0**-k for k in range(1000)))
    assert warm_up(device, for_ever_faster, budget_s=0.0) == 1.0


# --- the garbage collector


def test_the_garbage_collector_rests_during_rounds_and_is_back_afterwards() -> None:
    seen: list[bool] = []
    samples = read({"sgd": lambda: seen.append(gc.isenabled())}, rounds=2)
    assert not any(seen[-2 * samples["sgd"].steps :])
    assert gc.isenabled()


def test_the_garbage_collector_is_back_after_a_step_that_fails() -> None:
    def step() -> None:
        if not gc.isenabled():
            raise RuntimeError("in a round")

    with pytest.raises(RuntimeError, match="in a round"):
        read({"sgd": step})
    assert gc.isenabled()


def test_a_garbage_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        read({"sgd": lambda: None}, rounds=1)
        assert not gc.isenabled()
    finally:
        gc.enable()
