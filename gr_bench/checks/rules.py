"""All rules, in the order in which they are asked."""

from __future__ import annotations

from gr_bench.checks import cost, direction, reporting, side_effects, training
from gr_bench.checks.outcome import Outcome, Result, Rule, finding, not_known
from gr_bench.checks.places import of_exception
from gr_bench.checks.subject import Subject
from gr_bench.errors import RequestError

RULES: tuple[Rule, ...] = (
    cost.RUNS,
    *side_effects.RULES,
    *reporting.RULES,
    *cost.RULES,
    *direction.RULES,
    *training.RULES,
)

BY_NAME = {rule.name: rule for rule in RULES}


def ask(rule: Rule, subject: Subject) -> Result:
    """The verdict of one rule; what the method raises in it is a finding.

    Raises:
        RequestError: the subject itself cannot be built.
    """
    try:
        outcome = rule.ask(subject)
    except RequestError:
        raise
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        outcome = finding(words, of_exception(error))
    return result(rule, outcome)


def result(rule: Rule, outcome: Outcome) -> Result:
    """The outcome as it is told."""
    is_finding = outcome.verdict == "finding"
    suffers = rule.suffers if is_finding else None
    return Result(rule.name, outcome.verdict, outcome.words, suffers, outcome.where)


def unasked(rule: Rule) -> Result:
    """The verdict where the method takes no step at all."""
    return result(rule, not_known("no step comes to its end"))
