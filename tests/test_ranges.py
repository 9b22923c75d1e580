"""Ranges to draw from: read, printed, and walked from end to end."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr_bench.errors import RequestError
from gr_bench.ranges import Range, parse_range
from gr_bench.spec import Spec, expand, parse

ends = st.floats(1e-9, 1e9)
ranges = st.builds(
    lambda scale, low, factor: Range(scale, low, low * factor),
    st.sampled_from(["log", "uniform"]),
    ends,
    st.floats(1.01, 1e6),
)
parts = st.floats(0, 1)


@given(ranges)
def test_what_a_range_prints_reads_back_as_the_same_range(own: Range) -> None:
    assert parse_range(str(own)) == own
    spec = Spec("sam", (("rho", own),), Spec("late", (("share", own),)))
    assert parse(str(spec)) == spec
    assert spec.ranges == (own, own)
    assert expand(str(spec)) == [spec]


@given(ranges, parts, parts)
def test_a_range_is_walked_in_order_and_never_left(own: Range, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert own.low <= own.at(low) <= own.at(high) <= own.high


@given(ranges, parts)
def test_numbers_are_those_of_the_scale_to_three_digits(own: Range, part: float) -> None:
    if own.scale == "log":
        exact = math.exp((1 - part) * math.log(own.low) + part * math.log(own.high))
    else:
        exact = (1 - part) * own.low + part * own.high
    assert own.at(part) == pytest.approx(exact, rel=0.0051)
    assert own.at(part) in (own.low, own.high, float(f"{own.at(part):.3g}"))


def test_both_ends_are_reached() -> None:
    for own in (Range("log", 0.0123456, 0.5), Range("uniform", -1.23456, 7.65432)):
        assert (own.at(0), own.at(1)) == pytest.approx((own.low, own.high), rel=5e-3)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("log(0.5, 0.1)", "low end, then its high end"),
        ("log(0.5, 0.5)", "low end, then its high end"),
        ("uniform(1, 1e999)", "low end, then its high end"),
        ("log(0, 1)", "above 0"),
        ("log(-1, 1)", "above 0"),
        ("loguniform(0.1, 1)", r"write log\(0.1, 1\) or uniform\(0.1, 1\)"),
        ("log(0.1)", r"write a range as log\(0.01, 0.5\)"),
        ("log('a', 'b')", r"write a range as log\(0.01, 0.5\)"),
        ("log(True, 2)", r"write a range as log\(0.01, 0.5\)"),
        ("0.1..0.5", r"write a range as log\(0.01, 0.5\)"),
        ("", r"write a range as log\(0.01, 0.5\)"),
    ],
)
def test_what_is_no_range_is_refused_with_the_right_form(text: str, right: str) -> None:
    with pytest.raises(RequestError, match=right):
        parse_range(text)


def test_a_bad_range_in_a_spec_is_named_with_the_spec() -> None:
    with pytest.raises(RequestError, match=r"'sam\(rho=log\(2, 1\)\)': log\(2, 1\) is no range"):
        parse("sam(rho=log(2, 1))")


@given(st.text())
def test_any_text_is_a_range_or_a_request_error(text: str) -> None:
    with contextlib.suppress(RequestError):
        parse_range(text)


def test_numbers_take_the_places_of_ranges_and_ranges_go_back_to_theirs() -> None:
    spec = parse("late(f-gr(gamma=log(0.1, 10), epsilon=0.5), share=uniform(0, 1))")
    drawn = spec.drawn(iter([0.5, 0.25]))
    assert str(drawn) == "late(f-gr(gamma=1.0, epsilon=0.5), share=0.25)"
    assert drawn.with_ranges_of(spec) == spec
    assert spec.drawn(iter([0.1, 0.2])).with_ranges_of(drawn) == spec.drawn(iter([0.1, 0.2]))
