"""Claims about the test accuracy of two methods, whoever makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from gr_bench import stats
from gr_bench.claims.base import Answer, Case, Claim, Evidence, claim_words, sized
from gr_bench.claims.scope import Scope, setting_of
from gr_bench.claims.trainings import Runs, lost_in_words, points, workload_in_words, workloads
from gr_bench.experiments.generalization.analysis.paired import pair_up
from gr_bench.experiments.generalization.record import Training
from gr_bench.spec import parse
from gr_bench.stats import Interval

BETTER = 0.5
"""The smallest gain in test accuracy that counts, in percentage points."""

MARGIN = 1.0
"""A loss in test accuracy that does not matter, in percentage points."""

Pairs = Callable[[Sequence[Runs]], Iterator[tuple[Runs, Runs]]]
"""The two sides of every comparison that a workload's trainings allow."""

Rule = Callable[[Interval], Answer]


def measured_by(only: str, folder: str) -> str:
    """The command that measures a part of the suite papers-cpu, in a folder of its own."""
    return f"gr-bench run papers-cpu --only '{only}' --out runs/{folder}"


TRAININGS = measured_by("generalization", "papers-generalization")


def kind(runs: Runs) -> str:
    """The names of a method, ``late(sam)``."""
    return parse(runs.cell.spec).kind


def rivals(own: str, base: str, runs: Sequence[Runs]) -> Iterator[tuple[Runs, Runs]]:
    """The trainings of two kinds of method for the same epochs, where each has one setting: chosen
    on the validation part, or the only one that was tried. The best of several by their test
    results is none.
    """
    for epochs in sorted({one.cell.epochs for one in runs}):
        sides = [
            [one for one in runs if kind(one) == name and one.cell.epochs == epochs]
            for name in (own, base)
        ]
        if all(len(side) == 1 for side in sides):
            yield sides[0][0], sides[1][0]


def at_least(value: Interval) -> Answer:
    """The answer to a claim of a gain of :data:`BETTER`."""
    return sized(value, BETTER, 0)


def no_worse(value: Interval) -> Answer:
    """``holds`` above -:data:`MARGIN`, ``contradicted`` below it, else ``open``."""
    if value.low >= -MARGIN:
        return "holds"
    return "contradicted" if value.high < -MARGIN else "open"


def no_gain(value: Interval) -> Answer:
    """``holds`` below :data:`BETTER`, ``contradicted`` from there on, else ``open``."""
    if value.high < BETTER:
        return "holds"
    return "contradicted" if value.low >= BETTER else "open"


def answer_of(own: Runs, base: Runs, value: Interval, rule: Rule) -> Answer:
    """By the interval, unless runs were lost: a side that lost more than the other is behind."""
    if own.lost != base.lost:
        far = float("inf") if own.lost < base.lost else -float("inf")
        return rule(Interval(far, far, far))
    return rule(value)


def contrast_cases(pairs: Pairs, rule: Rule, evidence: Evidence) -> list[Case]:
    """A case for every pair of every workload."""
    cases = []
    for runs in workloads(evidence):
        for own, base in pairs(runs):
            value, how = points(own, base)
            where = f"{own.cell.spec} against {base.cell.spec} on {workload_in_words(own.cell)}"
            answer = answer_of(own, base, value, rule)
            note = "; ".join(filter(None, [how, lost_in_words(own, base)]))
            cases.append(Case(where, value, answer, setting_of(own.cell), note))
    return cases


LOST = " A side with more diverged or failed runs than the other is behind."
CHOSEN = (
    "Each with the hyper-parameters chosen on the validation part, or the only ones tried, at "
    "equal epochs, paired by seed and split. By the 95 % interval of the difference in test "
    "accuracy: "
)
RULES: dict[Rule, tuple[str, str]] = {
    at_least: (
        f"Our choice, not the paper's size: {BETTER:g} point of test accuracy counts.",
        f"a workload holds if it is at {BETTER:g} point or above; the gain is smaller if it is "
        f"above 0 and below {BETTER:g}; the claim is contradicted if it is below {BETTER:g} and "
        "not above 0.",
    ),
    no_worse: (
        f"As well: less than {MARGIN:g} point of test accuracy behind (our choice).",
        f"a workload holds if it is above -{MARGIN:g} point, and is contradicted if it is below.",
    ),
    no_gain: (
        f"No gain: less than {BETTER:g} point of test accuracy (our choice).",
        f"a workload holds if it is below {BETTER:g} point, and is contradicted if it is at it or "
        "above.",
    ),
}
"""The size that is tested and the rule, in words."""


def contrast(
    name: str,
    words: str,
    *,
    where: str,
    source: str,
    scope: Scope,
    own: str,
    base: str,
    rule: Rule,
    pairs: Pairs | None = None,
    command: str = TRAININGS,
    more: str = "",
) -> Claim:
    """A claim about the test accuracy of ``own`` minus ``base``, kinds of method.

    Args:
        name: see :class:`~gr_bench.claims.base.Claim`, as are the next four.
        words: ...
        where: ...
        source: ...
        scope: ...
        own: kind of method, as ``late(sam)``.
        base: the other.
        rule: a key of :data:`RULES`.
        pairs: the pairs to compare, if not all :func:`rivals`.
        command: what measures it.
        more: a sentence before the rule.
    """
    size, text = RULES[rule]
    return Claim(
        name=name,
        words=words,
        where=where,
        source=source,
        scope=scope,
        size=size,
        command=command,
        quantity=f"test accuracy of {own} minus {base} (points)",
        number="{:+.2f}",
        rule=f"{more}{CHOSEN}{text}{LOST}",
        cases=partial(contrast_cases, pairs or partial(rivals, own, base), rule),
        answers=claim_words(f"a gain under {BETTER:g} point", has_size=False),
    )


# --- one gain minus another


def gain_difference(first: tuple[Runs, Runs], second: tuple[Runs, Runs]) -> Interval:
    """(own - base) of the first minus that of the second, in points of test accuracy.

    The gains are taken pair by pair of seed and split, and their difference where both have the
    pair. The interval is the corrected resampled t over several splits, Student's over one.
    """
    gains = [_gains(*pair) for pair in (first, second)]
    common = sorted(gains[0].keys() & gains[1].keys())
    if not common:
        return Interval(float("nan"), float("nan"), float("nan"))
    apart = np.array([gains[0][key] - gains[1][key] for key in common])
    splits = {split for _, split in common}
    if len(splits) > 1:
        return stats.corrected_resampled_t(apart, TEST_OVER_TRAIN)[0]
    return stats.t_interval(apart)


TEST_OVER_TRAIN = 1 / 3
"""n_test/n_train of the splits of 60, 20 and 20 % that data sets here are cut into."""


def _gains(own: Runs, base: Runs) -> dict[tuple[int, int], float]:
    return {
        (a.cell.seed, a.cell.split_seed): 100 * (_accuracy(a) - _accuracy(b))
        for a, b in pair_up(own.done, base.done)
    }


def _accuracy(record: Training) -> float:
    return float("nan") if record.test_accuracy is None else record.test_accuracy


def without_parameter(spec: str, name: str) -> tuple[Any, ...]:
    """A spec's name and parameters but for one, to find those that differ in it alone."""
    found = parse(spec)
    return found.name, *(pair for pair in found.arguments if pair[0] != name)
