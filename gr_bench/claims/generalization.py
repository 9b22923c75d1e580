"""The claim about generalization, from trainings paired by seed and split."""

from __future__ import annotations

from collections.abc import Iterator

from gr_bench.claims.base import Answer, Case, Claim, Evidence, measured_by
from gr_bench.claims.scope import Scope, setting_of
from gr_bench.claims.trainings import Runs, lost_in_words, points, workload_in_words, workloads
from gr_bench.stats import Interval

MARGIN = 1.0
"""Percentage points of test accuracy that do not matter."""

FORWARD, OTHERS = "f-gr", ("b-gr", "db-gr")

IN_THE_PAPER = Scope(
    "MLPs, ResNet-18 and WRN-28-10 on CIFAR-10 and CIFAR-100; γ 1e-4 to 0.1, ε 0.01 to 0.5",
    models=("mlp", "resnet-18", "wrn-28-10"),
    datasets=("cifar10", "cifar100"),
)


def _pairs(runs: list[Runs]) -> Iterator[tuple[Runs, Runs]]:
    """F-GR at its largest ε, and B-GR and DB-GR: of the same numbers, unless chosen."""
    forward = [one for one in runs if one.method == FORWARD]
    largest = max((one.number("epsilon") for one in forward), default=None)
    for own in forward:
        for other in runs:
            same = own.cell.epochs == other.cell.epochs and other.method in OTHERS
            if own.number("epsilon") != largest or not same:
                continue
            if own.cell.role == "chosen" or (
                own.number("gamma") == other.number("gamma")
                and other.number("epsilon") in (None, own.number("epsilon"))
                and own.cell.learning_rate == other.cell.learning_rate
            ):
                yield own, other


def _answer(own: Runs, other: Runs, value: Interval) -> Answer:
    if own.lost > other.lost:
        return "contradicted"
    if value.low >= -MARGIN or (own.done and not other.done):
        return "holds"
    return "contradicted" if value.high < -MARGIN else "open"


def _at_least_as_well(evidence: Evidence) -> list[Case]:
    cases = []
    for runs in workloads(evidence):
        for own, other in _pairs(runs):
            value, how = points(own, other)
            where = f"{own.cell.spec} against {other.cell.spec} on {workload_in_words(own.cell)}"
            notes = [how, lost_in_words(own, other)]
            answer = _answer(own, other, value)
            if answer == "open" and value.high < 0:
                notes.append("worse; whether by a point is open")
            note = "; ".join(filter(None, notes))
            cases.append(Case(where, value, answer, setting_of(own.cell), note))
    return cases


GENERALIZATION = (
    Claim(
        name="generalizes-as-well",
        words="F-GR with a large ascent step generalises at least as well as B-GR and as DB-GR.",
        where="in the experiments, test accuracy over (γ, ε)",
        scope=IN_THE_PAPER,
        size=f"As well: less than {MARGIN:g} point of test accuracy behind (our choice).",
        command=measured_by("generalization", "claims-generalization"),
        quantity="test accuracy of F-GR minus the other's (points)",
        number="{:+.2f}",
        rule="If each method's hyper-parameters were chosen on the validation part, the chosen "
        "ones are compared; otherwise F-GR at the largest ε in the run is compared with "
        "the others at the same γ (and ε), paired by seed and split. A comparison holds if "
        f"the 95 % interval of the difference in test accuracy is above -{MARGIN:g} point, "
        "or if all runs of the other diverged and not all of F-GR's; it is contradicted if "
        f"the interval is below -{MARGIN:g} point, or if F-GR lost more runs.",
        cases=_at_least_as_well,
    ),
)
