"""What is said of implicit-bias results, against what the records were made to show."""

from __future__ import annotations

import pytest
from synthetic import bias, failed, solved

from gr_bench.experiments.implicit_bias.experiment import ImplicitBias
from gr_bench.experiments.record import Record

FORWARD, BACKWARD = "f-gr(gamma=0.05, epsilon={})", "b-gr(gamma=0.05, epsilon={})"
RATIOS = {
    BACKWARD.format(0.1): 0.98,
    BACKWARD.format(0.05): 0.975,
    "db-gr(gamma=0.05)": 0.972,
    FORWARD.format(0.05): 0.97,
    FORWARD.format(0.1): 0.96,
}


def family(**fields: float) -> list[Record]:
    return [solved(bias(method, **fields), ratio=ratio) for method, ratio in RATIOS.items()]


def said(*records: Record) -> list[str]:
    experiment = ImplicitBias()
    return experiment.findings(experiment.tables(records))


def headline(*records: Record) -> dict[str, str]:
    experiment = ImplicitBias()
    (column,) = experiment.headlines(experiment.tables(records)).values()
    return column


# --- findings


def test_the_order_is_counted_over_problems() -> None:
    wrong = solved(bias(FORWARD.format(0.1), seed=1), ratio=0.99)
    records = [*family(seed=0), *family(seed=1)[:-1], wrong]
    assert said(*records)[0] == (
        "The order of α̃ predicted by theory, by problem: it falls as ε grows for F-GR in 1 of 2, "
        "it rises as ε grows for B-GR in 2 of 2, it lies between the two for DB-GR in 2 of 2."
    )


def test_several_alphas_are_counted_apart_and_said() -> None:
    assert said(*family(alpha=0.1), *family(alpha=0.2))[0].startswith(
        "The order of α̃ predicted by theory, by problem, α and γ: it falls as ε grows for F-GR in"
    )


def test_the_errors_are_the_worst_over_solutions() -> None:
    records = [
        solved(bias(seed=0), ratio=1.0),
        solved(bias(seed=1), ratio=1.0, beta=(1.0, 0.4)),  # β̃ = (1, 0.5), so 0.1/√1.25
        solved(bias(seed=2), ratio=1.0, alpha=(0.1, 0.08)),
    ]
    assert said(*records) == [
        "The relative error of theory's prediction is at most 8.9e-02 in β and at most 2.5e-01 in "
        "α̃, over 3 solutions."
    ]


def test_what_is_in_no_mean_is_said() -> None:
    records = [
        solved(bias(seed=0), ratio=1.0),
        solved(bias(seed=1), ratio=1.0, residual=0.5),
        solved(bias(seed=2), ratio=1.0, diverged=True),
        solved(bias(seed=3), ratio=1.0, diverged=True),
        failed(bias(seed=4)),
    ]
    assert said(*records)[-1] == (
        "Of 5 runs, the following reached no solution and are excluded from means: 1 not "
        "converged, 2 diverged, 1 failed."
    )


def test_of_one_epsilon_nothing_can_be_said() -> None:
    only = solved(bias(FORWARD.format(0.1)), ratio=0.9)
    assert said(only) == [
        "Nothing can be said about the order of α̃ in ε: this requires F-GR or B-GR at two ε on "
        "one problem.",
        "The relative error of theory's prediction is at most 0.0e+00 in β and at most 0.0e+00 in "
        "α̃, over 1 solution.",
    ]


def test_where_every_run_diverged_nothing_can_be_said() -> None:
    lost = [solved(bias(FORWARD.format(e)), ratio=1.0, diverged=True) for e in (0.1, 0.2)]
    assert said(*lost) == [
        "Nothing can be said about theory's prediction: no run reached a solution.",
        "Of 2 runs, the following reached no solution and are excluded from means: 2 diverged.",
    ]


def test_no_records_give_no_findings_and_no_warnings() -> None:
    assert said() == []
    assert ImplicitBias().warnings(ImplicitBias().tables([])) == []


def test_steps_that_are_too_large_are_warned_of() -> None:
    experiment = ImplicitBias()
    fine = solved(bias(seed=0), ratio=1.0)
    coarse = solved(bias(seed=1), ratio=1.0, alpha=(0.1, 0.08))
    assert experiment.warnings(experiment.tables([fine])) == []
    (warning,) = experiment.warnings(experiment.tables([fine, coarse]))
    assert warning.startswith("In 1 of 2 solutions")
    assert "2.5e-01" in warning


# --- the overview


@pytest.mark.parametrize(
    ("ratios", "shown"), [({0: 0.9, 2: 0.8}, "0.800 to 0.900"), ({0: 0.9}, "0.900")]
)
def test_the_headline_is_the_range_over_problems_of_means_over_seeds(
    ratios: dict[int, float], shown: str
) -> None:
    records = [
        solved(bias("f-gr", dataset=f"sparse-regression(feature_mean={mean})", seed=seed), ratio=r)
        for mean, ratio in ratios.items()
        for seed, r in enumerate((ratio - 0.1, ratio + 0.1))
    ]
    assert headline(*records) == {records[0].cell.spec: shown}


def test_a_method_without_a_solution_keeps_its_place_in_the_overview() -> None:
    records = [
        solved(bias("f-gr"), ratio=1.0, residual=0.5),
        solved(bias("db-gr"), ratio=1.0, diverged=True),
        failed(bias("sam")),
    ]
    assert headline(*records) == {record.cell.spec: "-" for record in sorted(records, key=place)}


def place(record: Record) -> int:
    return ["sam", "f-gr", "db-gr"].index(record.cell.spec.partition("(")[0])
