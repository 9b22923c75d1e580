"""The cost of a target accuracy, worked out on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import diverged, failed, step_time, trained, training

from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.record import Record

EXPERIMENT = Generalization()


def climbing(method: str, seed: int, accuracies: Sequence[float], **settings: Any) -> Training:
    """A training whose epochs end with these validation accuracies."""
    return trained(
        training(method, seed=seed, epochs=len(accuracies), **settings),
        train=(0.1, 1.0),
        test=(0.5, 0.5),
        validation=[(1.0, accuracy) for accuracy in accuracies],
        steps=7 * len(accuracies),
        evaluations={"sgd": 1, "sam": 2}[method],
    )


SGD = [climbing("sgd", 0, (0.2, 0.5, 0.8)), climbing("sgd", 1, (0.1, 0.75, 0.7))]
SAM = [
    climbing("sam", 0, (0.1, 0.71, 0.6)),
    climbing("sam", 1, (0.1, 0.2, 0.7)),
    climbing("sam", 2, (0.1, 0.2, 0.6999)),
]
TIMES = [
    step_time(training(method), k, 1e-3 * ratio)
    for k in range(3)
    for method, ratio in (("sgd", 1.0), ("sam", 2.5))
]


def table(*records: Record) -> pd.DataFrame:
    return EXPERIMENT.tables(records)["time_to_target"].set_index(["method", "epochs"])


def test_the_target_is_the_least_that_sgd_ended_with() -> None:
    found = table(*SGD, *SAM)
    assert set(found["target"]) == {0.7}


def test_the_first_epoch_that_ends_there_counts() -> None:
    found = table(*SGD, *SAM)
    sgd, sam = found.loc[("sgd", 3)], found.loc[("sam", 3)]
    assert list(sgd[["epochs_to_target_low", "epochs_to_target", "epochs_to_target_high"]]) == [
        2,
        2.5,
        3,
    ]
    assert list(sam[["epochs_to_target_low", "epochs_to_target", "epochs_to_target_high"]]) == [
        2,
        3,
        np.inf,
    ]
    assert (sam["reached"], sam["runs"]) == (2, 3)


def test_epochs_cost_gradient_evaluations_and_time() -> None:
    found = table(*SGD, *SAM, *TIMES)
    sam = found.loc[("sam", 3)]
    assert sam["evaluations_to_target"] == 3 * 7 * 2
    assert sam["time_to_target_s"] == pytest.approx(3 * 7 * 2.5e-3)
    assert table(*SGD, *SAM)["time_to_target_s"].isna().all()


def test_what_diverged_or_failed_never_gets_there() -> None:
    """Not even one that had been there before it diverged."""
    there = climbing("sam", 1, (0.9,)).curve
    lost = diverged(training("sam", seed=1, epochs=3), 3, there)
    broken = failed(training("sam", epochs=3))
    found = table(*SGD, lost, broken).loc[("sam", 3)]
    assert (found["reached"], found["runs"], found["epochs_to_target"]) == (0, 2, np.inf)
    found = table(*SGD, SAM[0], lost, replace(broken, cell=replace(broken.cell, seed=2)))
    sam = found.loc[("sam", 3)]
    assert (sam["reached"], sam["runs"], sam["epochs_to_target_low"]) == (1, 3, 2)
    assert sam["epochs_to_target"] == np.inf


def test_a_longer_training_of_sgd_has_the_same_target() -> None:
    longer = climbing("sgd", 0, (0.1, 0.2, 0.3, 0.69, 0.7, 0.9))
    found = table(*SGD, longer)
    assert found.loc[("sgd", 6), "target"] == 0.7
    assert found.loc[("sgd", 6), "epochs_to_target"] == 5


def with_gaps(record: Training, *epochs: int) -> Training:
    """The training as if no other epochs had been evaluated."""
    return replace(record, curve=tuple(p for p in record.curve if p.epoch in epochs))


def test_an_epoch_that_was_not_evaluated_is_not_reached() -> None:
    """The second SAM run is there in epoch 2, which nobody saw; it is not any more in epoch 3."""
    sam = [climbing("sam", 0, (0.1, 0.2, 0.3, 0.8)), climbing("sam", 1, (0.1, 0.9, 0.6, 0.9))]
    sgd = [climbing("sgd", 0, (0.2, 0.5, 0.6, 0.7))]
    whole = table(*sgd, *sam).loc[("sam", 4)]
    assert (whole["epochs_to_target_low"], whole["evaluated_every"]) == (2, 1)
    found = table(*(with_gaps(record, 1, 3, 4) for record in (*sgd, *sam)))
    assert found.loc[("sam", 4), "epochs_to_target_low"] == 4
    assert set(found["evaluated_every"]) == {2}
    assert set(table(*(with_gaps(record, 4) for record in sgd))["evaluated_every"]) == {4}


def test_gaps_are_shown_to_the_reader_and_break_no_figure() -> None:
    records = [with_gaps(record, 3) for record in (*SGD, *SAM)]
    tables = EXPERIMENT.tables([*records, *TIMES])
    (shown,) = [s for s in EXPERIMENT.summaries(tables) if s.name == "time_to_target"]
    assert set(shown.table["evaluated every"]) == {3}
    assert "evaluated every" not in {
        column
        for summary in EXPERIMENT.summaries(EXPERIMENT.tables([*SGD, *SAM]))
        for column in summary.table
    }
    assert list(EXPERIMENT.figures(tables))


def test_without_sgd_there_is_no_target() -> None:
    assert len(table(*SAM)) == 0
    assert len(table(*SAM, diverged(training("sgd", epochs=3), 1))) == 0


def test_workloads_have_targets_of_their_own() -> None:
    noisy = [replace(r, cell=replace(r.cell, label_noise=0.2)) for r in SAM]
    assert len(table(*SGD, *noisy)) == 1


def test_the_table_for_the_reader_says_never() -> None:
    tables = EXPERIMENT.tables([*SGD, *SAM[1:], *TIMES])
    (shown,) = [s for s in EXPERIMENT.summaries(tables) if s.name == "time_to_target"]
    row = shown.table.set_index("spec").loc["sam(rho=0.05)"]
    assert row["reached"] == "1 of 2"
    assert row["epochs to it"] == "never [3, never]"
    assert list(EXPERIMENT.figures(tables))
