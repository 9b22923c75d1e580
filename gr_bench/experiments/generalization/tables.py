"""From records to the generalization tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from gr_bench import stats
from gr_bench.experiments.base import COLUMNS, Record, Summary, columns, in_order
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.selection import candidates

SETTING = (
    *("seed", "epochs", "learning_rate", "momentum", "weight_decay"),
    *("augmentation", "label_noise", "role"),
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
)
SHOWN = ["model", "dataset", "batch_size", "learning_rate", "epochs"]
WORKLOAD = [
    *SHOWN,
    *("role", "label_noise", "momentum", "weight_decay", "augmentation"),
    *("threads", "dtype", "device", "compiled"),
]
CHOSEN_BY = ("learning_rate", "epochs", "label_noise", "augmentation")
GROUP = [*WORKLOAD, "label"]
"""What trainings that differ in their seed alone have in common."""


def generalization(records: Sequence[Record]) -> pd.DataFrame:
    """A row a training.

    Losses are mean cross-entropies in nats, accuracies fractions, ``gradient_norm`` is ‖∇L‖₂ of
    the mean loss over the training part in evaluation mode, all of the last epoch and at θ.
    ``parameter_norm`` is ‖θ‖₂. ``largest_eigenvalue`` and ``trace`` are those of the Hessian of the
    same mean training loss (:mod:`gr_bench.meters.curvature`), where the grid asked for them.
    ``training_s`` is the time of the steps; in a fleet (``trainer``) a run's equal share of it.
    ``gap_loss`` = test - train and ``gap_accuracy`` = train - test: both grow as generalization
    gets worse. ``status`` is ``ok``, ``diverged``, ``failed`` or ``unsupported``.
    """
    rows = []
    for record in records:
        row: dict[str, Any] = _head(record)
        if record.kind == "failure":
            status = "unsupported" if record.data["unsupported"] else "failed"
            rows.append(row | {"status": status})
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


def paired_difference(
    table: pd.DataFrame, own: pd.DataFrame, column: str, baseline: str = "sgd"
) -> stats.Interval | None:
    """Mean over seeds of ``own``'s column minus the baseline's at the same seed, with a t-interval.

    Chosen settings are compared whatever the learning rate that was chosen for each; otherwise it
    must be the same. None where no seed has both.
    """
    first = own.iloc[0]
    same = table[table["label"] == baseline]
    for key in WORKLOAD:
        if key != "learning_rate" or first["role"] != "chosen":
            same = same[same[key] == first[key]]
    joined = own.merge(same, on="seed", suffixes=("", "_base"))
    difference = (joined[column] - joined[f"{column}_base"]).dropna()
    return stats.t_interval(difference) if len(difference) else None


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


def summaries(table: pd.DataFrame, selected: pd.DataFrame) -> list[Summary]:
    """A row for every method on every workload, over seeds; and the candidates of a selection."""
    found = [_over_seeds(table)] if len(table) else []
    return [*found, _candidates(selected)] if len(selected) else found


def _candidates(selected: pd.DataFrame) -> Summary:
    shown = selected[["model", "dataset", "batch_size", "label", *CHOSEN_BY]].copy()
    shown["validation accuracy (%)"] = (100 * selected["validation_accuracy"]).round(2)
    shown["validation loss"] = selected["validation_loss"].round(4)
    for key in ("runs", "diverged", "failed"):
        shown[key] = selected[key]
    shown["chosen"] = selected["chosen"].map({True: "yes", False: ""})
    alike = [key for key in CHOSEN_BY if selected[key].nunique() == 1 and key != "learning_rate"]
    return Summary(
        "selection",
        "What was chosen",
        "Every setting that was tried, trained on seeds of its own and judged by the mean accuracy "
        "on the validation part after the last epoch; a setting with fewer runs lost to divergence "
        "goes first. The test part was not read for these runs.",
        shown.drop(columns=alike),
    )


def _over_seeds(table: pd.DataFrame) -> Summary:
    """A row for every method on every workload."""
    rows = []
    alike = [key for key in WORKLOAD if key not in SHOWN and table[key].nunique() == 1]
    for key, group in table.groupby(GROUP, sort=False, dropna=False):
        done = group[group["status"] == "ok"]
        row: dict[str, Any] = dict(zip(GROUP, key, strict=True))
        row["test accuracy (%)"] = _mean(100 * done["test_accuracy"], "{:.2f}")
        row["minus SGD (points)"] = "-"
        if row["label"] != "sgd" and len(done):
            difference = paired_difference(table, done, "test_accuracy")
            if difference is not None:
                row["minus SGD (points)"] = (
                    f"{100 * difference.center:+.2f} "
                    f"[{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"
                )
        row["accuracy gap (points)"] = _mean(100 * done["gap_accuracy"], "{:.2f}")
        row["test loss"] = _mean(done["test_loss"], "{:.3f}")
        row["loss gap"] = _mean(done["gap_loss"], "{:.3f}")
        row["‖∇L‖"] = _mean(done["gradient_norm"], "{:.2g}")
        if done["largest_eigenvalue"].notna().any():
            row["largest eigenvalue"] = _mean(done["largest_eigenvalue"].dropna(), "{:.3g}")
            row["Hessian trace"] = _mean(done["trace"].dropna(), "{:.3g}")
        row["training (s)"] = _mean(done["training_s"], "{:.1f}")
        row["seeds"] = len(done)
        row["diverged"] = int((group["status"] == "diverged").sum())
        row["failed"] = len(group) - len(done) - row["diverged"]
        rows.append(row)
    return Summary(
        "generalization",
        "Generalization",
        "At equal epochs; mean ± standard deviation over seeds. Minus SGD: mean of the "
        "differences from SGD at the same seed, with the 95 % t-interval over seeds. "
        "Accuracy gap: train minus test; loss gap: test minus train. ‖∇L‖ is the "
        "gradient norm on the whole training part at the end. Diverged and failed runs are "
        "counted, and are in no mean.",
        pd.DataFrame(rows).drop(columns=alike),
    )


def _mean(values: pd.Series, number: str) -> str:
    if not len(values):
        return "-"
    text = number.format(values.mean())
    return f"{text} ± {number.format(values.std())}" if len(values) > 1 else text
