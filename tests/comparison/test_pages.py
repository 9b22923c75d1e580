"""The terminal's table and the pull request's comment."""

from __future__ import annotations

import io
import math
import re

import pytest
from compared import LARGER, compared, finding
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from gr_bench import stats
from gr_bench.comparison.findings import Change, Comparison, Finding
from gr_bench.comparison.pages import markdown, show, words
from gr_bench.comparison.pages.terminal import WHOLE_LINES

NASTY = st.text(st.sampled_from("ab `|\\<>&*_[]~$#!@-+=:1./\n\r\t\x1b\u200b\ud800é漢"), max_size=20)
NAMES = st.one_of(
    st.text(max_size=40),
    NASTY,
    st.sampled_from(["[bold]x[/]", ":smile:", "| a |", "`", "``|", "a\\", "</details>", "<!--"]),
)
VERDICTS = st.sampled_from(["slower", "faster", "same", "undecided", None])


def printed(comparison: Comparison, width: int) -> list[str]:
    file = io.StringIO()
    show(comparison, Console(width=width, file=file))
    return file.getvalue().splitlines()


# --- verdicts in words


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (finding(beyond_threshold=True), "slower by at least 2 %"),
        (finding(), "slower"),
        (finding(verdict="faster", beyond_threshold=True), "faster by at least 2 %"),
        (finding(verdict="faster"), "faster"),
        (finding(verdict="same"), "same within 2 %"),
        (finding(verdict="undecided"), "not known"),
        (finding(verdict="undecided", unconfirmed=True), "alarm not confirmed"),
        (finding(verdict="same", unconfirmed=True), "same within 2 %"),
        (finding(verdict=None), "not judged"),
        (finding(verdict="same", changes=(LARGER,)), "more peak bytes, time same within 2 %"),
        (finding(changes=(Change("operator_calls", 1, 2, False),)), "slower"),
    ],
)
def test_verdicts_in_words(found: Finding, said: str) -> None:
    assert words.verdict(found, 0.02) == said


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        ((1.031, 1.024, 1.039), "+3.1 % [+2.4, +3.9]"),
        ((0.9996, 0.98, 1.02), "0.0 % [-2.0, +2.0]"),
        ((1.0031, 1.0026, 1.0036), "+0.31 % [+0.26, +0.36]"),
        ((12.5, 11.0, 14.0), "+1,150 % [+1,000, +1,300]"),
        ((1.05, 0.0, math.inf), "+5.0 % [-100, +inf]"),
    ],
)
def test_changes_in_percent(ratio: tuple[float, float, float], said: str) -> None:
    assert words.change(finding(ratio=stats.Interval(*ratio))) == said


@given(st.floats(0.01, 100), st.floats(1, 2))
def test_a_percentage_is_the_ratio_to_its_last_digit(center: float, width: float) -> None:
    text = words.change(finding(ratio=stats.Interval(center, center / width, center * width)))
    said = float(text.split()[0].replace(",", ""))
    assert said == pytest.approx(100 * (center - 1), abs=0.5 if abs(said) >= 100 else 0.0501)


# --- the terminal


@given(st.lists(st.tuples(NAMES, VERDICTS), min_size=1, max_size=4))
def test_eighty_columns_are_enough(rows: list[tuple[str, str | None]]) -> None:
    lines = printed(compared(*(finding(*row) for row in rows)), 80)
    assert max(map(len, lines)) <= 80


def test_a_narrow_table_folds_and_loses_nothing() -> None:
    name = "mlp(depth=4, width=512) / random(shape=(1, 8, 8)) / batch 128 / f-gr(gamma=0.1)"
    lines = printed(compared(finding(name, beyond_threshold=True)), 80)
    rows = lines[2:-3]  # between the titles, and how, headline and advice
    assert rows[0].startswith("slower by at     +3.1 % [+2.4, +3.9]  12.3 -> 12.68  ")
    assert rows[1].startswith("least 2 %    ")
    assert " ".join(row[53:].strip() for row in rows).rstrip().startswith(name)


@given(NAMES.filter(lambda name: name.isascii()), VERDICTS)
def test_a_program_reads_a_finding_on_one_line(name: str, verdict: str | None) -> None:
    """Also that a name is shown as it is, and never taken for markup or for a colour."""
    lines = printed(compared(finding(name, verdict), finding("other")), WHOLE_LINES)
    row = lines[2]
    assert row.startswith(words.verdict(finding(name, verdict), 0.02))
    assert row.rstrip().endswith(words.one_line(name))
    assert "other" in lines[3]
    assert "\x1b" not in "".join(lines)


def test_where_there_is_no_terminal_lines_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show(compared(finding("long " * 50 + "name")))
    assert "slower" in next(line for line in capsys.readouterr().out.splitlines() if "name" in line)


def test_the_last_lines_are_the_verdict_and_what_to_do() -> None:
    *_, advice, headline = printed(compared(finding()), 80 * 4)
    assert headline == "Regression (threshold 2 %): 1 slower"
    assert advice.startswith("next: `gr-bench bisect 0123456789 fedcba9876`")
    assert printed(compared(finding(verdict="same")), 80)[-1].startswith("No regression")


# --- the comment


def rendered(text: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def table_rows(text: str) -> list[list[str]]:
    """The text of every table's cells, titles left out, as a reader sees it."""
    rows: list[list[str]] = []
    in_cell = False
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        if token.type == "tr_open":
            rows.append([])
        in_cell = token.type == "td_open" or (in_cell and token.type != "td_close")
        if token.type == "inline" and in_cell:
            seen = ""
            for child in token.children or []:
                if child.type == "html_inline":
                    assert child.content in ("<code>", "</code>", "<br>"), child.content
                seen += {"html_inline": "", "softbreak": " "}.get(child.type, child.content)
            rows[-1].append(seen)
    return [row for row in rows if row]


@given(st.lists(st.tuples(NAMES, VERDICTS), min_size=1, max_size=9))
def test_no_name_breaks_a_table(rows: list[tuple[str, str | None]]) -> None:
    text = markdown(compared(*(finding(*row) for row in rows), notes=[row[0] for row in rows]))
    seen = table_rows(text)
    assert all(len(row) == 3 for row in seen)
    assert sorted(row[2] for row in seen) == sorted(words.one_line(name) for name, _ in rows)
    blocks = re.findall(r"^</?details>$", text, re.MULTILINE)
    assert blocks == ["<details>", "</details>"] * (len(blocks) // 2)


@given(NAMES)
def test_no_name_is_read_as_anything_else(text: str) -> None:
    """Beside the tables: the sides, the notes and the detail of a counter."""
    detail = Change("operator_calls", 1, 2, False, text)
    sides = {"base": text, "head": "b", "notes": (text,)}
    page = markdown(compared(finding(changes=(detail,)), **sides))
    plain = {"heading", "paragraph", "bullet_list", "list_item", "inline", "html_block"}
    plain |= {"table", "thead", "tbody", "tr", "th", "td"}
    inline = {"text", "code_inline", "softbreak", "html_inline", "strong_open", "strong_close"}
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(page):
        assert re.sub("_(open|close)$", "", token.type) in plain, token
        for child in token.children or []:
            assert child.type in inline, child
            assert child.type != "html_inline" or child.content in ("<br>", "<code>", "</code>")
    ((_, change, _),) = table_rows(page)
    assert change.replace("\u200b", "").endswith(words.short(str(detail)).replace("\u200b", ""))
    assert not re.search(r"@\w", re.sub(r"`[^`]*`|<code>.*?</code>", "", page))


def test_the_first_screen_is_all_that_a_reviewer_needs() -> None:
    """The verdict, what, by how much and what to do next, in 15 lines, however much there is."""
    many = [finding(f"shop:of_{n}", "undecided") for n in range(20)]
    same = [finding(f"shop:same_{n}", "same") for n in range(20)]
    page = markdown(compared(*same, *many, finding("shop:total", beyond_threshold=True)))
    screen = page.splitlines()[:15]
    assert screen[0] == "### ❌ Regression (threshold 2 %): 1 slower, 20 same, 20 not known"
    assert screen[2] == "Compared: base (main, 0123456789) → head (HEAD, fedcba9876)"
    change = "+3.1 % [+2.4, +3.9]<br>12.3 -> 12.68 ms a call"
    assert screen[6] == f"| **slower by at least 2 %** | {change} | `shop:total` |"
    assert any(line.startswith("**Next:** `gr-bench bisect ") for line in screen)
    assert "same_" not in page.partition("<details>")[0]
    assert "15 more that changed or are not known" in page
    assert "20 with no change found" in page


def test_regressions_come_first_and_then_what_is_not_known() -> None:
    size = finding("size", "same", changes=(LARGER,))
    more = finding("more", ratio=stats.Interval(1.1, 1.08, 1.12))
    rows = [finding("f", "faster"), finding("s", "same"), finding("u", "undecided"), size, more]
    assert [row[2] for row in table_rows(markdown(compared(*rows)))] == [
        "more",
        "size",
        "u",
        "f",
        "s",
    ]


@pytest.mark.parametrize(
    ("verdicts", "sign"),
    [
        (["same", "same"], "✅"),
        (["same", "faster"], "✅"),
        (["same", "undecided"], "❔"),
        (["slower", "undecided"], "❌"),
        ([None], "❔"),
    ],
)
def test_the_sign(verdicts: list[str | None], sign: str) -> None:
    first = markdown(compared(*(finding(verdict=v) for v in verdicts))).splitlines()[0]
    assert first.startswith(f"### {sign} ")
    assert ("No regression" in first) == (sign == "✅")


UNKNOWN = finding(verdict="undecided")


@pytest.mark.parametrize(
    ("comparison", "advice"),
    [
        (compared(finding()), "`gr-bench bisect 0123456789 fedcba9876`"),
        (
            compared(finding(), head="head (WORKTREE, fedcba9876)"),
            "between two commits, `gr-bench bisect`",
        ),
        (compared(finding(), base="pip:shop==1.0"), "between two commits, `gr-bench bisect`"),
        (compared(UNKNOWN, more_time_s=722.0), "a `--budget` larger by 12 minutes would tell"),
        (compared(UNKNOWN), "a larger `--budget` would tell"),
        (
            compared(finding(verdict="undecided", pairs=None), base="runs/a (now)", head="runs/b"),
            "longer runs would tell",
        ),
    ],
)
def test_the_next_step(comparison: Comparison, advice: str) -> None:
    assert words.next_step(comparison).startswith(advice)
    assert f"**Next:** {advice}" in markdown(comparison)


def test_where_nothing_is_to_be_done_nothing_is_said() -> None:
    assert "Next" not in markdown(compared(finding(verdict="same"), finding(verdict="faster")))


def test_how_it_was_measured_is_told_whole() -> None:
    how = "Every word of it. " * 50 + "End."
    comparison = compared(finding(), how=how)
    assert how in markdown(comparison)
    assert how in " ".join(line.strip() for line in printed(comparison, 80))


def test_a_comment_has_room_at_github() -> None:
    """65,536 characters is the most that it takes."""
    long = [finding(f"{n}" + "`|" * 500, "undecided") for n in range(300)]
    same = [finding(f"{n}" + "`|" * 500, "same") for n in range(300)]
    page = markdown(compared(*long, *same, notes=["|" * 5000] * 50))
    assert len(page) < 65_000
    assert "more (`--json` has all)" in page
    rendered(page)
