"""Sentences on step times say what the tables say, and where nothing can be said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthetic import cost, failed, timed

from gr_bench.experiments.record import Record
from gr_bench.experiments.step_cost.experiment import StepCost

EXPERIMENT = StepCost()


def said(*records: Record) -> list[str]:
    return EXPERIMENT.findings(EXPERIMENT.tables(records))


def steps(method: str, times: Sequence[float], **fields: Any) -> list[Record]:
    """A freshly started process for each of the times."""
    return [timed(cost(method, **fields), r, [s] * 5) for r, s in enumerate(times)]


SGD = steps("sgd", (1.0, 1.0, 1.0))
SURE = "(95 % intervals)."


def test_slower_with_the_ratio_the_baseline_and_the_workloads() -> None:
    first, known = said(*SGD, *steps("sam", (2.0, 2.01, 1.99)))
    assert first == (
        "A step of sam takes 2.00 times as long as one of SGD's, on one workload: slower on 1, "
        f"faster on 0, not distinguishable on 0 {SURE}"
    )
    assert known.startswith("0 of 1 ratios are known to 1.0%")


def test_faster() -> None:
    first, _ = said(*SGD, *steps("momentum-sam", (0.8, 0.81, 0.79)))
    assert "takes 0.80 times as long" in first
    assert "slower on 0, faster on 1, not distinguishable on 0" in first


def test_mixed_over_workloads() -> None:
    other: dict[str, Any] = {"batch_size": 64}
    first, _ = said(
        *SGD,
        *steps("sam", (2.0, 2.01, 1.99)),
        *steps("sgd", (1.0, 1.0, 1.0), **other),
        *steps("sam", (0.5, 0.51, 0.49), **other),
    )
    assert "takes 0.50 to 2.00 times as long as one of SGD's, on 2 workloads" in first
    assert "slower on 1, faster on 1, not distinguishable on 0" in first


def test_undecided_everywhere_is_not_told_apart() -> None:
    first, _ = said(*SGD, *steps("sam", (0.9, 1.2, 1.0)))
    assert f"slower on 0, faster on 0, not distinguishable on 1 {SURE}" in first
    assert "no difference" not in first


def test_one_process_gives_no_interval() -> None:
    (only,) = said(*steps("sgd", [1.0]), *steps("sam", [2.0]))
    assert "not distinguishable on 1 (95 % intervals; 1 from a single process, which gives" in only


def test_a_method_that_failed_on_every_workload() -> None:
    (only,) = said(*SGD, failed(cost("db-gr")))
    assert only == (
        "A step of db-gr: nothing can be said relative to SGD's, since on one workload: 1 failed."
    )


def test_without_a_baseline() -> None:
    (only,) = said(*steps("sam", (2.0, 2.0)))
    assert only == "A step of sam: nothing can be said relative to SGD's, since SGD was not timed."


def test_a_workload_without_a_ratio_is_counted() -> None:
    first, _ = said(*SGD, *steps("sam", (2.0, 2.01, 1.99)), failed(cost("sam", batch_size=64)))
    assert first.endswith(f"{SURE[:-1]}; no ratio on 1.")


def test_of_many_methods_there_are_the_ranges() -> None:
    records = [r for i in range(9) for r in steps(f"sam(rho=0.{i + 1})", (2.0, 2.01, 1.99))]
    first, _ = said(*SGD, *records)
    assert first.startswith("Time per step, in multiples of SGD's, on one workload: sam(rho=0.1) 2")


def test_no_records_and_the_baseline_alone_have_no_sentence() -> None:
    assert said() == []
    assert said(*SGD) == []
