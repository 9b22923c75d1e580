"""The estimator of a replicate, and where the next second is best spent."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr_bench import stats
from gr_bench.timing.replicates import (
    LEAST_ROUNDS,
    BlockState,
    Precision,
    is_precise_enough,
    log_ratio,
    next_visits,
    seconds_to,
)

TIMES = st.lists(st.floats(1e-4, 10), min_size=1, max_size=30)


@given(TIMES, st.floats(0.2, 5), st.randoms())
def test_the_log_ratio_is_that_of_the_times_whatever_slows_a_round(times, ratio, random) -> None:
    drift = [random.uniform(0.5, 20) for _ in times]
    slower = [ratio * t * d for t, d in zip(times, drift, strict=True)]
    baseline = [t * d for t, d in zip(times, drift, strict=True)]
    assert log_ratio(slower, baseline) == pytest.approx(math.log(ratio), abs=1e-9)
    assert log_ratio(baseline, slower) == pytest.approx(-math.log(ratio), abs=1e-9)


def test_the_log_ratio_passes_over_rounds_that_were_disturbed() -> None:
    """Up to 29 % of the rounds; the mean would follow them."""
    times = [2.0] * 8 + [200.0] * 2
    assert log_ratio(times, [1.0] * 10) == pytest.approx(math.log(2), abs=1e-9)


@given(st.floats(0.1, 10), st.floats(0, 0.5), st.floats(1e-3, 0.5))
def test_precise_enough_is_no_further_than_the_target_to_either_side(center, half, target) -> None:
    ratio = stats.Interval(center, center * math.exp(-half), center * math.exp(half))
    reach = max(ratio.high / center - 1, 1 - ratio.low / center)
    if abs(reach - target) > 1e-9:
        assert is_precise_enough(ratio, target) == (reach < target)


def test_an_infinite_interval_is_not_precise() -> None:
    assert not is_precise_enough(stats.ratio_interval([0.0]), 0.99)


# --- what a further replicate is worth


def state(
    logs: list[float], *, within: float = 0.01, rounds: float = 20, round_s: float = 0.1
) -> BlockState:
    return BlockState(len(logs), (tuple(logs),), (within,), rounds, round_s, overhead_s=1.0)


def spread(sigma: float, count: int = 5) -> list[float]:
    """Numbers whose standard deviation is ``sigma``."""
    x = np.linspace(-1, 1, count)
    return [float(v) for v in sigma * x / x.std(ddof=1)]


@pytest.mark.parametrize("start_s", [0.5, 4.0])
@pytest.mark.parametrize("within", [0.003, 0.02])
def test_the_best_number_of_rounds_buys_most_precision_a_second(within, start_s) -> None:
    """Against a search over all numbers of rounds."""
    own = state(spread(0.03), within=within)
    between = 0.03**2 - within**2
    of_rounds = within**2 * own.rounds

    def cost_of_precision(rounds: float) -> float:
        seconds = start_s + own.overhead_s + rounds * own.round_s
        return seconds * (between + of_rounds / rounds)

    best = min(range(LEAST_ROUNDS, 600), key=cost_of_precision)
    assert own.best_rounds(start_s) == pytest.approx(best, abs=1)


def test_where_processes_hardly_differ_rounds_are_bought_and_where_they_do_processes() -> None:
    noisy_rounds = state(spread(0.0101), within=0.01).best_rounds(4)
    noisy_processes = state(spread(0.05), within=0.001).best_rounds(4)
    assert noisy_rounds > 10 * noisy_processes
    assert noisy_processes == LEAST_ROUNDS


@given(st.floats(0.002, 0.2), st.floats(0.001, 0.05))
def test_the_replicates_that_are_foreseen_are_about_those_that_it_takes(sigma, target) -> None:
    """Known within and between spreads, replicates like those that there were."""
    logs = spread(sigma)
    own = BlockState(5, (tuple(logs),), (sigma / 3,), 20, 0.1, 1.0)
    if own.is_known(target):
        return
    foreseen = own.replicates_to(target, rounds=20)
    needed = stats.replicates_needed(sigma, math.log1p(target))
    assert needed - 5 - 2 <= foreseen <= max(1, needed - 5) + 2


PRECISION = Precision(target=0.01, least_replicates=3, most_replicates=10)


def visits(states: list[BlockState | None], left_s: float | None = None) -> dict[int, float]:
    found = next_visits(states, PRECISION, first_s=2.0, start_s=3.0, left_s=left_s)
    return {visit.block: visit.seconds for visit in found}


def test_every_block_gets_its_least_replicates_first_and_those_with_fewest_go_first() -> None:
    young = state(spread(0.001, 2))
    assert visits([None, young, state(spread(1.0))]) == {0: 2.0}
    assert visits([young, young, state(spread(1.0))]) == {0: 2.0, 1: 2.0}


def test_afterwards_only_blocks_that_are_not_known_are_visited() -> None:
    known, wide = state(spread(0.001), within=0.0003), state(spread(0.05))
    assert set(visits([known, wide])) == {1}
    assert visits([known, known]) == {}


def test_a_block_has_no_more_replicates_than_allowed() -> None:
    assert visits([state(spread(0.5, 10))]) == {}
    assert set(visits([state(spread(0.5, 9))])) == {0}


def test_a_block_without_a_baseline_ends_with_its_least_replicates() -> None:
    alone = BlockState(3, (), (), 20, 0.1, 1.0)
    assert visits([alone]) == {}


def test_with_too_little_time_for_all_the_widest_blocks_are_visited() -> None:
    states = [state(spread(sigma), within=sigma / 2) for sigma in (0.03, 0.2, 0.06)]
    everything = visits(states)
    assert set(everything) == {0, 1, 2}
    time_for_two = 3.0 + 2 * 1.0 + everything[1] + everything[2]
    assert set(visits(states, left_s=time_for_two)) == {1, 2}
    assert visits(states, left_s=3.0) == {}


@given(
    st.lists(st.one_of(st.none(), st.floats(0.001, 0.5)), min_size=1, max_size=6),
    st.floats(0.1, 500),
)
def test_what_is_planned_fits_into_the_time(sigmas, left_s) -> None:
    states = [None if s is None else state(spread(s), within=s / 2) for s in sigmas]
    found = visits(states, left_s=left_s)
    if None in sigmas:
        return  # the least that a block needs is tried, whatever the time
    took = sum(seconds + 1.0 for seconds in found.values())
    assert not found or took + 3.0 <= left_s + 1e-6
    assert all(seconds >= LEAST_ROUNDS * 0.1 - 1e-9 for seconds in found.values())


def test_first_replicates_share_half_of_the_time() -> None:
    """So that what comes after them has the other half."""
    found = visits([None, None], left_s=60.0)
    per_replicate = 60 / 2 / PRECISION.least_replicates
    assert sum(found.values()) + 3.0 <= per_replicate + 1e-9


def test_the_time_to_the_target_falls_as_more_is_known() -> None:
    more = [seconds_to(state(spread(s), within=s / 2), 0.01, 3.0) for s in (0.005, 0.02, 0.1)]
    assert more[0] < more[1] < more[2]
    assert seconds_to(state(spread(0.001), within=0.0005), 0.01, 3.0) == 0


def test_planning_reaches_the_target_where_it_said_it_would() -> None:
    """Simulated runs: normal processes and rounds of known spreads."""
    random = np.random.default_rng(0)
    between, of_round, reached = 0.008, 0.05, []
    for _ in range(30):
        logs: list[float] = []
        rounds = 20.0
        for _ in itertools.repeat(None, 60):
            logs.append(float(random.normal(0, math.hypot(between, of_round / math.sqrt(rounds)))))
            own = BlockState(
                len(logs), (tuple(logs),), (of_round / math.sqrt(rounds),), rounds, 0.1, 1.0
            )
            precision = Precision(0.01, 5, 60)
            found = next_visits([own], precision, first_s=2.0, start_s=3.0, left_s=None)
            if not found:
                break
            rounds = max(5.0, found[0].seconds / 0.1)
        reached.append(own.is_known(0.01))
    assert sum(reached) >= 29
