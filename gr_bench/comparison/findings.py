"""Findings of a comparison, cell by cell, and the rule that calls them regressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gr_bench import stats
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.step_cost.cell import StepCostCell

FALSE_DISCOVERY_RATE = 0.01
"""Of all calls that something is slower or faster, the part that may be chance. A gate that fails
without cause is soon ignored, so this is less than the usual 5 %."""

COUNTERS = {"flops": "FLOPs", "peak_bytes": "peak bytes", "operator_calls": "operator calls"}
"""Quantities that do not depend on the clock; a rise of the first two can be a regression."""


def name_of(cell: Cell) -> str:
    """A cell in words, the experiment left out."""
    return str(cell).partition(" / ")[2]


@dataclass(frozen=True)
class Change:
    """A counter that is not what it was."""

    counter: str
    base: int
    head: int
    regression: bool
    detail: str = ""

    def __str__(self) -> str:
        growth = f" ({self.head / self.base - 1:+.2%})" if self.base else ""
        detail = f": {self.detail}" if self.detail else ""
        return f"{COUNTERS[self.counter]} {self.base:,} -> {self.head:,}{growth}{detail}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One quantity of one cell on both sides, and the verdict on it."""

    cell: StepCostCell
    quantity: str
    """The quantity that ``base`` and ``head`` are values of, with its unit."""

    base: float | None = None
    head: float | None = None
    ratio: stats.Interval | None = None
    """head/base with its 95 % interval; None where nothing was timed."""

    p_value: float = 1.0
    floor: float = 0.0
    """A relative difference up to here is noise, whatever the interval says."""

    spread: float | None = None
    """Standard deviation of the log-ratio between pairs."""

    verdict: stats.Verdict | None = None
    changes: tuple[Change, ...] = ()

    @property
    def regressed(self) -> bool:
        """True if the cell is slower, or larger than the threshold allows."""
        return self.verdict == "slower" or any(change.regression for change in self.changes)

    @property
    def changed(self) -> bool:
        """True if there is anything to see."""
        return self.verdict in ("slower", "faster") or bool(self.changes)


@dataclass(frozen=True)
class Comparison:
    """Two things compared."""

    base: str
    head: str
    threshold: float
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """Notes beside the findings: cells that only one side has, what differs."""

    how: str
    """How it was measured, in a sentence."""

    @property
    def regressed(self) -> bool:
        """True if anything is worse by more than the threshold."""
        return any(finding.regressed for finding in self.findings)

    def plain(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"regression": self.regressed, "headline": self.headline, **asdict(self)}

    @property
    def headline(self) -> str:
        """The verdict in a line."""
        verdicts = [finding.verdict for finding in self.findings if finding.verdict]
        counted = [
            f"{verdicts.count(verdict)} {verdict}"
            for verdict in ("slower", "faster", "same", "undecided")
            if verdict in verdicts
        ]
        counters = {str(COUNTERS[c.counter]) for f in self.findings for c in f.changes}
        changed = f"; changed: {', '.join(sorted(counters))}" if counters else ""
        word = "Regression" if self.regressed else "No regression found"
        timed = ", ".join(counted) or "nothing was timed"
        return f"{word} (threshold {100 * self.threshold:g} %): {timed}{changed}"


def judged(findings: Sequence[Finding], threshold: float) -> tuple[Finding, ...]:
    """Give every finding that was timed its verdict.

    - ``same``: the whole interval is within the threshold, 1/(1 + threshold) to 1 + threshold;
    - ``slower``, ``faster``: the ratio itself is beyond the threshold and beyond the floor, its
      interval does not contain 1, and it is among the discoveries of Benjamini and Hochberg's
      procedure over all findings at :data:`FALSE_DISCOVERY_RATE`;
    - ``undecided``: neither. More pairs or a quieter machine would tell.
    """
    timed = [(finding, finding.ratio) for finding in findings if finding.ratio is not None]
    p_values = [finding.p_value for finding, _ in timed]
    believed = stats.discoveries(p_values, FALSE_DISCOVERY_RATE) if timed else []
    verdicts = {
        id(finding): called(ratio, threshold, known, finding.floor)
        for (finding, ratio), known in zip(timed, believed, strict=True)
    }
    return tuple(replace(finding, verdict=verdicts.get(id(finding))) for finding in findings)


def called(
    ratio: stats.Interval, threshold: float, believed: bool, floor: float = 0.0
) -> stats.Verdict:
    """The verdict on one ratio, by the rule of :func:`judged`.

    Args:
        ratio: head/base with its interval.
        threshold: relative, the smallest difference that matters.
        believed: True if it is among the discoveries.
        floor: a relative difference up to here is noise.
    """
    word = stats.verdict(ratio, threshold)
    apart = max(ratio.center, 1 / ratio.center) > 1 + max(threshold, floor)
    return word if word == "same" or (believed and apart) else "undecided"


def changes(
    base: Mapping[str, Any], head: Mapping[str, Any], threshold: float
) -> tuple[Change, ...]:
    """Every counter that both sides have and that differs, however little."""
    found = []
    for counter in COUNTERS:
        old, new = base.get(counter), head.get(counter)
        if old is None or new is None or old == new:
            continue
        worse = counter != "operator_calls" and new > old * (1 + threshold)
        detail = ""
        if counter == "operator_calls":
            detail = _operators(base["operators"], head["operators"])
        found.append(Change(counter, old, new, worse, detail))
    return tuple(found)


def _operators(base: Mapping[str, int], head: Mapping[str, int], most: int = 4) -> str:
    """The operators that are called more or less often, the largest difference first."""
    gained = {key: head.get(key, 0) - base.get(key, 0) for key in sorted({*base, *head})}
    ordered = sorted((key for key in gained if gained[key]), key=lambda key: -abs(gained[key]))
    words = [f"{key.removesuffix('.default')} {gained[key]:+d}" for key in ordered]
    return ", ".join(words[:most] + ["..."] * (len(words) > most))
