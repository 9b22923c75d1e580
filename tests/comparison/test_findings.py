"""Verdicts, counters and how they are worded."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from synthetic import cost

from gr_bench import stats
from gr_bench.comparison.findings import (
    FALSE_DISCOVERY_RATE,
    Change,
    Comparison,
    Finding,
    changes,
    judged,
)
from gr_bench.comparison.pages import markdown

SPREADS = st.floats(1e-4, 0.05)


def finding(logs: list[float], floor: float = 0.0) -> Finding:
    return Finding(
        name="it",
        cell=cost(),
        quantity="ms a step",
        base=1.0,
        head=1.0,
        ratio=stats.ratio_interval(logs),
        p_value=stats.p_value(logs),
        floor=floor,
    )


def around(ratio: float, spread: float, pairs: int = 8) -> list[float]:
    """Log-ratios with this geometric mean and standard deviation."""
    z = np.arange(pairs) - (pairs - 1) / 2
    return list(math.log(ratio) + spread * z / z.std(ddof=1))


def verdict(ratio: float, spread: float, floor: float = 0.0, others: int = 0) -> str | None:
    equal = [finding(around(1.0, spread)) for _ in range(others)]
    return judged([finding(around(ratio, spread), floor), *equal], 0.02)[0].verdict


def test_the_four_verdicts() -> None:
    assert verdict(1.03, 0.003) == "slower"
    assert verdict(1 / 1.03, 0.003) == "faster"
    assert verdict(1.0, 0.003) == "same"
    assert verdict(1.01, 0.003) == "same"  # beyond chance, and shown to be negligible
    assert verdict(1.03, 0.05) == "undecided"  # beyond the threshold, and within chance


def test_a_difference_that_is_not_beyond_the_threshold_is_not_called() -> None:
    """Beyond chance, but whether it matters is open."""
    (found,) = judged([finding(around(1.019, 0.003))], 0.02)
    assert found.ratio is not None
    assert found.ratio.low > 1
    assert found.ratio.high > 1.02
    assert found.verdict == "undecided"


def test_what_the_floor_covers_is_not_called() -> None:
    assert verdict(1.05, 0.003, floor=0.04) == "slower"
    assert verdict(1.05, 0.003, floor=0.06) == "undecided"


def test_more_cells_ask_for_more_evidence() -> None:
    assert verdict(1.03, 0.02) == "slower"
    assert verdict(1.03, 0.02, others=19) == "undecided"


@given(st.lists(st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=8), min_size=1, max_size=6))
def test_a_call_is_beyond_chance_and_the_threshold(rows: list[list[float]]) -> None:
    found = judged([finding(logs) for logs in rows], 0.02)
    for one in found:
        assert one.ratio is not None
        if one.verdict == "slower":
            assert one.ratio.low > 1
            assert one.ratio.center > 1.02
            assert one.p_value <= FALSE_DISCOVERY_RATE
        if one.verdict == "faster":
            assert one.ratio.high < 1
            assert one.ratio.center < 1 / 1.02
        assert one.regressed == (one.verdict == "slower")


@given(st.floats(0.9, 1.1), SPREADS)
def test_slower_and_faster_mirror_each_other(ratio: float, spread: float) -> None:
    other = {"slower": "faster", "faster": "slower"}
    there, back = verdict(ratio, spread), verdict(1 / ratio, spread)
    assert back == other.get(there or "", there)


def test_equal_things_are_rarely_called_different() -> None:
    """1,000 comparisons of eight equal cells, five pairs each, noise as large as the threshold."""
    random = np.random.default_rng(0)
    called = 0
    for _ in range(1000):
        cells = [finding(list(random.normal(0, 0.02, 5))) for _ in range(8)]
        called += any(one.regressed for one in judged(cells, 0.02))
    assert called <= 12  # half of 1 %, and what chance adds


def counters(**more: int) -> dict[str, object]:
    base = {"flops": 1000, "peak_bytes": 1000, "operator_calls": 3}
    return {**base, "operators": {"aten.mm.default": 3}, **more}


def test_any_change_of_a_counter_is_found_and_a_rise_over_the_threshold_is_worse() -> None:
    assert changes(counters(), counters(), 0.02) == ()
    (one,) = changes(counters(), counters(peak_bytes=1001), 0.02)
    assert (one.base, one.head, one.regression) == (1000, 1001, False)
    (one,) = changes(counters(), counters(peak_bytes=1020), 0.02)
    assert not one.regression
    (one,) = changes(counters(), counters(flops=1021), 0.02)
    assert one.regression
    (one,) = changes(counters(), counters(flops=500), 0.02)
    assert not one.regression


def test_operators_are_named_and_no_regression() -> None:
    more = {"aten.mm.default": 2, "aten.clone.default": 9}
    head = {**counters(operator_calls=11), "operators": more}
    (one,) = changes(counters(), head, 0.02)
    assert str(one) == "operator calls 3 -> 11 (+266.67%): aten.clone +9, aten.mm -1"
    assert not one.regression


def test_a_counter_that_one_side_lacks_is_passed_over() -> None:
    assert changes({}, counters(), 0.02) == ()


def test_larger_is_a_regression_even_if_nothing_is_slower() -> None:
    larger = Finding(name="it", quantity="ms", changes=(Change("peak_bytes", 1000, 2000, True),))
    comparison = Comparison("a", "b", 0.02, (larger,), (), "so")
    assert comparison.regressed
    assert comparison.headline.startswith("Regression")
    assert "peak bytes 1,000 -> 2,000 (+100.00%)" in markdown(comparison).partition("<details>")[0]


def test_a_comment_without_changes_has_all_cells_folded() -> None:
    comparison = Comparison("a", "b", 0.02, judged([finding(around(1, 0.001))], 0.02), (), "so")
    shown, _, folded = markdown(comparison).partition("<details>")
    assert "No regression (" in shown
    assert "| " not in shown
    assert "same" in folded
