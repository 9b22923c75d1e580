"""Tables from records with answers that can be worked out on paper."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from synthetic import cost, counted, failed, timed

from gr_bench.errors import Unsupported
from gr_bench.experiments.lines import decode, encode
from gr_bench.experiments.record import Record, failure
from gr_bench.experiments.step_cost.experiment import StepCost
from gr_bench.experiments.step_cost.measure import counters
from gr_bench.experiments.step_cost.record import Check, Counters

SGD, SAM, DB = cost(), cost("sam"), cost("db-gr")


def step_cost(*records: Record) -> pd.DataFrame:
    """The table by spec."""
    return StepCost().tables(records)["step_cost"].set_index("spec")


def test_ratio_and_time_are_geometric_means_of_the_replicates_estimates() -> None:
    """The drift of the machine from round to round and from process to process cancels."""
    ratios = [1.9, 2.0, 2.2]
    logs = np.log(ratios)
    records = []
    for replicate, ratio in enumerate(ratios):
        drift = 10.0**replicate
        seconds = [drift, 2 * drift, 50 * drift]
        records.append(timed(SGD, replicate, seconds))
        records.append(timed(SAM, replicate, [ratio * s for s in seconds]))
    row = step_cost(*records).loc[SAM.spec]
    mean, error = logs.mean(), scipy.stats.sem(logs)
    half = scipy.stats.t.ppf(0.975, 2) * error
    assert row["time_ratio"] == pytest.approx(math.exp(mean))
    assert row["time_ratio_low"] == pytest.approx(math.exp(mean - half))
    assert row["time_ratio_high"] == pytest.approx(math.exp(mean + half))
    assert row["half_width"] == pytest.approx(math.exp(half) - 1)
    assert row["between_spread"] == pytest.approx(np.std(logs, ddof=1))
    medians_ms = [1e3 * 2 * ratio * 10.0**r for r, ratio in enumerate(ratios)]
    assert row["time_ms"] == pytest.approx(scipy.stats.gmean(medians_ms))
    assert (row["replicates"], row["rounds"]) == (3, 9)


def test_waiting_for_a_processor_is_taken_off_and_its_share_is_shown() -> None:
    records = [timed(SGD, r, [1.0] * 3, waited_s=[9.0, 0.0, 3.0]) for r in range(2)]
    records += [timed(SAM, r, [2.0] * 3, waited_s=[0.0, 2.0, 4.0]) for r in range(2)]
    table = step_cost(*records)
    assert table.loc[SAM.spec, "time_ratio"] == pytest.approx(2)
    assert table.loc["sgd", "time_ms"] == pytest.approx(1000)
    assert table.loc["sgd", "waiting_share"] == pytest.approx(12 / 15)
    assert table.loc[SAM.spec, "waiting_share"] == pytest.approx(6 / 12)


def test_the_baseline_is_1_to_itself() -> None:
    row = step_cost(*(timed(SGD, r, [1.0, 2.0 + r]) for r in range(2))).loc["sgd"]
    assert (row["time_ratio"], row["time_ratio_low"], row["time_ratio_high"]) == (1, 1, 1)
    assert row["stop_reason"] == "target"


def test_one_replicate_has_a_ratio_without_bounds() -> None:
    row = step_cost(timed(SGD, 0, [1.0]), timed(SAM, 0, [2.0])).loc[SAM.spec]
    assert (row["time_ratio_low"], row["time_ratio_high"]) == (0, math.inf)
    assert row["time_ratio"] == pytest.approx(2)
    assert row["stop_reason"] == "not finished"


def test_arithmetic_memory_and_efficiency() -> None:
    records = [counted(SGD, flops=100, peak=1000), counted(SAM, flops=210, peak=1150)]
    records += [timed(SGD, r, [0.5e-3]) for r in range(2)]
    records += [timed(SAM, r, [1.5e-3]) for r in range(2)]
    table = step_cost(*records)
    row = table.loc[SAM.spec]
    assert row["flop_ratio"] == pytest.approx(2.1)
    assert row["efficiency"] == pytest.approx(2.1 / 3)
    assert row["extra_parameter_copies"] == pytest.approx(1.5)
    assert row["peak_memory_bytes"] == 1150
    assert row["flops_per_s"] == pytest.approx(210 / 1.5e-3)
    assert row["machine_share"] == pytest.approx(210 / 1.5e-3 / 1e9)
    assert table.loc["sgd", "efficiency"] == pytest.approx(1)
    assert table.loc["sgd", "extra_parameter_copies"] == 0


def test_a_model_without_arithmetic_has_no_flop_ratio() -> None:
    row = step_cost(counted(SGD, flops=0), counted(SAM, flops=0)).loc[SAM.spec]
    assert math.isnan(row["flop_ratio"])


@pytest.mark.parametrize(
    ("ratios", "most", "left_s", "reason"),
    [
        ([2.0, 2.0], 10, None, "target"),
        ([2.0, 3.0], 2, None, "replicates"),
        ([2.0, 3.0], 10, None, "not finished"),
        ([2.0, 3.0], 10, 60.0, "budget"),
    ],
)
def test_stop_reason(ratios: list[float], most: int, left_s: float | None, reason: str) -> None:
    protocol = {"most_replicates": most, "left_s": left_s}
    records = []
    for replicate, ratio in enumerate(ratios):
        records.append(timed(SGD, replicate, [1.0], **protocol))
        records.append(timed(SAM, replicate, [ratio], **protocol))
    assert step_cost(*records).loc[SAM.spec, "stop_reason"] == reason


def test_what_is_not_known_is_told_with_its_width_and_the_time_it_would_take() -> None:
    records = [timed(SGD, r, [1.0] * 5) for r in range(5)]
    records += [timed(SAM, r, [x] * 5) for r, x in enumerate((1.9, 2.0, 2.1, 2.0, 1.9))]
    experiment = StepCost()
    tables = experiment.tables(records)
    row = tables["step_cost"].set_index("spec").loc[SAM.spec]
    assert row["more_time_s"] > 0
    (warning,) = experiment.warnings(tables)
    assert warning.startswith("1 of 1 ratios are not known to their target of 1.0%")
    assert f"the least precise to {row['half_width']:.1%}" in warning
    assert "more would be enough" in warning
    found = experiment.findings(tables)
    assert found[0].startswith("A step of sam takes 1.98 times as long as one of SGD's, on one")
    assert found[1].startswith("0 of 1 ratios are known to 1.0%")


def test_ratios_that_are_known_and_those_that_are_not_add_up() -> None:
    """Neither the baseline's nor its control's is among them."""
    noisy = (1.9, 2.0, 2.1, 2.0, 1.9)
    times = {SGD: [1.0] * 5, SAM: noisy, cost("f-gr"): [2.0] * 5, cost(control=True): noisy}
    records = [timed(cell, r, [s] * 5) for cell, own in times.items() for r, s in enumerate(own)]
    experiment = StepCost()
    tables = experiment.tables(records)
    assert experiment.findings(tables)[-1].startswith("1 of 2 ratios are known")
    assert experiment.warnings(tables)[0].startswith("1 of 2 ratios are not known")


def test_a_control_apart_from_1_is_a_warning() -> None:
    control = cost(control=True)
    records = [timed(SGD, r, [1.0] * 3) for r in range(3)]
    records += [timed(control, r, [1.05 + 1e-4 * r] * 3) for r in range(3)]
    experiment = StepCost()
    assert any("1 of 1 controls" in w for w in experiment.warnings(experiment.tables(records)))


def test_every_parameter_of_every_method_is_a_column() -> None:
    """Of a plug-in too; one that has another column's name gets a name of its own. What only some
    built-in methods have is a column where one of them is a row.
    """
    specs = ("gnp(r=0.1, alpha=0.5)", "plugged:Clashing(rounds=3)", "f-gr", "friendly-sam")
    table = step_cost(*(counted(cost(spec)) for spec in specs))
    assert list(table["sigma"].dropna()) == [1.0]
    assert "sigma" not in step_cost(counted(SGD))
    assert list(table["r"].dropna()) == [0.1]
    assert list(table["alpha"].dropna()) == [0.5]
    assert list(table["method_rounds"].dropna()) == [3.0]
    assert list(table["gamma"].dropna()) == [0.1]


# --- what went wrong stays visible


def test_status_tells_failures_and_losses_that_are_not_finite() -> None:
    plain = cost("plugged:Plain")
    table = step_cost(
        counted(SGD),
        counted(SAM, finite=False),
        failed(DB, "RuntimeError: out of memory"),
        failure(plain, Unsupported("not with torch.compile")),
        Check(cell=cost("asam"), agrees=False, where="loss", error=3.0, tolerance=1e-3),
    )
    assert dict(table["status"]) == {
        "sgd": "ok",
        SAM.spec: "loss is not finite",
        DB.spec: "failed",
        plain.spec: "unsupported",
        cost("asam").spec: "wrong",
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
        assert list(summary.table["method"]) == ["sgd", SAM.spec, DB.spec]
    time = experiment.summaries(tables)[0].table
    assert list(time["status"]) == ["ok", "failed", "loss is not finite"]


# --- on a GPU


GPU_SGD, GPU_SAM = cost(device="cuda"), cost("sam", device="cuda")
ON_GPU = ("device_time_ms", "device_time_ratio", "launch_bound", "launches", "energy_j")
PEAKS = ("peak_allocated_bytes", "peak_reserved_bytes")


def test_a_step_is_launch_bound_where_its_kernels_are_5_percent_faster() -> None:
    """SGD 3 % above its own time, SAM 6 %; a round that could not be read counts for nothing."""
    records: list[Record] = []
    for r in range(2):
        own = {"device_s": (1.0, None, 4.0), "energy_j": 2.0 + r}
        records.append(timed(GPU_SGD, r, [1.03, 2.06, 4.12], **own))
        records.append(timed(GPU_SAM, r, [3.18, 4.24, 8.48], device_s=(3.0, 4.0, 8.0)))
    table = step_cost(*records)
    sgd, sam = table.loc["sgd"], table.loc[GPU_SAM.spec]
    assert sgd["time_ms"] == pytest.approx(2060)
    assert sgd["device_time_ms"] == pytest.approx(2500)
    assert sam["device_time_ms"] == pytest.approx(4000)
    logs = [math.log(3), math.log(2)]  # of the rounds in which both are known
    assert sam["device_time_ratio"] == pytest.approx(math.exp(np.mean(logs)))
    assert [sgd["launch_bound"], sam["launch_bound"]] == [False, True]
    assert sgd["energy_j"] == pytest.approx(2.5)
    assert np.isnan(sam["energy_j"])


def test_a_cpu_has_nothing_of_a_gpus() -> None:
    records = [counted(SGD), timed(SGD, 0, [1.0])]
    tables = StepCost().tables(records)
    assert tables["step_cost"][[*ON_GPU, *PEAKS]].isna().all(axis=None)
    assert tables["step_samples"]["device_ms"].isna().all()
    time, memory, *_ = StepCost().summaries(tables)
    assert "GPU" not in time.caption
    words = ("device", "launch", "energy", "reserved", "allocated")
    assert not [c for c in (*time.table, *memory.table) if any(w in c for w in words)]


def test_what_a_gpu_tells_is_shown() -> None:
    counters = replace(
        counted(GPU_SGD), launches=1650, peak_allocated_bytes=2_000_000, peak_reserved_bytes=3 << 20
    )
    records = [counters, timed(GPU_SGD, 0, [1.0], device_s=(0.5,), energy_j=1.25)]
    time, memory, *_ = StepCost().summaries(StepCost().tables([*records, failed(GPU_SAM)]))
    assert "launch-bound if" in time.caption
    shown = time.table.iloc[0]
    assert shown["device time (ms)"] == "500"
    assert shown["launch-bound"] == "yes"
    assert shown["launches"] == "1,650"
    assert shown["energy (J)"] == "1.25"
    assert memory.table.iloc[0]["process reserved (MB)"] == "3.15"
    assert time.table.iloc[1]["launch-bound"] == "-"


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
        row = step_cost(*records).loc[SAM.spec]
        assert row[["time_ratio", "flop_ratio", "extra_parameter_copies"]].isna().all(), change


def test_only_samples_of_the_same_measurement_are_compared() -> None:
    """The block was measured again in replicate 0, and killed before SAM's samples were written."""
    first = [timed(SGD, 0, [1.0] * 3, began=1), timed(SAM, 0, [2.0] * 3, began=1)]
    again = [timed(SGD, 0, [4.0] * 5, began=2)]
    table = step_cost(*first, *again)
    assert math.isnan(table.loc[SAM.spec, "time_ratio"])
    table = step_cost(*first, *again, timed(SAM, 0, [12.0] * 5, began=2))
    assert table.loc[SAM.spec, "time_ratio"] == pytest.approx(3)


def test_the_allocator_is_the_one_in_force() -> None:
    """One that was asked for and not to be had is not claimed, nor taken for another cell's."""
    system = cost(allocator="system")
    records = [timed(cell, 0, [1.0], allocator="system") for cell in (SGD, system)]
    table = StepCost().tables(records)["step_cost"]
    assert set(table["allocator"]) == {"held (in fact system)", "system"}


def test_samples_of_a_measurement_that_was_repeated_are_not_among_the_samples() -> None:
    records = [timed(SGD, 0, [1.0, 2.0], began=1), timed(SGD, 0, [3.0, 4.0], began=2)]
    samples = StepCost().tables(records)["step_samples"]
    assert list(samples["time_ms"]) == [3000, 4000]


def test_every_sample_is_a_row_with_its_round_and_place() -> None:
    records = [timed(SGD, r, [1.0, 2.0], position=(1, 0)) for r in (1, 0)]
    samples = StepCost().tables(records)["step_samples"]
    assert list(samples.columns[:3]) == ["method", "gamma", "epsilon"]
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
        order = np.random.default_rng(seed).permutation(len(records))
        shuffled = [records[i] for i in order]
        pd.testing.assert_frame_equal(StepCost().tables(shuffled)["step_cost"], ordered)


# --- arithmetic that is not counted


def measured_on(model: str, dataset: str, *methods: str) -> list[Counters]:
    cells = [cost(m, model=f"plugged:{model}", dataset=dataset, batch_size=4) for m in methods]
    return [counters(cell) for cell in cells]


def test_an_lstm_in_one_kernel_is_counted_and_has_no_closed_form() -> None:
    """Taken for nothing, it gave DB-GR thousands of times SGD's FLOPs, and the closed form, which
    knows of linear layers alone, called the count of the others right.
    """
    batch, length, features, width, classes = 4, 5, 3, 6, 10
    data = f"random(shape=({length}, {features}), num_classes={classes}, samples=16)"
    records = measured_on("Recurrent", data, "sgd", "f-gr", "db-gr")
    layer = 2 * batch * length * 4 * width * (features + width)
    head = 2 * batch * width * classes
    assert [r.flops for r in records[:2]] == [3 * (layer + head), 6 * (layer + head)]
    experiment = StepCost()
    tables = experiment.tables(records)
    assert 2 < tables["step_cost"]["flop_ratio"].iloc[2] < 6
    shown = experiment.summaries(tables)[2].table
    assert set(shown["equal"]) == set(shown["closed form (MFLOP)"]) == {"not known"}


def test_flops_that_are_not_counted_are_said_to_be_so() -> None:
    records: list[Record] = []
    for record in measured_on("Fourier", "random(shape=(16,), samples=16)", "sgd", "f-gr"):
        records += [record, *(timed(record.cell, r, [1.0]) for r in range(2))]
    experiment = StepCost()
    tables = experiment.tables(records)
    table = tables["step_cost"]
    assert table[["flops", "flop_ratio", "efficiency", "flops_per_s"]].isna().all(axis=None)
    assert set(table["uncounted_operators"]) == {"aten::_fft_r2c"}
    time, _, model = (summary.table for summary in experiment.summaries(tables))
    for key in ("FLOP ratio", "efficiency"):
        assert set(time[key]) == {"not counted"}
    assert time["not counted"].str.contains("aten::_fft_r2c").all()
    assert set(model["counted (MFLOP)"]) == {"not counted"}
    assert set(model["equal"]) == {"not known"}
    (warning,) = (w for w in experiment.warnings(tables) if "FLOPs" in w)
    assert warning.startswith("FLOPs of 2 cells are not counted")
    assert "aten::_fft_r2c" in warning
    assert set(experiment.headlines(tables)["FLOP ratio"].values()) == {"not counted"}
    list(experiment.figures(tables))


def test_a_ratio_to_flops_that_are_not_counted_is_none() -> None:
    """As where the baseline alone calls such an operator; other workloads keep their ratios."""
    sgd, sam = cost(batch_size=64), cost("sam", batch_size=64)
    base = replace(counted(sgd), flops=None, uncounted=("aten::_fft_r2c",))
    records = [base, counted(sam), counted(SGD, flops=100), counted(SAM, flops=200)]
    experiment = StepCost()
    tables = experiment.tables(records)
    shown = experiment.summaries(tables)[0].table.set_index(["batch_size", "method"])["FLOP ratio"]
    assert shown[64, SAM.spec] == "not counted"
    assert shown[32, SAM.spec] == "2.000"
    assert experiment.headlines(tables)["FLOP ratio"][SAM.spec] == "2.00 (1 not counted)"


def test_a_line_from_before_operators_were_noted_is_read() -> None:
    line = "{" + encode(counted(SGD, flops=7)).partition(", ")[2].replace(
        '"schema": 3', '"schema": 2'
    )
    old = line.replace('"uncounted": [], ', "")
    assert old != line
    assert decode(old) == counted(SGD, flops=7)
    unknown = replace(counted(SGD), flops=None, uncounted=("a::b",))
    assert decode(encode(unknown)) == unknown
