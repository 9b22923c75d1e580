"""Methods over many workloads: what the tables, the summaries and the figures make of trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from synthetic import diverged, failed, run_of, trained, training

import gr_bench
from gr_bench import aggregate
from gr_bench.experiments.generalization.analysis import aggregate_figures
from gr_bench.experiments.generalization.analysis.aggregates import (
    Beside,
    aggregates,
    beside,
    mean_ranks,
    over_workloads,
    performance_profiles,
)
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.record import Record

EXPERIMENT = Generalization()
SAM, F_GR = "sam(rho=0.05)", "f-gr(gamma=0.1, epsilon=0.05)"
DATA = ("digits", "mnist1d", "cifar10")
BASE = {"digits": 0.9, "mnist1d": 0.6, "cifar10": 0.8}
NOISE = (-0.01, 0.0, 0.01, 0.004, -0.004)


def runs(method: str, accuracies: Sequence[float], **settings: Any) -> list[Record]:
    return [
        trained(training(method, seed=seed, **settings), train=(0.1, 1.0), test=(0.5, accuracy))
        for seed, accuracy in enumerate(accuracies)
    ]


def over(method: str, removed: float, data: Sequence[str] = DATA, **settings: Any) -> list[Record]:
    """Trainings that remove a share of the baseline's errors on every data set."""
    return [
        record
        for name in data
        for record in runs(
            method,
            [BASE[name] + removed * (1 - BASE[name]) + (1 - BASE[name]) * x for x in NOISE],
            dataset=name,
            **settings,
        )
    ]


def tables(*records: Record) -> dict[str, pd.DataFrame]:
    return EXPERIMENT.tables(records)


def row(table: pd.DataFrame, spec: str, cost: str = "epochs") -> pd.Series:
    (found,) = (r for _, r in table.iterrows() if (r["spec"], r["cost"]) == (spec, cost))
    return found


# --- the table `aggregates`


def test_the_share_of_errors_removed_and_the_chance_to_beat_the_baseline() -> None:
    found = row(tables(*over("sgd", 0.0), *over("sam", 0.2))["aggregates"], SAM)
    assert found["errors_removed"] == pytest.approx(0.2, abs=1e-6)
    assert found["errors_removed_low"] < 0.2 < found["errors_removed_high"]
    assert found["improvement_probability"] == 1
    assert found["improvement_probability_low"] == pytest.approx(0.025 ** (1 / 15))
    assert found["verdict"] == "ahead"
    assert found[["workloads", "of_workloads", "pairs", "seeds"]].tolist() == [3, 3, 15, 5]
    assert found[["better", "worse", "undecided"]].tolist() == [3, 0, 0]


def test_the_numbers_are_those_of_the_definitions() -> None:
    random = np.random.default_rng(0)
    own, base = random.uniform(0.5, 0.9, (2, 3, 5))
    records = [
        record
        for name, x, y in zip(DATA, own, base, strict=True)
        for record in (*runs("sam", x, dataset=name), *runs("sgd", y, dataset=name))
    ]
    found = row(tables(*records)["aggregates"], SAM)
    error = 1 - base.mean(axis=1, keepdims=True)
    scores = 1 - (1 - own) / error  # one minus the error over the baseline's
    assert found["errors_removed"] == pytest.approx(scipy_stats.trim_mean(scores.ravel(), 0.25))
    u = [scipy_stats.mannwhitneyu(x, y).statistic / 25 for x, y in zip(own, base, strict=True)]
    assert found["improvement_probability"] == pytest.approx(np.mean(u))


def test_one_workload_gives_nothing_over_workloads() -> None:
    found = tables(*over("sgd", 0.0, ["digits"]), *over("sam", 0.2, ["digits"]))
    for name in ("aggregates", "mean_ranks", "performance_profiles"):
        assert len(found[name]) == 0
    shown = {summary.name for summary in EXPERIMENT.summaries(found)}
    assert not shown & {"aggregates", "mean_ranks"}
    assert list(aggregate_figures.charts(found)) == []


def test_a_training_that_diverged_counts_as_without_a_right_answer_and_is_counted() -> None:
    lost = diverged(training("sam", seed=5, dataset="digits"), 3)
    more = [*over("sgd", 0.0), *runs("sgd", [0.9] * 6, dataset="digits")[5:]]
    found = row(tables(*more, *over("sam", 0.2), lost)["aggregates"], SAM)
    assert found["pairs"] == 16
    assert found["diverged"] == 1
    assert found["improvement_probability"] == pytest.approx((5 / 6 + 1 + 1) / 3)
    swapped = row(
        tables(
            *over("sgd", 0.0),
            diverged(training("sgd", seed=5, dataset="digits"), 3),
            *over("sam", 0.0),
            *runs("sam", [0.9] * 6, dataset="digits")[5:],
        )["aggregates"],
        SAM,
    )
    assert swapped["baseline_diverged"] == 1
    assert swapped["improvement_probability"] > 0.5


def test_all_diverged_is_as_far_behind_as_can_be() -> None:
    lost = [diverged(training("sam", seed=s, dataset=d), 3) for d in DATA for s in range(5)]
    found = row(tables(*over("sgd", 0.0), *lost)["aggregates"], SAM)
    assert found["diverged"] == found["pairs"] == 15
    assert found["improvement_probability"] == 0
    assert found["improvement_probability_high"] < 0.3
    # a = 0: of 0.1, 0.4 and 0.2 wrong answers are made 1, on the middle half of 15 runs
    scores = np.repeat([1 - 1 / 0.1, 1 - 1 / 0.4, 1 - 1 / 0.2], 5)
    assert found["errors_removed"] == pytest.approx(scipy_stats.trim_mean(scores, 0.25))


def test_a_training_that_failed_is_no_result() -> None:
    records = [*over("sgd", 0.0), *over("sam", 0.2)]
    broken = failed(training("sam", seed=7, dataset="digits"))
    base = runs("sgd", [0.9] * 8, dataset="digits")[7:]
    found = row(tables(*records, broken, *base)["aggregates"], SAM)
    assert found["pairs"] == 15
    assert found["diverged"] == 0


def test_one_seed_gives_no_interval() -> None:
    records = [r for r in (*over("sgd", 0.0), *over("sam", 0.2)) if r.cell.seed == 0]  # type: ignore[attr-defined]
    found = row(tables(*records)["aggregates"], SAM)
    assert found["errors_removed"] == pytest.approx(0.2 / 1.0, abs=0.02)
    assert found["errors_removed_low"] == -math.inf
    assert found["errors_removed_high"] == math.inf
    assert (found["improvement_probability_low"], found["improvement_probability_high"]) == (0, 1)
    assert found["verdict"] == "undecided"
    assert found["p"] == 1


def test_a_workload_where_the_baseline_never_errs_is_counted() -> None:
    perfect = [
        *runs("sgd", [1.0] * 5, dataset="perfect"),
        *runs("sam", [0.9] * 5, dataset="perfect"),
    ]
    found = row(tables(*over("sgd", 0.0), *over("sam", 0.2), *perfect)["aggregates"], SAM)
    assert found["without_errors"] == 1
    assert found["workloads"] == 4
    assert found["errors_removed"] == pytest.approx(0.2, abs=1e-6)
    assert found["improvement_probability"] == pytest.approx(3 / 4)


def test_chosen_settings_are_one_method_whatever_was_chosen() -> None:
    chosen: dict[str, Any] = {"role": "chosen"}
    records = [
        *over("sgd", 0.0, **chosen),
        *over("sam(rho=0.05)", 0.2, ["digits"], learning_rate=0.3, **chosen),
        *over("sam(rho=0.1)", 0.2, ["mnist1d", "cifar10"], **chosen),
    ]
    found = row(tables(*records)["aggregates"], "sam")
    assert found["workloads"] == 3
    assert found["role"] == "chosen"


def test_at_equal_gradient_evaluations_the_baseline_is_the_longer_one() -> None:
    records: list[Record] = [*over("sgd", 0.0), *over("sgd", 0.3, epochs=4)]
    for record in over("sam", 0.2):
        cell = record.cell
        records.append(
            trained(cell, train=(0.1, 1.0), test=(0.5, record.test_accuracy), evaluations=2)  # type: ignore[arg-type, attr-defined]
        )
    found = tables(*records)["aggregates"]
    assert row(found, SAM)["errors_removed"] == pytest.approx(0.2, abs=1e-6)
    behind = row(found, SAM, "gradient evaluations")
    assert behind["errors_removed"] == pytest.approx(1 - 0.8 / 0.7, abs=1e-6)
    assert behind["verdict"] == "behind"


def test_pairs_are_of_one_seed_and_split() -> None:
    made = tables(*over("sgd", 0.0), *over("sam", 0.2))
    table = made["generalization"]
    swapped = table.assign(split_seed=np.where(table["spec"] == "sgd", table["seed"], 9))
    assert beside(swapped, made["comparison"]) == []
    same = table.assign(split_seed=table["seed"])
    assert {one.splits for one in beside(same, made["comparison"])} == {5}


def test_an_interval_that_allows_for_dependence_widens_those_over_workloads() -> None:
    made = tables(*over("sgd", 0.0), *over("sam", 0.2))
    table, against = made["generalization"], made["comparison"]
    # noise of the pair, so that its plain interval has a width
    accuracy = table["test_accuracy"] + np.where(table["spec"] == "sgd", 0, 0.002 * table["seed"])
    table = table.assign(test_accuracy=accuracy)
    plain = aggregates(beside(table, against.assign(low=-np.inf, high=np.inf)))
    half = 0.05
    wide = against.assign(low=against["difference"] - half, high=against["difference"] + half)
    wider = aggregates(beside(table, wide))
    assert wider["widening"][0] > 2 * plain["widening"][0]
    reach, before = (t["errors_removed"] - t["errors_removed_low"] for t in (wider, plain))
    assert reach[0] / before[0] == pytest.approx(wider["widening"][0] / plain["widening"][0])


# --- the table `mean_ranks`


def test_ranks_are_by_mean_accuracy_and_the_baseline_has_one() -> None:
    found = tables(*over("sgd", 0.0), *over("sam", 0.2), *over("f-gr", -0.2))["mean_ranks"]
    assert dict(zip(found["spec"], found["mean_rank"], strict=True)) == {"sgd": 2, SAM: 1, F_GR: 3}
    assert set(found["methods"]) == {3}
    assert found["critical_difference"][0] == pytest.approx(aggregate.critical_difference(3, 3))
    assert found["p"][0] == pytest.approx(1 / 36, abs=0.01)


def test_a_method_that_lacks_a_workload_is_not_ranked() -> None:
    records = [
        *over("sgd", 0.0),
        *over("sam", 0.2),
        *over("b-gr", 0.1),
        *over("f-gr", 0.2, DATA[:2]),
    ]
    found = tables(*records)["mean_ranks"]
    assert F_GR not in set(found["spec"])
    assert set(found["workloads"]) == {3}


# --- the table `performance_profiles`


def test_profiles_fall_from_all_to_none_within_their_bands() -> None:
    found = tables(*over("sgd", 0.0), *over("sam", 0.2))["performance_profiles"]
    assert set(found["spec"]) == {"sgd", SAM}
    for _, own in found.groupby("spec"):
        assert own["threshold"].is_monotonic_increasing
        assert own["share"].is_monotonic_decreasing
        assert own["share"].iloc[-1] == 0
        assert (own["low"] <= own["share"] + 1e-12).all()
        assert (own["share"] <= own["high"] + 1e-12).all()
    at = found[found["spec"] == SAM].set_index("threshold")["share"]
    scores = 0.2 + np.array(NOISE)
    for threshold in (at.index[30], at.index[90]):
        assert at[threshold] == pytest.approx((scores > threshold).mean())


# --- where they are shown


def test_a_run_of_before_has_the_tables_too(tmp_path: Any) -> None:
    folder = run_of(tmp_path / "run", *over("sgd", 0.0), *over("sam", 0.2))
    results = gr_bench.load(folder)
    results.write_parquet()
    for name in ("aggregates", "mean_ranks", "performance_profiles"):
        (folder / f"{name}.parquet").unlink()
    about = (folder / "run.json").read_text()
    for name in ("aggregates", "mean_ranks", "performance_profiles"):
        about = about.replace(f'"{name}",', "").replace(f'"{name}"', "")
    (folder / "run.json").write_text(about)
    again = gr_bench.load(folder)
    pd.testing.assert_frame_equal(again.aggregates, results.aggregates, check_dtype=False)


def test_no_two_names_of_a_diagram_overlap() -> None:
    gains = {f"sam(rho={0.01 * i:.2f})": 0.02 * (i % 3) for i in range(1, 12)}
    records = [*over("sgd", 0.0), *(r for m, gain in gains.items() for r in over(m, gain))]
    found = tables(*records)
    for picture in (p for chart in aggregate_figures.charts(found) for p in chart.pictures()):
        figure = picture.figure
        figure.canvas.draw()
        boxes = [
            text.get_window_extent()
            for ax in figure.axes
            for text in (*ax.texts, *(ax.get_yticklabels() if ax.axison else ()))
            if text.get_text() and text.get_visible()
        ]
        overlaps = [
            (i, j) for i, a in enumerate(boxes) for j, b in enumerate(boxes[:i]) if a.overlaps(b)
        ]
        plt.close(figure)
        assert overlaps == [], picture.name
        if picture.name.startswith("critical"):
            assert len([b for b in boxes if b.width]) >= 12


def test_a_plane_has_no_picture_and_no_rows_on_the_page() -> None:
    gains = [f"f-gr(gamma={0.01 * i:.2f}, epsilon=0.05)" for i in range(1, 19)]
    found = tables(*over("sgd", 0.0), *(r for m in gains for r in over(m, 0.1, DATA[:2])))
    assert len(found["aggregates"]) == 18
    assert len(found["performance_profiles"]) == 0
    assert list(aggregate_figures.charts(found)) == []
    assert "aggregates" not in {summary.name for summary in EXPERIMENT.summaries(found)}


def test_no_records_make_empty_tables() -> None:
    made = tables()
    found = over_workloads(made["generalization"], made["comparison"])
    assert {name: len(table) for name, table in found.items()} == {
        "aggregates": 0,
        "mean_ranks": 0,
        "performance_profiles": 0,
    }
    assert mean_ranks([]).columns.tolist() == found["mean_ranks"].columns.tolist()
    assert performance_profiles([]).columns.tolist()


# --- how often the intervals hold


@pytest.mark.slow
@pytest.mark.parametrize(("workloads", "seeds"), [(2, 3), (2, 5), (8, 5)])
def test_intervals_hold_the_truth_and_nothing_is_ahead_of_itself(
    workloads: int, seeds: int
) -> None:
    """Normal accuracies, own and base with a part in common, as of one split."""
    random = np.random.default_rng(0)
    levels = np.linspace(0.6, 0.96, workloads)
    studies, held, ahead = 400, 0, 0

    def one(level: float) -> Beside:
        spread = 0.08 * (1 - level)
        common, own, base = random.normal(level, spread, (3, seeds)) - level
        return Beside(
            spec=SAM,
            family=("run", "sgd", "epochs"),
            workload=(level,),
            own=np.clip(level + common + own, 0, 1),
            base=np.clip(level + common + base, 0, 1),
            diverged=0,
            baseline_diverged=0,
            splits=1,
            dependence=1.0,
            verdict="undecided",
        )

    for _ in range(studies):
        found = aggregates([one(level) for level in levels]).iloc[0]
        held += found["errors_removed_low"] <= 0 <= found["errors_removed_high"]
        ahead += found["verdict"] != "undecided"
    assert held / studies > 0.93
    assert ahead / studies < 0.07
