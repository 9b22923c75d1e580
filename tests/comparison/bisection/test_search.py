"""The search against oracles whose answers are known, noise included."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr_bench.comparison.bisection.search import Search, judged, narrow

CONFIDENCE = 0.99


class Oracle:
    """Answers about a path whose quantity is known at every position.

    Args:
        levels: by position, GOOD's first.
        broken: positions that cannot be measured.
        noise: standard deviation of a pair's log-ratio; 0: every answer is exact.
        seed: of the noise.
    """

    def __init__(
        self, levels: Sequence[float], broken: set[int] = frozenset(), noise: float = 0, seed=0
    ) -> None:
        self.levels = levels
        self.broken = broken
        self.noise = noise
        self.search = Search(len(levels) - 1, levels[0], levels[-1])
        self.asked: list[int] = []
        self.pairs = 0
        self.all_right = True
        self._random = np.random.default_rng(seed)

    @property
    def compared(self) -> int:
        return len(set(self.asked) - self.broken)

    def ask(self, position: int) -> bool:
        assert position not in self.asked
        self.asked.append(position)
        search, level = self.search, self.levels[position]
        if position in self.broken:
            search.record(position, "skipped")
            return True
        middle = sum(search.levels) / 2
        if not self.noise:
            search.record(position, "slower" if level > middle else "as before")
            return True
        logs: list[float] = []
        while (answer := judged(logs, search.levels, CONFIDENCE)) is None:
            logs.append(self._random.normal(level, self.noise))
            self.pairs += 1
        if answer == "between":
            search.record_between(position, float(np.mean(logs)))
        else:
            self.all_right &= (answer == "slower") == (level > middle)
            search.record(position, answer)
        return True


@st.composite
def one_culprit(draw: st.DrawFn) -> tuple[list[float], int, set[int]]:
    """A path, its culprit, and commits that cannot be measured."""
    last = draw(st.integers(1, 200))
    culprit = draw(st.integers(1, last))
    broken = draw(st.sets(st.integers(1, last - 1))) if last > 1 else set()
    return [0.0] * culprit + [0.03] * (last + 1 - culprit), culprit, broken


@given(one_culprit())
def test_the_range_has_the_culprit_and_nothing_but_what_cannot_be_measured(
    path: tuple[list[float], int, set[int]],
) -> None:
    levels, culprit, broken = path
    oracle = Oracle(levels, broken)
    assert narrow(oracle.search, oracle.ask)
    first, last = oracle.search.low + 1, oracle.search.high
    assert first <= culprit <= last
    assert {*oracle.search.candidates} - {last} <= broken
    assert first == 1 or first - 1 not in broken


@given(one_culprit())
def test_it_takes_as_many_comparisons_as_halving_does(
    path: tuple[list[float], int, set[int]],
) -> None:
    levels, _, broken = path
    oracle = Oracle(levels, broken)
    assert oracle.search.steps_left <= math.log2(len(levels)) + 1
    narrow(oracle.search, oracle.ask)
    assert oracle.compared <= math.log2(len(levels) - 1) + 1


def test_a_commit_that_cannot_be_measured_is_followed_by_its_nearest_neighbours() -> None:
    oracle = Oracle([0.0] * 17, broken=set(range(5, 12)))
    narrow(oracle.search, oracle.ask)
    assert oracle.asked[:7] == [8, 9, 7, 10, 6, 11, 5]


@given(one_culprit(), st.floats(0.001, 0.05), st.integers(0, 2**32))
def test_the_range_has_the_culprit_whenever_no_answer_was_wrong(
    path: tuple[list[float], int, set[int]], noise: float, seed: int
) -> None:
    levels, culprit, broken = path
    oracle = Oracle(levels, broken, noise, seed)
    narrow(oracle.search, oracle.ask)
    if oracle.all_right and oracle.search.levels == (0.0, 0.03):
        assert culprit in oracle.search.candidates


def test_answers_are_seldom_wrong() -> None:
    """1 % an answer at the most, so 7 % of searches among 128 commits."""
    right = 0
    for seed in range(200):
        culprit = 1 + seed % 128
        oracle = Oracle([0.0] * culprit + [0.03] * (129 - culprit), noise=0.015, seed=seed)
        narrow(oracle.search, oracle.ask)
        right += [*oracle.search.candidates] == [culprit]
        assert oracle.pairs <= 7 * 200
    assert right >= 186


@given(st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=60), st.sets(st.integers(1, 58)))
def test_whatever_the_history_the_range_has_a_rise(steps: list[float], broken: set[int]) -> None:
    """Faster in between, slower for a while, or in many steps."""
    inner = list(np.cumsum(steps))
    levels = [0.0, *inner, 0.05]
    oracle = Oracle(levels, {b for b in broken if b <= len(inner)})
    narrow(oracle.search, oracle.ask)
    assert levels[oracle.search.low] <= 0.025 < levels[oracle.search.high]


@given(st.integers(0, 2**32), st.integers(2, 63), st.integers(2, 63))
def test_of_two_equal_rises_one_is_found(seed: int, first: int, second: int) -> None:
    levels = [0.02 * ((p >= first) + (p >= second)) for p in range(65)]
    oracle = Oracle(levels, noise=0.004, seed=seed)
    narrow(oracle.search, oracle.ask)
    assert len(oracle.search.candidates) == 1
    if oracle.all_right:
        assert oracle.search.high in (first, second)


@pytest.mark.parametrize("level", [-0.5, 0.0, 0.01, 0.015, 0.02, 0.03, 0.5])
def test_every_commit_is_told_apart_after_a_limited_number_of_pairs(level: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        logs: list[float] = []
        while (answer := judged(logs, (0.0, 0.03), CONFIDENCE)) is None:
            logs.append(random.normal(level, 0.01))
            assert len(logs) < 60
        if abs(level - 0.015) > 0.0075:
            assert answer == ("slower" if level > 0.015 else "as before")


def test_few_values_say_nothing() -> None:
    assert judged([], (0.0, 0.03), CONFIDENCE) is None
    assert judged([0.5], (0.0, 0.03), CONFIDENCE) is None
    assert judged([0.5, 0.501], (0.0, 0.03), CONFIDENCE) is None


def test_a_commit_between_gets_a_level_of_its_own_and_the_larger_part_is_searched() -> None:
    search = Search(8, 0.0, 0.10)
    search.record_between(4, 0.06)
    assert (search.low, search.high, search.levels) == (0, 4, (0.0, 0.06))
    search.record_between(2, 0.02)
    assert (search.low, search.high, search.levels) == (2, 4, (0.02, 0.06))


def test_an_answer_that_changes_moves_the_range() -> None:
    search = Search(8, 0.0, 0.1)
    for position, answer in ((4, "as before"), (6, "slower"), (5, "slower")):
        search.record(position, answer)
    assert [*search.candidates] == [5]
    search.record(5, "as before")
    assert [*search.candidates] == [6]
    assert search.middle is None
    search.record(4, "slower")  # though 5 is as before
    assert [*search.candidates] == [6]
    search.record(5, "slower")
    assert [*search.candidates] == [1, 2, 3, 4]
    assert search.levels == (0.0, 0.1)


def test_a_search_ends_where_no_answer_comes() -> None:
    search = Search(8, 0.0, 0.1)
    assert not narrow(search, lambda position: False)
    assert [*search.candidates] == list(range(1, 9))
