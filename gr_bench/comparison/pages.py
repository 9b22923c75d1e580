"""A comparison for readers: a table on the terminal, a comment on a pull request."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gr_bench.comparison import words
from gr_bench.comparison.findings import Comparison, Finding

STYLES = {"slower": "bold red", "faster": "green", "undecided": "yellow"}

WHOLE_LINES = 100_000
"""Width where there is no terminal: a log, or a program, gets every row on one line."""

NARROW = 120
"""Width below which a table's columns fold."""

VERDICT_WIDTH, VALUES_WIDTH = 15, 17
"""Widths of columns that fold."""

MOST_NOTES = 10

MOST_ROWS = 6
"""Rows of a comment that are not folded away: with them, the first screen has the advice, too."""

ROOM = 12_000
"""Characters of a comment's table. GitHub takes 65,536 in all."""


def show(comparison: Comparison, console: Console | None = None) -> None:
    """Print every finding, then the notes, then the verdict and what to do next."""
    console = console or Console(width=None if sys.stdout.isatty() else WHOLE_LINES)

    def line(text: str, style: str = "") -> None:
        console.print(Text(text, style))

    narrow = console.width < NARROW
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("verdict", max_width=VERDICT_WIDTH if narrow else None)
    table.add_column("change [95 %]", no_wrap=True)
    table.add_column("base -> head", max_width=VALUES_WIDTH if narrow else None)
    table.add_column("of what", overflow="fold")
    for finding in comparison.findings:
        row = (
            words.verdict(finding, comparison.threshold),
            words.change(finding),
            ("\n" if narrow else " ").join(words.values(finding)),
            words.short(finding.name),
        )
        table.add_row(*map(Text, row), style=STYLES.get(finding.verdict or "", ""))
    line(f"{words.short(comparison.base)} -> {words.short(comparison.head)}")
    console.print(table)
    for text in (*_first(comparison.notes), *_counter_lines(comparison.findings)):
        line(f"- {text}")
    line(comparison.how)
    line(comparison.headline, "bold red" if comparison.regressed else "bold")
    if advice := words.next_step(comparison):
        line(f"next: {advice}")


def markdown(comparison: Comparison) -> str:
    """A pull request's comment: the verdict, what is worse or not known, what to do next, and the
    rest folded away.
    """
    ordered = words.worst_first(comparison.findings)
    news = [finding for finding in ordered if words.is_news(finding)]
    rest = [finding for finding in ordered if not words.is_news(finding)]
    advice = words.next_step(comparison)

    def folded(title: str, findings: Sequence[Finding]) -> str:
        return _folded(title, _table(findings, comparison.threshold)) if findings else ""

    parts = [
        f"### {words.sign(comparison)} {_text(comparison.headline)}",
        f"Compared: {_text(words.short(comparison.base))} → {_text(words.short(comparison.head))}",
        _table(news[:MOST_ROWS], comparison.threshold),
        f"**Next:** {advice}." if advice else "",
        "\n".join(f"- {_code(note)}" for note in _first(comparison.notes)),
        folded(f"{len(news) - MOST_ROWS} more that changed or are not known", news[MOST_ROWS:]),
        folded(f"{len(rest)} with no change found", rest),
        _folded("How this was measured", _text(comparison.how)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _counter_lines(findings: Iterable[Finding]) -> list[str]:
    return [
        f"{words.short(finding.name)}: {words.short(str(change))}"
        for finding in findings
        for change in finding.changes
    ]


def _first(notes: Sequence[str]) -> list[str]:
    rest = len(notes) - MOST_NOTES
    more = [f"... and {rest} more notes (--json has all)"] * (rest > 0)
    return [words.short(note) for note in notes[:MOST_NOTES]] + more


def _table(findings: Sequence[Finding], threshold: float) -> str:
    """A Markdown table of as many findings as there is room for."""
    if not findings:
        return ""
    lines = ["| verdict | change [95 %] | of what |", "|---|---|---|"]
    for number, finding in enumerate(findings):
        line = _row(finding, threshold)
        if sum(map(len, lines)) + len(line) > ROOM:
            return (
                "\n".join(lines) + f"\n\n... and {len(findings) - number} more (`--json` has all)"
            )
        lines.append(line)
    return "\n".join(lines)


def _row(finding: Finding, threshold: float) -> str:
    verdict = words.verdict(finding, threshold)
    values = [" ".join(words.values(finding))] if finding.base is not None else []
    details = [_text(words.short(text)) for text in (*values, *map(str, finding.changes))]
    cells = (
        f"**{verdict}**" if finding.regressed else verdict,
        "<br>".join([words.change(finding), *details]),
        _code(finding.name),
    )
    return f"| {' | '.join(cells)} |"


def _folded(title: str, text: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


def _text(text: str) -> str:
    """Markdown that shows the text as it is, in a table, too, and that calls nobody by an @."""
    escaped = re.sub(r"([\\`*_\[\]~$#!<&])", r"\\\1", words.one_line(text))
    return escaped.replace("|", "&#124;").replace("@", "@\u200b")


def _code(text: str) -> str:
    """Markdown that shows the text as it is, as code."""
    line = words.short(text)
    if not {"`", "|"} & set(line):
        return f"`{line}`"
    references = (c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in line)
    return f"<code>{''.join(references)}</code>"
