"""Tables from records with answers that can be worked out on paper."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from synthetic import cost, counted, failed, timed

from gr_bench import stats
from gr_bench.errors import Unsupported
from gr_bench.experiments.base import COLUMNS, Record, failure
from gr_bench.experiments.step_cost import StepCost
from gr_bench.experiments.step_cost.timed import known_to

SGD, SAM, DB = cost(), cost("sam"), cost("db-gr")


def step_cost(*records: Record) -> pd.DataFrame:
    """The table by label."""
    return StepCost().tables(records)["step_cost"].set_index("label")


def test_ratio_and_time_are_geometric_means_of_the_replicates_medians() -> None:
    """Rounds that were disturbed, and the drift of the machine from process to process, cancel."""
    ratios = [1.9, 2.0, 2.2]
    logs = np.log(ratios)
    records = []
    for replicate, ratio in enumerate(ratios):
        drift = 10.0**replicate
        records.append(timed(SGD, replicate, [drift, 2 * drift, 50 * drift]))
        records.append(timed(SAM, replicate, [drift * ratio, 2 * drift * ratio, 1e9]))
    row = step_cost(*records).loc[SAM.method]
    mean, error = logs.mean(), scipy.stats.sem(logs)
    half = scipy.stats.t.ppf(0.975, 2) * error
    assert row["time_ratio"] == pytest.approx(math.exp(mean))
    assert row["time_ratio_low"] == pytest.approx(math.exp(mean - half))
    assert row["time_ratio_high"] == pytest.approx(math.exp(mean + half))
    assert row["between_spread"] == pytest.approx(np.std(logs, ddof=1))
    medians_ms = [1e3 * 2 * ratio * 10.0**r for r, ratio in enumerate(ratios)]
    assert row["time_ms"] == pytest.approx(scipy.stats.gmean(medians_ms))
    assert (row["replicates"], row["rounds"]) == (3, 9)


def test_the_baseline_is_1_to_itself() -> None:
    row = step_cost(*(timed(SGD, r, [1.0, 2.0 + r]) for r in range(2))).loc["sgd"]
    assert (row["time_ratio"], row["time_ratio_low"], row["time_ratio_high"]) == (1, 1, 1)
    assert row["stop_reason"] == "target"


def test_one_replicate_has_a_ratio_without_bounds() -> None:
    row = step_cost(timed(SGD, 0, [1.0]), timed(SAM, 0, [2.0])).loc[SAM.method]
    assert (row["time_ratio_low"], row["time_ratio_high"]) == (0, math.inf)
    assert row["time_ratio"] == pytest.approx(2)
    assert row["stop_reason"] == "not finished"


def test_arithmetic_memory_and_efficiency() -> None:
    records = [counted(SGD, flops=100, peak=1000), counted(SAM, flops=210, peak=1150)]
    records += [timed(SGD, r, [0.5e-3]) for r in range(2)]
    records += [timed(SAM, r, [1.5e-3]) for r in range(2)]
    table = step_cost(*records)
    row = table.loc[SAM.method]
    assert row["flop_ratio"] == pytest.approx(2.1)
    assert row["efficiency"] == pytest.approx(2.1 / 3)
    assert row["extra_parameter_copies"] == pytest.approx(1.5)
    assert row["peak_memory_bytes"] == 1150
    assert row["flops_per_s"] == pytest.approx(210 / 1.5e-3)
    assert row["machine_share"] == pytest.approx(210 / 1.5e-3 / 1e9)
    assert table.loc["sgd", "efficiency"] == pytest.approx(1)
    assert table.loc["sgd", "extra_parameter_copies"] == 0


def test_a_model_without_arithmetic_has_no_flop_ratio() -> None:
    row = step_cost(counted(SGD, flops=0), counted(SAM, flops=0)).loc[SAM.method]
    assert math.isnan(row["flop_ratio"])


@pytest.mark.parametrize(
    ("ratios", "most", "budget_minutes", "reason"),
    [
        ([2.0, 2.0], 10, None, "target"),
        ([2.0, 3.0], 2, None, "replicates"),
        ([2.0, 3.0], 10, None, "not finished"),
        ([2.0, 3.0], 10, 1 / 60, "budget"),
        ([2.0, 3.0], 10, 60, "not finished"),
    ],
)
def test_stop_reason(ratios: list[float], most: int, budget_minutes, reason: str) -> None:
    protocol = {"most_replicates": most, "budget_minutes": budget_minutes}
    records = []
    for replicate, ratio in enumerate(ratios):
        records.append(timed(SGD, replicate, [1.0], **protocol))
        records.append(timed(SAM, replicate, [ratio], **protocol))
    assert step_cost(*records).loc[SAM.method, "stop_reason"] == reason


@given(st.floats(0.1, 10), st.floats(0, 0.5), st.floats(1e-3, 0.5))
def test_known_to_means_no_further_than_the_target_to_either_side(center, half, target) -> None:
    ratio = stats.Interval(center, center * math.exp(-half), center * math.exp(half))
    reach = max(ratio.high / center - 1, 1 - ratio.low / center)
    if abs(reach - target) > 1e-9:
        assert known_to(ratio, target) == (reach < target)


def test_an_infinite_interval_is_not_known() -> None:
    assert not known_to(stats.ratio_interval([0.0]), 0.99)


# --- what went wrong stays visible


def test_status_tells_failures_and_losses_that_are_not_finite() -> None:
    plain = cost("plugged:Plain")
    table = step_cost(
        counted(SGD),
        counted(SAM, finite=False),
        failed(DB, "RuntimeError: out of memory"),
        failure(plain, Unsupported("not with torch.compile")),
    )
    assert dict(table["status"]) == {
        "sgd": "ok",
        SAM.method: "loss is not finite",
        DB.method: "failed",
        plain.method: "unsupported",
    }


def test_a_cell_that_failed_keeps_what_was_measured_before() -> None:
    row = step_cost(counted(SGD), timed(SGD, 0, [1.0]), failed(SGD)).loc["sgd"]
    assert row["status"] == "failed"
    assert row["time_ms"] == pytest.approx(1000)


def test_summaries_show_every_cell() -> None:
    records = [counted(SGD), timed(SGD, 0, [1.0]), failed(SAM), counted(DB, finite=False)]
    experiment = StepCost()
    tables = experiment.tables(records)
    for summary in experiment.summaries(tables):
        assert list(summary.table["method"]) == ["sgd", SAM.method, DB.method]
    time = experiment.summaries(tables)[0].table
    assert list(time["status"]) == ["ok", "failed", "loss is not finite"]


# --- what belongs together


def test_different_workloads_are_not_compared() -> None:
    changes = [
        {"model": "vit"},
        {"dataset": "mnist1d"},
        {"batch_size": 64},
        {"dtype": "float64"},
        {"threads": 2},
        {"device": "cuda"},
        {"compiled": True},
        {"allocator": "system"},
    ]
    for change in changes:
        other = cost("sam", **change)
        records = [counted(SGD), timed(SGD, 0, [1.0]), counted(other), timed(other, 0, [2.0])]
        row = step_cost(*records).loc[SAM.method]
        assert row[["time_ratio", "flop_ratio", "extra_parameter_copies"]].isna().all(), change


def test_only_samples_of_the_same_measurement_are_compared() -> None:
    """The block was measured again in replicate 0, and killed before SAM's samples were written."""
    first = [timed(SGD, 0, [1.0] * 3, began=1), timed(SAM, 0, [2.0] * 3, began=1)]
    again = [timed(SGD, 0, [4.0] * 5, began=2)]
    table = step_cost(*first, *again)
    assert math.isnan(table.loc[SAM.method, "time_ratio"])
    table = step_cost(*first, *again, timed(SAM, 0, [12.0] * 5, began=2))
    assert table.loc[SAM.method, "time_ratio"] == pytest.approx(3)


def test_the_allocator_is_the_one_in_force() -> None:
    """One that was asked for and not to be had is not claimed, nor taken for another cell's."""
    system = cost(allocator="system")
    force = {"conditions": {"allocator": "system", "denormals_flushed": True}}
    table = StepCost().tables([timed(SGD, 0, [1.0], **force), timed(system, 0, [1.0], **force)])
    assert set(table["step_cost"]["allocator"]) == {"held (in fact system)", "system"}


def test_samples_of_a_measurement_that_was_repeated_are_not_among_the_samples() -> None:
    records = [timed(SGD, 0, [1.0, 2.0], began=1), timed(SGD, 0, [3.0, 4.0], began=2)]
    samples = StepCost().tables(records)["step_samples"]
    assert list(samples["time_ms"]) == [3000, 4000]


def test_every_sample_is_a_row_with_its_round_and_place() -> None:
    records = [timed(SGD, r, [1.0, 2.0], position=[1, 0]) for r in (1, 0)]
    samples = StepCost().tables(records)["step_samples"]
    assert list(samples.columns[: len(COLUMNS)]) == list(COLUMNS)
    columns = ["replicate", "round", "position", "time_ms"]
    assert samples[columns].to_numpy().tolist() == [
        [0, 0, 1, 1000],
        [0, 1, 0, 2000],
        [1, 0, 1, 1000],
        [1, 1, 0, 2000],
    ]


def test_rows_come_in_the_order_of_workloads_and_methods_whatever_was_done_first() -> None:
    cells = [cost(method, batch_size=size) for size in (8, 16) for method in ("sgd", "sam", "f-gr")]
    records = [counted(cell) for cell in cells]
    ordered = StepCost().tables(records)["step_cost"]
    assert list(ordered["method"]) == ["sgd", "sam", "f-gr"] * 2
    for seed in range(3):
        shuffled = list(np.random.default_rng(seed).permutation(np.array(records, object)))
        pd.testing.assert_frame_equal(StepCost().tables(shuffled)["step_cost"], ordered)
