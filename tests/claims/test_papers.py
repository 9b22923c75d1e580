"""Every claim of the later papers fed with records that bear it out, and with others."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import diverged, failed, flow_epoch, flow_path, trained, training

from gr_bench.claims import CLAIMS, Evidence, Judged, judge
from gr_bench.claims.base import Answer, Claim
from gr_bench.claims.papers import PAPERS
from gr_bench.claims.papers.barrett import near
from gr_bench.claims.papers.contrasts import no_gain, no_worse
from gr_bench.claims.papers.dauphin import same
from gr_bench.experiments import all_experiments
from gr_bench.experiments.generalization.record import Curvature, Training
from gr_bench.experiments.record import Record
from gr_bench.runs.suite import load_suite
from gr_bench.stats import Interval

Feed = Callable[[], list[Record]]
SURE, UNSURE = 1e-4, 0.05
"""Standard deviations of accuracies between seeds."""


def judged(name: str, records: list[Record]) -> Judged:
    tables = {}
    for experiment, own in all_experiments().items():
        mine = [record for record in records if record.cell.experiment == experiment]
        if mine:
            tables |= own.tables(mine)
    (claim,) = (claim for claim in PAPERS if claim.name == name)
    (one,) = judge([claim], Evidence(records, tables))
    return one


def runs(
    method: str, accuracy: float, noise: float = SURE, flat: float | None = None, **fields
) -> list[Training]:
    """Five seeds of a method, with the largest curvature ``flat`` where it is given."""
    draw = np.random.default_rng(sum(map(ord, method + str(fields))))
    apart = draw.permutation([-1.5, -0.5, 0.0, 0.5, 1.5])  # so that no mean is moved by chance
    found = []
    for seed in range(5):
        cell = training(method, seed=seed, split_seed=seed, **fields)
        record = trained(cell, train=(0.1, 1.0), test=(0.5, accuracy + noise * apart[seed]))
        if flat is not None:
            largest = flat * float(np.exp(0.01 * draw.normal()))
            curvature = Curvature(
                largest_eigenvalue=largest, trace=1.0, trace_error=0.1, tolerance=1e-3, products=9
            )
            record = replace(record, sharpness=curvature)
        found.append(record)
    return found


def two(own: str, base: str, **fields) -> Callable[..., Feed]:
    """Records of two methods by how far the first is ahead, in points."""

    def feed(ahead: float, noise: float = SURE) -> Feed:
        return lambda: [
            *runs(own, 0.8 + ahead / 100, noise, **fields),
            *runs(base, 0.8, noise, **fields),
        ]

    return feed


def lost(own: str, base: str, **fields) -> Feed:
    """Every run of ``own`` diverged, none of ``base``."""
    return lambda: [
        *(diverged(training(own, seed=seed, split_seed=seed, **fields), 3) for seed in range(5)),
        *runs(base, 0.8, **fields),
    ]


PLAIN = {"momentum": 0.0, "schedule": "constant"}


def rates(small: float, penalised: float, large: float, noise: float = SURE) -> Feed:
    """SGD and DB-GR at a small rate, SGD at a large one, by their accuracies; chosen."""
    chosen = {**PLAIN, "role": "chosen"}
    return lambda: [
        *runs("sgd", small, noise, learning_rate=0.01, **chosen),
        *runs("db-gr", penalised, noise, learning_rate=0.01, **chosen),
        *runs("sgd", large, noise, learning_rate=0.1, **chosen),
    ]


def activations(method: str, gelu: float, relu: float, noise: float = SURE) -> Feed:
    """A method's gains over SGD by activation, in points."""
    return lambda: [
        record
        for activation, gain in (("gelu", gelu), ("relu", relu))
        for name, accuracy in ((method, 0.8 + gain / 100), ("sgd", 0.8))
        for record in runs(name, accuracy, noise, model=f"mlp(activation='{activation}')")
    ]


def orders(batches: int, plain: float, modified: float, full: float, spread: float = 0) -> Feed:
    """Three problems whose distances from the flows are of these orders."""
    return lambda: [
        flow_epoch(
            seed=seed,
            batches=batches,
            step=step,
            length=1.0,
            plain=step ** (plain + spread * (seed - 1)),
            modified=step ** (modified + spread * (seed - 1)),
            full=step ** (full + spread * (seed - 1)),
        )
        for seed in range(3)
        for step in (0.1, 0.05, 0.025)
    ]


def ends(*curvatures: float, distances: tuple[float, ...] = (0.01, 0.01, 0.01)) -> Feed:
    """Paths by the curvature of the large step's end over the small one's, and by distances."""
    return lambda: [
        flow_path(large=curvature, explicit_distance=distance, seed=seed, step=step)
        for seed, (curvature, distance) in enumerate(zip(curvatures, distances, strict=True))
        for step in (0.1, 0.4)
    ]


def flatness(late: float, sam: float = 1.0, sgd: float = 2.0) -> Feed:
    return lambda: [
        *runs("late(sam)", 0.8, flat=late),
        *runs("sam", 0.8, flat=sam),
        *runs("sgd", 0.8, flat=sgd),
    ]


ADAPTIVE = {
    "optimizer": "adamw(weight_decay=0.1)",
    "schedule": "warmup-cosine",
    "momentum": None,
    "weight_decay": None,
}
GAINS = {
    "large-rates-generalise": lambda by, noise=SURE: rates(0.7, 0.7, 0.7 + by / 100, noise),
    "explicit-penalty-helps-small-rates": lambda by, noise=SURE: rates(
        0.7, 0.7 + by / 100, 0.9, noise
    ),
    "penalty-needs-a-curved-activation": lambda by, noise=SURE: activations(
        "db-gr", 1 + by, 1, noise
    ),
    "no-penalty-while-the-rate-warms-up": two("warmup(gnp)", "gnp", **ADAPTIVE),
    "penalty-warms-up": two("ramp(gnp, parameter='r')", "gnp", **ADAPTIVE),
    "late-sam-improves-on-sgd": two("late(sam)", "sgd"),
    "early-sam-is-not-enough": two("sam", "early(sam)"),
    "small-m-generalises-better": two("micro-batches(sam)", "sam"),
    "friendly-sam-improves-on-sam": two("friendly-sam", "sam"),
}
"""Claims of a gain: records by its size."""

AS_WELL = {
    "explicit-penalty-replaces-large-rates": lambda by, noise=SURE: rates(
        0.7, 0.8 + by / 100, 0.8, noise
    ),
    "late-sam-is-enough": two("late(sam)", "sam"),
    "normalisation-does-not-matter": two("unnormalized-sam", "sam"),
    "the-full-gradient-is-not-needed": two("friendly-sam", "sam"),
}
"""Claims of no loss."""

RELU = {"model": "mlp(activation='relu')"}
CASES: dict[str, dict[Answer, list[Feed]]] = {
    "descent-follows-the-modified-flow": {
        "holds": [orders(1, 2, 3, 3), orders(1, 2, 2.95, 3)],
        "contradicted": [orders(1, 2, 2, 3), orders(1, 2, 3.3, 3)],
        "open": [orders(1, 2, 3, 3, spread=0.3)],
    },
    "descent-leaves-the-flow": {
        "holds": [orders(1, 2, 3, 3)],
        "contradicted": [orders(1, 3, 3, 3)],
        "open": [orders(1, 2, 3, 3, spread=0.3)],
    },
    "sgd-follows-the-modified-flow": {
        "holds": [orders(3, 2, 3, 2)],
        "contradicted": [orders(3, 2, 2, 2)],
        "open": [orders(3, 2, 3, 2, spread=0.3)],
    },
    "the-penalty-is-of-mini-batches": {
        "holds": [orders(3, 2, 3, 2)],
        "contradicted": [orders(3, 2, 3, 3)],
        "open": [orders(3, 2, 3, 2, spread=0.3)],
    },
    "large-steps-end-flatter": {
        "holds": [ends(0.8, 0.81, 0.79)],
        "smaller": [ends(0.995, 0.9951, 0.9949)],
        "contradicted": [ends(1.2, 1.21, 1.19), ends(1.0, 1.0001, 0.9999)],
        "open": [ends(0.5, 1.5, 1.0)],
    },
    "explicit-penalty-acts-alike": {
        "holds": [ends(0.8, 0.8, 0.8)],
        "smaller": [ends(0.8, 0.8, 0.8, distances=(0.08, 0.081, 0.079))],
        "contradicted": [ends(0.8, 0.8, 0.8, distances=(0.2, 0.21, 0.19))],
        "open": [ends(0.8, 0.8, 0.8, distances=(0.01, 0.1, 0.2))],
    },
    "penalty-with-relu-does-not-help": {
        "holds": [two("db-gr", "sgd", **RELU)(0.2), lost("db-gr", "sgd", **RELU)],
        "contradicted": [two("db-gr", "sgd", **RELU)(2)],
        "open": [two("db-gr", "sgd", **RELU)(0.5, UNSURE)],
    },
    "sam-needs-no-curved-activation": {
        "holds": [activations("sam", 2, 2)],
        "contradicted": [activations("sam", 4, 2), activations("sam", 2, 4)],
        "open": [activations("sam", 2, 2, UNSURE)],
    },
    "late-sam-is-as-flat": {
        "holds": [flatness(1.1)],
        "contradicted": [flatness(1.8)],
        "open": [flatness(1.0, sgd=1.1), flatness(1.8, sgd=1.1)],
    },
}
CASES |= {
    name: {
        "holds": [feed(3)],
        "smaller": [feed(0.2)],
        "contradicted": [feed(0), feed(-3)],
        "open": [feed(0.5, UNSURE)],
    }
    for name, feed in GAINS.items()
}
CASES |= {
    name: {
        "holds": [feed(0), feed(-0.5), feed(3)],
        "contradicted": [feed(-3)],
        "open": [feed(-1, UNSURE)],
    }
    for name, feed in AS_WELL.items()
}
EVERY = [
    pytest.param(name, answer, feed, id=f"{name}-{answer}-{number}")
    for name, answers in CASES.items()
    for answer, feeds in answers.items()
    for number, feed in enumerate(feeds)
]


def test_every_rule_is_put_to_every_test() -> None:
    assert {claim.name for claim in PAPERS} == set(CASES)
    assert set(CASES) <= {claim.name for claim in CLAIMS}
    assert all({"holds", "contradicted", "open"} <= set(answers) for answers in CASES.values())


def test_there_are_as_many_papers_and_claims_as_the_documentation_says() -> None:
    assert len({claim.source for claim in PAPERS}) == 7
    assert len(PAPERS) == 22


@pytest.mark.parametrize(("name", "answer", "feed"), EVERY)
def test_the_answer_is_that_of_the_records(name: str, answer: Answer, feed: Feed) -> None:
    one = judged(name, feed())
    assert {case.answer for case in one.cases} == {answer}, one.cases


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("late-sam-is-enough", [*runs("late(sam)", 0.8), *runs("sgd", 0.8)]),
        (  # several settings, and none of them chosen
            "late-sam-is-enough",
            [*runs("late(sam)", 0.8), *runs("sam", 0.8), *runs("sam(rho=0.2)", 0.8)],
        ),
        ("late-sam-is-enough", [*runs("late(sam)", 0.8), *runs("sam", 0.8, epochs=3)]),
        ("penalty-warms-up", two("ramp(gnp, parameter='r')", "gnp")(3)()),  # under SGD
        ("large-rates-generalise", [*runs("sgd", 0.8), *runs("sgd", 0.8, epochs=3)]),
        ("penalty-needs-a-curved-activation", activations("db-gr", 1, 2)()[:10]),
        ("penalty-with-relu-does-not-help", two("db-gr", "sgd")(0)()),
        ("late-sam-is-as-flat", two("late(sam)", "sam")(0)()),
        ("descent-follows-the-modified-flow", orders(3, 2, 3, 2)()),
        ("sgd-follows-the-modified-flow", orders(1, 2, 3, 2)()),
        ("large-steps-end-flatter", [flow_path(large=None)]),
        ("large-steps-end-flatter", [failed(flow_path().cell)]),
    ],
)
def test_records_that_cannot_be_compared_are_no_test(name: str, records: list[Record]) -> None:
    one = judged(name, records)
    assert (list(one.cases), one.in_short) == ([], "not tested")


@pytest.mark.parametrize("name", [*GAINS, *AS_WELL])
def test_without_records_nothing_is_tested(name: str) -> None:
    assert judged(name, []).in_short == "not tested"


def test_a_side_that_lost_more_runs_is_behind() -> None:
    assert {c.answer for c in judged("late-sam-is-enough", lost("late(sam)", "sam")()).cases} == {
        "contradicted"
    }
    assert {
        c.answer for c in judged("early-sam-is-not-enough", lost("early(sam)", "sam")()).cases
    } == {"holds"}


def test_lost_runs_leave_a_difference_of_gains_open() -> None:
    records = activations("db-gr", 3, 1)()
    records[0] = diverged(records[0].cell, 3)  # type: ignore[arg-type]
    (case,) = judged("penalty-needs-a-curved-activation", records).cases
    assert (case.answer, case.note) == ("open", "1 runs lost")


def test_only_the_largest_step_of_the_paths_is_judged() -> None:
    records: list[Record] = [
        flow_path(large=large, seed=seed, step=step)
        for seed in range(3)
        for step, large in ((0.1, 1.5), (0.4, 0.5))
    ]
    (case,) = judged("large-steps-end-flatter", records).cases
    assert case.value.center == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("rule", "low", "high", "answer"),
    [
        (no_worse, -1.0, 5, "holds"),
        (no_worse, -2, -1.01, "contradicted"),
        (no_worse, -1.01, 5, "open"),
        (no_gain, -5, 0.49, "holds"),
        (no_gain, 0.5, 2, "contradicted"),
        (no_gain, -5, 0.5, "open"),
        (same, -1, 1, "holds"),
        (same, 1.01, 2, "contradicted"),
        (same, -2, -1.01, "contradicted"),
        (same, -2, 0, "open"),
    ],
)
def test_borders_of_the_rules(rule, low: float, high: float, answer: Answer) -> None:
    assert rule(Interval((low + high) / 2, low, high)) == answer


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (2.9, 3.1, "holds"),
        (2.89, 3.1, "open"),
        (2.0, 2.89, "contradicted"),
        (3.11, 4, "contradicted"),
        (1.0, 4.0, "open"),
    ],
)
def test_an_order_is_met_missed_or_open(low: float, high: float, answer: Answer) -> None:
    assert near(Interval((low + high) / 2, low, high), 3) == answer


@pytest.mark.parametrize("claim", PAPERS, ids=lambda claim: claim.name)
def test_the_paper_s_own_setting_is_not_that_of_small_machines(claim: Claim) -> None:
    """A theorem holds anywhere; an observation was made on other models and data."""
    one = judged(claim.name, CASES[claim.name]["holds"][0]())
    if claim.scope.is_everywhere or claim.name in (
        "large-steps-end-flatter",
        "explicit-penalty-acts-alike",
    ):
        assert one.inside.cases
    else:
        assert one.outside.cases
        assert not one.inside.cases


@pytest.mark.slow
def test_the_suite_measures_every_claim() -> None:
    """Its cells are what the rules look for."""
    suite = load_suite("papers-cpu")
    records: list[Record] = []
    for cell in suite.cells:
        if cell.experiment == "modified_flow":
            make = flow_epoch if cell.part == "epoch" else flow_path  # type: ignore[attr-defined]
            records.append(replace(make(), cell=cell))  # type: ignore[operator]
        elif getattr(cell, "role", "") == "candidate":
            chosen = replace(cell, role="chosen", seed=0, split_seed=0)  # type: ignore[call-arg]
            record = trained(chosen, train=(0.1, 1.0), test=(0.5, 0.8))  # type: ignore[arg-type]
            curvature = Curvature(
                largest_eigenvalue=1.0, trace=1.0, trace_error=0.1, tolerance=1e-3, products=9
            )
            records.append(replace(record, sharpness=curvature))
    firsts: dict[object, Record] = {}
    for record in records:
        cell = record.cell
        key = getattr(cell, "selection_group", cell.id), getattr(cell, "learning_rate", 0)
        firsts.setdefault(key, record)
    for claim in PAPERS:
        assert judged(claim.name, list(firsts.values())).cases, claim.name


def test_the_suite_gives_every_seed_a_split_and_ten_of_them() -> None:
    text = (Path(load_suite.__code__.co_filename).parents[1] / "suites/papers-cpu.toml").read_text()
    for grid in tomllib.loads(text)["generalization"]:
        assert (grid["splits"], len(grid["seeds"]), grid["select"]) == ("by seed", 10, True)
