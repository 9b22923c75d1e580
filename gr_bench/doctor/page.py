"""The checks in words for people, and as JSON."""

from __future__ import annotations

import json
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from gr_bench.doctor.check import Check, Number

WIDTH = 80


def lines(checks: Sequence[Check]) -> Iterator[str]:
    """A line a check within 80 columns, then what to do, then a summary."""
    for check in checks:
        head = f"{check.verdict:<8} {check.name:<16} "
        yield head + textwrap.shorten(check.meaning, WIDTH - len(head), placeholder=" ...")
    for check in checks:
        if check.advice is not None:
            yield from textwrap.wrap(
                f"{check.name}: {check.advice}",
                WIDTH,
                subsequent_indent="  ",
                break_on_hyphens=False,
            )
    counts = Counter(check.verdict for check in checks)
    words = {"pass": "passed", "fail": "failed", "unknown": "not known"}
    yield ", ".join(f"{counts[v]} {word}" for v, word in words.items() if counts[v])  # type: ignore[index]


def as_json(checks: Sequence[Check]) -> str:
    """``{"checks": [...]}``, with null for what is not known."""
    rows = [asdict(check) for check in checks]
    for row in rows:
        row["measured"] = {name: _plain(value) for name, value in row["measured"].items()}
    return json.dumps({"checks": rows}, indent=2)


def _plain(value: Number) -> Number:
    """The value, or None for a float that JSON has no word for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
