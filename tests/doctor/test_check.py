"""The rule behind a verdict, and the checks in words."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr_bench.doctor.check import Check, Verdict, judge
from gr_bench.doctor.clock import Bracketed, _clock
from gr_bench.doctor.doctor import examine
from gr_bench.doctor.page import WIDTH, as_json, lines
from gr_bench.doctor.rate import rate_check
from gr_bench.errors import RequestError
from gr_bench.meters.device import Reading
from gr_bench.meters.get_device import get_device
from gr_bench.stats import Interval

POSITIVE = st.floats(0.01, 100)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.95, 2.05, "pass"),
        (1.8, 2.05, "unknown"),
        (1.95, 2.3, "unknown"),
        (0.5, 8.0, "unknown"),
        (2.3, 2.4, "fail"),
        (1.0, 1.7, "fail"),
        (-math.inf, math.inf, "unknown"),
    ],
)
def test_a_verdict_is_on_the_whole_interval(low: float, high: float, expected: Verdict) -> None:
    assert judge(Interval((low + high) / 2, low, high), 2.0, 0.1) == expected


@given(POSITIVE, POSITIVE, POSITIVE, st.floats(0.01, 0.5))
def test_a_value_that_is_right_never_fails(a: float, b: float, right: float, margin: float) -> None:
    """Whatever the interval, if it has the right value in it."""
    low, high = min(a, b, right), max(a, b, right)
    assert judge(Interval(right, low, high), right, margin) != "fail"


@given(
    st.lists(
        st.tuples(st.floats(1e-3, 1), st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=10
    ),
    st.sampled_from([0.9, 1.0, 1.1]),
)
def test_a_clock_is_judged_right_however_it_is_disturbed(
    readings: list[tuple[float, float, float]], rate: float
) -> None:
    """The device reads rate·(work + a); the outer clock sees b more, the inner one a less."""
    check = _clock(
        [
            Bracketed(Reading(rate * (work + a), 0.0, 0.0), work, work + a + b, work, work + a + b)
            for work, a, b in readings
        ]
    )
    assert check.verdict != ("fail" if rate == 1.0 else "pass")
    low, high = check.measured["rate_low"], check.measured["rate_high"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert low <= rate * (1 + 1e-9)
    assert high >= rate * (1 - 1e-9)


@pytest.mark.parametrize(
    ("flops_per_s", "expected"), [(1e18, "fail"), (30e9, "pass"), (1e3, "unknown")]
)
def test_a_rate_beyond_the_device_s_best_is_none(
    flops_per_s: float, expected: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gr_bench.doctor.rate._most_hz", lambda: 3e9)
    assert rate_check(get_device("cpu"), flops_per_s).verdict == expected


def test_a_rate_is_not_judged_where_the_clock_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gr_bench.doctor.rate._most_hz", lambda: None)
    check = rate_check(get_device("cpu"), 1e18)
    assert check.verdict == "unknown"
    assert check.measured["most_flops_per_s"] is None


CHECKS = [
    Check("clock", "pass", "1.0000 s read per second (0.9999 to 1.0001)", {"rate": 1.0}),
    Check("equal pair", "unknown", "ratio", {"ratio_low": -math.inf}, "stop what runs " * 12),
    Check("batch norm", "fail", "f-gr: statistics moved 2 times, " * 5, {"broken": "f-gr"}, "no"),
]


def test_a_line_a_check_in_80_columns() -> None:
    found = list(lines(CHECKS))
    assert max(map(len, found)) <= WIDTH
    assert [line.split()[0] for line in found[:3]] == ["pass", "unknown", "fail"]
    assert [line.partition(":")[0] for line in found[3:] if not line.startswith(" ")] == [
        "equal pair",
        "batch norm",
        "1 passed, 1 failed, 1 not known",
    ]


def test_json_has_every_check_and_null_for_what_is_not_known() -> None:
    found = json.loads(as_json(CHECKS), parse_constant=pytest.fail)
    assert [check["name"] for check in found["checks"]] == ["clock", "equal pair", "batch norm"]
    assert found["checks"][1]["measured"] == {"ratio_low": None}
    assert found["checks"][0].keys() == {"name", "verdict", "meaning", "measured", "advice"}


def test_a_budget_in_which_nothing_can_be_said_is_refused() -> None:
    with pytest.raises(RequestError, match="give at least --budget 5s"):
        examine("cpu", 1.0)


def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(RequestError, match="device 'cuda:99' is not here"):
        examine("cuda:99", 60.0)
