"""Claims and questions, and what a run's records say of them case by case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from gr_bench.claims.scope import Scope, Setting
from gr_bench.experiments.record import Record
from gr_bench.stats import Interval

if TYPE_CHECKING:
    from pandas import DataFrame

Answer = Literal["holds", "smaller", "contradicted", "first", "second", "same", "open"]
"""The first three answer a claim, the next three a question about two methods."""


@dataclass(frozen=True)
class Evidence:
    """The tables of a run, as far as it has them."""

    records: Sequence[Record]
    tables: dict[str, DataFrame]


@dataclass(frozen=True)
class Case:
    """One comparison that a claim or a question speaks of."""

    where: str
    value: Interval
    """The measured value, with its interval; both ends alike where it is exact."""

    answer: Answer
    """By the claim's rule. ``smaller``: in the direction that is claimed, but not of the size;
    ``open``: the interval leaves it open."""

    setting: Setting
    note: str = ""


@dataclass(frozen=True)
class Wording:
    """An answer in words."""

    alone: str
    """Of one case or of all."""

    counted: str
    """Of some: ``{n}`` is their number, as ``2`` or ``2 of 4``, and ``{s}`` an s if it is 1."""

    remark: str = ""
    """On all cases that have it."""

    @property
    def in_full(self) -> str:
        """With its remark."""
        return f"{self.alone} ({self.remark})" if self.remark else self.alone


KARAKIDA = (
    "Karakida et al., Understanding Gradient Regularization in Deep Learning "
    "(ICML 2023, arXiv 2210.02720)"
)
USERS = "Common questions"


def claim_words(
    smaller: str = "smaller than claimed", *, has_size: bool = True
) -> Mapping[Answer, Wording]:
    """Answers to a claim, in the order of a verdict.

    Args:
        smaller: an effect in the direction that is claimed and not of the size, in words.
        has_size: False if the source claims no size, so that a small effect does not refute it.
    """
    refuted = Wording("does not hold", f"{{n}} {smaller}", smaller)
    return {
        "holds": Wording("holds", "{n} hold{s}"),
        "smaller": refuted if has_size else Wording(smaller, f"{{n}} {smaller}"),
        "contradicted": Wording("does not hold", "{n} contradicted"),
        "open": Wording("open", "{n} open"),
    }


def question_words(first: str, second: str, margin: str) -> Mapping[Answer, Wording]:
    """Answers to a question about which of two is ahead.

    Args:
        first: the one that is ahead where the value is above the neutral one.
        second: the other.
        margin: the smallest difference that matters, as ``a point``.
    """
    return {
        "first": Wording(f"{first} ahead", f"{first} ahead in {{n}}"),
        "second": Wording(f"{second} ahead", f"{second} ahead in {{n}}"),
        "same": Wording(
            f"no difference of {margin} or more", f"no difference of {margin} or more in {{n}}"
        ),
        "open": Wording("nothing can be said", "nothing can be said in {n}"),
    }


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of a paper's, in our words, or a question, with its test.

    Args:
        name: short, for links.
        words: what is claimed or asked.
        where: in the source.
        scope: the setting in which the source claims it.
        size: how large an effect is claimed; of a claim without a size, and of a question, the
            smallest one that matters.
        command: what measures it.
        quantity: what a case's value is.
        number: how to print one.
        rule: what answer a case gets, as :attr:`cases` decides it.
        cases: every comparison that the records allow.
        source: the paper, or :data:`USERS`.
        answers: every answer that there is, in words.
    """

    name: str
    words: str
    where: str
    scope: Scope
    size: str
    command: str
    quantity: str
    number: str
    rule: str
    cases: Callable[[Evidence], list[Case]]
    source: str = KARAKIDA
    answers: Mapping[Answer, Wording] = field(default_factory=claim_words)

    @property
    def is_question(self) -> bool:
        """True if nobody claims an answer."""
        return "holds" not in self.answers


def measured_by(only: str, folder: str) -> str:
    """The command that measures a part of the suite claims-quick, in a folder of its own."""
    return f"gr-bench run claims-quick --only '{only}' --out runs/{folder}"


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


def sized(value: Interval, claimed: float, neutral: float) -> Answer:
    """The answer to a claim that a value is at least of a size.

    - ``holds``: the whole interval is at ``claimed`` or beyond it;
    - ``smaller``: the whole interval falls short of it, and is on the claimed side of ``neutral``;
    - ``contradicted``: it falls short of it, and is not: at best there is no effect;
    - ``open``: none of these.

    Args:
        value: with its interval.
        claimed: the size; below ``neutral`` if a decrease is claimed.
        neutral: the value of no effect, 1 of ratios and 0 of differences.
    """
    if claimed < neutral:
        center, low, high = value
        return sized(Interval(-center, -high, -low), -claimed, -neutral)
    if value.low >= claimed:
        return "holds"
    if value.high < claimed:
        return "smaller" if value.low > neutral else "contradicted"
    return "open"


def ahead(value: Interval, low: float, high: float) -> Answer:
    """The answer to the question which of two is ahead.

    ``same`` if the whole interval is strictly between ``low`` and ``high``, the smallest
    differences that matter to either side; ``first`` or ``second`` if it is not and does not
    contain the value of no difference; else ``open``.

    Args:
        value: first minus second with ``low = -high``, or a ratio with ``low = 1/high``.
        low: see above.
        high: see above.
    """
    neutral = 0.0 if low < 0 else 1.0
    if low < value.low and value.high < high:
        return "same"
    if value.low > neutral:
        return "first"
    return "second" if value.high < neutral else "open"
