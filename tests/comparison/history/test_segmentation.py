"""The best partitions against all partitions, and against ruptures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import ruptures
from hypothesis import given
from hypothesis import strategies as st

from gr_bench.comparison.history.segmentation import Segmentation

VALUES = st.floats(-1, 1, allow_subnormal=False).map(lambda x: round(x, 6))
POINTS = st.lists(st.tuples(VALUES, st.floats(0.1, 10)), min_size=1, max_size=8)


def cost(values: np.ndarray, weights: np.ndarray, starts: tuple[int, ...]) -> float:
    pieces = zip(np.split(values, starts), np.split(weights, starts), strict=True)
    return sum(float(w @ (y - np.average(y, weights=w)) ** 2) for y, w in pieces)


@given(POINTS, st.data())
def test_no_partition_costs_less(points: list[tuple[float, float]], data: st.DataObject) -> None:
    values, weights = (np.array(column) for column in zip(*points, strict=True))
    changes = data.draw(st.integers(0, len(points) - 1))
    partitions = Segmentation(values, weights)
    starts = tuple(partitions.starts(changes))
    every = itertools.combinations(range(1, len(points)), changes)
    least = min(cost(values, weights, each) for each in every)
    assert len(starts) == changes
    assert list(starts) == sorted(set(starts))
    assert cost(values, weights, starts) == pytest.approx(least, abs=1e-9)
    assert partitions.cost(changes) == pytest.approx(least, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("changes", [1, 2, 4])
def test_ruptures_has_the_same_partitions(seed: int, changes: int) -> None:
    rng = np.random.default_rng(seed)
    levels = np.repeat(rng.normal(0, 1, changes + 1), rng.integers(3, 15, changes + 1))
    values = levels + rng.normal(0, 0.4, levels.size)
    oracle = ruptures.Dynp(model="l2", min_size=1, jump=1).fit(values)
    expected = oracle.predict(n_bkps=changes)[:-1]
    assert Segmentation(values, np.ones(values.size)).starts(changes) == expected


def test_a_weight_counts_as_so_many_equal_runs() -> None:
    values, weights = np.array([0.0, 1.0, 0.2, 5.0, 5.1]), np.array([1, 3, 2, 1, 4])
    repeated = Segmentation(np.repeat(values, weights), np.ones(weights.sum()))
    weighted = Segmentation(values, weights)
    for changes in range(3):
        assert weighted.cost(changes) == pytest.approx(repeated.cost(changes))
    first = np.cumsum(np.concatenate([[0], weights]))
    assert [first[start] for start in weighted.starts(2)] == repeated.starts(2)


def test_further_pieces_can_be_asked_for_in_any_order() -> None:
    values = np.random.default_rng(0).normal(size=12)
    partitions = Segmentation(values, np.ones(12))
    late = partitions.starts(5)
    assert partitions.starts(1) == Segmentation(values, np.ones(12)).starts(1)
    assert partitions.starts(5) == late
