from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from gr_bench import stats

times = st.floats(1e-6, 1e3)
rows = st.lists(times, min_size=1, max_size=20)
paired = st.lists(st.tuples(times, times), min_size=1, max_size=20)
values = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20)


# --- log-ratios


@given(paired, st.floats(1e-3, 1e3))
def test_log_ratios_do_not_depend_on_the_unit_of_time(pairs, unit) -> None:
    a, b = np.array(pairs).T
    assert stats.log_ratios(unit * a, unit * b) == pytest.approx(stats.log_ratios(a, b), abs=1e-12)


@given(paired)
def test_log_ratios_change_their_sign_when_the_two_change_places(pairs) -> None:
    a, b = np.array(pairs).T
    assert stats.log_ratios(a, b) == [-x for x in stats.log_ratios(b, a)]


@given(rows, st.floats(0.1, 10))
def test_a_constant_factor_is_found_whatever_disturbs_the_rounds(baseline, factor) -> None:
    ratios = stats.log_ratios(factor * np.array(baseline), baseline)
    assert ratios == pytest.approx([math.log(factor)] * len(baseline), abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([], []),
        ([1.0], [1.0, 2.0]),
        ([[1.0]], [[1.0]]),
        ([0.0], [1.0]),
        ([1.0], [-1.0]),
        ([math.nan], [1.0]),
        ([1.0], [math.inf]),
    ],
)
def test_log_ratios_refuse_what_is_no_pair_of_rows_of_times(a, b) -> None:
    with pytest.raises(ValueError, match="time"):
        stats.log_ratios(a, b)


# --- intervals


@given(values, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_t_interval_is_scipys(x, confidence) -> None:
    own = stats.t_interval(x, confidence)
    if np.std(x) > 0:
        low, high = scipy.stats.t.interval(
            confidence, len(x) - 1, loc=np.mean(x), scale=scipy.stats.sem(x)
        )
        assert (own.low, own.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)
    assert own.center == pytest.approx(np.mean(x))
    assert own.half_width == pytest.approx((own.high - own.low) / 2)


def test_one_value_has_an_infinite_interval() -> None:
    assert stats.t_interval([3.0]) == (3.0, -math.inf, math.inf)
    assert stats.ratio_interval([0.0]) == (1.0, 0.0, math.inf)


def test_equal_values_have_an_interval_without_width() -> None:
    assert stats.t_interval([2.0, 2.0, 2.0]) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("x", [[], [1.0, math.nan], [math.inf], [[1.0, 2.0]]])
def test_t_interval_refuses_what_it_cannot_average(x) -> None:
    with pytest.raises(ValueError, match="value"):
        stats.t_interval(x)


@given(values.map(lambda x: np.array(x) / 1e5))
def test_ratio_interval_is_the_t_interval_of_the_logs(logs) -> None:
    assert np.log(stats.ratio_interval(logs)) == pytest.approx(stats.t_interval(logs), abs=1e-9)


def test_the_interval_covers_the_true_ratio_in_95_of_100_runs() -> None:
    """Replicates differ by more than their own rounds admit, as processes do."""
    random = np.random.default_rng(0)
    truth, between, within, replicates, rounds, trials = math.log(1.98), 0.01, 0.02, 5, 11, 2000
    process = random.normal(truth, between, (trials, replicates, 1))
    logs = process + random.normal(0, within, (trials, replicates, rounds))
    covered = 0
    for trial in logs:
        interval = stats.ratio_interval([stats.median(replicate) for replicate in trial])
        covered += interval.low <= 1.98 <= interval.high
    assert 0.93 <= covered / trials <= 0.97


# --- spreads


def test_median_passes_over_disturbed_rounds() -> None:
    assert stats.median([1.0, 2.0, 1e9]) == 2.0


def test_within_and_between_spread_tell_the_two_apart() -> None:
    random = np.random.default_rng(1)
    replicates, rounds, within, between = 400, 101, 0.05, 0.02
    logs = random.normal(0, between, (replicates, 1)) + random.normal(
        0, within, (replicates, rounds)
    )
    errors = [stats.hodges_lehmann(row) for row in random.normal(0, within, (1000, rounds))]
    assert stats.within_spread(list(logs)) == pytest.approx(np.std(errors), rel=0.07)
    estimates = [stats.hodges_lehmann(row) for row in logs]
    together = math.hypot(between, float(np.std(errors)))
    assert stats.between_spread(estimates) == pytest.approx(together, rel=0.1)


def test_within_spread_does_not_see_what_moves_a_whole_replicate() -> None:
    rounds = np.array([0.0, 0.1, -0.1, 0.2])
    assert stats.within_spread([rounds, rounds + 5]) == pytest.approx(stats.within_spread([rounds]))


def test_spread_over_replicates_needs_two() -> None:
    assert math.isnan(stats.between_spread([0.3]))
    assert stats.between_spread([0.0, 2.0]) == pytest.approx(math.sqrt(2))


# --- many cells, many tests


@given(values)
def test_p_value_is_scipys(x) -> None:
    if np.std(x) > 1e-6 * np.max(np.abs(x)):
        expected = scipy.stats.ttest_1samp(x, 0).pvalue
        assert stats.p_value(x) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_p_value_of_what_does_not_vary() -> None:
    assert stats.p_value([0.3]) == 1
    assert stats.p_value([0.0, 0.0]) == 1
    assert stats.p_value([0.5, 0.5]) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.001, 0.5))
def test_discoveries_are_scipys(p, rate) -> None:
    adjusted = scipy.stats.false_discovery_control(p)
    for believed, value in zip(stats.discoveries(p, rate), adjusted, strict=True):
        if abs(value - rate) > 1e-9:
            assert believed == (value < rate)


def test_no_tests_give_no_discoveries() -> None:
    assert stats.discoveries([]) == []


# --- verdicts


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.995, 1.005, "same"),
        (1.001, 1.005, "same"),
        (1.001, 1.05, "slower"),
        (1.03, 1.05, "slower"),
        (0.95, 0.999, "faster"),
        (0.95, 1.05, "undecided"),
        (0.0, math.inf, "undecided"),
    ],
)
def test_verdict(low: float, high: float, expected: str) -> None:
    assert stats.verdict(stats.Interval(math.sqrt(low * high), low, high), 0.01) == expected


@given(st.floats(0.5, 2), st.floats(0, 0.5), st.floats(0, 0.2))
def test_the_other_way_round_the_verdict_is_the_other_one(center, half, margin) -> None:
    ratio = stats.Interval(center, center * math.exp(-half), center * math.exp(half))
    inverse = stats.Interval(1 / center, 1 / ratio.high, 1 / ratio.low)
    swapped = {"slower": "faster", "faster": "slower"}
    first = stats.verdict(ratio, margin)
    edges = (1.0, 1 + margin, 1 / (1 + margin))
    if all(abs(end - edge) > 1e-9 for end in ratio[1:] for edge in edges):
        assert stats.verdict(inverse, margin) == swapped.get(first, first)


# --- how many


@given(st.floats(1e-4, 0.1), st.floats(2e-3, 0.1))
def test_replicates_needed_is_the_smallest_number_that_reaches_the_width(spread, width) -> None:
    def half_width(count: int) -> float:
        return scipy.stats.t.ppf(0.975, count - 1) * spread / math.sqrt(count)

    count = stats.replicates_needed(spread, width)
    assert half_width(count) <= width * (1 + 1e-9)
    assert count == 2 or half_width(count - 1) > width * (1 - 1e-9)


def test_no_number_of_replicates_gives_an_interval_without_width() -> None:
    with pytest.raises(ValueError, match="half_width"):
        stats.replicates_needed(0.01, 0.0)


def test_the_noise_floor_is_the_upper_end_of_an_interval_around_1() -> None:
    logs = np.array([-0.01, 0.0, 0.01])
    interval = stats.ratio_interval(logs)
    assert stats.smallest_called(stats.between_spread(logs), 3) == pytest.approx(interval.high - 1)


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=9),
    st.lists(st.floats(-5, 5), min_size=2, max_size=9),
)
def test_welch_is_scipys(a: list[float], b: list[float]) -> None:
    assume(min(np.var(a), np.var(b)) > 1e-6)
    interval, p_value = stats.welch(a, b)
    test = scipy.stats.ttest_ind(b, a, equal_var=False)
    low, high = test.confidence_interval(0.95)
    assert p_value == pytest.approx(test.pvalue, rel=1e-6, abs=1e-12)
    assert interval == pytest.approx((np.mean(b) - np.mean(a), low, high), rel=1e-6, abs=1e-9)


def test_welch_of_a_single_value_knows_nothing() -> None:
    assert stats.welch([1.0], [2.0, 3.0]) == ((1.5, -math.inf, math.inf), 1.0)


def test_welch_without_spread() -> None:
    assert stats.welch([1.0, 1.0], [3.0, 3.0]) == ((2.0, 2.0, 2.0), 0.0)
    assert stats.welch([1.0, 1.0], [1.0, 1.0]) == ((0.0, 0.0, 0.0), 1.0)


# --- Hodges-Lehmann

VALUES = st.lists(st.floats(-100, 100), min_size=1, max_size=25)


@given(VALUES)
def test_hodges_lehmann_is_the_median_of_all_pairs_means(values) -> None:
    """Against the definition, pair by pair."""
    pairs = [(a + b) / 2 for i, a in enumerate(values) for b in values[i:]]
    assert stats.hodges_lehmann(values) == pytest.approx(float(np.median(pairs)), abs=1e-9)


@given(VALUES, st.floats(-10, 10), st.floats(0.1, 10))
def test_hodges_lehmann_moves_and_stretches_with_its_values(values, shift, factor) -> None:
    moved = stats.hodges_lehmann([factor * v + shift for v in values])
    assert moved == pytest.approx(factor * stats.hodges_lehmann(values) + shift, abs=1e-7)
    mirrored = stats.hodges_lehmann([-v for v in values])
    assert mirrored == pytest.approx(-stats.hodges_lehmann(values), abs=1e-9)


def test_hodges_lehmann_is_nearly_as_efficient_as_the_mean() -> None:
    """Asymptotic relative efficiency 3/pi, where the median has 2/pi."""
    draws = np.random.default_rng(0).normal(size=(4000, 40))
    variance = np.var([stats.hodges_lehmann(row) for row in draws])
    assert np.var(draws.mean(axis=1)) / variance == pytest.approx(3 / np.pi, abs=0.04)
    assert np.var(np.median(draws, axis=1)) / variance > 1.3


@pytest.mark.parametrize("wild", [1e3, 1e9])
def test_hodges_lehmann_stands_up_to_a_quarter_of_wild_values(wild: float) -> None:
    values = [0.0, 0.1, -0.1] * 5 + [wild] * 5
    assert abs(stats.hodges_lehmann(values)) < 0.3


# --- dependent results, and power


@given(values)
def test_without_test_samples_the_corrected_interval_is_students(results) -> None:
    assume(np.ptp(results) > 1e-3)
    interval, p = stats.corrected_resampled_t(results, 0.0)
    assert interval == pytest.approx(stats.t_interval(results))
    assert p == pytest.approx(stats.p_value(results))


def test_the_corrected_interval_of_ten_splits() -> None:
    results = np.arange(10) / 100
    interval, p = stats.corrected_resampled_t(results, 1 / 9)
    error = math.sqrt((1 / 10 + 1 / 9) * results.var(ddof=1))
    reference = scipy.stats.t(9, results.mean(), error)
    assert interval[1:] == pytest.approx(reference.interval(0.95))
    assert p == pytest.approx(2 * scipy.stats.t(9).sf(results.mean() / error))


@pytest.mark.parametrize(("effect", "count"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_the_values_that_half_a_spread_needs_are_those_of_the_tables(effect, count) -> None:
    """Cohen's small, medium and large effects, paired, at a power of 80 %."""
    assert stats.values_needed(effect, 1.0) == count


def test_the_power_is_the_share_of_tests_that_find_it() -> None:
    values = np.random.default_rng(0).normal(0.7, 1.0, (20_000, 12))
    found = scipy.stats.ttest_1samp(values, 0, axis=1)
    share = np.mean((found.pvalue < 0.05) & (found.statistic > 0))
    assert stats.power_of_t(0.7, 1.0, 12) == pytest.approx(share, abs=0.01)


@given(st.floats(0.05, 5), st.floats(0.3, 0.99))
def test_fewer_values_than_are_needed_do_not_suffice(effect, power) -> None:
    count = stats.values_needed(effect, 1.0, power)
    assert stats.power_of_t(effect, 1.0, count) >= power
    assert count == 2 or stats.power_of_t(effect, 1.0, count - 1) < power


@pytest.mark.parametrize(("effect", "spread"), [(0.0, 1.0), (-1.0, 1.0), (1.0, math.inf)])
def test_an_effect_that_no_number_of_values_finds_is_refused(effect, spread) -> None:
    with pytest.raises(ValueError, match="effect"):
        stats.values_needed(effect, spread)
