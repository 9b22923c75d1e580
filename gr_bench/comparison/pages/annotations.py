"""A comparison told to GitHub: annotations, the step's summary and its outputs."""

from __future__ import annotations

import os
import sys

import gr_bench.comparison.pages.words as words
from gr_bench.comparison.findings import Comparison, Finding
from gr_bench.comparison.pages.comment import markdown

MOST_ERRORS = 9
"""Regressions with an annotation of their own. GitHub shows ten errors of a step; the tenth says
how many more there are."""

MOST_NAMES = 5
"""Names in the annotation of what is not known."""


def publish(comparison: Comparison) -> None:
    """Tell GitHub, where this is one of its jobs.

    Annotations are printed if ``GITHUB_ACTIONS`` is ``true``. The comment is appended to the file
    that ``GITHUB_STEP_SUMMARY`` names, and ``regression``, ``undecided`` and ``headline`` to
    ``GITHUB_OUTPUT``. A file that cannot be written is said, and changes no verdict.
    """
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print("\n".join(commands(comparison)))
    _append("GITHUB_STEP_SUMMARY", markdown(comparison))
    _append("GITHUB_OUTPUT", _outputs(comparison))


def commands(comparison: Comparison) -> list[str]:
    """Workflow commands: an error a regression, a warning of what is not known, and a notice with
    the headline.
    """
    ordered = words.worst_first(comparison.findings)
    worse = [finding for finding in ordered if finding.regressed]
    unknown = [words.short(f.name) for f in ordered if f.verdict == "undecided"]
    lines = [
        command("error", words.verdict(finding, comparison.threshold), _message(finding))
        for finding in worse[:MOST_ERRORS]
    ]
    if len(worse) > MOST_ERRORS:
        lines.append(command("error", "more", f"{len(worse) - MOST_ERRORS} more are worse"))
    if unknown:
        more = ["..."] * (len(unknown) > MOST_NAMES)
        names = "\n".join(unknown[:MOST_NAMES] + more)
        lines.append(command("warning", f"{len(unknown)} not known", names))
    return [*lines, command("notice", "verdict", comparison.headline)]


def command(level: str, title: str, message: str) -> str:
    """One workflow command, ``::error title=gr-bench%3A slower::message``, on one line."""
    return f"::{level} title={_escaped(f'gr-bench: {title}', _IN_PROPERTY)}::{_escaped(message)}"


_IN_MESSAGE = "%\r\n"
_IN_PROPERTY = "%\r\n:,"


def _escaped(text: str, special: str = _IN_MESSAGE) -> str:
    return "".join(f"%{ord(c):02X}" if c in special else c for c in text)


def _message(finding: Finding) -> str:
    name = words.short(finding.name)
    numbers, unit = words.values(finding)
    time = [f"{words.change(finding)}, {numbers} {unit}"] if finding.ratio else []
    return f"{name}: {'; '.join([*time, *map(str, finding.changes)])}"


def _outputs(comparison: Comparison) -> str:
    """Lines of a step's outputs."""
    values = {
        "regression": str(comparison.regressed).lower(),
        "undecided": str(comparison.undecided).lower(),
        "headline": words.one_line(comparison.headline),
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _append(variable: str, text: str) -> None:
    """Append to the file that an environment variable names, if it is set."""
    name = os.environ.get(variable)
    if not name:
        return
    try:
        with open(name, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        print(f"gr-bench: {variable} was not written: {error}", file=sys.stderr)
