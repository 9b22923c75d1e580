"""Every claim fed with records that bear it out, and with records that refute it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
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
    timed,
    traced,
    trained,
    training,
)

from gr_bench.claims import CLAIMS, Case, Claim, Evidence, Judged, judge
from gr_bench.claims.page import case_table
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


def depths(shallow: float, deep: float, spread: tuple[float, ...] = SPREAD) -> list[Record]:
    """DB-GR's times at depth 2 and 8, F-GR's being 2."""
    return [
        *block(2.0, shallow, model="mlp(depth=2)"),
        *block(2.0, deep, spread, model="mlp(depth=8)"),
    ]


def accuracies(
    f_gr: float, other: float, method: str = "b-gr", noise: float = 1e-4
) -> list[Record]:
    """Five seeds each."""
    draw = np.random.default_rng(0)
    return [
        trained(
            training(name, seed=seed), train=(0.1, 1.0), test=(0.5, mean + noise * draw.normal())
        )
        for name, mean in (("f-gr", f_gr), (method, other))
        for seed in range(5)
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
FORWARD, BACKWARD = "f-gr(gamma=0.05, epsilon=0.1)", "b-gr(gamma=0.05, epsilon=0.1)"

HOLDS: dict[str, list[Callable[[], list[Record]]]] = {
    "cheaper-time": [lambda: block(2.0, 3.0)],
    "cheaper-flops": [lambda: counters(150, 1)],
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
REFUTED: dict[str, list[Callable[[], list[Record]]]] = {
    "cheaper-time": [lambda: block(3.0, 2.0)],
    "cheaper-flops": [lambda: counters(100, 9999), lambda: counters(90, 9999)],
    "cheaper-memory": [lambda: counters(999, 1000)],
    "gap-grows-with-depth": [lambda: depths(3.0, 2.5)],
    "twice-on-resnets": [lambda: residual(2.0, 3.5)],
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
    "richer-is-better": [lambda: errors(0.2, 0.1)],
    "sam-is-forward": [lambda: twins(0.1, 0.1001), lambda: twin_losses(0.1, 0.1001)],
    "flooding-is-gr": [lambda: pairs(0.5, *BOTH), lambda: pairs(1e-12, BOTH[0], BOTH[0])],
}
OPEN: dict[str, list[Callable[[], list[Record]]]] = {
    "cheaper-time": [lambda: block(2.0, 3.0, WIDE), lambda: block(2.0, 3.0, (1.0,))],
    "cheaper-flops": [uncounted],
    "gap-grows-with-depth": [lambda: depths(2.5, 3.0, WIDE), lambda: block(2.0, 3.0)],
    "twice-on-resnets": [lambda: residual(2.0, 4.0, spread=WIDE), lambda: block(2.0, 5.0)],
    "generalizes-as-well": [lambda: accuracies(0.79, 0.80, noise=0.05)],
    "forward-strengthens": [lambda: family(problems=5)],
    "backward-weakens": [lambda: family(problems=5)],
    "richer-is-better": [lambda: errors(0.1, 0.11, noise=0.1)],
    "sam-is-forward": [lambda: twin_losses(0.1, 0.1001, trainers=("loop", "fleet"))],
    "flooding-is-gr": [lambda: pairs(1e-4, *BOTH), lambda: pairs(1e-5, *BOTH, dtype="float32")],
}
MIXED: dict[str, tuple[list[Record], str]] = {
    "cheaper-time": (
        [*block(2.0, 3.0, batch_size=8), *block(3.0, 2.0, batch_size=9)],
        "mlp, digits, batch 8",
    ),
    "cheaper-flops": (
        [*counters(100, 1, model="mlp(depth=1)"), *counters(130, 1, model="mlp(depth=2)")],
        "mlp(depth=2), digits, batch 32",
    ),
    "twice-on-resnets": (
        [*residual(2.0, 5.0), *block(2.0, 3.5, model="resnet-8(batch_norm=False)")],
        "resnet-8, digits, batch 32",
    ),
    "richer-is-better": (
        [
            *errors(0.1, 0.2, dataset="sparse-regression(feature_mean=2)"),
            *errors(0.2, 0.1, dataset="sparse-regression(feature_mean=0)"),
        ],
        "sparse-regression(feature_mean=2), α 0.1, γ 0.1, ε 0.2",
    ),
    "flooding-is-gr": (
        [*pairs(1e-12, *BOTH), *pairs(0.5, *BOTH, fresh=True)],
        "consecutive steps on the same mini-batch (mlp, digits, flooding(level=1))",
    ),
}


def every(feeds: dict[str, list[Callable[[], list[Record]]]]) -> list[object]:
    return [
        pytest.param(name, feed, id=f"{name}-{number}")
        for name, several in feeds.items()
        for number, feed in enumerate(several)
    ]


# --- verdicts


def test_every_claim_is_put_to_both_tests() -> None:
    names = {claim.name for claim in CLAIMS}
    assert names == set(HOLDS) == set(REFUTED)
    assert len(names) == len(CLAIMS)


@pytest.mark.parametrize(("name", "feed"), every(HOLDS))
def test_a_claim_that_the_records_bear_out_holds(name: str, feed) -> None:
    one = judged(name, feed())
    assert one.verdict == "holds", one.cases


@pytest.mark.parametrize(("name", "feed"), every(REFUTED))
def test_a_claim_that_the_records_refute_does_not_hold(name: str, feed) -> None:
    one = judged(name, feed())
    assert one.verdict == "does not hold", one.cases


@pytest.mark.parametrize(("name", "feed"), every(OPEN))
def test_too_little_to_tell_is_no_verdict(name: str, feed) -> None:
    one = judged(name, feed())
    assert one.verdict == "not tested here", one.cases


@pytest.mark.parametrize("name", MIXED)
def test_a_claim_that_holds_in_part_says_when(name: str) -> None:
    records, when = MIXED[name]
    one = judged(name, records)
    assert (one.verdict, one.when) == ("holds only when", when)
    assert one.in_short == "holds in 1 of 2 cases"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_nothing_measured_and_failures_alone_test_nothing(claim: Claim) -> None:
    failures = [failed(cell) for cell in (cost("f-gr"), training("f-gr"), bias("f-gr"), flood())]
    for records in ([], failures):
        (one,) = judge([claim], evidence(records))
        assert (one.verdict, one.measured) == ("not tested here", "nothing")


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


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_the_command_of_a_claim_measures_what_it_needs(claim: Claim) -> None:
    """Every method that the records above bear the claim out with is among the command's cells."""
    words = shlex.split(claim.command)
    assert words[:3] == ["gr-bench", "run", "claims-quick"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    suite = load_suite(words[2], only=options["--only"])
    assert options["--out"] != "runs/claims-quick"  # that is the whole suite's
    needed = {parse(record.cell.spec).name for record in HOLDS[claim.name][0]()}
    assert needed <= {parse(cell.spec).name for cell in suite.cells}
    assert {c.experiment for c in suite.cells} == {
        record.cell.experiment for record in HOLDS[claim.name][0]()
    }


# --- words


def answer(*holds: bool | None) -> Judged:
    cases = [Case(str(n), Interval(n, n - 0.5, n + 0.5), a) for n, a in enumerate(holds, start=1)]
    return Judged(CLAIMS[0], cases)


@pytest.mark.parametrize(
    ("holds", "verdict"),
    [
        ((), "not tested here"),
        ((None,), "not tested here"),
        ((True, True), "holds"),
        ((True, None), "holds only when"),
        ((True, False), "holds only when"),
        ((False, None), "does not hold"),
        ((False,), "does not hold"),
    ],
)
def test_verdicts_from_cases(holds: tuple[bool | None, ...], verdict: str) -> None:
    assert answer(*holds).verdict == verdict


def test_what_was_measured_is_the_range_with_intervals() -> None:
    text = answer(True, True, True).measured
    assert text == "time of DB-GR over F-GR: 1.00 [0.50, 1.50] to 3.00 [2.50, 3.50], 3 cases"
    assert answer(True).measured == "time of DB-GR over F-GR: 1.00 [0.50, 1.50]"


def test_every_case_is_in_its_table() -> None:
    table = case_table(answer(True, False, None))
    assert list(table[""]) == ["holds", "does not hold", "open"]


# --- pages

RUN = [*block(2.0, 3.0), *block(3.0, 2.0, batch_size=64), *family(), *pairs(1e-12, *BOTH)]


def test_the_command_prints_verdicts_and_writes_pages(command: Warm, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", *RUN)
    ended = command("claims", run)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-2:] == [str(run / f"claims/claims.{k}") for k in ("html", "md")]
    words = " ".join(ended.out.replace("│", " ").split())
    assert "holds in 1 of 2" in words
    text = (run / "claims/claims.md").read_text()
    html = (run / "claims/claims.html").read_text()
    for claim in CLAIMS:
        assert claim.words in text
        assert f'id="{claim.name}"' in html
        assert claim.rule in text
    assert "holds only when: mlp, digits, batch 32" in text
    assert "http:" not in html
    assert "url(" not in html


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
