from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks.splits import COMPONENTS, coverage_of
from gr_bench import stats
from gr_bench.crossed import crossed_mean

values = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
tables = arrays.arrays(
    float, st.tuples(st.integers(2, 5), st.integers(2, 6)), elements=values | st.just(math.nan)
).filter(lambda table: (~np.isnan(table)).any(axis=1).all())


def analysis_of_variance(y):
    """The interval of the mean of a whole table by two-way analysis of variance."""
    runs, samples = y.shape
    rows, columns, mean = y.mean(axis=1), y.mean(axis=0), y.mean()
    rest = y - rows[:, None] - columns + mean
    squares = np.array(
        [
            samples * ((rows - mean) ** 2).sum() / (runs - 1),
            runs * ((columns - mean) ** 2).sum() / (samples - 1),
            (rest**2).sum() / ((runs - 1) * (samples - 1)),
        ]
    )
    freedom = np.array([runs - 1, samples - 1, (runs - 1) * (samples - 1)])
    signs = np.array([1, 1, -1]) if squares[1] > squares[2] else np.array([1, 0, 0])
    variance = (signs * squares).sum() / y.size
    own = (signs * squares).sum() ** 2 / (signs**2 * squares**2 / freedom).sum()
    return scipy.stats.t(own, mean, math.sqrt(variance)).interval(0.95), own


@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0])
def test_of_a_whole_table_it_is_the_analysis_of_variance(spread) -> None:
    random = np.random.default_rng(1)
    y = random.normal(size=(6, 1)) + spread * random.normal(size=40) + random.normal(size=(6, 40))
    found = crossed_mean(y)
    ends, freedom = analysis_of_variance(y)
    assert found.interval[1:] == pytest.approx(ends)
    assert found.freedom == pytest.approx(freedom)
    assert found.shared == pytest.approx(1 / 40)


def test_without_a_common_sample_it_is_students() -> None:
    y = np.full((4, 12), np.nan)
    for run, row in enumerate(y):
        row[3 * run : 3 * run + 3] = np.random.default_rng(run).normal(size=3)
    found, means = crossed_mean(y), np.nanmean(y, axis=1)
    assert found.interval == pytest.approx(stats.t_interval(means))
    assert found.p == pytest.approx(stats.p_value(means))
    assert found.freedom == 3


@given(tables)
def test_it_is_never_narrower_than_students_over_runs_of_the_same_freedom(table) -> None:
    found, means = crossed_mean(table), np.nanmean(table, axis=1)
    error = float(means.std(ddof=1)) / math.sqrt(len(means))
    least, _ = stats.t_test(found.interval.center, error, found.freedom)
    assert found.interval.half_width >= least.half_width * (1 - 1e-9) - 1e-9


@given(tables)
def test_the_mean_is_that_of_the_means_of_runs_whatever_their_order(table) -> None:
    found = crossed_mean(table)
    assert found.interval.center == pytest.approx(np.nanmean(table, axis=1).mean(), abs=1e-9)
    turned = crossed_mean(table[::-1, ::-1])
    assert turned.interval == pytest.approx(found.interval, rel=1e-6, abs=1e-6)


def test_the_component_of_samples_is_that_of_all_products_two_by_two() -> None:
    y = np.random.default_rng(3).normal(size=(4, 7)) + 2 * np.random.default_rng(4).normal(size=7)
    y[0, 2] = y[1, 5] = y[3, 0] = math.nan
    same, apart = [], []
    for (r, i), (s, j) in product(np.ndindex(y.shape), repeat=2):
        if r != s and not math.isnan(y[r, i] * y[s, j]):
            (same if i == j else apart).append(y[r, i] * y[s, j])
    found = crossed_mean(y)
    assert found.components.samples == pytest.approx(np.mean(same) - np.mean(apart))
    there = ~np.isnan(y)
    shares = [
        (there[r] & there[s]).sum() / (there[r].sum() * there[s].sum())
        for r, s in product(range(4), repeat=2)
        if r != s
    ]
    assert found.shared == pytest.approx(np.mean(shares))


def test_components_are_found_in_tables_with_gaps() -> None:
    random = np.random.default_rng(0)
    found = []
    for _ in range(200):
        y = 0.5 * random.normal(size=(8, 1)) + 0.7 * random.normal(size=60)
        y = y + random.normal(size=(8, 60))
        y[random.random(y.shape) < 0.4] = math.nan
        found.append(crossed_mean(y).components)
    assert np.mean(found, axis=0) == pytest.approx([0.25, 0.49, 1.0], rel=0.08)


@pytest.mark.parametrize("split", [False, True], ids=["one test part", "a split a run"])
@pytest.mark.parametrize("components", COMPONENTS)
def test_intervals_hold_the_truth_as_often_as_they_say(components, split) -> None:
    found = coverage_of(400, 10, COMPONENTS[components], split=split)
    held, of, *_ = found["crossed"]["coverage"]
    assert scipy.stats.binomtest(held, of, 0.95).pvalue > 1e-3


def test_intervals_over_seeds_of_one_split_fall_short_where_samples_decide() -> None:
    found = coverage_of(400, 10, COMPONENTS["samples decide"], split=False)
    held, of, *_ = found["seeds"]["coverage"]
    assert held / of < 0.85


def test_the_corrected_interval_is_too_wide_for_methods_that_are_alike() -> None:
    found = coverage_of(400, 10, COMPONENTS["alike"], split=True)
    assert found["corrected"]["coverage"][0] / 400 > 0.985
    assert found["corrected"]["width"] > 1.5 * found["crossed"]["width"]


def test_one_run_says_nothing_of_others() -> None:
    found = crossed_mean([[0.0, 1.0, math.nan]])
    assert found.interval == (0.5, -math.inf, math.inf)
    assert found.p == 1


def test_equal_runs_that_are_all_zero_show_no_difference() -> None:
    assert crossed_mean(np.zeros((3, 5))).p == 1


@pytest.mark.parametrize("table", [[], [[math.nan], [1.0]], [[math.inf], [1.0]], [[[1.0]]]])
def test_what_is_no_table_is_refused(table) -> None:
    with pytest.raises(ValueError, match=r"table|finite"):
        crossed_mean(table)


def test_few_runs_that_happen_to_be_alike_have_an_interval_of_use() -> None:
    """Their spread is near 0, and what is left is an uncertain component of samples."""
    random = np.random.default_rng(0)
    widths = []
    for _ in range(300):
        table = random.normal(0, 0.3, (3, 200))
        table -= table.mean(axis=1, keepdims=True) * (1 - 1e-6)
        found = crossed_mean(table)
        assert found.freedom >= 1
        widths.append(found.interval.half_width)
    assert max(widths) < 1
