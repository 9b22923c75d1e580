"""Claims of Dauphin et al. on gradient penalties and activations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from gr_bench.claims.base import Answer, Case, Claim, Evidence, claim_words
from gr_bench.claims.papers.contrasts import (
    BETTER,
    MARGIN,
    TRAININGS,
    at_least,
    contrast,
    gain_difference,
    no_gain,
    rivals,
    without_parameter,
)
from gr_bench.claims.scope import Scope, setting_of
from gr_bench.claims.trainings import Runs, workload_in_words, workloads
from gr_bench.spec import parse
from gr_bench.stats import Interval

SOURCE = (
    "Dauphin, Agarwala & Mobahi, Neglected Hessian component explains mysteries in sharpness "
    "regularization (NeurIPS 2024, arXiv 2401.10809)"
)
IN_THE_PAPER = Scope(
    "residual networks on ImageNet and on CIFAR-10",
    models=("resnet*", "wrn*"),
    datasets=("cifar10", "imagenet"),
)
SMOOTH, BENT = "gelu", "relu"


def _activation(runs: Runs) -> Any:
    return parse(runs.cell.model).parameters.get("activation")


def _with(
    activation: str, own: str, base: str, runs: Sequence[Runs]
) -> Iterator[tuple[Runs, Runs]]:
    """The rivals of a model that is spelled with an activation."""
    yield from (pair for pair in rivals(own, base, runs) if _activation(pair[0]) == activation)


def _twins(own: str, evidence: Evidence) -> Iterator[tuple[tuple[Runs, Runs], tuple[Runs, Runs]]]:
    """A method and SGD with a smooth activation, and the same with a bent one."""
    found: dict[tuple[Any, ...], dict[str, tuple[Runs, Runs]]] = defaultdict(dict)
    for runs in workloads(evidence):
        for pair in rivals(own, "sgd", runs):
            cell = pair[0].cell
            model = without_parameter(cell.model, "activation")
            key = (model, cell.dataset, cell.batch_size, cell.epochs, cell.label_noise, cell.role)
            found[key][str(_activation(pair[0]))] = pair
    for pairs in found.values():
        if SMOOTH in pairs and BENT in pairs:
            yield pairs[SMOOTH], pairs[BENT]


def same(value: Interval) -> Answer:
    """``holds`` within :data:`MARGIN` of 0, ``contradicted`` wholly outside, else ``open``."""
    if value.low >= -MARGIN and value.high <= MARGIN:
        return "holds"
    return "contradicted" if value.low > MARGIN or value.high < -MARGIN else "open"


def _gain_cases(own: str, rule: Any, evidence: Evidence) -> list[Case]:
    cases = []
    for smooth, bent in _twins(own, evidence):
        value = gain_difference(smooth, bent)
        lost = sum(runs.lost for runs in (*smooth, *bent))
        answer: Answer = "open" if lost else rule(value)
        where = f"{smooth[0].cell.spec} and {bent[0].cell.spec} on " + workload_in_words(
            smooth[0].cell
        )
        note = f"{lost} runs lost" if lost else ""
        cases.append(Case(where, value, answer, setting_of(smooth[0].cell), note))
    return cases


GAINS = (
    "The gain over SGD with GELU minus that with ReLU, paired by seed and split, with "
    "hyper-parameters chosen on the validation part for each. By its 95 % interval: "
)

DAUPHIN = (
    Claim(
        name="penalty-needs-a-curved-activation",
        words="A gradient penalty (DB-GR) gains more with an activation that has a second "
        "derivative (GELU) than with ReLU, which has none.",
        where="abstract (section not known)",
        source=SOURCE,
        scope=IN_THE_PAPER,
        size=f"Our choice, not the paper's: {BETTER:g} point of test accuracy counts.",
        command=TRAININGS,
        quantity="gain of db-gr with GELU minus with ReLU (points)",
        number="{:+.2f}",
        rule=f"{GAINS}a workload holds if it is at {BETTER:g} point or above; the gain is "
        f"smaller if it is above 0 and below {BETTER:g}; the claim is contradicted if it is "
        f"below {BETTER:g} and not above 0; it is open if a run was lost.",
        cases=partial(_gain_cases, "db-gr", at_least),
        answers=claim_words(f"more by under {BETTER:g} point", has_size=False),
    ),
    contrast(
        "penalty-with-relu-does-not-help",
        "With ReLU a gradient penalty does not improve on SGD.",
        where="abstract (section not known)",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own="db-gr",
        base="sgd",
        rule=no_gain,
        pairs=partial(_with, BENT, "db-gr", "sgd"),
        more="For models specified with ReLU. ",
    ),
    Claim(
        name="sam-needs-no-curved-activation",
        words="SAM depends less on it: its gain is the same with GELU as with ReLU.",
        where="the discussion of SAM (section not known)",
        source=SOURCE,
        scope=IN_THE_PAPER,
        size=f"The same: within {MARGIN:g} point of test accuracy (our choice).",
        command=TRAININGS,
        quantity="gain of sam with GELU minus with ReLU (points)",
        number="{:+.2f}",
        rule=f"{GAINS}a workload holds if it is within {MARGIN:g} point of 0, and is "
        "contradicted if it lies entirely outside; it is open if a run was lost.",
        cases=partial(_gain_cases, "sam", same),
    ),
)
