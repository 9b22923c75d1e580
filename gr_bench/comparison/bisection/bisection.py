"""A bisection's record: what was measured, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from gr_bench import stats
from gr_bench.comparison import sequential
from gr_bench.comparison.bisection.path import Commit
from gr_bench.comparison.bisection.search import Search
from gr_bench.comparison.findings import COUNTERS, Comparison, Finding
from gr_bench.comparison.subject import Subject

Outcome = Literal["nothing", "culprit", "unconfirmed", "spread", "skipped", "open", "interrupted"]
"""The ways in which a bisection ends:

- nothing: BAD is not worse than GOOD;
- culprit: one commit is, against its parent, by more than the threshold;
- unconfirmed: one commit is left, but alone it was not shown to be;
- spread: so little is left of the rise in the range that no commit can be by itself;
- skipped: of several commits it is not known which, since those between cannot be measured;
- open: it is not known, as the time ran out;
- interrupted.
"""


@dataclass(frozen=True)
class Target:
    """The quantity that is followed from commit to commit: a subject's time, or a counter of it."""

    subject: Subject
    counter: str | None
    good: float
    """The counter in GOOD, and 0 for a time: the log-ratio to GOOD."""

    bad: float
    """The same in BAD."""

    def is_worse(self, finding: Finding) -> bool:
        """True if a finding on the subject says that the target is worse."""
        if self.counter is None:
            return finding.verdict == "slower"
        return any(c.counter == self.counter and c.regression for c in finding.changes)


@dataclass
class Tested:
    """A commit that was tested, against GOOD."""

    position: int
    log_ratios: list[float] = field(default_factory=list)
    """Log(commit/GOOD), one a pair of processes, where a time is followed."""

    count: int | None = None
    """The counter, where one is followed."""

    why_skipped: str | None = None


@dataclass
class Bisection:
    """Everything so far."""

    good: str
    bad: str
    path: list[Commit]
    """GOOD, and every commit after it up to BAD."""

    threshold: float
    notes: list[str] = field(default_factory=list)
    """Notes beside those of the comparisons."""

    whole: Comparison | None = None
    """GOOD against BAD."""

    target: Target | None = None
    search: Search | None = None
    tested: dict[int, Tested] = field(default_factory=dict)
    alone: Comparison | None = None
    """The range's first commit against its last at the end: the culprit's parent and the culprit,
    if it is known."""

    interrupted: bool = False

    @property
    def culprit(self) -> Commit | None:
        """The only commit that is left."""
        if self.search is None or len(self.search.candidates) > 1:
            return None
        return self.path[self.search.high]

    @property
    def outcome(self) -> Outcome:
        """The way it ended."""
        if self.interrupted:
            return "interrupted"
        if self.whole is None or self.search is None:
            return "nothing" if self.whole and not self.whole.undecided else "open"
        if self.culprit:
            return "culprit" if self.is_confirmed else "unconfirmed"
        if self.search.middle is None:
            return "skipped"
        return "spread" if self.is_spread else "open"

    @property
    def is_known(self) -> bool:
        """True if the question is answered."""
        return self.outcome in ("nothing", "culprit")

    @property
    def is_confirmed(self) -> bool:
        """True if the target is worse from one end of the range to the other."""
        finding = self.finding(self.alone)
        return finding is not None and self.target is not None and self.target.is_worse(finding)

    @property
    def is_spread(self) -> bool:
        """True if a time rises by less than the threshold within the range."""
        if self.search is None or self.target is None or self.target.counter is not None:
            return False
        low, high = self.search.levels
        return high - low < math.log1p(self.threshold)

    def finding(self, comparison: Comparison | None) -> Finding | None:
        """A comparison's finding on the target's subject."""
        if comparison is None or self.target is None:
            return None
        name = self.target.subject.name
        return next((f for f in comparison.findings if f.name == name), None)

    def ratio(self, position: int) -> stats.Interval | None:
        """The target at a tested commit over that at GOOD; None if it was not measured."""
        assert self.target is not None
        tested = self.tested[position]
        if tested.why_skipped is not None:
            return None
        if tested.count is not None:
            exact = tested.count / self.target.good if self.target.good else math.inf
            return stats.Interval(exact, exact, exact)
        return sequential.ratio_interval(tested.log_ratios) if tested.log_ratios else None

    @property
    def is_part(self) -> bool:
        """True if the range has a part of the whole rise only."""
        alone, whole = self.finding(self.alone), self.finding(self.whole)
        if alone is None or whole is None or self.target is None:
            return False
        if self.target.counter is None:
            assert alone.ratio is not None
            assert whole.ratio is not None
            return alone.ratio.high < whole.ratio.low
        grown = [c.head - c.base for c in alone.changes if c.counter == self.target.counter]
        return sum(grown) < self.target.bad - self.target.good

    @property
    def elsewhere(self) -> list[str]:
        """Everything worse from GOOD to BAD that was not shown to be in the range's last commit."""
        if self.whole is None or self.alone is None:
            return []
        alone = _worse(self.alone)
        return [name for name in _worse(self.whole) if name not in alone]

    @property
    def rising(self) -> tuple[int, int]:
        """Positions between which it rose: of the last commit that cannot be told from GOOD, and of
        the first one after the range that cannot be told from BAD.
        """
        assert self.search is not None
        ratios = {p: ratio for p in self.tested if (ratio := self.ratio(p))}
        low = [p for p, r in ratios.items() if p <= self.search.low and r.low <= 1]
        high = [
            p for p, r in ratios.items() if p >= self.search.high and r.high >= self._of_whole()
        ]
        return max(low, default=0), min(high, default=self.search.last)

    def _of_whole(self) -> float:
        assert self.target is not None
        if self.target.counter is None:
            return math.exp(self.target.bad)
        return self.target.bad / self.target.good if self.target.good else math.inf

    def plain(self) -> dict[str, Any]:
        """Everything as plain data."""
        search, target = self.search, self.target
        tested = [
            asdict(tested)
            | asdict(self.path[position])
            | {"ratio": self.ratio(position), "answer": search and search.answers.get(position)}
            for position, tested in sorted(self.tested.items())
        ]
        return {
            "outcome": self.outcome,
            "good": self.good,
            "bad": self.bad,
            "threshold": self.threshold,
            "culprit": asdict(self.culprit) if self.culprit else None,
            "candidates": [asdict(self.path[p]) for p in search.candidates] if search else None,
            "target": {**asdict(target), "subject": target.subject.name} if target else None,
            "whole": self.whole.plain() if self.whole else None,
            "tested": tested,
            "alone": self.alone.plain() if self.alone else None,
            "elsewhere": self.elsewhere,
            "notes": self.notes,
            "path": [asdict(commit) for commit in self.path],
        }


def _worse(comparison: Comparison) -> list[str]:
    """Every quantity that is worse, in words."""
    found = []
    for finding in comparison.findings:
        if finding.verdict == "slower":
            found.append(f"time of {finding.name}")
        found += [
            f"{COUNTERS[c.counter]} of {finding.name}" for c in finding.changes if c.regression
        ]
    return found
