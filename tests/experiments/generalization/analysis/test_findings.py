"""Headlines and sentences say what the tables say, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from synthetic import diverged, failed, trained, training

from gr_bench import stats
from gr_bench.experiments.generalization.analysis.findings import _from_best_to_worst
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


def test_an_interval_without_0_that_is_not_believed_says_why() -> None:
    """One small effect among eight methods that have none."""
    none = ("f-gr", "b-gr", "db-gr", "asam", "gnp", "c-gr", "unnormalized-sam")
    apart = (0.04, -0.035, 0.03, -0.03)
    others = [
        record
        for method in none
        for record in runs(method, [0.70 + n / 100 + apart[n] for n in range(4)])
    ]
    small = runs("sam", (0.712, 0.716, 0.724, 0.742))
    table = EXPERIMENT.tables([*SGD, *small, *others])["comparison"].set_index("method")
    assert table.loc["sam", "low"] > 0
    assert table.loc["sam", "verdict"] == "undecided"
    found = findings(*SGD, *small, *others)
    (said,) = [line for line in found if line.startswith("sam(rho=0.05) against SGD")]
    why = "not significant at a 5 % false-discovery rate over all 8 comparisons"
    assert f"points of test accuracy, {why} (4 seeds" in said
    (other,) = [line for line in found if line.startswith("gnp")]
    assert "not significant" not in other


# --- findings: a method on one workload

CLOSING = (
    "Better, worse, ahead and behind are significant at a 5 % false-discovery rate; undecided "
    "does not mean equal."
)
LOST = [diverged(training("db-gr", seed=seed), 3) for seed in range(2)]


def test_better_and_worse_come_with_cost_size_interval_and_seeds() -> None:
    better, _, worse, rest = findings(*SGD, *BETTER, *WORSE, *UNDECIDED)
    assert better == (
        "sam(rho=0.05) against SGD: better at equal epochs, +10.00 points of test accuracy "
        "[+9.87, +10.13] (4 seeds)."
    )
    assert worse == (
        "b-gr(gamma=0.1, epsilon=0.05) against SGD: worse at equal epochs, -10.00 points of test "
        "accuracy [-10.13, -9.87] (4 seeds)."
    )
    assert rest == (
        "In total, 3 comparisons with SGD on individual workloads: 1 better, 1 worse, 1 "
        f"undecided; 0 of 16 trainings diverged. {CLOSING}"
    )


def test_of_what_is_undecided_nothing_can_be_said_but_its_range_and_what_it_takes() -> None:
    said, _ = findings(*SGD, *UNDECIDED)
    row = EXPERIMENT.tables([*SGD, *UNDECIDED])["comparison"].iloc[0]
    spread = 0.11504  # of the differences -0.1, 0.1, -0.1, 0.1
    needed = stats.replicates_needed(spread, 0.01)
    unsure = f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f} points of test accuracy"
    assert said.startswith(
        "f-gr(gamma=0.1, epsilon=0.05) against SGD: nothing can be said at equal epochs: " + unsure
    )
    takes = int(said.partition("about ")[2].partition(" would")[0])
    assert takes == pytest.approx(needed, rel=0.03)
    assert not any(word in said for word in ("no difference", "alike", "same", "equal to"))


def test_one_pair_of_runs_says_nothing() -> None:
    said, _ = findings(SGD[0], BETTER[0])
    assert said == (
        "sam(rho=0.05) against SGD: nothing can be said at equal epochs from one pair of runs "
        "(+10.00 points of test accuracy), since an interval requires two."
    )


def test_a_method_that_diverged_in_every_seed_says_so() -> None:
    said, rest = findings(*SGD, *LOST)
    assert said == (
        "db-gr(gamma=0.1) against SGD: nothing can be said at equal epochs, since of 2 trainings "
        "of db-gr(gamma=0.1), 2 diverged."
    )
    assert "0 undecided, 1 without a pair of runs; 2 of 6 trainings diverged." in rest


@pytest.mark.parametrize(
    ("base", "why"),
    [
        ([], "SGD was not trained there"),
        (
            [diverged(training(seed=0), 3), failed(training(seed=1))],
            "of 2 trainings of SGD, 1 diverged and 1 failed",
        ),
        (runs("sgd", [0.5] * 6)[4:], "no two completed trainings share a seed"),
    ],
)
def test_without_a_baseline_nothing_can_be_said(base: list[Record], why: str) -> None:
    said, _ = findings(*base, *BETTER)
    start = "sam(rho=0.05) against SGD: nothing can be said at equal epochs, since "
    assert said == f"{start}{why}."


def test_every_sort_of_equal_cost_has_its_own_words() -> None:
    own = [
        trained(training("sam", seed=s), train=(0.1, 1.0), test=(0.5, a), evaluations=2)
        for s, a in enumerate((0.80, 0.811, 0.82, 0.829))
    ]
    longer = runs("sgd", (0.90, 0.91, 0.92, 0.93), epochs=4)
    said, _ = findings(*SGD, *longer, *own)
    assert "better at equal epochs, +10.00 points" in said
    assert "worse at equal gradient evaluations, -10.00 points" in said


def test_splits_are_said_where_the_table_has_them() -> None:
    tables = EXPERIMENT.tables([*SGD, *BETTER])
    tables["comparison"] = tables["comparison"].assign(splits=4, interval="seeds, splits")
    assert "(4 seeds on 4 splits)" in EXPERIMENT.findings(tables)[0]


# --- findings: a method over workloads


def over(method: str, *gains: float, noise: float = 0.001) -> list[Record]:
    """Trainings on as many data sets, each so much above SGD's."""
    return [
        record
        for place, gain in enumerate(gains)
        for record in runs(
            method,
            [0.7 + gain + 0.01 * s + noise * x for s, x in enumerate((0, 1, 0, -1))],
            dataset=f"data-{place}",
        )
    ]


def test_ahead_of_the_baseline_over_workloads() -> None:
    said, rest = findings(*over("sgd", 0, 0, 0, noise=0), *over("sam", 0.1, 0.1, 0.1))
    start = (
        "sam(rho=0.05) against SGD over 3 workloads (4 seeds, 1 split each): ahead at equal "
        "epochs, "
    )
    assert said.startswith(start)
    removed = 100 * (0.1 + (0.01 + 0.02 + 0.001) / 2 - 0.015) / (1 - 0.715)  # the middle seeds
    assert f"{removed:.1f} % fewer test errors [" in said
    assert said.endswith("(better on 3, worse on 0, undecided on 0).")
    assert "3 comparisons with SGD on individual workloads: 3 better, 0 worse, 0 undecided" in rest


def test_behind_the_baseline_over_workloads() -> None:
    said, _ = findings(*over("sgd", 0, 0, noise=0), *over("sam", -0.1, -0.1))
    assert "behind at equal epochs, 34.9 % more test errors [" in said
    low, high = map(float, said.partition("[")[2].partition("]")[0].split(", "))
    assert 0 < low < 34.9 < high
    assert said.endswith("(better on 0, worse on 2, undecided on 0).")


def test_over_workloads_an_interval_without_0_that_is_not_believed_says_why() -> None:
    tables = EXPERIMENT.tables([*over("sgd", 0, 0, noise=0), *over("sam", 0.1, 0.1)])
    tables["aggregates"] = tables["aggregates"].assign(verdict="undecided")
    said, _ = EXPERIMENT.findings(tables)
    why = "not significant at a 5 % false-discovery rate over all 1 row"
    assert f"% fewer test errors, {why} (better on 2" in said


def test_mixed_over_workloads_says_both_and_no_verdict_of_all() -> None:
    said, _ = findings(*over("sgd", 0, 0, noise=0), *over("sam", 0.1, -0.1, noise=0.06))
    assert "nothing can be said about all together at equal epochs: " in said
    assert " % more to " in said
    assert " % fewer test errors (" in said
    said, _ = findings(*over("sgd", 0, 0, noise=0), *over("sam", 0.1, -0.1))
    assert said.endswith("(better on 1, worse on 1, undecided on 0).")


def test_undecided_everywhere_says_nothing_of_all() -> None:
    noisy = [*over("sgd", 0, 0), *over("f-gr", 0.001, -0.001, noise=0.1)]
    said, rest = findings(*noisy)
    assert "nothing can be said about all together at equal epochs" in said
    assert said.endswith("(better on 0, worse on 0, undecided on 2).")
    assert "0 better, 0 worse, 2 undecided" in rest


def test_one_seed_on_a_workload_gives_no_verdict_of_all() -> None:
    records = [*over("sgd", 0, 0, noise=0), *over("sam", 0.1, 0.1)]
    single = [r for r in records if r.cell.dataset == "data-0" or r.cell.seed == 0]  # type: ignore[attr-defined]
    said, _ = findings(*single)
    assert "nothing can be said at equal epochs, since some workload has only one pair" in said


def test_everything_diverged_over_workloads_is_behind() -> None:
    lost = [
        diverged(training("db-gr", seed=s, dataset=f"data-{d}"), 3)
        for s in range(4)
        for d in range(2)
    ]
    said, rest = findings(*over("sgd", 0, 0, noise=0), *lost)
    assert "(better on 0, worse on 0, undecided on 0)" in said
    assert "2 without a pair of runs; 8 of 16 trainings diverged" in rest
    assert "behind at equal epochs" in said or "nothing can be said" in said


def test_a_workload_that_is_lost_at_equal_evaluations_is_not_passed_over() -> None:
    """Where every run diverged, nothing tells which baseline would have cost as much."""
    records = [
        *over("sgd", 0, 0, 0, noise=0),
        *(r for d in range(3) for r in runs("sgd", fine(0), dataset=f"data-{d}", epochs=4)),
    ]
    for d, gain in enumerate((0.1, 0.1, None)):
        for s, accuracy in enumerate(fine(gain or 0)):
            cell = training("sam", seed=s, dataset=f"data-{d}")
            records.append(
                diverged(cell, 3)
                if gain is None
                else trained(cell, train=(0.1, 1.0), test=(0.5, accuracy), evaluations=2)
            )
    tables = EXPERIMENT.tables(records)
    lost = tables["aggregates"].set_index("cost")["all_diverged"]
    assert lost.to_dict() == {"epochs": 0, "gradient evaluations": 1}
    said, _ = EXPERIMENT.findings(tables)
    at_epochs, at_evaluations = said.split("; ahead at equal gradient evaluations on 2 of them")
    assert "diverged on" not in at_epochs
    assert at_evaluations.endswith(
        "(better on 2, worse on 0, undecided on 0; all runs diverged on 1 more, not counted here)."
    )
    (shown,) = [one for one in EXPERIMENT.summaries(tables) if one.name == "aggregates"]
    assert list(shown.table["all diverged on"]) == ["0", "1"]
    assert "the cost of an epoch is not known" in shown.caption
    older = tables | {"aggregates": tables["aggregates"].assign(all_diverged=float("nan"))}
    assert "all runs diverged" not in EXPERIMENT.findings(older)[0]


def test_no_baseline_on_any_workload_is_said_of_each() -> None:
    first, second, _ = findings(*over("sam", 0.1, 0.1))
    for said, data in ((first, "data-0"), (second, "data-1")):
        assert f"against SGD on {data}: nothing can be said at equal epochs, since SGD was" in said


def test_of_many_methods_the_furthest_are_named() -> None:
    gains = {f"sam(rho={0.01 * (i + 1):g})": 0.01 * (i + 1) for i in range(10)}
    records = [r for m, gain in gains.items() for r in over(m, gain, gain)]
    said, _ = findings(*over("sgd", 0, 0, noise=0), *records)
    assert said.startswith("Of 10 settings against SGD at equal epochs, over 2 workloads: 10 ahead")
    places = [said.index(f"sam(rho={rho})") for rho in (0.1, 0.09, 0.08)]
    assert places == sorted(places)
    assert "and 7 more" in said
    assert said.endswith("0 behind; nothing can be said about 0.")
    one, _ = findings(*SGD, *(r for m, gain in gains.items() for r in runs(m, fine(gain))))
    assert one.startswith(
        "Test accuracy is better than SGD's in 10 of 10 comparisons: sam(rho=0.1)"
    )


def fine(gain: float) -> list[float]:
    noise = (0.0, 0.001, 0.0, -0.001)
    return [0.7 + 0.01 * seed + gain + noise[seed] for seed in range(4)]


@pytest.mark.parametrize("records", [[], SGD])
def test_no_comparison_has_no_sentence(records: list[Record]) -> None:
    assert findings(*records) == []


# --- warnings

ONE_WORKLOAD = "All comparisons are on one workload: nothing can be said about others."
ONE_SPLIT = (
    "All intervals are over the seeds of one split: nothing can be said about other data of the "
    "same kind."
)


def test_what_results_do_not_speak_of_is_said() -> None:
    assert warnings(*SGD, *BETTER) == [ONE_WORKLOAD, ONE_SPLIT]
    assert warnings(*over("sgd", 0, 0, noise=0), *over("sam", 0.1, 0.1)) == [ONE_SPLIT]
    tables = EXPERIMENT.tables([*SGD, *BETTER])
    tables["comparison"] = tables["comparison"].assign(interval="seeds, splits")
    assert EXPERIMENT.warnings(tables) == [ONE_WORKLOAD]
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
    assert (
        lost
        == "1 of 9 trainings diverged: they are excluded from all means (sam(rho=0.05) 1 of 4)."
    )
    assert broken == (
        "2 of 9 trainings failed: they are excluded from all means (sam(rho=0.05) 1 of 4; "
        "b-gr(gamma=0.1, epsilon=0.05) 1 of 1)."
    )


def test_the_lost_are_said_to_count_where_they_do() -> None:
    lost = diverged(training("sam", seed=4, dataset="data-0"), 3)
    (first, *_) = warnings(*over("sgd", 0, 0), *over("sam", 0.1, 0.1), lost)
    assert (
        "excluded from all means, and count as having no correct answer in results over workloads ("
        in first
    )


def test_sharpness_that_was_not_found_says_why() -> None:
    records = [replace(SGD[0], sharpness_error="no convergence"), *SGD[1:], *BETTER]
    found = EXPERIMENT.tables(records)["generalization"]["sharpness_error"]
    assert list(found.dropna()) == ["no convergence"]
    said = "Sharpness could not be computed for 1 of 8 trainings: no convergence."
    assert said in warnings(*records)
    assert not any("sharpness" in line for line in warnings(*SGD, *BETTER))


def test_lost_candidates_are_counted_apart() -> None:
    ended = trained(training(role="candidate"), train=(0.1, 1.0), test=None)
    lost = diverged(training(role="candidate", seed=1), 3)
    assert warnings(ended, lost) == ["1 of the 2 trainings of candidates diverged."]


def test_undecided_comparisons_come_with_how_well_they_are_known() -> None:
    records = [*SGD, *UNDECIDED]
    table = EXPERIMENT.tables(records)["comparison"]
    half = 50 * float((table["high"] - table["low"]).iloc[0])
    assert warnings(*records)[0] == (
        "1 of 1 comparison with SGD is undecided, which does not show that the methods are "
        f"equal: with 4 seeds, differences in test accuracy are known to within {half:.2g} "
        "points."
    )


def test_an_infinite_interval_is_not_a_width() -> None:
    said = warnings(*SGD, *UNDECIDED, BETTER[0])[0]
    assert "inf" not in said
    assert said.endswith("points; nothing is known about 1 with one pair of runs.")


def test_half_widths_of_all_sizes_are_readable() -> None:
    known = pd.Series([0.15, 3.0, 123.0])
    assert _from_best_to_worst(known) == "0.15 points at best and 120 points at worst"
    assert _from_best_to_worst(pd.Series([1.0, 1.04])) == "1 point"
