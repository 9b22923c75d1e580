"""Rules, and the verdicts on them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gr_bench.checks.subject import Subject

Verdict = Literal["pass", "finding", "not applicable", "not known"]
"""``not known``: the rule was not asked, or what is right is not known here."""

VERDICTS: tuple[Verdict, ...] = ("pass", "finding", "not applicable", "not known")


@dataclass(frozen=True)
class Outcome:
    """A rule's verdict on a method."""

    verdict: Verdict
    words: str
    """The reason, in one line."""

    where: str | None = None
    """``file:line`` of what is at fault, where that can be told."""


def passed(words: str) -> Outcome:
    """The rule is kept."""
    return Outcome("pass", words)


def finding(words: str, where: str | None = None) -> Outcome:
    """The rule is broken."""
    return Outcome("finding", words, where)


def not_applicable(words: str) -> Outcome:
    """The rule asks nothing of this method."""
    return Outcome("not applicable", words)


def not_known(words: str) -> Outcome:
    """The rule was not asked, or there is nothing to compare with."""
    return Outcome("not known", words)


Ask = Callable[["Subject"], Outcome]


@dataclass(frozen=True)
class Rule:
    """One question to a method."""

    name: str
    ask: Ask
    suffers: str
    """The harm to a user of a method that breaks it."""

    @property
    def asks(self) -> str:
        """The rule in one line: the first of its function's docstring."""
        return (inspect.getdoc(self.ask) or "").partition("\n")[0]


@dataclass(frozen=True)
class Result:
    """A rule's verdict on a method, as it is told."""

    rule: str
    verdict: Verdict
    words: str
    suffers: str | None = None
    """None without a finding."""

    where: str | None = None
