"""Verdicts: what the cases of a claim say together, inside the source's setting and outside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gr_bench.claims.base import Answer, Case, Claim, Evidence, show
from gr_bench.claims.scope import FEW, in_words

NOT_TESTED = "not tested"
INSIDE, OUTSIDE = "in the paper's setting", "outside it"


@dataclass(frozen=True)
class Part:
    """The cases of a claim on one side of its scope's border."""

    claim: Claim
    cases: Sequence[Case]

    def of(self, answer: Answer) -> list[Case]:
        """The cases with an answer."""
        return [case for case in self.cases if case.answer == answer]

    @property
    def counts(self) -> dict[Answer, int]:
        """The number of cases with each answer that some case has."""
        counts = {answer: len(self.of(answer)) for answer in self.claim.answers}
        return {answer: count for answer, count in counts.items() if count}

    @property
    def head(self) -> str:
        """The answer that all cases have; ``mixed`` if two are at odds; ``partly open`` if not."""
        if len(self.counts) == 1:
            return self.claim.answers[next(iter(self.counts))].alone
        decided = [answer for answer in self.counts if answer != "open"]
        return "mixed" if len(decided) > 1 else "partly open"

    @property
    def remarks(self) -> list[str]:
        """Of cases with different answers, the number of each; of others, what is to be added."""
        if len(self.counts) == 1:
            remark = self.claim.answers[next(iter(self.counts))].remark
            return [remark] if remark else []
        texts, total = [], f" of {len(self.cases)}"
        for answer, count in self.counts.items():
            counted = self.claim.answers[answer].counted
            texts.append(counted.format(n=f"{count}{total}", s="s" if count == 1 else ""))
            total = ""
        return texts

    @property
    def verdict(self) -> str:
        """The verdict in short: ``holds``, ``mixed (2 of 4 hold; 1 open; 1 contradicted)``, or
        ``not tested`` without a case.
        """
        if not self.cases:
            return NOT_TESTED
        remarks = "; ".join(self.remarks)
        return f"{self.head} ({remarks})" if remarks else self.head

    @property
    def measured(self) -> str:
        """The smallest and the largest value, with their intervals; empty without any."""
        known = [case.value for case in self.cases if np.isfinite(case.value.center)]
        if not known:
            return ""
        least, most = min(known), max(known)
        text = show(least, self.claim.number)
        return text if least == most else f"{text} to {show(most, self.claim.number)}"

    @property
    def workloads(self) -> str:
        """Models, data and devices of the cases."""
        return in_words(case.setting for case in self.cases)

    @property
    def sentence(self) -> str:
        """The verdict, for what it was reached, and the range of what was measured."""
        if not self.cases:
            return NOT_TESTED
        found = self.measured or "no pair to compare"
        told = "; ".join([*self.remarks, f"{self.claim.quantity} {found}"])
        return f"{self.head} for {self.workloads}: {told}"

    @property
    def which(self) -> list[str]:
        """Of cases with different answers, each answer with the cases that have it."""
        lines = []
        for answer, words in self.claim.answers.items():
            named = [case.where for case in self.of(answer)]
            if named and len(named) < len(self.cases):
                more = f"; and {len(named) - FEW} more" if len(named) > FEW else ""
                lines.append(f"{_upper(words.in_full)}: {'; '.join(named[:FEW])}{more}.")
        return lines


@dataclass(frozen=True)
class Judged:
    """A claim with what the records of one run, or of several, say of it."""

    claim: Claim
    cases: Sequence[Case]

    @property
    def inside(self) -> Part:
        """The cases in the setting that the source speaks of."""
        scope = self.claim.scope
        return Part(self.claim, [c for c in self.cases if scope.contains(c.setting)])

    @property
    def outside(self) -> Part:
        """The other cases. They say nothing of the source's setting, nor it of them."""
        scope = self.claim.scope
        return Part(self.claim, [c for c in self.cases if not scope.contains(c.setting)])

    @property
    def in_short(self) -> str:
        """The verdict on either side of the scope's border."""
        if not self.cases:
            return NOT_TESTED
        if self.claim.scope.is_everywhere:
            return self.inside.verdict
        if not self.inside.cases:
            return f"{self.outside.verdict} outside the paper's setting; in it {NOT_TESTED}"
        text = f"{self.inside.verdict} {INSIDE}"
        return f"{text}; {self.outside.verdict} {OUTSIDE}" if self.outside.cases else text

    @property
    def lines(self) -> list[str]:
        """The verdict at length: a line for either side of the scope's border."""
        scope = self.claim.scope
        if scope.is_everywhere:
            return [f"{_upper(self.inside.sentence)}."]
        lines = [f"In the paper's setting ({scope.words}): {self.inside.sentence}."]
        if self.outside.cases:
            lines.append(f"Outside it: {self.outside.sentence}.")
        return lines

    @property
    def which_lines(self) -> list[str]:
        """Of cases with different answers, those that have each, inside the scope first."""
        return [line for part in (self.inside, self.outside) for line in part.which]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def judge(claims: Sequence[Claim], evidence: Evidence) -> list[Judged]:
    """Every claim with its cases among the evidence."""
    return [Judged(claim, claim.cases(evidence)) for claim in claims]
