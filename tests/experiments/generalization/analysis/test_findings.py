"""Headlines and sentences say what the tables say, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from synthetic import diverged, failed, trained, training

from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.record import Record

EXPERIMENT = Generalization()


def runs(method: str, accuracies: Sequence[float], **settings: Any) -> list[Training]:
    return [
        trained(training(method, seed=seed, **settings), train=(0.1, 1.0), test=(0.5, accuracy))
        for seed, accuracy in enumerate(accuracies)
    ]


SGD = runs("sgd", (0.70, 0.71, 0.72, 0.73))
BETTER = runs("sam", (0.80, 0.811, 0.82, 0.829))
WORSE = runs("b-gr", (0.60, 0.611, 0.62, 0.629))
UNDECIDED = runs("f-gr", (0.60, 0.81, 0.62, 0.83))


def findings(*records: Record) -> list[str]:
    return EXPERIMENT.findings(EXPERIMENT.tables(records))


def warnings(*records: Record) -> list[str]:
    return EXPERIMENT.warnings(EXPERIMENT.tables(records))


def headlines(*records: Record) -> dict[str, dict[str, str]]:
    return EXPERIMENT.headlines(EXPERIMENT.tables(records))


# --- headlines


def test_headlines_are_ranges_over_workloads_of_means_over_seeds() -> None:
    found = headlines(*runs("sgd", (0.5, 0.7)), *runs("sgd", (0.8, 0.9), batch_size=64))
    assert found == {
        "test accuracy (%)": {"sgd": "60.0 to 85.0"},
        "accuracy gap (points)": {"sgd": "15.0 to 40.0"},
        "diverged": {"sgd": "0 of 4"},
    }


def test_a_method_without_a_result_has_a_dash_and_its_divergences() -> None:
    lost = [diverged(training("db-gr", seed=seed), 3) for seed in range(2)]
    found = headlines(*SGD, *lost, failed(training("db-gr", seed=2)))
    assert found["test accuracy (%)"]["db-gr(gamma=0.1)"] == "-"
    assert found["diverged"]["db-gr(gamma=0.1)"] == "2 of 3"


# --- findings


def test_better_and_worse_methods_are_named_with_cost_difference_and_seeds() -> None:
    better, worse, rest = findings(*SGD, *BETTER, *WORSE, *UNDECIDED)
    assert better == (
        "Test accuracy is better than SGD's in 1 of 3 comparisons: sam(rho=0.05) at equal epochs "
        "by +10.00 points [+9.87, +10.13] (4 seeds)."
    )
    assert worse.startswith("Test accuracy is worse than SGD's in 1 of 3 comparisons: b-gr(")
    assert "by -10.00 points [-10.13, -9.87] (4 seeds)" in worse
    assert rest == "1 of 3 comparisons with SGD are undecided; 0 of 16 trainings diverged."


def test_workloads_are_told_apart_where_there_are_several() -> None:
    other = {"batch_size": 64}
    quiet = [*runs("sgd", (0.7, 0.8), **other), *runs("f-gr", (0.8, 0.7), **other)]
    better, _ = findings(*SGD, *BETTER, *quiet)
    assert "sam(rho=0.05) on batch size 32 at equal epochs" in better


def test_of_many_comparisons_the_furthest_from_sgd_are_named() -> None:
    gains = {f"sam(rho={0.1 * (i + 1):g})": 0.01 * (i + 1) for i in range(5)}
    noise = (0.0, 0.001, 0.0, -0.001)
    records = [
        record
        for method, gain in gains.items()
        for record in runs(method, [0.7 + 0.01 * seed + gain + noise[seed] for seed in range(4)])
    ]
    better, _ = findings(*SGD, *records)
    assert "in 5 of 5 comparisons" in better
    places = [better.index(f"sam(rho={rho})") for rho in (0.5, 0.4, 0.3)]
    assert places == sorted(places)
    assert "sam(rho=0.2)" not in better
    assert better.endswith("; and 2 more.")


def test_undecided_is_never_said_to_be_no_difference() -> None:
    (only,) = findings(*SGD, *UNDECIDED)
    assert only == "1 of 1 comparisons with SGD are undecided; 0 of 8 trainings diverged."


def test_a_method_that_was_lost_in_every_seed_has_no_pair_of_runs() -> None:
    lost = [diverged(training("db-gr", seed=seed), 3) for seed in range(2)]
    (only,) = findings(*SGD, *lost)
    assert only == (
        "0 of 1 comparisons with SGD are undecided, 1 have no pair of runs; "
        "2 of 6 trainings diverged."
    )


@pytest.mark.parametrize("records", [[], SGD, BETTER])
def test_at_most_three_sentences_and_none_without_a_comparison(records: list[Record]) -> None:
    assert len(findings(*records)) <= 3
    if records != BETTER:
        assert findings(*records) == []


# --- warnings


def test_there_is_no_warning_where_all_is_decided() -> None:
    assert warnings(*SGD, *BETTER) == []
    assert warnings() == []


def test_lost_trainings_are_counted_by_method() -> None:
    records = [
        *SGD,
        *BETTER[:2],
        diverged(training("sam", seed=2), 3),
        failed(training("sam", seed=3)),
        failed(training("b-gr")),
    ]
    lost, broken = warnings(*records)[:2]
    assert lost == "1 of 9 trainings diverged, and are in no mean: sam(rho=0.05) 1 of 4."
    assert broken == (
        "2 of 9 trainings failed, and are in no mean: sam(rho=0.05) 1 of 4; "
        "b-gr(gamma=0.1, epsilon=0.05) 1 of 1."
    )


def test_lost_candidates_are_counted_apart() -> None:
    ended = trained(training(role="candidate"), train=(0.1, 1.0), test=None)
    lost = diverged(training(role="candidate", seed=1), 3)
    assert warnings(ended, lost) == ["1 of the 2 trainings to choose by diverged."]


def test_undecided_comparisons_come_with_how_well_they_are_known() -> None:
    records = [*SGD, *UNDECIDED]
    table = EXPERIMENT.tables(records)["comparison"]
    half = 50 * float((table["high"] - table["low"]).iloc[0])
    (only,) = warnings(*records)
    assert only == (
        "1 of 1 comparisons with SGD are undecided, which does not show that the methods are "
        f"alike: with 4 seeds, differences in test accuracy are known to within {half:.2g} points."
    )
