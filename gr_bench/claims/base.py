"""Claims, their evidence, and the verdicts on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gr_bench.experiments.record import Record
from gr_bench.stats import Interval

if TYPE_CHECKING:
    from pandas import DataFrame

Verdict = Literal["holds", "does not hold", "holds only when", "not tested here"]


FEW = 3
"""Cases that a verdict names; of more, it gives the number."""


@dataclass(frozen=True)
class Evidence:
    """The tables of a run, as far as it has them."""

    records: Sequence[Record]
    tables: dict[str, DataFrame]


@dataclass(frozen=True)
class Case:
    """One comparison that a claim speaks of."""

    where: str
    value: Interval
    """The measured value, with its interval; both ends alike where it is exact."""

    holds: bool | None
    """By the claim's rule; None if the interval leaves it open."""

    note: str = ""


def measured_by(only: str, folder: str) -> str:
    """The command that measures a part of the suite claims-quick, in a folder of its own."""
    return f"gr-bench run claims-quick --only '{only}' --out runs/{folder}"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper's, in our words, with its test.

    Args:
        name: short, for links.
        words: what is claimed.
        where: in the paper.
        command: what measures it.
        quantity: what a case's value is.
        number: how to print one.
        rule: when a case holds, and when not, as :attr:`cases` decides it.
        cases: every comparison that the records allow.
    """

    name: str
    words: str
    where: str
    command: str
    quantity: str
    number: str
    rule: str
    cases: Callable[[Evidence], list[Case]]


@dataclass(frozen=True)
class Judged:
    """A claim with what a run says of it."""

    claim: Claim
    cases: list[Case]

    @property
    def verdict(self) -> Verdict:
        """``holds``: in every case; ``does not hold``: in none, and in some shown not to;
        ``holds only when``: in some, and others are open or show the contrary; ``not tested here``:
        no case, or all are open.
        """
        answers = [case.holds for case in self.cases]
        if any(answers):
            return "holds" if all(answers) else "holds only when"
        return "does not hold" if False in answers else "not tested here"

    @property
    def when(self) -> str:
        """In which cases it holds, where it does not in all and they are few enough to name."""
        named = [case.where for case in self.cases if case.holds]
        few = self.verdict == "holds only when" and len(named) <= FEW
        return "; ".join(named) if few else ""

    @property
    def in_short(self) -> str:
        """The verdict; where it holds in some cases, in how many."""
        if self.verdict != "holds only when":
            return self.verdict
        return f"holds in {sum(c.holds is True for c in self.cases)} of {len(self.cases)} cases"

    @property
    def measured(self) -> str:
        """The smallest and the largest value over cases, with their intervals."""
        known = [case.value for case in self.cases if np.isfinite(case.value.center)]
        if not known:
            return "nothing" if not self.cases else "no pair to compare"
        least, most = min(known), max(known)
        text = show(least, self.claim.number)
        if least != most:
            text = f"{text} to {show(most, self.claim.number)}"
        count = f", {len(self.cases)} cases" if len(self.cases) > 1 else ""
        return f"{self.claim.quantity}: {text}{count}"


def show(value: Interval, number: str) -> str:
    """A value with its interval, or alone where it is exact or has none."""
    if not np.isfinite(value.center):
        return "-"
    if value.low == value.high or not np.isfinite(value.half_width):
        return number.format(value.center)
    return f"{number} [{number}, {number}]".format(*value)


def exactly(value: float) -> Interval:
    """An interval of no width."""
    return Interval(value, value, value)


def above(value: Interval, bound: float) -> bool | None:
    """True if a value is shown to be above a bound, False if below it, None if neither."""
    if value.low > bound:
        return True
    return False if value.high < bound else None


def judge(claims: Sequence[Claim], evidence: Evidence) -> list[Judged]:
    """Every claim with its cases among the evidence."""
    return [Judged(claim, claim.cases(evidence)) for claim in claims]
