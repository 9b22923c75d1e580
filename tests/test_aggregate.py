"""Results over workloads: published values, other implementations, and what must always hold."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from gr_bench import aggregate
from gr_bench.stats import t_interval

SCORES = st.floats(-5, 5, width=32)

# --- what rliable's tests have (tests/rliable/metrics_test.py): four and three runs on two tasks

X = np.array([[1, 2], [2, 2], [1, 1], [2, 1]]).T
Y = np.array([[1, 1], [2, 2], [3, 3]]).T


def test_the_interquartile_means_of_rliable() -> None:
    assert aggregate.interquartile_mean(X.ravel()) == 1.5
    assert aggregate.interquartile_mean(Y.ravel()) == 2


def test_the_probability_of_improvement_of_rliable() -> None:
    over = np.mean([aggregate.probability_of_improvement(x, y) for x, y in zip(X, Y, strict=True)])
    assert over == pytest.approx(1 / 3)


# --- other implementations


@given(arrays(float, st.integers(1, 40), elements=SCORES))
def test_the_interquartile_mean_is_the_mean_with_a_quarter_trimmed(scores: np.ndarray) -> None:
    expected = scipy_stats.trim_mean(scores, 0.25)
    assert aggregate.interquartile_mean(scores) == pytest.approx(expected, abs=1e-9)


@given(
    arrays(float, st.integers(1, 12), elements=st.integers(-3, 3)),
    arrays(float, st.integers(1, 12), elements=st.integers(-3, 3)),
)
def test_the_probability_is_mann_whitneys_u_and_a_count(own: np.ndarray, base: np.ndarray) -> None:
    found = aggregate.probability_of_improvement(own, base)
    u = scipy_stats.mannwhitneyu(own, base).statistic
    assert found == pytest.approx(u / (len(own) * len(base)))
    wins = [1.0 if x > y else 0.5 if x == y else 0.0 for x, y in product(own, base)]
    assert found == pytest.approx(np.mean(wins))
    assert found + aggregate.probability_of_improvement(base, own) == pytest.approx(1)


@given(arrays(float, st.integers(1, 20), elements=SCORES))
def test_a_profile_is_one_minus_the_empirical_distribution(scores: np.ndarray) -> None:
    thresholds = np.linspace(-6, 6, 25)
    profile = aggregate.performance_profile(scores, thresholds)
    below = scipy_stats.ecdf(scores).cdf.evaluate(thresholds)
    assert profile == pytest.approx(1 - below)
    assert profile[0] == 1
    assert profile[-1] == 0
    assert all(a >= b for a, b in pairwise(profile))


@given(arrays(float, st.tuples(st.integers(2, 8), st.integers(3, 6)), elements=SCORES))
def test_friedmans_chi_squared_is_scipys(scores: np.ndarray) -> None:
    rounded = np.round(scores, 1)  # with ties
    ranked = aggregate.ranks(rounded)
    found = aggregate.friedman(ranked)
    if (ranked == ranked.mean(axis=1, keepdims=True)).all():
        assert found == (0.0, 0.0, 1.0)
    else:
        expected = scipy_stats.friedmanchisquare(*rounded.T).statistic
        assert found.chi_squared == pytest.approx(expected, abs=1e-9)
    assert 1 / (aggregate.PERMUTATIONS + 1) <= found.p <= 1
    assert ranked.sum(axis=1) == pytest.approx(scores.shape[1] * (scores.shape[1] + 1) / 2)


# --- Demšar 2006

CLASSIFIERS = """
.763 .768 .771 .798
.599 .591 .590 .569
.954 .971 .968 .967
.628 .661 .654 .657
.882 .888 .886 .898
.936 .931 .916 .931
.661 .668 .609 .685
.583 .583 .563 .625
.775 .838 .866 .875
1.000 1.000 1.000 1.000
.940 .962 .965 .962
.619 .666 .614 .669
.972 .981 .9751 .975
.957 .978 .946 .970
"""
"""Table 6 there: areas under the curve of C4.5 with four choices of its parameters (C4.5, +m, +cf,
+m+cf) on 14 data sets. Two of them print as .975 there and are ranked apart."""


def test_the_example_of_demsar() -> None:
    scores = np.array([line.split() for line in CLASSIFIERS.split("\n") if line], float)
    ranked = aggregate.ranks(scores)
    assert ranked.mean(axis=0).round(3).tolist() == [3.143, 2.0, 2.893, 1.964]
    # his χ² = 9.28 and F = 3.69 are without the correction for ties
    count, methods = scores.shape
    sums = (ranked.mean(axis=0) ** 2).sum()
    chi_squared = 12 * count / (methods * (methods + 1)) * (sums - methods * (methods + 1) ** 2 / 4)
    assert chi_squared == pytest.approx(9.28, abs=0.005)
    assert (count - 1) * chi_squared / (count * (methods - 1) - chi_squared) == pytest.approx(
        3.69, abs=0.005
    )
    found = aggregate.friedman(ranked)
    assert found.chi_squared == pytest.approx(scipy_stats.friedmanchisquare(*scores.T).statistic)
    assert found.chi_squared > chi_squared
    f = (count - 1) * found.chi_squared / (count * (methods - 1) - found.chi_squared)
    assert found.f == pytest.approx(f)
    assert found.p == pytest.approx(scipy_stats.f.sf(f, 3, 39), abs=0.01)
    assert aggregate.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert aggregate.critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize(
    ("methods", "q"),
    [*enumerate((1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164), start=2)],
)
def test_the_critical_values_of_nemenyis_test(methods: int, q: float) -> None:
    """Table 5 (a) there; the third digit of one of them is not rounded as one would."""
    unit = math.sqrt(methods * (methods + 1) / 6)
    assert aggregate.critical_difference(methods, 1) / unit == pytest.approx(q, abs=0.0011)


def test_a_difference_is_rarer_with_more_workloads_and_not_certain_with_two() -> None:
    agree = np.array([[3.0, 2.0, 1.0]])
    ps = [aggregate.friedman(aggregate.ranks(np.repeat(agree, n, axis=0))) for n in (2, 3, 5)]
    # exactly: the others must rank as the first, 1 of 3! each
    assert [found.p for found in ps] == pytest.approx([1 / 6, 1 / 36, 1 / 1296], abs=0.01)
    assert ps[0].f == math.inf


# --- groups that a diagram joins


@given(st.lists(st.floats(1, 8), min_size=2, max_size=8), st.floats(0.01, 8))
def test_groups_hold_what_is_within_the_difference_and_no_more(
    ranks: list[float], difference: float
) -> None:
    ranks = sorted(ranks)
    groups = aggregate.cliques(ranks, difference)
    for i, j in product(range(len(ranks)), repeat=2):
        if i < j:
            together = any(first <= i and j <= last for first, last in groups)
            assert together == (ranks[j] - ranks[i] < difference)
    for (a, b), (c, d) in pairwise(groups):
        assert a < c
        assert b < d


# --- intervals


def test_the_widened_interval_of_a_mean_is_students() -> None:
    """Of a statistic that is a mean, on one workload; the bootstrap has 2000 draws."""
    values = np.random.default_rng(0).normal(size=12)
    (places,) = aggregate.stratified_resamples([12], draws=100_000)
    found = aggregate.bootstrap_interval(
        float(values.mean()), values[places].mean(axis=1), aggregate.widening([12])
    )
    expected = t_interval(values)
    assert found.half_width == pytest.approx(expected.half_width, rel=0.03)


def test_resamples_stay_within_their_workload_and_are_the_same_again() -> None:
    first, second = aggregate.stratified_resamples([3, 5], draws=200)
    assert first.shape == (200, 3)
    assert second.shape == (200, 5)
    assert set(first.ravel()) == {0, 1, 2}
    assert set(second.ravel()) == {0, 1, 2, 3, 4}
    assert (aggregate.stratified_resamples([3, 5], draws=200)[1] == second).all()


def test_one_run_gives_no_interval() -> None:
    assert aggregate.widening([5, 1]) == math.inf
    assert aggregate.bootstrap_interval(0.5, [0.5] * 10, math.inf) == (0.5, -math.inf, math.inf)
    low, high = aggregate.share_intervals([0.5, 1.0], [0.75] * 10, [1, 1], math.inf)
    assert (low, high) == (0, 1)


def test_dependent_runs_have_a_wider_interval() -> None:
    plain, doubled = aggregate.widening([5, 5]), aggregate.widening([5, 5], [2.0, 2.0])
    assert doubled == pytest.approx(2 * plain)
    assert plain > aggregate.widening([50, 50]) > 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_share_that_no_resample_changes_is_not_certain(value: float) -> None:
    low, high = aggregate.share_intervals([value, value], [value] * 100, [5, 5], 1.2)
    bound = scipy_stats.binomtest(int(10 * value), 10).proportion_ci(method="exact")
    assert (float(low), float(high)) == pytest.approx((bound.low, bound.high))


def test_workloads_that_are_all_or_nothing_leave_doubt_on_either_side() -> None:
    low, high = aggregate.share_intervals([0.0, 1.0], [0.5] * 100, [5, 5], 1.2)
    assert low < 0.5 < high
    assert 0.5 - low == pytest.approx(high - 0.5)


@given(
    st.lists(st.lists(SCORES, min_size=2, max_size=6), min_size=2, max_size=4),
    st.floats(0.1, 10),
    st.floats(-3, 3),
)
def test_the_interval_moves_with_the_scores(
    scores: list[list[float]], scale: float, shift: float
) -> None:
    places = aggregate.stratified_resamples([len(own) for own in scores], draws=50)

    def interval(rows: list[np.ndarray]) -> np.ndarray:
        drawn = np.concatenate([x[p] for x, p in zip(rows, places, strict=True)], axis=1)
        center = float(aggregate.interquartile_mean(np.concatenate(rows)))
        return np.array(
            aggregate.bootstrap_interval(center, aggregate.interquartile_mean(drawn), 1.3)
        )

    rows = [np.array(own) for own in scores]
    moved = [scale * own + shift for own in rows]
    assert interval(moved) == pytest.approx(scale * interval(rows) + shift, abs=1e-6)
