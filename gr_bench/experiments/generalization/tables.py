"""From records to the generalization tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from gr_bench import stats
from gr_bench.experiments.base import COLUMNS, Record, Summary, columns, in_order
from gr_bench.experiments.generalization.cell import BASELINE, GeneralizationCell
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
COMPARED = (
    *("cost", "baseline_epochs", "seeds", "test_accuracy", "difference", "low", "high", "p"),
)
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


def paired_differences(
    table: pd.DataFrame, own: pd.DataFrame, column: str, *, epochs: int | None = None
) -> pd.Series:
    """``own``'s column minus the baseline's at the same seed, for the seeds that both have.

    Chosen settings are compared whatever the learning rate that was chosen for each; otherwise it
    must be the same.

    Args:
        table: of :func:`generalization`.
        own: rows of one setting.
        column: what to compare.
        epochs: of the baseline's runs; by default ``own``'s.
    """
    first = own.iloc[0]
    wanted = {key: first[key] for key in WORKLOAD} | {"label": BASELINE}
    if epochs is not None:
        wanted["epochs"] = epochs
    if first["role"] == "chosen":
        del wanted["learning_rate"]
    same = table
    for key, value in wanted.items():
        same = same[same[key] == value]
    joined = own.merge(same, on="seed", suffixes=("", "_base"))
    return (joined[column] - joined[f"{column}_base"]).dropna()


def comparison(table: pd.DataFrame) -> pd.DataFrame:
    """A row a setting and sort of cost: its test accuracy minus SGD's, paired by seed.

    ``cost`` says what is equal: ``epochs``, or ``gradient evaluations``, for which SGD is trained
    for as many times the epochs as the method has evaluations a step. ``verdict`` is ``better`` or
    ``worse`` where that is believed among all rows at a false-discovery rate of 5 %
    (Benjamini-Hochberg, on paired t-tests), else ``undecided``; ``no pair of runs`` where all
    diverged or failed.
    """
    rows = []
    heads = [*COLUMNS, *SETTING[1:]]
    for _, group in table.groupby(GROUP, sort=False, dropna=False):
        setting = group.iloc[0][heads].to_dict()
        if setting["label"] == BASELINE:
            continue
        done = group[group["status"] == "ok"]
        times = (done["gradient_evaluations"] / done["steps"]).max() if len(done) else 1
        for cost, factor in {"epochs": 1, "gradient evaluations": round(times)}.items():
            epochs = factor * setting["epochs"]
            apart = pd.Series(dtype=float)
            if len(done):
                apart = paired_differences(table, done, "test_accuracy", epochs=epochs)
            if cost != "epochs" and (factor == 1 or not len(apart)):
                continue
            row = {"cost": cost, "baseline_epochs": epochs, "seeds": len(apart)}
            if len(apart):
                row["difference"], row["low"], row["high"] = stats.t_interval(apart)
                row["p"] = stats.p_value(apart)
            rows.append(setting | row | {"test_accuracy": done["test_accuracy"].mean()})
    found = in_order(pd.DataFrame(rows, columns=[*heads, *COMPARED]), *SETTING[1:], "cost")
    verdicts = pd.Series("no pair of runs", index=found.index)
    paired = found["seeds"] > 0
    believed = stats.discoveries(found.loc[paired, "p"])
    for place, sure in zip(found.index[paired], believed, strict=True):
        better = "better" if found["difference"][place] > 0 else "worse"
        verdicts[place] = better if sure else "undecided"
    return found.assign(verdict=verdicts)


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
    against = comparison(table)
    if len(against):
        found.append(_against_baseline(against))
    return [*found, _candidates(selected)] if len(selected) else found


def _against_baseline(against: pd.DataFrame) -> Summary:
    shown = against[["model", "dataset", "batch_size", "label_noise", "epochs", "label"]].copy()
    if against["label_noise"].nunique() == 1:
        del shown["label_noise"]
    shown["at equal"] = against["cost"]
    shown["SGD's epochs"] = against["baseline_epochs"]
    shown["seeds"] = against["seeds"]
    intervals = against[["difference", "low", "high"]].itertuples(index=False)
    shown["minus SGD (points)"] = [
        _points(*row) if seeds else "-"
        for row, seeds in zip(intervals, against["seeds"], strict=True)
    ]
    shown["p"] = [f"{p:.2g}" if p == p else "-" for p in against["p"].astype(float)]
    shown["verdict"] = against["verdict"]
    return Summary(
        "comparison",
        "Test accuracy against SGD at equal cost",
        "Paired by seed, with the 95 % t-interval over seeds. At equal gradient evaluations, SGD "
        "is trained for as many times the epochs as the method takes evaluations a step. A verdict "
        "other than undecided is one to believe among all rows of the table, at a false-discovery "
        "rate of 5 %.",
        shown,
    )


def _points(center: float, low: float, high: float) -> str:
    """Fractions as percentage points."""
    return f"{100 * center:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


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
            apart = paired_differences(table, done, "test_accuracy")
            if len(apart):
                row["minus SGD (points)"] = _points(*stats.t_interval(apart))
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
