"""A comparison for readers: a table on the terminal, a comment on a pull request."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

from gr_bench.comparison.findings import Comparison, Finding

STYLES = {"slower": "bold red", "faster": "green", "undecided": "yellow"}

MOST_NOTES = 10


LOG_COLUMNS = 160
"""Width of a table where there is no terminal: a log has room for whole rows."""


def show(comparison: Comparison) -> None:
    """Print every finding, then the notes, then the verdict."""
    console = Console(width=None if sys.stdout.isatty() else LOG_COLUMNS)
    table = Table(caption=comparison.how, caption_justify="left")
    for title in _row(None):
        table.add_column(title, justify="left" if title in ("cell", "verdict") else "right")
    for finding in comparison.findings:
        table.add_row(*_row(finding).values(), style=STYLES.get(finding.verdict or "", ""))
    console.print(f"{comparison.base} -> {comparison.head}", markup=False, soft_wrap=True)
    console.print(table, markup=False)
    for line in (*_first(comparison.notes), *_counter_lines(comparison.findings)):
        console.print(f"- {line}", markup=False, highlight=False, soft_wrap=True)
    style = "bold red" if comparison.regressed else "bold green"
    console.print(comparison.headline, markup=False, highlight=False, style=style, soft_wrap=True)


def markdown(comparison: Comparison) -> str:
    """A pull request's comment: the verdict, what changed, and the rest folded away."""
    changed = [finding for finding in comparison.findings if finding.changed]
    rest = [finding for finding in comparison.findings if not finding.changed]
    sign = "❌" if comparison.regressed else "✅"
    parts = [
        f"### {sign} {comparison.headline}",
        f"{comparison.base} → {comparison.head}",
        _table(changed),
        _list([*_first(comparison.notes), *_counter_lines(changed)]),
        _folded(f"{len(rest)} more, with no change found", _table(rest)) if rest else "",
        _folded("How this was measured", comparison.how),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(finding: Finding | None) -> dict[str, str]:
    """One row's cells by title; without a finding, the titles."""
    titles = ("cell", "quantity", "base", "head", "head/base (95 %)", "verdict")
    if finding is None:
        return dict.fromkeys(titles, "")
    ratio = finding.ratio
    texts = (
        finding.name,
        finding.quantity,
        _number(finding.base),
        _number(finding.head),
        f"{ratio.center:.4f} [{ratio.low:.4f}, {ratio.high:.4f}]" if ratio else "-",
        finding.verdict or "-",
    )
    return dict(zip(titles, texts, strict=True))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _counter_lines(findings: Sequence[Finding]) -> list[str]:
    return [f"{finding.name}: {change}" for finding in findings for change in finding.changes]


def _first(notes: Sequence[str]) -> list[str]:
    rest = len(notes) - MOST_NOTES
    return [*notes[:MOST_NOTES], *([f"... and {rest} more notes (--json has all)"] * (rest > 0))]


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    table = pd.DataFrame([_row(finding) for finding in findings])
    return table.to_markdown(index=False, disable_numparse=True)


def _folded(title: str, text: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"
