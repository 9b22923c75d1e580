"""Inference that may be looked at after every value, and the rules that stop a comparison by it."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate
from scipy import stats as reference
from synthetic import cost

from gr_bench import stats
from gr_bench.comparison import sequential
from gr_bench.comparison.findings import Finding, judged
from gr_bench.comparison.stopping import (
    CONFIRMING_PAIRS,
    Standing,
    is_confirmed,
    may_stop,
    pairs_to_decide,
    smallest_seen,
    standings,
    verdicts,
)

pytestmark = pytest.mark.filterwarnings("error")

Array = NDArray[np.float64]

THRESHOLD = 0.02
VALUES = st.lists(st.floats(-10, 10), min_size=2, max_size=12)
ROWS = ([0.3, -0.1, 0.9], [1.2, 0.9, 1.5, 1.1, 0.7], [-0.02, 0.01, 0.005, 0.0], [2.0, -1.0])


def around(mean: float, spread: float, pairs: int) -> list[float]:
    """Values with this mean and standard deviation."""
    z = np.arange(pairs) - (pairs - 1) / 2
    return list(mean + spread * z / z.std(ddof=1))


def marginal_likelihoods(x: Array, mean: float, scale: float) -> tuple[float, float]:
    """Of values under N(mean + σ·δ, σ²), integrated over dσ/σ, with δ = 0 and with δ ~ N(0, scale);
    either times the same number.
    """
    size = math.sqrt(np.square(x - mean).mean())  # σ is about so large: the peak is near u = 0

    def under(u: float, effect: float) -> float:
        z = (x - mean) / size * math.exp(-u) - effect
        return math.exp(-z @ z / 2 - x.size * u)

    def integral(of, low: float, high: float) -> float:
        found, error = integrate.quad(of, low, high, epsabs=0, epsrel=1e-11, limit=200)
        assert error <= 1e-9 * found
        return found

    def prior(effect: float) -> float:
        return math.exp(-(effect**2) / (2 * scale)) / math.sqrt(2 * math.pi * scale)

    def mixed(u: float) -> float:
        best = float(((x - mean) / size * math.exp(-u)).mean())
        reach = 12 / math.sqrt(x.size)
        return integral(lambda effect: under(u, effect) * prior(effect), best - reach, best + reach)

    equal = integral(lambda u: under(u, 0.0), -4, 12 / (x.size - 1) + 12)
    return equal, integral(mixed, -4, 12 / (x.size - 1) + 12)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("mean", [0.0, 0.4])
def test_the_e_value_is_the_ratio_of_marginal_likelihoods(row: list[float], mean: float) -> None:
    equal, other = marginal_likelihoods(np.array(row), mean, sequential.PRIOR_SCALE)
    assert sequential.e_value(row, mean) == pytest.approx(other / equal, rel=1e-8)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=8), st.floats(-1, 1))
def test_a_further_value_leaves_the_e_value_as_it_is_on_average(
    row: list[float], mean: float
) -> None:
    """Given the ratios of n values about their mean, the next over their root mean square is
    Student's t with n degrees of freedom."""
    away = np.array(row) - mean
    size = math.sqrt(np.square(away).mean())
    assume(size > 1e-3)
    assume(len(row) == 1 or np.ptp(away) > 1e-3 * size)

    def weighed(angle: float) -> float:
        """In terms of y = tan(angle), for the tails."""
        y = math.tan(angle)
        density = reference.t.pdf(y, len(row)) * (1 + y * y)
        return density * sequential.e_value([*row, mean + size * y], mean)

    peak = math.atan(away.mean() / size)
    ends = (-math.pi / 2, peak, math.pi / 2)
    average = sum(
        integrate.quad(weighed, low, high, epsabs=0, epsrel=1e-10, limit=400)[0]
        for low, high in pairwise(ends)
    )
    assert average == pytest.approx(sequential.e_value(row, mean), rel=1e-7)


def test_e_values_average_one_at_a_fixed_number_and_at_a_stop() -> None:
    draws = np.random.default_rng(0).standard_normal((8000, 4))
    fixed = np.array([sequential.e_value(row[:3]) for row in draws])
    longer = np.array([sequential.e_value(row) for row in draws])
    stopped = np.where(fixed > 2, fixed, longer)
    for found in (fixed, stopped):
        error = found.std() / math.sqrt(found.size)
        assert abs(found.mean() - 1) < 4 * error < 0.3


@given(VALUES, st.floats(0.5, 0.99))
def test_the_interval_inverts_the_e_value(row: list[float], confidence: float) -> None:
    assume(np.std(row) > 1e-3 * np.abs(row).max() > 1e-9)
    center, low, high = sequential.interval(row, confidence)
    needed = 1 / (1 - confidence)
    assert center == pytest.approx(np.mean(row))
    if math.isinf(high):
        assert (low, high) == (-math.inf, math.inf)
        assert sequential.e_value(row, 1e9) < needed * (1 + 1e-6)
        return
    for end in (low, high):
        assert sequential.e_value(row, end) == pytest.approx(needed, rel=1e-6)
        assert sequential.e_value(row, center + 0.99 * (end - center)) < needed
        assert sequential.e_value(row, center + 1.01 * (end - center)) > needed


@given(VALUES, st.floats(-5, 5), st.floats(0.01, 100), st.booleans())
def test_nothing_depends_on_unit_zero_and_order(
    row: list[float], shift: float, factor: float, mirrored: bool
) -> None:
    x = np.array(row)
    assume(np.std(x) > 1e-3 * (1 + np.abs(x).max()))
    factor = -factor if mirrored else factor
    moved = shift + factor * x
    assert sequential.e_value(moved[::-1], shift + factor * 0.7) == pytest.approx(
        sequential.e_value(x, 0.7), rel=1e-6
    )
    one, other = sequential.interval(x), sequential.interval(moved[::-1])
    ends = sorted(shift + factor * end for end in one[1:])
    assert other.center == pytest.approx(shift + factor * one.center, abs=1e-6 * abs(factor))
    assert other[1:] == pytest.approx(ends, rel=1e-6, abs=1e-6 * abs(factor))


@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1e160, 1e300])
def test_no_unit_is_too_small_or_too_large(unit: float) -> None:
    row = np.array([0.3, 0.4, 0.2, 0.35])
    assert sequential.e_value(unit * row) == pytest.approx(sequential.e_value(row))


def test_one_value_says_nothing() -> None:
    assert sequential.e_value([]) == sequential.e_value([3.0]) == 1.0
    assert sequential.always_valid_p([3.0]) == 1.0
    assert sequential.interval([3.0]) == (3.0, -math.inf, math.inf)
    assert sequential.ratio_interval([0.0]) == (1.0, 0.0, math.inf)


def test_two_values_exclude_nothing_and_three_something() -> None:
    assert sequential.interval([1.0, 1.1]).high == math.inf
    assert sequential.interval([1.0, 1.1, 1.2]).high < math.inf


def test_equal_values_are_the_mean_beyond_doubt() -> None:
    """Of 0.1 three times, the mean in floats is not 0.1."""
    equal = [0.1, 0.1, 0.1]
    assert sequential.interval(equal) == (0.1, 0.1, 0.1)
    assert sequential.e_value(equal) == math.inf
    assert sequential.always_valid_p(equal) == 0.0
    assert sequential.e_value(equal, 0.1) == (1 + 3 * sequential.PRIOR_SCALE) ** -0.5
    assert sequential.always_valid_p(equal, 0.1) == 1.0


def test_evidence_beyond_every_float_is_infinite() -> None:
    assert sequential.e_value(around(1.0, 1e-3, 500)) == math.inf


def test_the_p_value_is_one_over_the_evidence() -> None:
    row = around(1.0, 0.5, 10)
    assert sequential.always_valid_p(row) == 1 / sequential.e_value(row) < 0.01
    assert sequential.e_value(row, 1.1) < 1
    assert sequential.always_valid_p(row, 1.1) == 1.0


def test_a_ratio_is_the_exponential_of_the_logs() -> None:
    row = around(0.01, 0.02, 8)
    assert sequential.ratio_interval(row, 0.9) == pytest.approx(
        np.exp(sequential.interval(row, 0.9))
    )
    assert sequential.ratio_interval([1000.0, 1000.0]).high == math.inf


@pytest.mark.parametrize("values", [[0.1, math.nan], [0.1, math.inf], [[0.1, 0.2]]])
def test_values_are_a_row_of_finite_numbers(values: list[float]) -> None:
    for function in (sequential.e_value, sequential.interval, sequential.always_valid_p):
        with pytest.raises(ValueError, match="value"):
            function(values)


def test_no_values_have_no_interval() -> None:
    with pytest.raises(ValueError, match="at least one"):
        sequential.interval([])


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.standard_normal(shape)


def heavy(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.standard_t(5, shape)


def moments(draws: Array) -> tuple[Array, Array]:
    """Means and standard deviations of the first 2, 3, ... values of each row."""
    n = np.arange(1, draws.shape[1] + 1)
    means = draws.cumsum(axis=1) / n
    squares = np.square(draws).cumsum(axis=1) - n * means**2
    return means[:, 1:], np.sqrt(np.maximum(squares[:, 1:], 0) / (n[1:] - 1))


def reaches(most: int, evidence: float) -> Array:
    return np.array([sequential.reach(n, evidence) for n in range(2, most + 1)])


def test_moments_are_those_of_numpy() -> None:
    draws = np.random.default_rng(0).normal(3, 2, (4, 9))
    means, spreads = moments(draws)
    assert means[:, -1] == pytest.approx(draws.mean(axis=1))
    assert spreads[:, 0] == pytest.approx(draws[:, :2].std(axis=1, ddof=1))


@pytest.mark.parametrize("noise", [normal, heavy])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_looks_after_every_value_err_no_more_often_than_they_may(noise, alpha: float) -> None:
    """Of t with 5 degrees of freedom as well: its extremes widen the spread more than they move the
    mean."""
    draws = noise(np.random.default_rng(1), (6000, 200))
    means, spreads = moments(draws)
    ever = (np.abs(means) > reaches(200, 1 / alpha) * spreads).any(axis=1)
    print(f"{noise.__name__}, {alpha:.0%}: {ever.mean():.2%} err within 200 looks")
    assert alpha / 5 < ever.mean() < alpha
    t = np.array([reference.t.ppf(1 - alpha / 2, n - 1) / math.sqrt(n) for n in range(2, 201)])
    assert (np.abs(means) > t * spreads).any(axis=1).mean() > 5 * alpha  # Student's would


@pytest.mark.parametrize("noise", [normal, heavy])
def test_the_interval_holds_the_mean_wherever_one_stops(noise) -> None:
    """Stops as soon as the interval does not contain 0, or after 100 values; the mean is not 0."""
    draws = noise(np.random.default_rng(2), (4000, 100)) + 0.3
    means, spreads = moments(draws)

    def coverage(half: Array) -> float:
        apart = np.abs(means) > half
        apart[:, -1] = True
        stop = apart.argmax(axis=1)[:, None]
        at = [np.take_along_axis(of, stop, axis=1) for of in (means, half)]
        return float((np.abs(at[0] - 0.3) <= at[1]).mean())

    assert coverage(reaches(100, 20) * spreads) > 0.95
    t = np.array([reference.t.ppf(0.975, n - 1) / math.sqrt(n) for n in range(2, 101)])
    assert coverage(t * spreads) < 0.93  # Student's interval does not


def test_the_four_verdicts() -> None:
    assert verdicts([around(0.03, 0.003, 8)], THRESHOLD) == ["slower"]
    assert verdicts([around(-0.03, 0.003, 8)], THRESHOLD) == ["faster"]
    assert verdicts([around(0.0, 0.003, 8)], THRESHOLD) == ["same"]
    assert verdicts([around(0.01, 0.003, 8)], THRESHOLD) == ["same"]  # beyond chance, but small
    assert verdicts([around(0.03, 0.05, 8)], THRESHOLD) == ["undecided"]
    assert verdicts([around(0.019, 0.003, 8)], THRESHOLD) == ["undecided"]  # not beyond 2 %
    assert verdicts([], THRESHOLD) == []


def test_more_cells_ask_for_more_evidence() -> None:
    slow, equal = around(0.03, 0.01, 7), around(0.0, 0.01, 7)
    assert 100 < sequential.e_value(slow) < 800
    assert verdicts([slow], THRESHOLD)[0] == "slower"
    assert verdicts([slow, *[equal] * 7], THRESHOLD)[0] == "undecided"
    assert verdicts([slow] * 8, THRESHOLD) == ["slower"] * 8  # all of them say so
    assert verdicts([slow, *[equal] * 7], THRESHOLD, rate=0.08)[0] == "slower"


@given(st.lists(st.tuples(st.floats(-0.06, 0.06), st.floats(1e-4, 0.03)), min_size=1, max_size=5))
def test_verdicts_are_those_of_a_comparison(cells: list[tuple[float, float]]) -> None:
    rows = [around(mean, spread, 7) for mean, spread in cells]
    findings = [
        Finding(
            name="it",
            cell=cost(),
            quantity="ms a step",
            ratio=sequential.ratio_interval(row),
            p_value=sequential.always_valid_p(row),
        )
        for row in rows
    ]
    assert verdicts(rows, THRESHOLD) == [f.verdict for f in judged(findings, THRESHOLD)]


@given(st.floats(-0.06, 0.06), st.floats(1e-3, 0.03), st.integers(2, 20), st.integers(1, 8))
def test_so_many_pairs_decide_and_no_fewer(
    mean: float, spread: float, pairs: int, cells: int
) -> None:
    margin = math.log1p(THRESHOLD)
    assume(abs(abs(mean) - margin) > 1e-4)
    found = pairs_to_decide(around(mean, spread, pairs), THRESHOLD, cells=cells, most=200)

    def decided(further: int) -> bool:
        others = [around(0.0, spread, pairs + further)] * (cells - 1)
        row = around(mean, spread, pairs + further)
        return verdicts([row, *others], THRESHOLD)[0] != "undecided"

    if found is None:
        assert not decided(200)
        return
    assert decided(found)
    assert found == 0 or not decided(found - 1)


@pytest.mark.parametrize("at", [1, -1])
def test_an_estimate_at_the_threshold_is_never_decided(at: int) -> None:
    row = around(0.0, 0.001, 6)
    row = [x + at * math.log1p(THRESHOLD) - np.mean(row) for x in row]
    margin = math.expm1(abs(sequential.interval(row).center))
    assert pairs_to_decide(row, margin) is None
    assert pairs_to_decide(row, 1.01 * margin) is not None


def test_what_the_cap_does_not_reach_is_none() -> None:
    row = around(0.0, 0.05, 5)
    needed = pairs_to_decide(row, THRESHOLD)
    assert needed is not None
    assert needed > 20
    assert pairs_to_decide(row, THRESHOLD, most=needed) == needed
    assert pairs_to_decide(row, THRESHOLD, most=needed - 1) is None


def test_one_value_does_not_say_how_many_are_needed() -> None:
    assert pairs_to_decide([0.0], THRESHOLD) is None
    assert smallest_seen([0.0], THRESHOLD) == math.inf


@pytest.mark.parametrize("value", [0.0, 0.1, -0.1, math.log1p(THRESHOLD)])
def test_equal_values_are_decided(value: float) -> None:
    equal = [value] * 3
    assert verdicts([equal], THRESHOLD) != ["undecided"]
    assert pairs_to_decide(equal, THRESHOLD) == 0
    assert smallest_seen(equal, THRESHOLD) == THRESHOLD


@given(st.floats(1e-3, 0.1), st.integers(3, 30), st.integers(1, 8), st.floats(0.01, 0.2))
def test_what_is_smaller_than_the_smallest_seen_is_not_called(
    spread: float, pairs: int, cells: int, rate: float
) -> None:
    seen = smallest_seen(around(0.0, spread, pairs), THRESHOLD, rate=rate, cells=cells)
    others = [around(0.0, spread, pairs)] * (cells - 1)

    def called(ratio: float) -> bool:
        row = around(math.log(ratio), spread, pairs)
        return verdicts([row, *others], THRESHOLD, rate)[0] == "slower"

    assert seen >= THRESHOLD
    if seen > 1e6:  # even the float's last digits would be spread
        assert not called(1e6)
        return
    assert called(1 + seen * 1.001)
    assert not called(1 + seen * 0.999)


def test_too_few_pairs_see_nothing() -> None:
    assert smallest_seen(around(0.0, 0.01, 3), THRESHOLD) == math.inf
    assert smallest_seen(around(0.0, 0.01, 4), THRESHOLD, cells=8) == math.inf
    assert smallest_seen(around(0.0, 0.01, 5), THRESHOLD, cells=8) < 0.15
    assert smallest_seen(around(0.0, 1000.0, 5), THRESHOLD, cells=8) == math.inf  # beyond a float


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=10), st.sampled_from([1, -1]))
def test_pairs_confirm_an_alarm_by_a_one_sided_t_test(
    fresh: list[float], sign: Literal[1, -1]
) -> None:
    assume(np.std(fresh) > 1e-6)
    side = "greater" if sign > 0 else "less"
    p = reference.ttest_1samp(fresh, 0.0, alternative=side).pvalue
    assume(abs(p - 0.05) > 1e-9)
    assert is_confirmed(fresh, sign) == (p < 0.05)


def test_what_confirms_an_alarm() -> None:
    assert is_confirmed([0.029, 0.03, 0.031], 1)
    assert not is_confirmed([0.029, 0.03, 0.031], -1)
    assert is_confirmed([-0.029, -0.03, -0.031], -1)
    assert is_confirmed([0.1] * 3, 1)
    assert not is_confirmed([0.1] * 3, -1)
    assert not is_confirmed([0.0] * 3, 1)
    assert not is_confirmed([], 1)
    assert not is_confirmed([0.03] * (CONFIRMING_PAIRS - 1), 1)


def test_an_alarm_is_confirmed_by_what_comes_after_it() -> None:
    slow = around(0.03, 0.002, 5)
    assert standings([slow[:3]], THRESHOLD) == [Standing("undecided", None, False)]
    (first,) = standings([slow], THRESHOLD)
    assert first == Standing("slower", first.since, False)
    assert first.since is not None
    fresh = [0.029, 0.031, 0.03]
    for count, confirmed in ((2, False), (3, True)):
        row = [*slow[: first.since], *fresh[:count]]
        assert standings([row], THRESHOLD) == [Standing("slower", first.since, confirmed)]


def test_an_alarm_keeps_its_first_pair_when_it_comes_and_goes() -> None:
    slow = [0.029, 0.031, 0.03, 0.028, 0.032]
    row = [*slow, -0.05, *[0.03, 0.031, 0.029] * 10]
    said = [standings([row[:n]], THRESHOLD)[0] for n in range(1, len(row) + 1)]
    assert said[5].verdict == "undecided"
    assert said[4].since == said[-1].since == 4
    assert said[-1] == Standing("slower", 4, True)


def test_a_faster_cell_has_its_own_history() -> None:
    fast = [-0.029, -0.031, -0.03, -0.028, -0.032, -0.03, -0.031]
    same = [0.001, -0.001, 0.0, 0.001, -0.001, 0.0, 0.001]
    both = standings([same, fast], THRESHOLD)
    assert both == [Standing("same", None, False), Standing("faster", 5, False)]
    assert not may_stop(both)
    both = standings([[*same, 0.0], [*fast, -0.029]], THRESHOLD)
    assert both[1] == Standing("faster", 5, True)
    assert may_stop(both)


def test_a_comparison_stops_when_no_cell_needs_more() -> None:
    assert may_stop([Standing("same", None, False), Standing("slower", 5, True)])
    assert not may_stop([Standing("same", None, False), Standing("slower", 5, False)])
    assert not may_stop([Standing("undecided", None, False)])
    assert standings([], THRESHOLD) == []


def test_a_settled_cell_may_have_been_left_out_of_later_pairs() -> None:
    same = [0.001, -0.001, 0.0, 0.001]
    slow = [0.029, 0.031, 0.03, 0.028, 0.032, 0.03, 0.031, 0.029]
    (first, second) = standings([same, slow], THRESHOLD)
    assert first == standings([same], THRESHOLD)[0] == Standing("same", None, False)
    assert second == standings([[*same, *same], slow], THRESHOLD)[1]
    assert second.confirmed


def test_reach_grows_with_the_evidence_and_falls_with_the_number() -> None:
    for n in range(3, 50):
        assert sequential.reach(n + 1, 20) < sequential.reach(n, 20) < sequential.reach(n, 30)
    assert sequential.reach(10_000, 20) < 0.05
    assert stats.t_interval(around(0, 1, 10)).half_width < sequential.reach(10, 20)
