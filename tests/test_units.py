"""Durations and shares, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr_bench.errors import RequestError
from gr_bench.units import duration, parse_duration, parse_share, roughly


@pytest.mark.parametrize(
    ("text", "seconds"), [("45", 45), ("90s", 90), ("2m", 120), ("1.5h", 5400), (" 3 m ", 180)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "0", "0s", "-1s", "2 days", "1e3", "1m30s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="write it as 90s, 2m or 1h"):
        parse_duration(text)


@given(st.integers(1, 100_000))
def test_what_is_printed_of_seconds_and_minutes_is_never_off_by_a_minute(seconds: int) -> None:
    text = duration(seconds)
    hours, _, rest = text.rpartition("h")
    minutes, _, rest = rest.rpartition("m") if not rest.endswith("m") else (rest[:-1], "", "0s")
    total = 3600 * int(hours or 0) + 60 * int(minutes or 0) + int(rest.removesuffix("s") or 0)
    assert 0 <= seconds - total < (60 if hours else 1)


@pytest.mark.parametrize(("text", "share"), [("2%", 0.02), ("0.02", 0.02), (" 1.5 % ", 0.015)])
def test_a_share_is_read(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "2", "100%", "-1%", "two", "1e-2"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match=r"write it as 2% or 0\.02"):
        parse_share(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (7.4, "7 s"),
        (44, "40 s"),
        (100, "2 minutes"),
        (3409, "57 minutes"),
        (7000, "2 hours"),
    ],
)
def test_a_rough_time_is_said_as_one_would(seconds: float, text: str) -> None:
    assert roughly(seconds) == text
