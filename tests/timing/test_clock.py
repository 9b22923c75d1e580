"""Warm-up and samples, on a device whose time is known because it is simulated."""

from __future__ import annotations

import itertools

import pytest

from gr_bench.meters.device import Device, Reading, Work
from gr_bench.meters.device_state import DeviceState
from gr_bench.timing.clock import (
    Samples,
    joules,
    settle_and_warm_up,
    steps_in_a_sample,
    take_sample,
    warm_up,
    whole_cycles,
)


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
        """A third of the elapsed time is waiting."""
        start = self.now
        work()
        spent = self.now - start
        return Reading(elapsed_s=1.5 * spent, waited_s=0.5 * spent, cpu_s=2 * spent)

    def peak_growth(self, work: Work) -> int:
        raise NotImplementedError

    def state(self) -> DeviceState:
        raise NotImplementedError

    def describe(self) -> dict[str, object]:
        raise NotImplementedError


def test_warm_up_goes_on_until_the_time_no_longer_falls() -> None:
    device = Simulated()
    falling = device.costing(*[9e-3] * 2, *[6e-3] * 2, *[4e-3] * 2, 3.9e-3)
    assert warm_up(device, falling, budget_s=3600.0) == pytest.approx(3.9e-3)
    assert device.now == pytest.approx(2 * (9 + 6 + 4 + 3.9) * 1e-3)


def test_a_long_step_is_a_warm_up_reading_by_itself() -> None:
    device = Simulated()
    falling = device.costing(9.0, 6.0, 4.0, 3.9)
    assert warm_up(device, falling, budget_s=3600.0) == pytest.approx(3.9)
    assert device.now == pytest.approx(9 + 6 + 4 + 3.9)
    middling = device.costing(0.012)
    before = device.now
    warm_up(device, middling, budget_s=3600.0)
    assert device.now - before == pytest.approx(2 * 2 * 0.012)


def test_warm_up_ends_with_its_budget() -> None:
    device = Simulated()
    for_ever_faster = device.costing(*(2.0**-k for k in range(1000)))
    assert warm_up(device, for_ever_faster, budget_s=0.0) == 1.0


def test_a_step_settles_and_warms_up_before_its_sample_is_sized() -> None:
    """A first step that is slow, or settles, has no say in how many steps make a sample."""
    device = Simulated()
    assert settle_and_warm_up(device, device.costing(9.0, 2e-3), budget_s=3600.0) == 3
    assert device.now == pytest.approx(9.0 + 2 * 2 * 2e-3)

    class Settling:
        settled = 0

        def settle(self) -> None:
            self.settled += 1

        def __call__(self) -> None:
            assert self.settled
            device.now += 2e-3

    step = Settling()
    assert settle_and_warm_up(device, step, budget_s=3600.0) == 3
    assert step.settled == 1


class Cyclic:
    """A step of which the first of every few takes longer."""

    def __init__(self, device: Simulated, *costs: float) -> None:
        self.device, self.costs, self.cycle, self.steps = device, costs, len(costs), 0

    def __call__(self) -> None:
        self.device.now += self.costs[self.steps % self.cycle]
        self.steps += 1


@pytest.mark.parametrize("before", range(5))
def test_a_sample_of_steps_that_differ_holds_whole_cycles(before: int) -> None:
    """Wherever in a cycle it begins, and however long a cycle is beside a sample."""
    for scale in (1e-4, 1e-3, 1.0):
        device = Simulated()
        costs = [scale * cost for cost in (6.0, 2.0, 2.0, 2.0, 3.0)]
        step = Cyclic(device, *costs)
        for _ in range(before):
            step()
        steps = settle_and_warm_up(device, step, budget_s=3600.0)
        assert steps % 5 == 0
        assert (steps - 5) * scale * 3 < SAMPLE_S
        for _ in range(3):
            assert take_sample(device, step, steps).elapsed_s == pytest.approx(1.5 * 3 * scale)


def test_a_warm_up_reading_holds_whole_cycles() -> None:
    """Else a cheap step after a dear one would look as if the time were still falling."""
    device = Simulated()
    step = Cyclic(device, 5.0, 1.0, 1.0, 1.0)
    assert warm_up(device, step, budget_s=3600.0) == pytest.approx(2.0)
    assert step.steps == 8


@pytest.mark.parametrize(
    ("cycle", "least", "steps"), [(1, 7, 7), (5, 1, 5), (5, 5, 5), (5, 6, 10), (20, 3, 20)]
)
def test_the_steps_of_a_sample_are_rounded_up_to_whole_cycles(
    cycle: int, least: int, steps: int
) -> None:
    assert whole_cycles(Cyclic(Simulated(), *[1.0] * cycle), least) == steps


def test_joules_are_read_over_whole_cycles() -> None:
    class Counting(Simulated):
        def energy_j(self) -> float:
            return 2 * self.now

    device = Counting()
    step = Cyclic(device, 1.0, 0.25, 0.25)
    assert joules(device, step, 0.5) == pytest.approx(1.0)
    assert step.steps == 6


SAMPLE_S = Device.sample_s


@pytest.mark.parametrize("cost", [1e-6, 1.7e-4, SAMPLE_S, 0.5])
def test_a_sample_has_as_many_steps_as_the_clock_needs_and_no_more(cost: float) -> None:
    device = Simulated()
    steps = steps_in_a_sample(device, cost)
    assert steps * cost >= SAMPLE_S * (1 - 1e-9)
    assert steps == 1 or (steps - 1) * cost <= SAMPLE_S * (1 + 1e-9)
    sample = take_sample(device, device.costing(cost), steps)
    assert device.now == pytest.approx(steps * cost)
    assert sample.elapsed_s == pytest.approx(1.5 * cost)
    assert sample.waited_s == pytest.approx(0.5 * cost)
    assert sample.cpu_s == pytest.approx(2 * cost)


@pytest.mark.parametrize(("cost", "steps"), [(1e-3, 50), (4.9e-3, 11), (5e-3, 10), (3.0, 10)])
def test_a_device_may_want_longer_samples_of_more_steps(cost: float, steps: int) -> None:
    class Slow(Simulated):
        sample_s = 50e-3
        least_steps = 10

    assert steps_in_a_sample(Slow(), cost) == steps


@pytest.mark.parametrize(("cost", "steps"), [(0.3, 7), (1.0, 2), (5.0, 1)])
def test_joules_are_of_the_steps_in_between(cost: float, steps: int) -> None:
    """0.3 J of whatever comes before, 2 J a second."""

    class Counting(Simulated):
        def energy_j(self) -> float:
            return 0.3 + 2 * self.now

    device = Counting()
    assert joules(device, device.costing(cost), cost) == pytest.approx(2 * cost)
    assert device.now == pytest.approx(steps * cost)
    assert joules(Simulated(), device.costing(cost), cost) is None


def test_a_step_time_is_elapsed_time_without_the_waiting() -> None:
    assert Samples(1, elapsed_s=[3.0, 5.0], waited_s=[1.0, 0.5]).step_s == [2.0, 4.5]
    device = Simulated()
    assert device.time(device.costing(1.0)).seconds == pytest.approx(1.0)
