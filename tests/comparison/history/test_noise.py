"""Standard errors and the spread between runs, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from gr_bench.comparison.history.noise import SMALLEST, moderated, spread_between_runs

MEDIAN_OF_CHI_SQUARE = 0.45493642311957283  # one degree of freedom: quantile(0.75)² of the normal


def test_errors_that_are_exact_stay_as_they_are() -> None:
    errors = [0.001, 0.01, 0.1]
    assert moderated(errors, np.inf) == pytest.approx(errors)


def test_errors_that_differ_by_no_more_than_chance_are_pooled() -> None:
    errors, freedom = np.array([0.010, 0.011, 0.012]), np.array([4, 4, 8])
    pooled = np.sqrt((freedom * errors**2).sum() / freedom.sum())
    assert moderated(errors, freedom) == pytest.approx([pooled] * 3)


def test_errors_that_differ_by_far_more_than_chance_hardly_move() -> None:
    errors = np.array([1e-4, 1e-3, 1e-2, 1e-1] * 5)
    assert moderated(errors, 400) == pytest.approx(errors, rel=0.02)


def test_the_prior_is_found_again() -> None:
    """Variances drawn from a scaled inverse χ² with 6 degrees of freedom, each estimated from 4."""
    rng = np.random.default_rng(1)
    truth = 0.004**2 * 6 / rng.chisquare(6, 20_000)
    seen = truth * rng.chisquare(4, truth.size) / 4
    expected = (6 * 0.004**2 + 4 * seen) / (6 + 4)
    assert moderated(np.sqrt(seen), 4) == pytest.approx(np.sqrt(expected), rel=0.03)


def test_a_run_that_cannot_tell_its_error_has_the_common_one() -> None:
    found = moderated([0.01, np.nan, 0.01, np.inf], [4, 0, 4, 0])
    assert found == pytest.approx([0.01] * 4)


def test_a_single_run_has_its_own() -> None:
    assert moderated([0.02], 4) == pytest.approx([0.02])


def test_none_is_below_the_smallest() -> None:
    assert (moderated([0.0, 0.0, 0.01], 4) >= SMALLEST).all()
    assert (moderated([np.nan, np.nan], 0) >= SMALLEST).all()
    assert moderated([0.0], np.inf) == pytest.approx([SMALLEST])


@given(
    st.lists(st.floats(1e-4, 1e-1), min_size=2, max_size=20),
    st.integers(1, 30),
    st.floats(0.1, 10),
)
def test_all_errors_grow_by_the_same_factor(
    errors: list[float], freedom: int, factor: float
) -> None:
    scaled = moderated(np.array(errors) * factor, freedom)
    assert scaled == pytest.approx(factor * moderated(errors, freedom), rel=1e-4)


@pytest.mark.parametrize("amplitude", [0.005, 0.02])
def test_the_spread_of_values_that_alternate(amplitude: float) -> None:
    values = amplitude * (-1.0) ** np.arange(20)
    expected = np.sqrt((2 * amplitude) ** 2 / MEDIAN_OF_CHI_SQUARE / 2 - 0.003**2)
    assert spread_between_runs(values, [0.003] * 20) == pytest.approx(expected)


def test_no_spread_where_errors_say_all() -> None:
    rng = np.random.default_rng(2)
    assert spread_between_runs(rng.normal(0, 0.002, 50), [0.01] * 50) == 0.0
    assert spread_between_runs([1.0], [0.01]) == 0.0


def test_neither_a_step_nor_a_drift_inflates_the_spread() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.005, 400)
    i = np.arange(400)
    plain = spread_between_runs(noise, [0.001] * 400)
    assert plain == pytest.approx(0.0049, rel=0.15)
    assert spread_between_runs(noise + 0.5 * (i > 200), [0.001] * 400) == pytest.approx(plain, 0.05)
    assert spread_between_runs(noise + 2e-4 * i, [0.001] * 400) == pytest.approx(plain, rel=0.05)


def test_the_median_that_it_is_held_to() -> None:
    assert special.chdtri(1, 0.5) == pytest.approx(MEDIAN_OF_CHI_SQUARE)
