"""Fits of levels against closed forms and the textbook's tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gr_bench.comparison.history.levels import Transition, chance_of_gain, fit

STEP = Transition(4, 5)


def test_a_step_and_a_drift_without_noise() -> None:
    i = np.arange(20)
    values = 1 + 0.1 * (i >= 3) - 0.2 * np.clip((i - 8) / 4, 0, 1)
    found = fit(values, np.full(20, 0.01), [Transition(2, 3), Transition(8, 12)])
    assert found.sizes == pytest.approx([0.1, -0.2])
    assert found.fitted == pytest.approx(values)
    assert (found.spread, found.freedom, found.parameters) == (0.0, 17, 6)
    assert found.cost == pytest.approx(0.0, abs=1e-18)


def test_the_size_of_a_step_is_the_difference_of_weighted_means() -> None:
    rng = np.random.default_rng(0)
    values, errors = rng.normal(0, 0.001, 10), rng.uniform(0.005, 0.02, 10)
    found = fit(values, errors, [STEP])
    w = 1 / errors**2
    before, after = (np.average(values[s], weights=w[s]) for s in (slice(5), slice(5, 10)))
    assert found.spread == 0.0
    assert found.sizes == pytest.approx([after - before])
    assert found.errors == pytest.approx([np.sqrt(1 / w[:5].sum() + 1 / w[5:].sum())])


def test_the_spread_of_equal_errors_is_what_the_variance_has_too_much() -> None:
    values = np.random.default_rng(1).normal(0, 1, 30)
    found = fit(values, np.full(30, 0.3))
    assert found.spread == pytest.approx(np.sqrt(values.var(ddof=1) - 0.3**2), rel=1e-6)
    assert found.cost == pytest.approx(29)


def test_the_spread_makes_the_cost_what_it_should_be() -> None:
    rng = np.random.default_rng(2)
    errors = rng.uniform(0.1, 1, 40)
    found = fit(rng.normal(0, np.hypot(errors, 0.8)), errors, [Transition(9, 10)])
    assert found.spread > 0
    assert found.cost == pytest.approx(found.freedom, rel=1e-6)


def test_errors_that_are_small_leave_student_s_t_test() -> None:
    values = np.random.default_rng(3).normal(0, 1, 12)
    errors = np.full(12, 1e-3)
    p = chance_of_gain(values, fit(values, errors, [STEP]), fit(values, errors), 1)
    assert p == pytest.approx(stats.ttest_ind(values[:5], values[5:]).pvalue, rel=1e-3)


def test_two_steps_with_small_errors_leave_the_analysis_of_variance() -> None:
    values = np.random.default_rng(4).normal(0, 1, 12)
    errors = np.full(12, 1e-3)
    larger = fit(values, errors, [STEP, Transition(8, 9)])
    p = chance_of_gain(values, larger, fit(values, errors), 2)
    assert p == pytest.approx(stats.f_oneway(values[:5], values[5:9], values[9:]).pvalue, rel=1e-3)


def test_errors_that_are_known_are_never_undercut() -> None:
    """Five runs that agree by chance are not taken to be better than their errors say."""
    values = np.array([0.0, 1e-5, 0.0, 0.01, 0.01])
    larger = fit(values, np.full(5, 0.01), [Transition(2, 3)])
    assert chance_of_gain(values, larger, fit(values, np.full(5, 0.01)), 1) > 0.1


def test_no_degree_of_freedom_is_no_evidence() -> None:
    values = [0.0, 1.0]
    larger = fit(values, [0.01] * 2, [Transition(0, 1)])
    assert chance_of_gain(values, larger, fit(values, [0.01] * 2), 1) == 1.0
