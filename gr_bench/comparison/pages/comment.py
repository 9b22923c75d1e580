"""A comparison as a pull request's comment."""

from __future__ import annotations

import re
from collections.abc import Sequence

import gr_bench.comparison.pages.words as words
from gr_bench.comparison.findings import Comparison, Finding

MOST_ROWS = 6
"""Rows of a comment that are not folded away: with them, the first screen has the advice, too."""

ROOM = 12_000
"""Characters of a comment's table. GitHub takes 65,536 in all."""


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
        "\n".join(f"- {_code(note)}" for note in words.first_notes(comparison)),
        folded(f"{len(news) - MOST_ROWS} more that changed or are not known", news[MOST_ROWS:]),
        folded(f"{len(rest)} with no change found", rest),
        _folded("How this was measured", _text(comparison.how)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


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
