"""A comparison in words and percentages, as every page and annotation says it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from gr_bench import stats
from gr_bench.comparison.findings import COUNTERS, Comparison, Finding
from gr_bench.units import roughly

MOST_CHARACTERS = 300
"""Length of a name or a note on a page; what is longer is cut."""

MOST_NOTES = 10

NOT_A_COMMIT = "WORKTREE"


def one_line(text: str) -> str:
    """The text on one line, of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "-"


def short(text: str) -> str:
    """The text on one line, and cut if it is long."""
    line = one_line(text)
    return line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 3] + "..."


def verdict(finding: Finding, threshold: float) -> str:
    """The verdict: ``slower by at least 2 %``, ``more peak bytes, time same within 2 %``."""
    larger = [f"more {COUNTERS[c.counter]}" for c in finding.changes if c.regression]
    time = _time_verdict(finding, f"{100 * threshold:g} %")
    return ", ".join([*larger, f"time {time}"]) if larger else time


def _time_verdict(finding: Finding, threshold: str) -> str:
    match finding.verdict:
        case None:
            return "not judged"
        case "same":
            return f"same within {threshold}"
        case "undecided":
            return "alarm not confirmed" if finding.unconfirmed else "not known"
        case word:
            return f"{word} by at least {threshold}" if finding.beyond_threshold else word


def change(finding: Finding) -> str:
    """The relative change of the time with its 95 % interval: ``+3.1 % [+2.4, +3.9]``."""
    return "-" if finding.ratio is None else relative(finding.ratio)


def relative(ratio: stats.Interval) -> str:
    """A ratio as a relative change with its interval; alone if it is exact: ``+3.1 %``."""
    decimals = 2 if ratio.high - ratio.low < 0.002 else 1
    center, low, high = (_percent(value, decimals) for value in ratio)
    return f"{center} %" if ratio.low == ratio.high else f"{center} % [{low}, {high}]"


def _percent(ratio: float, decimals: int) -> str:
    percent = 100 * (ratio - 1)
    text = f"{percent:+,.{decimals if abs(percent) < 100 else 0}f}"
    return text if text.strip("+-0.") else text[1:]  # no sign on zero


def values(finding: Finding) -> tuple[str, str]:
    """Both values, and their unit: ``12.3 -> 12.7`` and ``ms a step``."""
    if finding.base is None or finding.head is None:
        return "-", ""
    return f"{finding.base:.4g} -> {finding.head:.4g}", short(finding.quantity)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Regressions, then what is not known, then what else changed; the largest change first."""

    def key(finding: Finding) -> tuple[bool, bool, bool, float]:
        ratio = finding.ratio
        size = 1.0 if ratio is None else max(ratio.center, 1 / (ratio.center or math.inf))
        undecided = finding.verdict == "undecided"
        return not finding.regressed, not undecided, not finding.changed, -size

    return sorted(findings, key=key)


def is_news(finding: Finding) -> bool:
    """True if it changed, or is not known."""
    return finding.changed or finding.verdict == "undecided"


def first_notes(comparison: Comparison) -> list[str]:
    """The first notes, and how many more there are."""
    notes = comparison.notes
    more = [f"... and {len(notes) - MOST_NOTES} more notes (--json has all)"]
    return [short(note) for note in notes[:MOST_NOTES]] + more * (len(notes) > MOST_NOTES)


def counter_lines(comparison: Comparison) -> list[str]:
    """Every counter that changed."""
    return [
        f"{short(finding.name)}: {short(str(change))}"
        for finding in comparison.findings
        for change in finding.changes
    ]


def sign(comparison: Comparison) -> str:
    """A sign for the headline: worse, all known and nothing worse, or not known."""
    if comparison.regressed:
        return "❌"
    known = any(comparison.counts.values()) and not comparison.undecided
    return "✅" if known else "❔"


def next_step(comparison: Comparison) -> str:
    """Advice in a line, with a command between backticks where there is one; empty where there is
    nothing to do.
    """
    stored = all(finding.pairs is None for finding in comparison.findings)
    commits = [_commit(side) for side in (comparison.base, comparison.head)]
    if comparison.regressed and all(commits):
        good, bad = commits
        return (
            f"`gr-bench bisect {good} {bad}`, with the other options of this comparison, "
            "finds the commit"
        )
    if comparison.regressed:
        return "between two commits, `gr-bench bisect` would find the one that did it"
    if not comparison.undecided:
        return ""
    if stored and not any(commits):
        return (
            "longer runs would tell, or `gr-bench compare git:BASE git:HEAD`, which times both in "
            "alternation"
        )
    more = comparison.more_time_s
    larger = "a larger `--budget`" if more is None else f"a `--budget` larger by {roughly(more)}"
    return f"{larger} would tell, or a quieter machine"


def _commit(side: str) -> str | None:
    """The commit in a side's words, ``base (main, 0123456789)``; None where there is none."""
    found = re.fullmatch(r"(?:base|head) \((.*), ([0-9a-f]{7,40})\)", side)
    return None if found is None or found[1] == NOT_A_COMMIT else found[2]
