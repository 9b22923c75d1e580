"""Claims of Zhou et al. on SAM late in training."""

from __future__ import annotations

import math

from gr_bench import stats
from gr_bench.claims.base import Answer, Case, Claim, Evidence
from gr_bench.claims.papers.contrasts import (
    TRAININGS,
    at_least,
    contrast,
    no_worse,
    rivals,
)
from gr_bench.claims.scope import Scope, setting_of
from gr_bench.claims.trainings import Runs, workload_in_words, workloads
from gr_bench.experiments.generalization.analysis.paired import pair_up
from gr_bench.stats import Interval

SOURCE = (
    "Zhou et al., Sharpness-Aware Minimization Efficiently Selects Flatter Minima Late in Training "
    "(arXiv 2410.10373)"
)
IN_THE_PAPER = Scope(
    "WideResNet-16-8, ResNet-20 and others on CIFAR-10 and CIFAR-100, with SAM in the last "
    "epochs of a training",
    models=("wrn*", "resnet-20"),
    datasets=("cifar10", "cifar100"),
)
LATE, EARLY, SAM = "late(sam)", "early(sam)", "sam"

AS_FLAT = 1.25
"""The ratio of largest curvatures that counts as nearly the same."""


def curvature_ratio(own: Runs, base: Runs) -> Interval:
    """The largest Hessian eigenvalue of ``own`` over ``base``: geometric mean of pairs."""
    logs = [
        math.log(a.sharpness.largest_eigenvalue / b.sharpness.largest_eigenvalue)
        for a, b in pair_up(own.done, base.done)
        if a.sharpness is not None
        and b.sharpness is not None
        and min(a.sharpness.largest_eigenvalue, b.sharpness.largest_eigenvalue) > 0
    ]
    return stats.ratio_interval(logs) if logs else Interval(math.nan, math.nan, math.nan)


def _flatness(evidence: Evidence) -> list[Case]:
    cases = []
    for runs in workloads(evidence):
        for own, base in rivals(LATE, SAM, runs):
            value = curvature_ratio(own, base)
            plain = [curvature_ratio(s, base) for s, _ in rivals("sgd", SAM, runs)]
            if math.isnan(value.center) or not plain:
                continue
            answer: Answer = "open"
            if plain[0].low > AS_FLAT:  # else there is no flatness to be found late
                if value.high <= AS_FLAT:
                    answer = "holds"
                elif value.low > AS_FLAT:
                    answer = "contradicted"
            where = f"{own.cell.spec} against {base.cell.spec} on {workload_in_words(own.cell)}"
            note = "SGD over SAM {:.2f} [{:.2f}, {:.2f}]".format(*plain[0])
            cases.append(Case(where, value, answer, setting_of(own.cell), note))
    return cases


ZHOU = (
    contrast(
        "late-sam-is-enough",
        "SAM only at the end of a training generalises as well as SAM throughout.",
        where="abstract; figure 1",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own=LATE,
        base=SAM,
        rule=no_worse,
    ),
    contrast(
        "late-sam-improves-on-sgd",
        "SAM only at the end of a training generalises better than SGD throughout.",
        where="abstract; figure 1",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own=LATE,
        base="sgd",
        rule=at_least,
    ),
    Claim(
        name="late-sam-is-as-flat",
        words=(
            "SAM only at the end of a training reaches solutions nearly as flat as SAM throughout."
        ),
        where="abstract",
        source=SOURCE,
        scope=IN_THE_PAPER,
        size=f"Nearly: a largest curvature at most {AS_FLAT - 1:.0%} above SAM's (our choice).",
        command=TRAININGS,
        quantity="largest Hessian eigenvalue of late(sam) over sam",
        number="{:.2f}",
        rule="The ratio of the largest eigenvalues of the Hessian of the training loss is "
        "computed for each pair of seed and split. A workload holds if the 95 % interval "
        f"of the geometric mean is at {AS_FLAT:g} or below, and is contradicted if it is "
        f"above. It is open unless the interval of SGD over SAM is above {AS_FLAT:g}; "
        "otherwise SAM has no effect to reproduce.",
        cases=_flatness,
    ),
    contrast(
        "early-sam-is-not-enough",
        "SAM only in the early phase generalises worse than SAM throughout.",
        where="abstract; the section on the early phase (number not known)",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own=SAM,
        base=EARLY,
        rule=at_least,
    ),
)
