"""Comparisons with numbers chosen by hand, for what shows them."""

from __future__ import annotations

from typing import Any

from gr_bench import stats
from gr_bench.comparison.findings import Change, Comparison, Finding

RATIOS = {
    "slower": stats.Interval(1.031, 1.024, 1.039),
    "faster": stats.Interval(0.95, 0.94, 0.96),
    "same": stats.Interval(1.001, 0.997, 1.005),
    "undecided": stats.Interval(1.011, 0.987, 1.035),
}
LARGER = Change("peak_bytes", 1000, 2000, True)


def finding(name: str = "shop:total", verdict: Any = "slower", **fields: Any) -> Finding:
    """A finding from eight pairs; a verdict of None has no time."""
    ratio = RATIOS.get(verdict)
    time: dict[str, Any] = {} if ratio is None else {"base": 12.3, "head": 12.3 * ratio.center}
    known = {"quantity": "ms a call", "ratio": ratio, "pairs": 8, "verdict": verdict}
    return Finding(**{"name": name, **known, **time, **fields})


def compared(*findings: Finding, **fields: Any) -> Comparison:
    """Two revisions compared, at a threshold of 2 %."""
    sides = {"base": "base (main, 0123456789)", "head": "head (HEAD, fedcba9876)"}
    rest = {"threshold": 0.02, "notes": (), "how": "By hand."}
    return Comparison(**{**sides, **rest, "findings": findings, **fields})
