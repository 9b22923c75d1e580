"""Every claim and question fed with records for each answer, inside its scope and outside."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from processes import Warm
from synthetic import (
    bias,
    cost,
    counted,
    diverged,
    failed,
    flood,
    run_of,
    solved,
    step_time,
    timed,
    traced,
    trained,
    training,
)

from gr_bench.claims import CLAIMS, Case, Claim, Evidence, Judged, Setting, judge
from gr_bench.claims.base import Answer, ahead, sized
from gr_bench.claims.cost import products_ratio
from gr_bench.claims.page import case_table
from gr_bench.claims.papers import PAPERS
from gr_bench.claims.scope import Scope
from gr_bench.experiments import all_experiments
from gr_bench.experiments.flooding.record import Order
from gr_bench.experiments.generalization.record import TrainerName
from gr_bench.experiments.record import Record
from gr_bench.experiments.step_cost.record import Counters
from gr_bench.runs.suite import load_suite
from gr_bench.spec import parse
from gr_bench.stats import Interval

SPREAD = (0.99, 1.0, 1.01)
"""What makes three replicates differ."""


def evidence(records: list[Record]) -> Evidence:
    tables = {}
    for name, experiment in all_experiments().items():
        own = [record for record in records if record.cell.experiment == name]
        if own:
            tables |= experiment.tables(own)
    return Evidence(records, tables)


def judged(name: str, records: list[Record]) -> Judged:
    (claim,) = (claim for claim in CLAIMS if claim.name == name)
    (one,) = judge([claim], evidence(records))
    return one


# --- records of each sort


def block(f_gr: float, db_gr: float, spread: tuple[float, ...] = SPREAD, **fields) -> list[Record]:
    """Three replicates of SGD, F-GR and DB-GR, DB-GR's times scaled by ``spread``."""
    return [
        timed(cost(method, **fields), replicate, [seconds * (factor if method == "db-gr" else 1)])
        for replicate, factor in enumerate(spread)
        for method, seconds in (("sgd", 1.0), ("f-gr", f_gr), ("db-gr", db_gr))
    ]


def residual(f_gr: float, db_gr: float, **fields) -> list[Record]:
    return block(f_gr, db_gr, model="resnet-8", **fields)


def counters(flops: int, peak: int, **fields) -> list[Record]:
    """F-GR's are 100 and 1000."""
    f_gr, db_gr = (cost(method, **fields) for method in ("f-gr", "db-gr"))
    return [counted(f_gr, flops=100, peak=1000), counted(db_gr, flops=flops, peak=peak)]


def uncounted() -> list[Record]:
    """The FLOPs of F-GR's step, and not those of DB-GR's."""
    f_gr, db_gr = counters(1, 1)
    assert isinstance(db_gr, Counters)
    return [f_gr, replace(db_gr, flops=None, uncounted=("aten::_fft_c2c",))]


def depths(
    shallow: float,
    deep: float,
    spread: tuple[float, ...] = SPREAD,
    of_shallow: tuple[float, ...] = SPREAD,
) -> list[Record]:
    """DB-GR's times at depth 2 and 8, F-GR's being 2."""
    return [
        *block(2.0, shallow, of_shallow, model="mlp(depth=2)"),
        *block(2.0, deep, spread, model="mlp(depth=8)"),
    ]


EVALUATIONS = {"sgd": 1}
"""Of the gradient, a step; 2 of the others."""


def accuracies(
    f_gr: float, other: float, method: str = "b-gr", noise: float = 1e-4, **fields
) -> list[Record]:
    """Five seeds each; SGD's of four epochs and 20 steps, the others' of two epochs and ten."""
    draw = np.random.default_rng(0)
    long = {"epochs": 4} if method == "sgd" else {}
    return [
        trained(
            training(name, seed=seed, **fields | (long if name == method else {})),
            train=(0.1, 1.0),
            test=(0.5, mean + noise * draw.normal()),
            steps=20 if name == "sgd" else 10,
            evaluations=EVALUATIONS.get(name, 2),
        )
        for name, mean in (("f-gr", f_gr), (method, other))
        for seed in range(5)
    ]


def timed_trainings(
    f_gr: float, sam: float, noise: float = 1e-4, step_of_sam: float = 2.0
) -> list[Record]:
    """Trainings of F-GR and SAM; a step of F-GR takes twice as long as SGD's."""
    steps = {"sgd": 1.0, "f-gr": 2.0, "sam": step_of_sam}
    return [
        *accuracies(f_gr, sam, "sam", noise),
        *(step_time(training(m), k, t) for k in range(3) for m, t in steps.items()),
    ]


def steps_of_sam(sam: float, spread: tuple[float, ...] = (0.999, 1.0, 1.001)) -> list[Record]:
    """Three replicates of SGD, F-GR and SAM; F-GR's step takes 2 s."""
    return [
        timed(cost(method), replicate, [seconds * (factor if method == "sam" else 1)])
        for replicate, factor in enumerate(spread)
        for method, seconds in (("sgd", 1.0), ("f-gr", 2.0), ("sam", sam))
    ]


def lost(method: str, other: str) -> list[Record]:
    """Every run of ``method`` diverged, none of ``other``."""
    return [
        record
        for seed in range(3)
        for record in (
            diverged(training(method, seed=seed), 3),
            trained(training(other, seed=seed), train=(0.1, 1.0), test=(0.5, 0.8)),
        )
    ]


FAMILY = {
    "b-gr(gamma=0.05, epsilon=0.1)": 0.98,
    "b-gr(gamma=0.05, epsilon=0.05)": 0.975,
    "db-gr(gamma=0.05)": 0.972,
    "f-gr(gamma=0.05, epsilon=0.05)": 0.97,
    "f-gr(gamma=0.05, epsilon=0.1)": 0.96,
}


def family(problems: int = 8, wrong: int = 0, **changed: float) -> list[Record]:
    """α̃/α in so many problems, ``changed`` in the last ``wrong`` of them."""
    return [
        solved(
            bias(method, seed=seed),
            ratio=changed.get(method, ratio) if seed >= problems - wrong else ratio,
        )
        for seed in range(problems)
        for method, ratio in FAMILY.items()
    ]


def off(**changed: object) -> list[Record]:
    """A solution that is elsewhere than theory has it."""
    return [solved(bias("f-gr"), ratio=0.9, **changed)]


def errors(f_gr: float, db_gr: float, noise: float = 1e-3, **fields) -> list[Record]:
    """Test errors of F-GR and DB-GR over eight problems."""
    draw = np.random.default_rng(0)
    return [
        solved(
            bias(method, seed=seed, **fields), ratio=1.0, test_error=mean + noise * draw.normal()
        )
        for seed in range(8)
        for method, mean in (("f-gr(gamma=0.1, epsilon=0.2)", f_gr), ("db-gr(gamma=0.1)", db_gr))
    ]


def twins(sam: float, gr: float) -> list[Record]:
    """Test errors of unnormalised SAM and of F-GR with equal numbers."""
    return [
        solved(bias("unnormalized-sam(rho=0.1)"), ratio=1.0, test_error=sam),
        solved(bias("f-gr(gamma=0.1, epsilon=0.1)"), ratio=1.0, test_error=gr),
    ]


def twin_losses(
    sam: float, gr: float, trainers: tuple[TrainerName, TrainerName] = ("loop", "loop")
) -> list[Record]:
    methods = {"unnormalized-sam(rho=0.1)": sam, "f-gr(gamma=0.1, epsilon=0.1)": gr}
    return [
        replace(trained(training(m), train=(0.1, 1.0), test=(loss, 0.8)), trainer=trainer)
        for (m, loss), trainer in zip(methods.items(), trainers, strict=True)
    ]


def pairs(difference: float, *orders: Order, **fields) -> list[Record]:
    found = [(step, order, difference) for step, order in enumerate(orders)]
    return [traced(flood(**fields), [3.0, 0.9, 1.1, 0.9], found, level=1.0)]


BOTH: tuple[Order, ...] = ("descent, ascent", "ascent, descent")
WIDE = (0.5, 1.0, 2.0)
NARROW = (0.999, 1.0, 1.001)
FORWARD, BACKWARD = "f-gr(gamma=0.05, epsilon=0.1)", "b-gr(gamma=0.05, epsilon=0.1)"
PLANE, EQUAL_TIME, STEP, LONGER = (
    *("f-gr-or-sam", "f-gr-or-sam-in-equal-time"),
    *("f-gr-or-sam-step", "gr-or-longer-sgd"),
)

Feeds = dict[str, list[Callable[[], list[Record]]]]
HOLDS: Feeds = {
    "cheaper-time": [lambda: block(2.0, 3.0)],
    "cheaper-flops": [
        lambda: counters(150, 1),
        lambda: counters(143, 1),
        lambda: counters(124, 1, model="mlp(depth=2)"),  # 13/10, less 5 %
    ],
    "cheaper-memory": [lambda: counters(1, 1500)],
    "gap-grows-with-depth": [lambda: depths(2.5, 3.0)],
    "twice-on-resnets": [lambda: residual(2.0, 5.0)],
    "generalizes-as-well": [
        lambda: accuracies(0.80, 0.80),
        lambda: accuracies(0.80, 0.75, "db-gr"),
        lambda: accuracies(0.795, 0.80),  # within a point
        lambda: lost("b-gr", "f-gr"),
    ],
    "solution-of-theory": [lambda: off()],
    "forward-strengthens": [family],
    "backward-weakens": [family],
    "richer-is-better": [lambda: errors(0.1, 0.2)],
    "sam-is-forward": [lambda: twins(0.1, 0.1), lambda: twin_losses(0.1, 0.1)],
    "flooding-is-gr": [lambda: pairs(1e-12, *BOTH)],
}
SMALLER: Feeds = {
    "cheaper-time": [lambda: block(2.0, 2.05, NARROW)],
    "cheaper-flops": [
        lambda: counters(142, 1),
        lambda: counters(110, 1, model="mlp(depth=2)"),
        lambda: counters(136, 1, model="mlp(depth=8)"),  # it would do for two layers
    ],
    "cheaper-memory": [lambda: counters(1, 1049)],
    "gap-grows-with-depth": [lambda: depths(2.5, 2.55, NARROW, NARROW)],
    "twice-on-resnets": [lambda: residual(2.0, 3.5)],
    "richer-is-better": [lambda: errors(0.1995, 0.2, noise=1e-6)],
}
REFUTED: Feeds = {
    "cheaper-time": [lambda: block(3.0, 2.0), lambda: block(2.0, 2.0)],
    "cheaper-flops": [lambda: counters(100, 9999), lambda: counters(90, 9999)],
    "cheaper-memory": [lambda: counters(999, 1000), lambda: counters(999, 900)],
    "gap-grows-with-depth": [lambda: depths(3.0, 2.5), lambda: depths(2.5, 2.5)],
    "twice-on-resnets": [lambda: residual(2.0, 2.0), lambda: residual(2.0, 1.5)],
    "generalizes-as-well": [
        lambda: accuracies(0.78, 0.80),
        lambda: accuracies(0.78, 0.80, "db-gr"),
        lambda: lost("f-gr", "db-gr"),
    ],
    "solution-of-theory": [
        lambda: off(beta=(1.0, 0.51)),
        lambda: off(alpha=(0.0901, 0.09)),
    ],
    "forward-strengthens": [
        lambda: family(wrong=1, **{FORWARD: 0.971}),
        lambda: family(problems=2, wrong=1, **{FORWARD: 0.971}),
    ],
    "backward-weakens": [lambda: family(wrong=1, **{BACKWARD: 0.974})],
    "richer-is-better": [lambda: errors(0.2, 0.1), lambda: errors(0.2, 0.2, noise=1e-6)],
    "sam-is-forward": [lambda: twins(0.1, 0.1001), lambda: twin_losses(0.1, 0.1001)],
    "flooding-is-gr": [lambda: pairs(0.5, *BOTH), lambda: pairs(1e-12, BOTH[0], BOTH[0])],
}
FIRST: Feeds = {
    PLANE: [lambda: accuracies(0.85, 0.80, "sam"), lambda: lost("sam", "f-gr")],
    EQUAL_TIME: [lambda: timed_trainings(0.85, 0.80)],
    STEP: [lambda: steps_of_sam(2.1)],
    LONGER: [lambda: accuracies(0.85, 0.80, "sgd")],
}
SECOND: Feeds = {
    PLANE: [lambda: accuracies(0.80, 0.85, "sam"), lambda: lost("f-gr", "sam")],
    EQUAL_TIME: [lambda: timed_trainings(0.80, 0.85)],
    STEP: [lambda: steps_of_sam(1.9)],
    LONGER: [lambda: accuracies(0.80, 0.85, "sgd")],
}
SAME: Feeds = {
    PLANE: [lambda: accuracies(0.805, 0.80, "sam")],  # half a point, for certain
    EQUAL_TIME: [lambda: timed_trainings(0.80, 0.80)],
    STEP: [lambda: steps_of_sam(2.0)],
    LONGER: [lambda: accuracies(0.80, 0.80, "sgd")],
}
OPEN: Feeds = {
    "cheaper-time": [
        lambda: block(2.0, 3.0, WIDE),
        lambda: block(2.0, 3.0, (1.0,)),
        lambda: block(2.0, 2.1),  # faster, but 5 %?
    ],
    "gap-grows-with-depth": [lambda: depths(2.5, 3.0, WIDE)],
    "twice-on-resnets": [lambda: residual(2.0, 4.0, spread=WIDE)],
    "generalizes-as-well": [
        lambda: accuracies(0.79, 0.80, noise=0.05),
        lambda: accuracies(0.79, 0.80, noise=0.005),  # worse, but by a point?
    ],
    "forward-strengthens": [lambda: family(problems=5)],
    "backward-weakens": [lambda: family(problems=5)],
    "richer-is-better": [lambda: errors(0.1, 0.11, noise=0.1)],
    "flooding-is-gr": [lambda: pairs(1e-4, *BOTH)],
    PLANE: [lambda: accuracies(0.81, 0.80, "sam", noise=0.05)],
    EQUAL_TIME: [lambda: timed_trainings(0.81, 0.80, noise=0.05)],
    STEP: [lambda: steps_of_sam(2.05, WIDE)],
    LONGER: [lambda: accuracies(0.81, 0.80, "sgd", noise=0.05)],
}
NOT_COMPARED: Feeds = {
    "cheaper-flops": [uncounted],
    "cheaper-memory": [lambda: counters(1, 1500)[:1]],
    "gap-grows-with-depth": [lambda: block(2.0, 3.0)],
    "twice-on-resnets": [lambda: block(2.0, 5.0)],
    "solution-of-theory": [lambda: [solved(bias("f-gr"), ratio=0.9, diverged=True)]],
    "sam-is-forward": [lambda: twin_losses(0.1, 0.1001, trainers=("loop", "fleet"))],
    "flooding-is-gr": [lambda: pairs(1e-5, *BOTH, dtype="float32")],
    PLANE: [
        lambda: [*accuracies(0.8, 0.8, "sam"), *accuracies(0.9, 0.8, "sam(rho=0.2)")],
        lambda: [
            *accuracies(0.8, 0.8, "sam")[:5],
            *accuracies(0.8, 0.8, "sam", epochs=3)[5:],
        ],
    ],
    EQUAL_TIME: [
        lambda: accuracies(0.85, 0.80, "sam"),
        lambda: timed_trainings(0.85, 0.80, step_of_sam=1.8),
    ],
    STEP: [lambda: block(2.0, 3.0)],
    LONGER: [lambda: accuracies(0.85, 0.80, "sam")],
}
ANSWERS: dict[Answer, Feeds] = {
    "holds": HOLDS,
    "smaller": SMALLER,
    "contradicted": REFUTED,
    "first": FIRST,
    "second": SECOND,
    "same": SAME,
    "open": OPEN,
}
ON_A_GPU = {"device": "cuda:0", "dataset": "cifar10"}
INSIDE: dict[str, Callable[[], list[Record]]] = {
    "cheaper-time": lambda: block(2.0, 3.0, model="mlp(depth=8)", **ON_A_GPU),
    "cheaper-flops": lambda: counters(150, 1),
    "cheaper-memory": lambda: counters(1, 1500, model="resnet-18", **ON_A_GPU),
    "gap-grows-with-depth": lambda: [
        *block(2.0, 2.5, model="mlp(depth=2, width=512)", **ON_A_GPU),
        *block(2.0, 3.0, model="mlp(depth=8, width=512)", **ON_A_GPU),
    ],
    "twice-on-resnets": lambda: block(2.0, 5.0, model="resnet-18", dataset="random", device="cuda"),
    "generalizes-as-well": lambda: accuracies(0.8, 0.8, model="resnet-18", dataset="cifar100"),
    "solution-of-theory": lambda: off(),
    "forward-strengthens": family,
    "backward-weakens": family,
    "richer-is-better": lambda: errors(0.1, 0.2),
    "flooding-is-gr": lambda: pairs(1e-12, *BOTH),
}
OTHER = {"model": "my-module:Net", "dataset": "sparse-regression(samples=9)"}
OUTSIDE: dict[str, Callable[[], list[Record]]] = {
    "cheaper-time": lambda: block(3.0, 2.0),
    "cheaper-flops": lambda: counters(99, 1, model="resnet-18"),
    "cheaper-memory": lambda: counters(1, 999, model="resnet-18", dataset="cifar10"),
    "gap-grows-with-depth": lambda: depths(3.0, 2.5),
    "twice-on-resnets": lambda: block(2.0, 2.0, model="resnet-18", dataset="random"),
    "generalizes-as-well": lambda: accuracies(0.7, 0.8, model="resnet-18", dataset="mnist1d"),
    "solution-of-theory": lambda: [solved(bias("f-gr", **OTHER), ratio=0.9, beta=(1.0, 0.6))],
    "forward-strengthens": lambda: elsewhere(family(wrong=1, **{FORWARD: 0.971})),
    "backward-weakens": lambda: elsewhere(family(wrong=1, **{BACKWARD: 0.974})),
    "richer-is-better": lambda: errors(0.2, 0.1, **OTHER),
    "flooding-is-gr": lambda: pairs(0.5, *BOTH, fresh=True),
}
"""Records that contradict the claim, from a setting that its source does not speak of."""


def elsewhere(records: list[Record]) -> list[Record]:
    """The records, of another model and sort of problem."""
    return [replace(record, cell=replace(record.cell, **OTHER)) for record in records]


MIXED: dict[str, tuple[Callable[[], list[Record]], str, str]] = {
    "cheaper-time": (
        lambda: [*block(2.0, 3.0, batch_size=8), *block(3.0, 2.0, batch_size=9)],
        "mixed (1 of 2 holds; 1 contradicted)",
        "Holds: mlp, digits, batch 8.",
    ),
    "cheaper-flops": (
        lambda: [*counters(110, 1, model="mlp(depth=3)"), *counters(130, 1, model="mlp(depth=2)")],
        "mixed (1 of 2 holds; 1 fewer, but not by the claimed factor)",
        "Does not hold (fewer, but not by the claimed factor): mlp(depth=3), digits, batch 32.",
    ),
    "richer-is-better": (
        lambda: [
            *errors(0.1, 0.2, dataset="sparse-regression(feature_mean=2)"),
            *errors(0.2, 0.1, dataset="sparse-regression(feature_mean=0)"),
        ],
        "mixed (1 of 2 holds; 1 contradicted)",
        "Holds: sparse-regression(feature_mean=2), α 0.1, γ 0.1, ε 0.2.",
    ),
    PLANE: (
        lambda: [
            *accuracies(0.85, 0.80, "sam"),
            *accuracies(0.80, 0.85, "sam", dataset="mnist1d"),
        ],
        "mixed (F-GR ahead in 1 of 2; SAM ahead in 1)",
        "SAM ahead: mlp, mnist1d, batch 32: f-gr(gamma=0.1, epsilon=0.05), sam(rho=0.05).",
    ),
}


def every(feeds: Feeds) -> list[object]:
    return [
        pytest.param(name, feed, id=f"{name}-{number}")
        for name, several in feeds.items()
        for number, feed in enumerate(several)
    ]


# --- answers


def test_every_rule_is_put_to_every_test() -> None:
    own = [claim for claim in CLAIMS if claim not in PAPERS]  # theirs: test_papers.py
    claims = {claim.name for claim in own if not claim.is_question}
    questions = {claim.name for claim in own if claim.is_question}
    assert claims == set(HOLDS) == set(REFUTED)
    assert questions == set(FIRST) == set(SECOND) == set(SAME)
    assert claims | questions == set(OPEN) | set(NOT_COMPARED)
    bounded = {claim.name for claim in own if not claim.scope.is_everywhere}
    assert bounded == set(INSIDE) == set(OUTSIDE)
    assert len(claims | questions) == len(own)


@pytest.mark.parametrize(
    ("answer", "name", "feed"),
    [
        pytest.param(answer, *case.values, id=f"{answer}-{case.id}")
        for answer, feeds in ANSWERS.items()
        for case in every(feeds)
    ],
)
def test_the_answer_is_that_of_the_records(answer: Answer, name: str, feed) -> None:
    one = judged(name, feed())
    assert {case.answer for case in one.cases} == {answer}, one.cases
    assert set(ANSWERS) >= {case.answer for case in one.cases} <= set(one.claim.answers)


@pytest.mark.parametrize(("name", "feed"), every(NOT_COMPARED))
def test_records_that_cannot_be_compared_are_no_test(name: str, feed) -> None:
    one = judged(name, feed())
    assert (list(one.cases), one.in_short) == ([], "not tested")


@pytest.mark.parametrize("name", INSIDE)
def test_the_source_s_setting_is_told_apart_from_others(name: str) -> None:
    """What contradicts a claim elsewhere is no verdict on the setting that its source speaks of."""
    inside, outside = judged(name, INSIDE[name]()), judged(name, OUTSIDE[name]())
    assert inside.inside.cases
    assert not inside.outside.cases
    assert inside.in_short == "holds in the paper's setting"
    assert outside.outside.cases
    assert not outside.inside.cases
    assert outside.in_short == "does not hold outside the paper's setting; in it not tested"
    assert outside.lines[0].endswith("): not tested.")
    both = judged(name, [*INSIDE[name](), *OUTSIDE[name]()])
    assert both.in_short == "holds in the paper's setting; does not hold outside it"


@pytest.mark.parametrize("name", MIXED)
def test_cases_that_disagree_are_told_one_by_one(name: str) -> None:
    feed, verdict, line = MIXED[name]
    one = judged(name, feed())
    (part,) = (part for part in (one.inside, one.outside) if part.cases)
    assert part.verdict == verdict
    assert line in one.which_lines


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_nothing_measured_and_failures_alone_test_nothing(claim: Claim) -> None:
    failures = [failed(cell) for cell in (cost("f-gr"), training("f-gr"), bias("f-gr"), flood())]
    for records in ([], failures):
        (one,) = judge([claim], evidence(records))
        assert (one.in_short, list(one.cases)) == ("not tested", [])


def test_a_verdict_names_models_data_and_devices_of_the_records() -> None:
    records = [
        *residual(2.0, 3.5, dataset="random"),
        *block(2.0, 3.0, model="resnet-20", dataset="random"),
    ]
    assert judged("twice-on-resnets", records).lines == [
        "In the paper's setting (ResNet-18 on 32x32 images, on a GPU; an NVIDIA A100 in the "
        "paper): not tested.",
        "Outside it: does not hold for resnet-8, resnet-20 on random, on a CPU: faster, but not "
        "twice as fast; time of DB-GR over F-GR 1.50 [1.46, 1.54] to 1.75 [1.71, 1.79].",
    ]


# --- sizes


@pytest.mark.parametrize(
    ("low", "high", "claimed", "neutral", "answer"),
    [
        (2.0, 2.1, 2.0, 1.0, "holds"),
        (1.9, 2.1, 2.0, 1.0, "open"),
        (0.9, 2.1, 2.0, 1.0, "open"),
        (1.1, 1.9, 2.0, 1.0, "smaller"),
        (1.0, 1.9, 2.0, 1.0, "contradicted"),
        (0.5, 0.9, 2.0, 1.0, "contradicted"),
        (-0.3, -0.01, -0.01, 0.0, "holds"),
        (-0.3, -0.001, -0.01, 0.0, "open"),
        (-0.005, -0.001, -0.01, 0.0, "smaller"),
        (-0.005, 0.5, -0.01, 0.0, "contradicted"),
    ],
)
def test_a_size_is_reached_fallen_short_of_or_open(
    low: float, high: float, claimed: float, neutral: float, answer: Answer
) -> None:
    assert sized(Interval((low + high) / 2, low, high), claimed, neutral) == answer


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (0.1, 0.9, "same"),
        (0.1, 1.1, "first"),
        (-1.1, -0.1, "second"),
        (-0.9, 0.9, "same"),
        (-1.1, 0.9, "open"),
        (-float("inf"), float("inf"), "open"),
    ],
)
def test_a_method_is_ahead_or_equal_or_nothing_is_said(
    low: float, high: float, answer: Answer
) -> None:
    assert ahead(Interval((low + high) / 2, low, high), -1, 1) == answer


def test_nothing_is_claimed_of_a_difference_that_is_not_known() -> None:
    nothing = Interval(*[float("nan")] * 3)
    assert sized(nothing, 2, 1) == ahead(nothing, -1, 1) == "open"


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_the_claimed_ratio_of_products_is_that_of_equal_layers(layers: int) -> None:
    """Counted on a chain of equal linear layers, whose input needs no gradient."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from gr_bench.methods import get

    net = torch.nn.Sequential(*(torch.nn.Linear(8, 8, bias=False) for _ in range(layers)))
    x = torch.randn(4, 8)
    counted_flops = []
    for method in (get("db-gr", gamma=0.1), get("f-gr", gamma=0.1, epsilon=0.1)):
        with FlopCounterMode(display=False) as counter:
            method.backward(lambda: net(x).square().mean(), list(net.parameters()))
        counted_flops.append(counter.get_total_flops())
    double, forward = counted_flops
    assert double / forward == pytest.approx(products_ratio(f"mlp(depth={layers})"))


def test_the_claimed_ratio_tends_to_nine_over_six() -> None:
    assert products_ratio("mlp(depth=100000)") == pytest.approx(products_ratio("resnet-18"), 1e-4)
    assert products_ratio("resnet-18") == 1.5


# --- scopes


@pytest.mark.parametrize(
    ("pattern", "model", "inside"),
    [
        ("mlp", "mlp(depth=2)", True),
        ("mlp", "mlp", True),
        ("mlp", "my-mlp", False),
        ("resnet-*", "resnet-20(width=8)", True),
        ("resnet-*", "wrn-28-10", False),
        ("mlp(width=512)", "mlp(depth=2)", True),  # by default
        ("mlp(width=512)", "mlp(depth=2, width=512)", True),
        ("mlp(width=512)", "mlp(width=128)", False),
        ("resnet-18", "resnet-18(batch_norm=False)", True),
        ("mlp", "mlp(width=[/bold]<b>x</b>)", True),  # of a version that spelled it so
    ],
)
def test_a_scope_holds_the_models_that_fit(pattern: str, model: str, inside: bool) -> None:
    scope = Scope("", models=(pattern,))
    assert scope.contains(Setting(model, "digits", "cpu", 1)) is inside


@pytest.mark.parametrize(
    ("dataset", "inside"),
    [
        ("random", True),
        ("random(shape=[3, 32, 32], samples=9)", True),
        ("random(shape=(3, 32, 32))", True),
        ("random(shape=[3, 8, 8])", False),
        ("digits", False),
    ],
)
def test_a_scope_holds_the_data_of_its_size(dataset: str, inside: bool) -> None:
    scope = Scope("", datasets=("random(shape=(3, 32, 32))",))
    assert scope.contains(Setting("mlp", dataset, "cpu", 1)) is inside


def test_a_scope_asks_for_device_and_note() -> None:
    setting = Setting("mlp", "digits", "cpu", 1, note="a")
    assert Scope("").is_everywhere
    assert Scope("").contains(setting)
    assert not Scope("", devices=("cuda",)).contains(setting)
    assert Scope("", devices=("cpu", "cuda"), notes=("a", "b")).contains(setting)
    assert not Scope("", notes=("b",)).contains(setting)


# --- what is said of a case


def test_the_time_ratio_is_that_of_the_same_rounds() -> None:
    """A machine that slows down by the round slows both; the ratio stays 1.5."""
    records = [
        timed(cost(method), replicate, [seconds * slow for slow in (1.0, 4.0, 16.0)])
        for replicate in range(3)
        for method, seconds in (("sgd", 1.0), ("f-gr", 2.0), ("db-gr", 3.0))
    ]
    (case,) = judged("cheaper-time", records).cases
    assert case.value == pytest.approx((1.5, 1.5, 1.5))


def test_growth_with_depth_is_that_of_the_ratios() -> None:
    (case,) = judged("gap-grows-with-depth", depths(2.4, 3.0)).cases
    assert case.value.center == pytest.approx(3.0 / 2.4)
    assert case.where == "mlp, digits, batch 32, depth 2 to 8"
    assert case.note == "time of DB-GR over F-GR 1.200 to 1.500"


def test_f_gr_is_compared_at_its_largest_epsilon_with_equal_numbers() -> None:
    methods = [
        *(f"f-gr(gamma={g}, epsilon={e})" for g in (0.1, 0.3) for e in (0.05, 0.2)),
        *(f"b-gr(gamma={g}, epsilon={e})" for g in (0.1, 0.3) for e in (0.05, 0.2)),
        *(f"db-gr(gamma={g})" for g in (0.1, 0.3)),
    ]
    records = [
        trained(training(method, seed=seed), train=(0.1, 1.0), test=(0.5, 0.8))
        for method in methods
        for seed in range(3)
    ]
    found = {
        case.where.partition(" on ")[0] for case in judged("generalizes-as-well", records).cases
    }
    expected = {
        f"f-gr(gamma={g}, epsilon=0.2) against {other}"
        for g in (0.1, 0.3)
        for other in (f"b-gr(gamma={g}, epsilon=0.2)", f"db-gr(gamma={g})")
    }
    assert found == expected


def test_chosen_settings_are_compared_whatever_their_numbers() -> None:
    cells = {
        "f-gr(gamma=0.1, epsilon=0.05)": 0.1,
        "b-gr(gamma=0.3, epsilon=0.2)": 0.03,
        "db-gr(gamma=0.01)": 0.1,
    }
    records = [
        trained(
            training(method, seed=seed, role="chosen", learning_rate=rate),
            train=(0.1, 1.0),
            test=(0.5, 0.8),
        )
        for method, rate in cells.items()
        for seed in range(3)
    ]
    assert len(judged("generalizes-as-well", records).cases) == 2


def test_runs_that_were_lost_are_told() -> None:
    (case,) = judged("generalizes-as-well", lost("f-gr", "b-gr")).cases
    assert case.note == "3 and 0 runs lost"


@pytest.mark.parametrize(
    "claim", [c for c in CLAIMS if c.name in HOLDS | FIRST], ids=lambda claim: claim.name
)
def test_the_command_of_a_claim_measures_what_it_needs(claim: Claim) -> None:
    """Every method that the records above bear the claim out with is among the command's cells."""
    words = shlex.split(claim.command)
    borne_out = (HOLDS | FIRST)[claim.name][0]()
    assert words[:3] == ["gr-bench", "run", "claims-quick"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    suite = load_suite(words[2], only=options["--only"])
    assert options["--out"] != "runs/claims-quick"  # that is the whole suite's
    needed = {parse(record.cell.spec).name for record in borne_out}
    assert needed <= {parse(cell.spec).name for cell in suite.cells}
    assert {c.experiment for c in suite.cells} == {record.cell.experiment for record in borne_out}


# --- words


def answer(*answers: Answer) -> Judged:
    setting = Setting("mlp", "digits", "cpu", 32)
    cases = [
        Case(str(n), Interval(n, n - 0.5, n + 0.5), a, setting)
        for n, a in zip(count(1), answers, strict=False)
    ]
    return Judged(CLAIMS[0], cases)


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ((), "not tested"),
        (("open",), "open"),
        (("holds", "holds"), "holds"),
        (("holds", "open"), "partly open (1 of 2 holds; 1 open)"),
        (
            ("holds", "holds", "contradicted", "open"),
            "mixed (2 of 4 hold; 1 contradicted; 1 open)",
        ),
        (("contradicted", "open"), "partly open (1 of 2 contradicted; 1 open)"),
        (("smaller", "smaller"), "less, but by under 5 %"),
        (("contradicted",), "does not hold"),
    ],
)
def test_verdicts_from_cases(answers: tuple[Answer, ...], verdict: str) -> None:
    assert answer(*answers).outside.verdict == verdict


def test_what_was_measured_is_the_range_with_intervals() -> None:
    part = answer("holds", "holds", "holds").outside
    assert part.measured == "1.00 [0.50, 1.50] to 3.00 [2.50, 3.50]"
    assert answer("holds").outside.measured == "1.00 [0.50, 1.50]"


def test_every_case_is_in_its_table() -> None:
    table = case_table(answer("holds", "contradicted", "open"))
    assert list(table["verdict"]) == ["holds", "does not hold", "open"]
    assert list(table["paper's setting"]) == ["no"] * 3


# --- pages

RUN = [
    *block(2.0, 3.0),
    *block(3.0, 2.0, batch_size=64),
    *family(),
    *pairs(1e-12, *BOTH),
    *accuracies(0.85, 0.80, "sam"),
]


def test_the_command_prints_verdicts_and_writes_pages(command: Warm, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", *RUN)
    ended = command("claims", run)
    assert (ended.code, ended.err) == (0, "")
    *told, html_page, md_page = ended.out.splitlines()
    assert [html_page, md_page] == [str(run / f"claims/claims.{k}") for k in ("html", "md")]
    assert max(map(len, told)) <= 80
    words = " ".join(ended.out.split())
    assert "mixed for mlp on digits, on a CPU: 1 of 2 holds; 1 contradicted; time of" in words
    assert "F-GR ahead for mlp on digits, on a CPU: test accuracy" in words
    text = (run / "claims/claims.md").read_text()
    html = (run / "claims/claims.html").read_text()
    for claim in CLAIMS:
        if claim.name not in HOLDS | FIRST:  # nothing here is of the later papers
            assert claim.words not in text
            assert f'id="{claim.name}"' not in html
            continue
        assert claim.words in text
        assert f'id="{claim.name}"' in html
        assert claim.rule in text
        assert claim.size in text
    left_out = "Smith et al. (5 claims)"
    assert left_out in words and left_out in text and left_out in html
    assert "To test them: gr-bench run papers-cpu." in words
    assert "- Holds: mlp, digits, batch 32." in text
    assert "http:" not in html
    assert "url(" not in html
    assert "`" not in html
    assert html.index("<table") < html.index("Every verdict") < html.index("<dl>")


def test_several_runs_are_judged_one_by_one_and_together(command: Warm, tmp_path: Path) -> None:
    """Half of a pair in either run is no pair: nothing is divided across runs."""
    first = run_of(tmp_path / "first", *block(2.0, 3.0), *counters(150, 1)[:1])
    second = run_of(tmp_path / "second", *block(3.0, 2.0), *counters(150, 1)[1:])
    out = tmp_path / "both"
    ended = command("claims", first, second, "--out", out)
    assert (ended.code, ended.err) == (0, "")
    words = " ".join(ended.out.split())
    assert "mixed for mlp on digits, on a CPU: 1 of 2 holds; 1 contradicted" in words
    assert "first: holds outside the paper's setting: 1.50" in words
    assert "second: does not hold outside the paper's setting: 0.67" in words
    assert "Holds: mlp, digits, batch 32 (first)." in words
    found = json.loads(command("claims", first, second, "--out", out, "--json").out)
    by_name = {claim["name"]: claim for claim in found["claims"]}
    assert [run["name"] for run in found["runs"]] == ["first", "second"]
    assert by_name["cheaper-flops"]["verdict"] == "not tested"
    time = by_name["cheaper-time"]["runs"]
    assert [own["cases"][0]["answer"] for own in time.values()] == ["holds", "does not hold"]
    text = (out / "claims.md").read_text()
    assert all(f"**{name}: " in text for name in ("first", "second"))


def test_runs_of_one_name_go_by_their_paths(command: Warm, tmp_path: Path) -> None:
    runs = [run_of(tmp_path / place / "run", *block(2.0, 3.0)) for place in ("a", "b")]
    found = json.loads(command("claims", *runs, "--out", tmp_path / "out", "--json").out)
    assert [run["name"] for run in found["runs"]] == list(map(str, runs))


def test_a_run_that_is_named_twice_is_refused(command: Warm, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", *block(2.0, 3.0))
    ended = command("claims", run, run)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "is given twice" in ended.err


def test_what_a_name_holds_is_no_markup(command: Warm, tmp_path: Path) -> None:
    name = "mlp(width=[/bold]<b>x</b>)"
    run = run_of(tmp_path / "run", *block(2.0, 3.0, dataset=name), *block(3.0, 2.0))
    assert command("claims", run).code == 0
    assert "<b>" not in (run / "claims/claims.html").read_text()


def test_a_run_without_results_is_refused(command: Warm, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    ended = command("claims", run)
    assert (ended.code, ended.err) == (2, f"gr-bench: {run} has no results yet\n")


def test_without_a_run_the_command_says_what_makes_one(command: Warm, tmp_path: Path) -> None:
    ended = command("claims", cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "gr-bench run claims-quick" in ended.err
