"""From records to the generalization tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from gr_bench.experiments.base import COLUMNS, Record, columns, failure_status, in_order
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.selection import candidates
from gr_bench.experiments.generalization.timed import timed_steps

SETTING = (
    *("seed", "epochs", "learning_rate", "momentum", "weight_decay"),
    *("schedule", "augmentation", "label_noise", "role"),
)
RESULT = (
    "train_loss",
    "validation_loss",
    "test_loss",
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "gap_loss",
    "gap_accuracy",
    "gradient_norm",
    "parameter_norm",
    "largest_eigenvalue",
    "trace",
    "trace_error",
    "steps",
    "gradient_evaluations",
    "step_time_ms",
    "step_time_ratio",
    "training_s",
    "trainer",
    "runs_together",
    "diverged_step",
    "split",
    "status",
)
CURVE = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "gradient_norm",
    "parameter_norm",
)
SHOWN = ["model", "dataset", "batch_size", "learning_rate", "epochs"]
WORKLOAD = [
    *SHOWN,
    *("role", "label_noise", "schedule", "momentum", "weight_decay", "augmentation"),
    *("threads", "dtype", "device", "compiled"),
]
CHOSEN_BY = ("learning_rate", "epochs", "label_noise", "schedule", "augmentation")
STEP = ["method", "model", "dataset", "batch_size", "device", "dtype", "threads", "compiled"]
"""What decides how long a step takes."""

GROUP = [*WORKLOAD, "label"]
"""What trainings that differ in their seed alone have in common."""

MOST_SETTINGS = 16
"""Methods with their numbers that are listed one by one for a workload."""


def step_times(records: Sequence[Record]) -> pd.DataFrame:
    """A row for every method and workload whose step was timed.

    ``time_ms`` is that of one step of one run: the median over replicates of their median over
    rounds. ``time_ratio`` is over SGD's in the same rounds, with the 95 % t-interval over
    replicates. A method's numbers have no influence on it; ``label`` has those that were timed.
    """
    found = ("time_ms", "time_ratio", "time_ratio_low", "time_ratio_high", "replicates")
    rows = [
        columns(cell)
        | dict(zip(found, (1e3 * step.seconds, *step.ratio, step.replicates), strict=True))
        for cell, step in timed_steps(records).items()
    ]
    return in_order(pd.DataFrame(rows, columns=[*COLUMNS, *found]))


def generalization(records: Sequence[Record], timed: pd.DataFrame) -> pd.DataFrame:
    """A row a training.

    Losses are mean cross-entropies in nats, accuracies fractions, ``gradient_norm`` is ‖∇L‖₂ of
    the mean loss over the training part in evaluation mode, all of the last epoch and at θ.
    ``parameter_norm`` is ‖θ‖₂. ``largest_eigenvalue`` and ``trace`` are those of the Hessian of the
    same mean training loss (:mod:`gr_bench.meters.curvature`), where the grid asked for them.
    ``step_time_ms`` and ``step_time_ratio`` are those of the method in ``timed``
    (:func:`step_times`), where steps were timed. ``training_s`` is the time that the steps of the
    training took beside whatever else was running; in a fleet (``trainer``) a run's equal share.
    ``gap_loss`` = test - train and ``gap_accuracy`` = train - test: both grow as generalization
    gets worse. ``status`` is ``ok``, ``diverged``, ``failed`` or ``unsupported``.
    """
    rows = []
    of_method = timed.set_index(STEP)[["time_ms", "time_ratio"]].to_dict("index")
    for record in records:
        row: dict[str, Any] = _head(record)
        step = of_method.get(tuple(row[key] for key in STEP), {})
        row |= {f"step_{key}": value for key, value in step.items()}
        if record.kind == "failure":
            rows.append(row | {"status": failure_status(record.data)})
            continue
        row |= {key: value for key, value in record.data.items() if key in RESULT}
        row["status"] = "ok" if record.data["diverged_step"] is None else "diverged"
        if row["status"] == "ok":
            row |= {key: value for key, value in record.data["curve"][-1].items() if key in RESULT}
            row["gap_loss"] = row["test_loss"] - row["train_loss"]
            row["gap_accuracy"] = row["train_accuracy"] - row["test_accuracy"]
        rows.append(row)
    return in_order(pd.DataFrame(rows, columns=[*COLUMNS, *SETTING, *RESULT]), *SETTING)


def training_curves(records: Sequence[Record]) -> pd.DataFrame:
    """A row an epoch of a training, the parameters as they are at its end."""
    rows = [
        {**_head(record), **point}
        for record in records
        if record.kind == "training"
        for point in record.data["curve"]
    ]
    return in_order(pd.DataFrame(rows, columns=[*COLUMNS, *SETTING, *CURVE]), *SETTING, "epoch")


def _head(record: Record) -> dict[str, Any]:
    cell = record.cell
    assert isinstance(cell, GeneralizationCell)
    return columns(cell) | {key: getattr(cell, key) for key in SETTING}


def role(record: Record) -> str:
    """What a record's cell was trained for."""
    assert isinstance(record.cell, GeneralizationCell)
    return record.cell.role


def selection(records: Sequence[Record]) -> pd.DataFrame:
    """A row a candidate setting: mean validation results over the seeds to choose by.

    ``chosen`` marks the one of each contest (method and workload) that was trained further.
    """
    rows = []
    for ranked in candidates(records).values():
        for place, candidate in enumerate(ranked):
            cell = candidate.cell
            rows.append(
                columns(cell)
                | {key: getattr(cell, key) for key in CHOSEN_BY}
                | {
                    "validation_accuracy": _average(candidate.accuracies),
                    "validation_loss": _average(candidate.losses),
                    "runs": len(candidate.accuracies),
                    "diverged": candidate.diverged,
                    "failed": candidate.failed,
                    "chosen": place == 0 and bool(candidate.accuracies),
                }
            )
    found = ("validation_accuracy", "validation_loss", "runs", "diverged", "failed", "chosen")
    return in_order(pd.DataFrame(rows, columns=[*COLUMNS, *CHOSEN_BY, *found]), *CHOSEN_BY)


def _average(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def same_workload(table: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    """The rows whose workload is that of ``row``, whatever their epochs; those of chosen settings
    also whatever the learning rate that was chosen.
    """
    keys = {"epochs"} | ({"learning_rate"} if row["role"] == "chosen" else set())
    for key in WORKLOAD:
        if key not in keys:
            table = table[table[key] == row[key]]
    return table


def with_few_settings(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of workloads with at most :data:`MOST_SETTINGS`: those that a reader can be shown
    one by one. What has more is a plane, and shown as one.
    """
    keys = [key for key in WORKLOAD if key not in ("epochs", "learning_rate")]
    settings = table.groupby(keys, dropna=False)["label"].transform("nunique")
    return table[settings <= MOST_SETTINGS]
