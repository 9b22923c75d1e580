"""The verdicts in words for people, and as JSON."""

from __future__ import annotations

import json
import os
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from gr_bench.checks.outcome import VERDICTS, Result

WIDTH = 80


def lines(spec: str, results: Sequence[Result]) -> Iterator[str]:
    """A line a rule within 80 columns, then every finding at length, then a summary."""
    for result in results:
        yield line(result)
    yield from findings(results)
    yield summary(spec, results)


def line(result: Result) -> str:
    """One verdict in a line."""
    head = f"{result.verdict:<14}  {result.rule:<20}  "
    return head + textwrap.shorten(result.words, WIDTH - len(head), placeholder=" ...")


def findings(results: Sequence[Result]) -> Iterator[str]:
    """Each finding whole: what was found, the harm, and the source line."""
    for result in results:
        if result.verdict != "finding":
            continue
        text = f"{result.rule}: {result.words}. What it does: {result.suffers}"
        yield from textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        if result.where is not None:
            yield f"  {_near(result.where)}"


def summary(spec: str, results: Sequence[Result]) -> str:
    """The method with the count of each verdict."""
    counts = Counter(result.verdict for result in results)
    words = {"pass": "passed", "finding": "findings" if counts["finding"] > 1 else "finding"}
    told = ", ".join(f"{counts[v]} {words.get(v, v)}" for v in VERDICTS if counts[v])
    return f"{spec}: {told}"


def _near(where: str) -> str:
    """A path from here, if that is shorter."""
    near = os.path.relpath(where)
    return near if len(near) < len(where) else where


def as_json(checked: Mapping[str, Sequence[Result]]) -> str:
    """``{"methods": [{"method": ..., "rules": [...]}]}``."""
    methods = [
        {"method": spec, "rules": [asdict(result) for result in results]}
        for spec, results in checked.items()
    ]
    return json.dumps({"methods": methods}, indent=2)
