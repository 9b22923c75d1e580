"""What GitHub is told: annotations, summary and outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from compared import LARGER, compared, finding
from hypothesis import given
from hypothesis import strategies as st

from gr_bench.comparison.pages import markdown, publish
from gr_bench.comparison.pages.annotations import command, commands


def read_back(line: str) -> tuple[str, str, str]:
    """Level, title and message, as the runner decodes them (ActionCommand.cs: the last is %25)."""
    assert line.startswith("::")
    head, _, message = line[2:].partition("::")
    level, _, properties = head.partition(" ")
    ((key, title),) = (given.split("=", 1) for given in properties.split(","))
    assert key == "title"
    for code, character in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        title = title.replace(code, character)
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        message = message.replace(code, character)
    return level, title, message


TEXTS = st.one_of(st.text(), st.text(st.sampled_from("%:,\r\n250ADC a")))


@given(st.sampled_from(["error", "warning", "notice"]), TEXTS, TEXTS)
def test_a_command_is_one_line_that_says_what_was_meant(level: str, title: str, text: str) -> None:
    line = command(level, title, text)
    assert "\n" not in line
    assert "\r" not in line
    assert read_back(line) == (level, f"gr-bench: {title}", text)


def test_a_regression_is_an_error_with_its_numbers() -> None:
    larger = finding("shop:size", None, changes=(LARGER,))
    told = [read_back(line) for line in commands(compared(finding(beyond_threshold=True), larger))]
    assert told == [
        (
            "error",
            "gr-bench: slower by at least 2 %",
            "shop:total: +3.1 % [+2.4, +3.9], 12.3 -> 12.68 ms a call",
        ),
        (
            "error",
            "gr-bench: more peak bytes, time not judged",
            "shop:size: peak bytes 1,000 -> 2,000 (+100.00%)",
        ),
        (
            "notice",
            "gr-bench: verdict",
            "Regression (threshold 2 %): 1 slower; changed: peak bytes",
        ),
    ]


def test_what_is_not_known_is_one_warning() -> None:
    unknown = [finding(f"shop:of_{n}", "undecided") for n in range(7)]
    warning, notice = (read_back(line) for line in commands(compared(*unknown)))
    assert warning[:2] == ("warning", "gr-bench: 7 not known")
    assert warning[2].splitlines() == [*(f"shop:of_{n}" for n in range(5)), "..."]
    assert notice[2].startswith("Nothing worse was shown")


def test_github_shows_ten_errors_and_the_tenth_says_how_many_more() -> None:
    told = [read_back(line) for line in commands(compared(*[finding()] * 30))]
    assert [level for level, _, _ in told].count("error") == 10
    assert told[9][2] == "21 more are worse"


FILES = ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")


def test_it_is_told_where_github_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = compared(finding(), finding(verdict="undecided"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for name in FILES:
        (tmp_path / name).write_text("before\n")
        monkeypatch.setenv(name, str(tmp_path / name))
    publish(comparison)
    assert capsys.readouterr().out.splitlines() == commands(comparison)
    summary, outputs = ((tmp_path / name).read_text() for name in FILES)
    assert summary == "before\n" + markdown(comparison)
    assert outputs.splitlines() == [
        "before",
        "regression=true",
        "undecided=true",
        "headline=Regression (threshold 2 %): 1 slower, 1 not known",
    ]


def test_elsewhere_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("GITHUB_ACTIONS", *FILES):
        monkeypatch.delenv(name, raising=False)
    publish(compared(finding()))
    assert capsys.readouterr() == ("", "")


def test_a_summary_that_cannot_be_written_is_said_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("GITHUB_ACTIONS", *FILES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "where"))
    publish(compared(finding()))
    assert "GITHUB_STEP_SUMMARY was not written" in capsys.readouterr().err
