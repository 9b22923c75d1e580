"""Findings of a comparison, one by one, and the rule that calls them regressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from gr_bench import stats
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.units import roughly

if TYPE_CHECKING:
    import pandas as pd

FALSE_DISCOVERY_RATE = 0.01
"""Of all calls that something is slower or faster, the part that may be chance. A gate that fails
without cause is soon ignored, so this is less than the usual 5 %."""

COUNTERS = {"flops": "FLOPs", "peak_bytes": "peak bytes", "operator_calls": "operator calls"}
"""Quantities that do not depend on the clock; a rise of the first two can be a regression."""

VERDICTS: tuple[stats.Verdict, ...] = ("slower", "faster", "same", "undecided")


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
    """One quantity of one subject on both sides, and the verdict on it."""

    name: str
    """The subject in words: a cell, or the name of a call."""

    cell: StepCostCell | None = None
    """The cell, where the subject is one."""

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

    pairs: int | None = None
    """Pairs of processes that the ratio is from; None for stored runs."""

    unconfirmed: bool = False
    """True if an alarm stood and fresh pairs have not confirmed it."""

    verdict: stats.Verdict | None = None
    beyond_threshold: bool = False
    """True if the whole interval is beyond the threshold: slower or faster by at least that."""

    changes: tuple[Change, ...] = ()

    @property
    def regressed(self) -> bool:
        """True if the subject is slower, or larger than the threshold allows."""
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
    """Notes beside the findings: subjects that only one side has, what differs."""

    how: str
    """The way it was measured, in a sentence."""

    smallest_seen: float | None = None
    """The smallest slowdown, relative, that would have been called in every undecided subject;
    None if none is undecided, or it is not known."""

    more_time_s: float | None = None
    """About how much longer it would take to decide the rest; None: nothing is left to decide, or
    it is not known."""

    @property
    def regressed(self) -> bool:
        """True if anything is worse by more than the threshold."""
        return any(finding.regressed for finding in self.findings)

    @property
    def counts(self) -> dict[stats.Verdict, int]:
        """Findings by verdict, counted; those that were not timed have none."""
        verdicts = [finding.verdict for finding in self.findings]
        return {verdict: verdicts.count(verdict) for verdict in VERDICTS}

    @property
    def undecided(self) -> bool:
        """True if it is not known of something whether it is slower."""
        return self.counts["undecided"] > 0

    @property
    def table(self) -> pd.DataFrame:
        """A row a finding: ``name, quantity, base, head, ratio, ratio_low, ratio_high, verdict,
        beyond_threshold, pairs``, and the counters that changed, in words.
        """
        import pandas as pd

        columns = ("name", "quantity", "base", "head")
        last = ("verdict", "beyond_threshold", "pairs")
        rows = []
        for finding in self.findings:
            ratio = finding.ratio or (None, None, None)
            rows.append(
                {column: getattr(finding, column) for column in columns}
                | dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True))
                | {column: getattr(finding, column) for column in last}
                | {"changes": "; ".join(map(str, finding.changes))}
            )
        return pd.DataFrame(rows)

    def plain(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "regression": self.regressed,
            "undecided": self.undecided,
            "headline": self.headline,
            "counts": self.counts,
            **asdict(self),
        }

    @property
    def headline(self) -> str:
        """The verdict in a line. It says "no regression" only where everything is known."""
        counts = self.counts
        words = {"undecided": "not known"}
        counted = [f"{n} {words.get(verdict, verdict)}" for verdict, n in counts.items() if n]
        if self.regressed:
            word = "Regression"
        elif self.undecided or not counted:
            word = "Nothing worse was shown"
        else:
            word = "No regression"
        counters = {COUNTERS[c.counter] for f in self.findings for c in f.changes}
        parts = [
            f"{word} (threshold {100 * self.threshold:g} %): "
            f"{', '.join(counted) or 'nothing was timed'}"
        ]
        if self.smallest_seen is not None:
            parts.append(f"this would have seen {100 * self.smallest_seen:.2g} % and more")
        if self.more_time_s is not None:
            parts.append(f"about {roughly(self.more_time_s)} more would decide the rest")
        if counters:
            parts.append(f"changed: {', '.join(sorted(counters))}")
        return "; ".join(parts)


def judged(findings: Sequence[Finding], threshold: float) -> tuple[Finding, ...]:
    """Give every finding that was timed its verdict.

    - ``same``: the whole interval is within the threshold, 1/(1 + threshold) to 1 + threshold
      (either end of a 95 % interval is a one-sided test of equivalence at 2.5 %);
    - ``slower``, ``faster``: the ratio itself is beyond the threshold and beyond the floor, it is
      among the discoveries of Benjamini and Hochberg's procedure over all findings at
      :data:`FALSE_DISCOVERY_RATE`, and fresh pairs have confirmed it;
    - ``undecided``: neither. More pairs or a quieter machine would tell.
    """
    timed = [(finding, finding.ratio) for finding in findings if finding.ratio is not None]
    p_values = [finding.p_value for finding, _ in timed]
    believed = stats.discoveries(p_values, FALSE_DISCOVERY_RATE) if timed else []
    verdicts = {
        id(finding): called(ratio, threshold, known and not finding.unconfirmed, finding.floor)
        for (finding, ratio), known in zip(timed, believed, strict=True)
    }
    return tuple(
        replace(
            finding,
            verdict=(verdict := verdicts.get(id(finding))),
            beyond_threshold=verdict in ("slower", "faster") and _is_beyond(finding, threshold),
        )
        for finding in findings
    )


def called(
    ratio: stats.Interval, threshold: float, believed: bool, floor: float = 0.0
) -> stats.Verdict:
    """The verdict on one ratio, by the rule of :func:`judged`.

    Args:
        ratio: head/base with its interval.
        threshold: relative, the smallest difference that matters.
        believed: True if it is among the discoveries, and confirmed.
        floor: a relative difference up to here is noise.
    """
    word = stats.verdict(ratio, threshold)
    apart = max(ratio.center, 1 / ratio.center) > 1 + max(threshold, floor)
    return word if word == "same" or (believed and apart) else "undecided"


def _is_beyond(finding: Finding, threshold: float) -> bool:
    ratio = finding.ratio
    return ratio is not None and (ratio.low >= 1 + threshold or ratio.high <= 1 / (1 + threshold))


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
