"""A comparison on the terminal."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

import gr_bench.comparison.pages.words as words
from gr_bench.comparison.findings import Comparison

STYLES = {"slower": "bold red", "faster": "green", "undecided": "yellow"}

WHOLE_LINES = 100_000
"""Width where there is no terminal: a log, or a program, gets every row on one line."""

NARROW = 120
"""Width below which a table's columns fold."""

VERDICT_WIDTH, VALUES_WIDTH = 15, 17
"""Widths of columns that fold."""


def show(comparison: Comparison, console: Console | None = None) -> None:
    """Print every finding, then the notes, then what to do next and the verdict."""
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
    for text in (*words.first_notes(comparison), *words.counter_lines(comparison)):
        line(f"- {text}")
    line(comparison.how)
    if advice := words.next_step(comparison):
        line(f"next: {advice}")
    line(comparison.headline, "bold red" if comparison.regressed else "bold")
