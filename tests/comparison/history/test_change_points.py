"""Change points of series whose changes are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import ruptures
from hypothesis import assume, given
from hypothesis import strategies as st

from gr_bench.comparison.history.change_points import ChangePoints, change_points
from gr_bench.comparison.history.levels import fit
from gr_bench.comparison.history.steps import FALSE_ALARMS, allowed_chance, smallest_step


def places(found: ChangePoints) -> list[tuple[str, int, int]]:
    return [(change.kind, change.before, change.after) for change in found.changes]


def series(
    seed: int, count: int, spread: float = 0.003, error: float = 0.003
) -> tuple[np.ndarray, np.ndarray]:
    """Values without a change, and their errors."""
    rng = np.random.default_rng(seed)
    errors = error * np.exp(rng.normal(0, 0.3, count))
    return rng.normal(0, np.hypot(errors, spread)), errors


def test_a_step_without_noise_is_exact() -> None:
    found = change_points([0.0] * 7 + [0.05] * 5, [0.003] * 12)
    (change,) = found.changes
    assert places(found) == [("step", 6, 7)]
    assert (change.earliest, change.latest) == (6, 7)
    assert (change.runs_before, change.runs_after) == (7, 5)
    assert change.size.center == pytest.approx(0.05)
    half = 2.228138851986274 * 0.003 * math.sqrt(1 / 7 + 1 / 5)  # t of ten degrees of freedom
    assert change.size.low == pytest.approx(0.05 - half)
    assert change.size.high == pytest.approx(0.05 + half)
    assert found.levels == pytest.approx([0.0] * 7 + [0.05] * 5)
    assert found.apart == ()


def test_a_drift_without_noise_is_one_drift() -> None:
    values = 0.002 * np.clip(np.arange(60) - 20, 0, 20)
    found = change_points(values, np.full(60, 1e-4))
    (change,) = found.changes
    assert places(found) == [("drift", 20, 40)]
    assert change.size.center == pytest.approx(0.04)
    assert found.levels == pytest.approx(values, abs=1e-9)


def test_a_drift_over_the_whole_series_is_one() -> None:
    values, errors = series(0, 40)
    found = change_points(values + 0.002 * np.arange(40), errors)
    (change,) = found.changes
    assert change.kind == "drift"
    assert change.size.low < 0.002 * 39 < change.size.high


def test_two_steps_up_are_no_drift() -> None:
    values, errors = series(1, 60)
    i = np.arange(60)
    found = change_points(values + 0.03 * (i >= 20) + 0.03 * (i >= 40), errors)
    assert [change.kind for change in found.changes] == ["step", "step"]


def test_a_level_that_comes_and_goes_is_two_steps() -> None:
    """In a long series either change alone is less than what the other adds to the noise."""
    values = np.zeros(80)
    values[38:42] = 0.02
    rng = np.random.default_rng(2)
    values += rng.normal(0, 0.004, 80)
    found = change_points(values, np.full(80, 0.004))
    assert places(found) == [("step", 37, 38), ("step", 41, 42)]


def test_one_run_apart_is_no_change_and_hides_none() -> None:
    values, errors = series(3, 60)
    values[40:] += 0.03
    values[11] += 0.5
    found = change_points(values, errors)
    assert found.apart == (11,)
    assert places(found) == [("step", 39, 40)]
    assert math.exp(found.levels[11]) == pytest.approx(1.0, abs=0.01)


def test_an_odd_run_at_a_step_stands_apart_from_it() -> None:
    values = np.array([0.0] * 10 + [0.5] + [0.1] * 10)
    found = change_points(values, np.full(21, 0.003))
    assert found.apart == (10,)
    assert places(found) == [("step", 9, 11)]


def test_the_first_run_alone_is_no_level() -> None:
    values, errors = series(4, 30)
    values[0] += 0.2
    found = change_points(values, errors)
    assert (found.changes, found.apart) == ((), (0,))


def test_the_first_run_of_a_drift_is_part_of_it() -> None:
    for length in (2, 8):
        values = 0.05 * np.clip(np.arange(20), 0, length)
        found = change_points(values, np.full(20, 1e-3))
        assert (places(found), found.apart) == ([("drift", 0, length)], ())


def test_a_run_half_way_belongs_to_a_drift_of_two() -> None:
    values = np.array([0.0] * 8 + [0.05] + [0.1] * 8)
    found = change_points(values, np.full(17, 1e-3))
    assert (places(found), found.apart) == ([("drift", 7, 9)], ())


def test_the_last_run_alone_can_be_a_step_that_one_run_tells_of() -> None:
    values, errors = series(4, 30)
    values[-1] += 0.2
    (change,) = change_points(values, errors).changes
    assert (change.before, change.after, change.runs_after) == (28, 29, 1)


def test_runs_that_are_missing_are_passed_over() -> None:
    values = np.array([0.0] * 6 + [math.nan] * 3 + [0.1] * 6)
    errors = np.where(np.isnan(values), math.nan, 0.003)
    found = change_points(values, errors)
    (change,) = found.changes
    assert (change.before, change.after) == (5, 9)
    assert (change.earliest, change.latest) == (5, 9)
    assert np.isnan(found.errors[6:9]).all()
    assert np.isfinite(found.levels).all()


def test_places_are_among_all_runs_where_the_first_are_missing() -> None:
    found = change_points([math.nan] * 4 + [0.0] * 6 + [0.1] * 6, [0.003] * 16)
    (change,) = found.changes
    assert (change.before, change.after) == (9, 10)
    assert (change.earliest, change.latest) == (9, 10)


@pytest.mark.parametrize("count", range(5))
def test_short_series_say_nothing_and_that_they_cannot(count: int) -> None:
    values, errors = series(5, count)
    found = change_points(values, errors)
    assert found.changes == ()
    if count < 3:
        assert found.smallest_step == math.inf
    else:
        assert 0.02 < found.smallest_step < math.inf
    if count < 2:
        assert found.smallest_last_step == math.inf


def test_a_series_without_a_value() -> None:
    found = change_points([math.nan] * 4, [math.nan] * 4)
    assert (found.changes, found.apart) == ((), ())
    assert np.isnan(found.levels).all()


def test_four_runs_show_what_is_plain() -> None:
    found = change_points([0.0, 0.0, 0.1, 0.1], [0.0007] * 4, 4)
    assert places(found) == [("step", 1, 2)]


def test_runs_that_are_known_better_count_more() -> None:
    """Five noisy runs that are off together tell of nothing; five exact ones do."""
    values = np.array([0.0] * 15 + [0.06] * 5)
    errors = np.array([0.005] * 15 + [0.05] * 5)
    assert change_points(values, errors).changes == ()
    assert places(change_points(values, errors[::-1] / 10)) == [("step", 14, 15)]


def test_the_best_partition_is_that_of_the_weighted_runs() -> None:
    """The larger shift, of noisy runs, is not in the way of the smaller one of exact runs."""
    values = np.array([0.0] * 5 + [0.01] * 5 + [0.06] * 5)
    errors = np.array([1e-4] * 10 + [0.05] * 5)
    assert places(change_points(values, errors)) == [("step", 4, 5)]


def test_errors_from_few_processes_are_not_believed_one_by_one() -> None:
    """A run whose five processes agree by chance does not make a level of its own."""
    rng = np.random.default_rng(6)
    alarms = 0
    for _ in range(200):
        processes = rng.normal(0, 0.01, (60, 5))
        errors = processes.std(axis=1, ddof=1) / math.sqrt(5)
        alarms += bool(change_points(processes.mean(axis=1), errors, 4).changes)
    assert alarms <= 3


@pytest.mark.parametrize("wrong", [[-0.1, 0.1], [0.1]])
def test_wrong_errors_are_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="errors"):
        change_points([0.0, 1.0], wrong)


CASES = st.tuples(
    st.integers(0, 10_000),
    st.integers(4, 30),
    st.sampled_from([0.0, 0.02, 0.1]),
)


def stepped(case: tuple[int, int, float]) -> tuple[np.ndarray, np.ndarray]:
    seed, count, size = case
    values, errors = series(seed, count)
    return values + size * (np.arange(count) >= count // 2), errors


@given(CASES, st.floats(-5, 5), st.sampled_from([0.25, 3.0, -1.0]))
def test_shift_scale_and_sign_change_nothing_but_sizes(
    case: tuple[int, int, float], shift: float, scale: float
) -> None:
    values, errors = stepped(case)
    one = change_points(values, errors)
    other = change_points(scale * values + shift, abs(scale) * errors)
    assert places(other) == places(one)
    assert other.apart == one.apart
    for a, b in zip(one.changes, other.changes, strict=True):
        assert (b.earliest, b.latest) == (a.earliest, a.latest)
        assert b.size.center == pytest.approx(scale * a.size.center, rel=1e-6)
        assert b.size.half_width == pytest.approx(abs(scale) * a.size.half_width, rel=1e-6)
    assert other.spread == pytest.approx(abs(scale) * one.spread, rel=1e-4, abs=1e-9)


@given(CASES)
def test_a_series_backwards_changes_where_it_did(case: tuple[int, int, float]) -> None:
    values, errors = stepped(case)
    last = len(values) - 1
    one = change_points(values, errors)
    other = change_points(values[::-1], errors[::-1])
    assume({0, last}.isdisjoint(one.apart + other.apart))  # only the last run may be a new level
    mirrored = [(kind, last - after, last - before) for kind, before, after in places(other)]
    assert mirrored[::-1] == places(one)
    for a, b in zip(one.changes, other.changes[::-1], strict=True):
        assert (last - b.latest, last - b.earliest) == (a.earliest, a.latest)
        assert b.size.center == pytest.approx(-a.size.center)
    assert sorted(last - run for run in other.apart) == sorted(one.apart)


@pytest.mark.parametrize("seed", range(30))
def test_ruptures_puts_the_steps_where_we_do(seed: int) -> None:
    """Equal errors, and as many changes as we found: ruptures knows no errors, and no number."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 4))
    levels = np.repeat(np.cumsum(rng.choice([-0.05, 0.05], count + 1)), 15)
    values = levels + rng.normal(0, 0.005, levels.size)
    found = change_points(values, np.full(values.size, 0.005))
    ours = [change.after for change in found.changes]
    oracle = ruptures.Dynp(model="l2", min_size=1, jump=1).fit(values)
    assert [change.kind for change in found.changes] == ["step"] * len(ours)
    assert ours == oracle.predict(n_bkps=len(ours))[:-1]
    # Pelt finds the number itself, if it is told the noise: that of a step of 4.5 standard errors
    pelt = ruptures.Pelt(model="l2", min_size=1, jump=1).fit(values)
    assert pelt.predict(pen=4.5**2 * 0.005**2)[:-1] == ours


def test_the_chance_of_all_partitions_together_is_the_one_allowed() -> None:
    """Bonferroni's sum over every partition that is looked at."""
    for runs in (5, 60):
        one, two = allowed_chance(runs, 0, 1), allowed_chance(runs, 0, 2)
        together = (runs - 1) * one + (runs - 1) * (runs - 2) / 2 * two
        assert together == pytest.approx(FALSE_ALARMS)


def test_the_smallest_step_is_found_nine_times_in_ten() -> None:
    rng = np.random.default_rng(7)
    for after in (20, 1):
        size = smallest_step(fit(np.zeros(40), np.full(40, 0.005)), after)
        found = 0
        for _ in range(200):
            values = rng.normal(0, 0.005, 40)
            values[40 - after :] += size
            found += bool(change_points(values, np.full(40, 0.005)).changes)
        assert 0.84 <= found / 200 <= 0.96


def test_false_alarms_are_few() -> None:
    """Two hundred series of each length without a change; the slow test has more of them."""
    for count in (6, 30):
        alarms = 0
        for seed in range(200):
            values, errors = series(seed, count, spread=0.004)
            alarms += bool(change_points(values, errors).changes)
        assert alarms <= 2


def test_steps_of_two_per_cent_are_found_where_they_are() -> None:
    near = 0
    for seed in range(100):
        values, errors = series(seed, 40)
        start = 8 + seed % 25
        found = change_points(values + 0.02 * (np.arange(40) >= start), errors)
        near += any(abs(change.after - start) <= 2 for change in found.changes)
    assert near >= 97
