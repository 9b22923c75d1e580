"""The answers at a report's head, for runs of which the right answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from outcomes import block, learned
from synthetic import cost, counted, diverged, failed, run_of, timed, training

from gr_bench.experiments.record import Record
from gr_bench.reports.answers import NOT_KNOWN, NOT_MEASURED, Answer, answers
from gr_bench.reports.certainty import how_sure, noise_floor
from gr_bench.runs.costs_and_gains import gains, step_times
from gr_bench.runs.results import Results

Q_95 = 4.302652729749464
"""The 97.5 % quantile of Student's t with two degrees of freedom, as tables have it."""


def answered(folder: Path, *records: Record) -> list[Answer]:
    return answers(Results(run_of(folder, *records)))


# --- cost


def test_the_cheapest_and_the_dearest_are_named_with_their_intervals(tmp_path: Path) -> None:
    ratios = {"sgd": 1.0, "sam": 2.0, "f-gr": 1.5, "db-gr": 3.0}
    found, gained, rivals = answered(tmp_path, *block(ratios=ratios))
    half = Q_95 * 0.001 / math.sqrt(3)
    low, high = 1.5 * math.exp(-half), 1.5 * math.exp(half)
    assert found.short == "SGD, then f-gr: 1.50 times SGD's time"
    assert f"f-gr takes 1.50 [{low:.2f}, {high:.2f}] times" in found.text
    assert "db-gr takes the most, 3.00 [2.99, 3.01]" in found.text
    assert "not distinguishable" not in found.text
    assert gained.short == NOT_MEASURED
    assert rivals.short.startswith("Time per step: F-GR ahead")


def test_methods_whose_intervals_overlap_are_not_told_apart(tmp_path: Path) -> None:
    ratios = {"sgd": 1.0, "sam": 2.001, "f-gr": 2.0, "db-gr": 3.0}
    found = answered(tmp_path, *block(ratios=ratios))[0]
    assert found.short == "SGD, then f-gr and sam: 2.00 times SGD's time"
    assert "sam 2.00 [2.00, 2.01] is not distinguishable from it" in found.text


@pytest.mark.parametrize(
    ("ratios", "short"),
    [
        ({"sgd": 1.0, "sam": 1.0, "f-gr": 1.5}, "SGD and sam: not distinguishable"),
        ({"sgd": 1.0, "sam": 0.9, "f-gr": 1.5}, "sam: 0.90 times SGD's time"),
        ({"sgd": 1.0, "sam": 0.9, "f-gr": 0.9001}, "sam and f-gr: not distinguishable"),
        (
            {"sgd": 1.0, "sam": 2.0, "f-gr": 2.006},
            "SGD, then sam and f-gr: 2.00 to 2.01 times",
        ),
    ],
)
def test_the_baseline_is_among_those_that_take_least(
    tmp_path: Path, ratios: dict[str, float], short: str
) -> None:
    found = answered(tmp_path, *block(ratios=ratios, spread=0.002))[0]
    assert found.short.startswith(short)


def test_over_workloads_means_are_geometric_and_errors_may_be_common(tmp_path: Path) -> None:
    small = block(ratios={"sgd": 1.0, "sam": 2.0})
    large = block(ratios={"sgd": 1.0, "sam": 8.0}, batch_size=64, spread=0.003)
    found = step_times(Results(run_of(tmp_path, *small, *large)).tables)
    (ratio,) = found.values()
    half = Q_95 * 0.002 / math.sqrt(3)  # the mean of the two
    expected = (4.0, 4.0 * math.exp(-half), 4.0 * math.exp(half))
    assert tuple(ratio) == pytest.approx(expected, rel=1e-9)


def test_only_workloads_with_every_method_are_averaged(tmp_path: Path) -> None:
    both = block(ratios={"sgd": 1.0, "sam": 2.0, "f-gr": 2.2})
    one = block(ratios={"sgd": 1.0, "sam": 9.0}, batch_size=64)
    found = answered(tmp_path, *both, *one)[0]
    assert "sam takes 2.00" in found.text
    assert "mean of 1 workload;" in found.text


def test_without_a_common_workload_nothing_can_be_said(tmp_path: Path) -> None:
    one = block(ratios={"sgd": 1.0, "sam": 2.0})
    other = block(ratios={"sgd": 1.0, "f-gr": 2.0}, batch_size=64)
    found = answered(tmp_path, *one, *other)[0]
    assert found.short == NOT_KNOWN
    assert "No workload was timed with all methods" in found.text


def test_one_process_gives_no_interval_and_no_answer(tmp_path: Path) -> None:
    found = answered(tmp_path, *block(processes=1, ratios={"sgd": 1.0, "sam": 2.0, "f-gr": 3.0}))[0]
    assert found.short == NOT_KNOWN
    assert "sam takes 2.00 (no interval)" in found.text
    assert "a single process" in found.text


def test_where_every_step_failed_the_number_is_told(tmp_path: Path) -> None:
    found = answered(tmp_path, failed(cost()), failed(cost("sam")))[0]
    assert found.short == NOT_KNOWN
    assert found.text == "No step was timed: of 2 cells, 2 failed."


def test_another_baseline_than_sgd_is_left_out_of_the_methods(tmp_path: Path) -> None:
    found = step_times(
        Results(run_of(tmp_path, *block(ratios={"sam(rho=0.05)": 1.0, "sgd": 0.5}))).tables
    )
    assert {spec: round(ratio.center, 9) for spec, ratio in found.items()} == {"sgd": 0.5}


# --- generalization


def test_the_method_that_is_furthest_ahead_is_named(tmp_path: Path) -> None:
    accuracies = {"sgd": 0.8, "sam": 0.9, "f-gr": 0.85, "db-gr": 0.7}
    cheap, found, _ = answered(tmp_path, *learned(accuracies))
    assert cheap.short == NOT_MEASURED
    assert found.short == "sam, of those that are ahead of SGD at equal epochs"
    assert found.text.startswith("Test accuracy minus SGD's, points, at equal epochs")
    assert "ahead of SGD: sam +10.0 [" in found.text
    assert "f-gr +5.0 [" in found.text
    assert "behind SGD: db-gr -10.0 [" in found.text
    assert "1 workload, 5 seeds, hyper-parameters as given" in found.text


def test_one_method_ahead_is_ahead_alone(tmp_path: Path) -> None:
    found = answered(tmp_path, *learned({"sgd": 0.8, "sam": 0.9}))[1]
    assert found.short == "sam: ahead of SGD at equal epochs"


def test_where_every_method_is_behind_the_answer_is_sgd(tmp_path: Path) -> None:
    found = answered(tmp_path, *learned({"sgd": 0.8, "sam": 0.7, "f-gr": 0.6}))[1]
    assert found.short == "SGD: all methods are behind it at equal epochs"
    assert "ahead of SGD:" not in found.text


def test_what_is_undecided_is_not_called_alike(tmp_path: Path) -> None:
    found = answered(tmp_path, *learned({"sgd": 0.8, "sam": 0.81}, noise=0.05))[1]
    assert found.short == "Not known: no method is shown to be ahead of SGD at equal epochs"
    assert "undecided: sam +1.0 [" in found.text


def test_one_pair_of_runs_has_no_interval(tmp_path: Path) -> None:
    found = answered(tmp_path, *learned({"sgd": 0.8, "sam": 0.9}, seeds=1))[1]
    assert found.short.startswith("Not known")
    assert "sam +10.0 (no interval)" in found.text
    assert "inf" not in found.text


def test_a_method_whose_runs_all_diverged_has_nothing_to_compare(tmp_path: Path) -> None:
    lost = [diverged(training("sam", seed=seed), 1) for seed in range(5)]
    found = answered(tmp_path, *learned({"sgd": 0.8, "f-gr": 0.9}), *lost)[1]
    assert found.short == "f-gr: ahead of SGD at equal epochs"
    assert "undecided: sam (no two runs to compare)" in found.text
    assert "nan" not in found.text


def test_without_a_baseline_nothing_can_be_said(tmp_path: Path) -> None:
    found = answered(tmp_path, *learned({"sgd": 0.8}))[1]
    assert (found.short, found.text) == (NOT_KNOWN, "No method was compared with a baseline.")


def test_methods_on_workloads_of_their_own_are_not_put_side_by_side(tmp_path: Path) -> None:
    records = [
        *learned({"sgd": 0.8, "sam": 0.9}),
        *learned({"sgd": 0.8, "f-gr": 0.9}, dataset="mnist1d"),
    ]
    assert gains(Results(run_of(tmp_path, *records)).tables) is None


def test_over_workloads_gains_are_errors_removed(tmp_path: Path) -> None:
    records = [
        *learned({"sgd": 0.8, "sam": 0.9}),
        *learned({"sgd": 0.6, "sam": 0.8}, dataset="mnist1d"),
    ]
    found = gains(Results(run_of(tmp_path, *records)).tables)
    assert found is not None
    (sam,) = found.methods
    assert (found.of_errors, found.workloads, sam.verdict) == (True, 2, "ahead")
    assert sam.value.center == pytest.approx(0.5, abs=0.01)


def test_a_run_of_another_question_has_none_of_the_answers(tmp_path: Path) -> None:
    from synthetic import bias, solved

    found = answered(tmp_path, solved(bias(), ratio=0.9))
    assert [answer.short for answer in found] == [NOT_MEASURED] * 3


# --- how sure


def test_the_line_says_how_well_each_kind_of_number_is_known(tmp_path: Path) -> None:
    control = cost(control=True)
    again = [timed(control, p, [0.01 * math.exp(0.002 * p)] * 3) for p in range(3)]
    records = [*block(ratios={"sgd": 1.0, "sam": 2.0}), *again, counted(control)]
    tables = Results(run_of(tmp_path, *records, *learned({"sgd": 0.8, "sam": 0.9}))).tables
    half = math.sinh(Q_95 * 0.001 / math.sqrt(3))
    floor = noise_floor(tables)
    assert floor == pytest.approx(math.sinh(Q_95 * 0.002 / math.sqrt(3)), rel=0.01)
    line = how_sure(tables)
    assert f"time ratios ±{half:.1%} (3 processes)" in line
    assert "the baseline timed against itself ±0.5% (the noise floor)" in line
    assert "points (5 seeds)" in line


def test_without_an_interval_the_line_says_so(tmp_path: Path) -> None:
    tables = Results(run_of(tmp_path, failed(cost()), failed(training()))).tables
    assert how_sure(tables) == "These records give no interval."
    assert noise_floor(tables) is None
