"""Places of a transition: gains against least squares, ranges that hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from gr_bench.comparison.history.levels import Transition, fit
from gr_bench.comparison.history.places import gains, likely_place, window


def test_gains_are_what_least_squares_gains() -> None:
    rng = np.random.default_rng(0)
    values, errors = rng.normal(0, 0.001, 9), rng.uniform(0.01, 0.03, 9)
    found, sizes = gains(values, 1 / errors**2)
    without = fit(values, errors).cost
    for a in range(9):
        for b in range(9):
            if a < b:
                other = fit(values, errors, [Transition(a, b)])
                assert found[a, b] == pytest.approx(without - other.cost, abs=1e-9)
                assert sizes[a, b] == pytest.approx(other.sizes[0])
            else:
                assert found[a, b] == -np.inf


def test_long_series_lose_nothing_in_running_sums() -> None:
    i = np.arange(1000)
    values = 1e-3 * np.clip((i - 600) / 100, 0, 1)
    found, _ = gains(values, np.full(1000, 1e10))
    assert np.unravel_index(found.argmax(), found.shape) == (600, 700)


def test_the_window_ends_where_the_neighbours_begin() -> None:
    transitions = [Transition(3, 4), Transition(8, 12), Transition(20, 21)]
    assert window(transitions, 0, 0, 30) == (0, 8)
    assert window(transitions, 1, 1, 30) == (4, 20)
    assert window(transitions, 0, 1, 30) == (0, 20)
    assert window(transitions, 2, 2, 30) == (12, 29)


def test_a_clear_step_is_between_two_runs() -> None:
    values = np.where(np.arange(20) < 7, 0.0, 0.1)
    place = likely_place(values, np.full(20, 1e6), [Transition(6, 7)], 0)
    assert place == (6, 7, pytest.approx(0.0, abs=1e-9))


def test_a_step_beside_an_equal_place_may_be_at_either() -> None:
    """The run in the middle is as near to one level as to the other."""
    values = np.array([0.0] * 5 + [0.5] + [1.0] * 5)
    place = likely_place(values, np.full(11, 1e3), [Transition(5, 6)], 0)
    assert place[:2] == (4, 6)


def test_the_spread_of_a_size_is_over_the_places_by_their_likelihood() -> None:
    rng = np.random.default_rng(3)
    values, errors = np.arange(9) / 9 + rng.normal(0, 0.1, 9), np.full(9, 0.4)
    fits = [fit(values, errors, [Transition(a, a + 1)]) for a in range(8)]
    likelihood = np.exp([-other.cost / 2 for other in fits])
    sizes = np.array([other.sizes[0] for other in fits])
    mean = np.average(sizes, weights=likelihood)
    expected = np.sqrt(np.average((sizes - mean) ** 2, weights=likelihood))
    place = likely_place(values, 1 / errors**2, [Transition(3, 4)], 0)
    assert place.size_spread == pytest.approx(expected)
    assert expected > 0.01


def test_a_range_stays_between_its_neighbours() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, 30)
    transitions = [Transition(9, 10), Transition(12, 13), Transition(20, 21)]
    assert likely_place(values, np.ones(30), transitions, 1)[:2] == (10, 20)


@pytest.mark.parametrize("size", [1.5, 3.0])
def test_ranges_hold_the_truth_about_as_often_as_they_say(size: float) -> None:
    rng = np.random.default_rng(2)
    held, widths = 0, []
    for _ in range(400):
        start = int(rng.integers(5, 25))
        values = size * (np.arange(30) >= start) + rng.normal(0, 1, 30)
        gain = np.diag(gains(values, np.ones(30))[0], 1)
        best = int(gain.argmax())
        low, high, _ = likely_place(values, np.ones(30), [Transition(best, best + 1)], 0)
        held += low < start <= high
        widths.append(high - low)
    assert 0.94 <= held / 400 <= 1.0
    assert np.median(widths) <= {1.5: 14, 3.0: 2}[size]
