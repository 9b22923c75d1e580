"""From records to the generalization tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gr_bench import registry, stats
from gr_bench.errors import RequestError
from gr_bench.experiments import columns
from gr_bench.experiments.block_times import BlockTimes
from gr_bench.experiments.columns import PARAMETERS, build_table, cell_columns, in_order
from gr_bench.experiments.generalization.cell import SEEDS, GeneralizationCell, chosen_rates
from gr_bench.experiments.generalization.planning.selection import candidates
from gr_bench.experiments.generalization.record import BYTE, Training
from gr_bench.experiments.record import Failure, Record
from gr_bench.spec import parse

SETTING = (
    *("seed", "epochs", "learning_rate", "momentum", "weight_decay"),
    *("schedule", "augmentation", "label_noise", "role", "baseline", "tuned"),
)
BITS = "bits_per_byte"
PARTS = ("train", "validation", "test")
RUN = (*SEEDS, *SETTING[1:])
"""The columns of a table with rows of single trainings."""

OF_SGD = ("momentum", "weight_decay")
"""Columns that are empty with another optimizer."""

RESULT = (
    "train_loss",
    "validation_loss",
    "test_loss",
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "train_bits_per_byte",
    "validation_bits_per_byte",
    "test_bits_per_byte",
    "gap_loss",
    "gap_accuracy",
    "gradient_norm",
    "parameter_norm",
    "largest_eigenvalue",
    "trace",
    "trace_error",
    "sharpness_error",
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
METER_ERRORS = "meter_errors"
"""The column, where there are meters, that says why they gave no value."""

FINAL = ("run", "chosen")
"""The roles of trainings that are results: not to choose by, not only to be timed."""

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
    *("threads", "dtype", "device", "compiled", "optimizer", "baseline", "tuned"),
]
CHOSEN_BY = ("learning_rate", "weight_decay", "epochs", "label_noise", "schedule", "augmentation")
GROUP = [*WORKLOAD, "spec"]
"""The columns that trainings have in common which differ in their seed alone."""

STEP_TIMES = (
    "control",
    "baseline",
    "time_ms",
    "time_ratio",
    "time_ratio_low",
    "time_ratio_high",
    "replicates",
)
SELECTED = ("validation_accuracy", "validation_loss", "runs", "diverged", "failed", "chosen")
OF_TRIALS = ("rank", "test_accuracy")
"""Columns of a selection that are empty where there are no trials."""

JUDGED_BY = "judged_by"
"""The column of a selection that says what decides: ``accuracy``, or of bytes ``loss``."""

MOST_SETTINGS = 16
"""Methods with their numbers that are listed one by one for a workload."""


def step_times(records: Sequence[Record]) -> pd.DataFrame:
    """A row for every method and workload whose step was timed.

    ``time_ms`` is that of one step of one run: the geometric mean over replicates of their median
    over rounds, without waiting. ``time_ratio`` is over the ``baseline``'s in the same rounds, with
    the 95 % t-interval over replicates. A method's numbers have no influence on it, but for those
    of methods that are made of others, and the length of a cycle; ``spec`` has those that were
    timed. ``control`` rows are the baseline timed a second time: their true ratio is 1.
    """
    times, rows = BlockTimes(records), []
    for replicates in times.records.values():
        own = list(replicates.values())
        cell = own[0].cell
        ratio = times.ratio(cell) if isinstance(cell, GeneralizationCell) else None
        if not isinstance(cell, GeneralizationCell) or ratio is None:
            continue
        seconds = stats.ratio_interval([math.log(stats.median(r.step_s)) for r in own]).center
        rows.append(
            cell_columns(cell)
            | {
                "control": cell.is_control,
                "baseline": cell.baseline,
                "time_ms": 1e3 * seconds,
                "time_ratio": ratio.center,
                "time_ratio_low": ratio.low,
                "time_ratio_high": ratio.high,
                "replicates": len(own),
            }
        )
    return in_order(build_table(rows, STEP_TIMES), "control")


def generalization(records: Sequence[Record], timed: pd.DataFrame) -> pd.DataFrame:
    """A row a training, candidates left out.

    Losses are mean cross-entropies in nats, accuracies fractions, ``gradient_norm`` is ‖∇L‖₂ of
    the mean loss over the training part in evaluation mode, all of the last epoch and at θ.
    ``parameter_norm`` is ‖θ‖₂. ``largest_eigenvalue`` and ``trace`` are those of the Hessian of the
    same mean training loss (:mod:`gr_bench.meters.curvature`), where the grid asked for them;
    ``sharpness_error`` is the reason where they could not be found.
    ``step_time_ms`` and ``step_time_ratio`` are those of the method in ``timed``
    (:func:`step_times`), where steps were timed. ``training_s`` is the time that the steps of the
    training took beside whatever else was running; in a fleet (``trainer``) a run's equal share.
    ``gap_loss`` = test - train and ``gap_accuracy`` = train - test: both grow as generalization
    gets worse. ``..._bits_per_byte`` are the losses over ln 2, of data whose targets are bytes; of
    others, characters too, they are empty. ``status`` is ``ok``, ``diverged``, ``failed`` or
    ``unsupported``. Meters' columns are last (:func:`meter_values`).
    """
    timed = timed[~timed["control"].astype(bool)]
    of_method = {
        _step_key(row): {key: row[key] for key in ("time_ms", "time_ratio")}
        for row in timed.to_dict("records")
    }
    rows = []
    names = _meter_names(records)
    for record in records:
        cell = record.cell
        if not isinstance(cell, GeneralizationCell) or cell.role not in FINAL:
            continue
        row = head(cell)
        step = of_method.get(_step_key(row), {})
        row |= {f"step_{key}": value for key, value in step.items()}
        if isinstance(record, Training):
            rows.append(row | _results(record) | meter_values(record, names))
        elif isinstance(record, Failure):
            rows.append(row | {"status": record.status})
    found = dict.fromkeys(
        column for r in records if isinstance(r, Training) for column in meter_values(r, names)
    )
    return in_order(build_table(rows, [*RUN, *RESULT, *found]), *RUN)


def _meter_names(records: Sequence[Record]) -> dict[str, str]:
    """The name of every meter's columns: its own, or its spec where several have that."""
    of = (r.cell.meters for r in records if isinstance(r.cell, GeneralizationCell))
    specs = dict.fromkeys(spec for meters in of for spec in meters)
    names = Counter(parse(spec).name for spec in specs)
    return {spec: spec if names[parse(spec).name] > 1 else parse(spec).name for spec in specs}


def meter_values(record: Training, names: Mapping[str, str]) -> dict[str, Any]:
    """The columns of a training's meters; none if it has none.

    ``NAME``, or ``NAME_value`` where a meter gives several; ``meter_`` before a name that a column
    of this table has. ``meter_errors`` says of those that failed why.
    """
    if not record.cell.meters:
        return {}
    taken = {"method", PARAMETERS, "spec", *columns.WORKLOAD, *RUN, *RESULT, METER_ERRORS}
    found: dict[str, Any] = {}
    for spec, values in record.meters.items():
        for name, value in values.items():
            column = f"{names[spec]}_{name}" if name else names[spec]
            found[f"meter_{column}" if column in taken else column] = value
    words = "; ".join(f"{names[spec]}: {why}" for spec, why in record.meter_errors.items())
    return found | {METER_ERRORS: words or None}


def _step_key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    """All that decides how long a step takes, and how much longer than the baseline's."""
    try:
        cycle = registry.cycle(row["spec"])
    except RequestError:  # a method that is not there any more
        cycle = None
    workload = (row[key] for key in (*columns.WORKLOAD, "baseline"))
    return (parse(row["spec"]).frame, cycle, *workload)


def _results(record: Training) -> dict[str, Any]:
    """The :data:`RESULT` columns of a training; of one that diverged, those that it has."""
    row: dict[str, Any] = {
        "steps": record.steps,
        "gradient_evaluations": record.gradient_evaluations,
        "training_s": record.training_s,
        "trainer": record.trainer,
        "runs_together": record.runs_together,
        "diverged_step": record.diverged_step,
        "split": record.split,
        "status": "diverged" if record.diverged else "ok",
    }
    if record.diverged:
        return row
    last, test_loss, test_accuracy = record.curve[-1], record.test_loss, record.test_accuracy
    assert test_loss is not None
    assert test_accuracy is not None
    row |= {
        "train_loss": last.train_loss,
        "validation_loss": last.validation_loss,
        "test_loss": test_loss,
        "train_accuracy": last.train_accuracy,
        "validation_accuracy": last.validation_accuracy,
        "test_accuracy": test_accuracy,
        "gap_loss": test_loss - last.train_loss,
        "gap_accuracy": last.train_accuracy - test_accuracy,
        "gradient_norm": last.gradient_norm,
        "parameter_norm": last.parameter_norm,
    }
    if record.unit == BYTE:
        row |= {f"{part}_{BITS}": row[f"{part}_loss"] / math.log(2) for part in PARTS}
    if record.sharpness_error is not None:
        row["sharpness_error"] = record.sharpness_error
    if record.sharpness is not None:
        row |= {
            "largest_eigenvalue": record.sharpness.largest_eigenvalue,
            "trace": record.sharpness.trace,
            "trace_error": record.sharpness.trace_error,
        }
    return row


def training_curves(records: Sequence[Record]) -> pd.DataFrame:
    """A row an evaluated epoch of a training, the parameters as at its end; no candidates."""
    rows = [
        head(record.cell) | {key: getattr(point, key) for key in CURVE}
        for record in records
        if isinstance(record, Training) and record.cell.role in FINAL
        for point in record.curve
    ]
    return in_order(build_table(rows, [*RUN, *CURVE]), *RUN, "epoch")


def head(cell: GeneralizationCell) -> dict[str, Any]:
    """The first entries of a training's row for :func:`~gr_bench.experiments.columns.build_table`:
    its cell and its setting.
    """
    fields = {key: getattr(cell, key) for key in RUN}
    for key in OF_SGD:
        fields[key] = math.nan if fields[key] is None else fields[key]
    return cell_columns(cell) | fields


def setting_key(row: Mapping[Any, Any]) -> tuple[str, ...]:
    """The setting of a training, from a row of the table or from its cell; of numbers, whatever
    type they have there.
    """
    values = [row[key] for key in GROUP]
    return tuple(v if isinstance(v, str) else repr(float(v)) for v in values)


def setting_columns(row: pd.Series) -> dict[str, Any]:
    """The first entries of a row for :func:`~gr_bench.experiments.columns.build_table`, from a row
    of :func:`generalization`: its method, workload and setting, without the seed.
    """
    method = parse(row["spec"])
    fields = {key: row[key] for key in (*columns.WORKLOAD, "spec", *SETTING[1:])}
    return {"method": method.kind, PARAMETERS: method.all_parameters} | fields


def selection(records: Sequence[Record]) -> pd.DataFrame:
    """A row a candidate setting: mean validation results over the seeds to choose by.

    ``judged_by`` says which of them decides: the accuracy, or of bytes the loss.
    ``chosen`` marks the one of each selection group (method and workload) that was trained further.
    Trials also have their ``rank``, counted from 1, and the ``test_accuracy`` of the same runs, in
    the mean over those that ended, which has no say.
    """
    rows = []
    for ranked in candidates(records).values():
        for place, candidate in enumerate(ranked):
            cell = candidate.cell
            rows.append(
                cell_columns(cell)
                | {key: getattr(cell, key) for key in CHOSEN_BY}
                | {
                    "validation_accuracy": _average(candidate.accuracies),
                    "validation_loss": _average(candidate.losses),
                    JUDGED_BY: "loss" if candidate.by_loss else "accuracy",
                    "runs": len(candidate.accuracies),
                    "diverged": candidate.diverged,
                    "failed": candidate.failed,
                    "chosen": place == 0 and bool(candidate.accuracies),
                    "rank": place + 1 if cell.tuned else math.nan,
                    "test_accuracy": _average(candidate.tests),
                }
            )
    found = build_table(rows, [*CHOSEN_BY, *SELECTED, *OF_TRIALS, JUDGED_BY])
    return in_order(found, *CHOSEN_BY)


def _average(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def chosen_keys(row: Mapping[str, Any] | pd.Series) -> tuple[str, ...]:
    """The columns of a row's workload that were chosen for its method."""
    return chosen_rates(row["role"], row["tuned"])


def without_choices(table: pd.DataFrame, word: str) -> pd.DataFrame:
    """The table with ``word`` for the rates that were chosen for a method: rows of one workload are
    then alike in all of :data:`WORKLOAD`.
    """
    chosen = table["role"] == "chosen"
    rates, decays = (table[key].astype(object) for key in ("learning_rate", "weight_decay"))
    return table.assign(
        learning_rate=rates.mask(chosen, word),
        weight_decay=decays.mask(chosen & table["tuned"].astype(bool), word),
    )


def of_baseline(table: pd.DataFrame) -> pd.Series[bool]:
    """True for the rows of the method that they name as their baseline."""
    return (table["spec"] == table["baseline"]) | (table["method"] == table["baseline"])


def baseline_name(table: pd.DataFrame) -> str:
    """The baseline in words: ``SGD``, the method as it is spelled, or ``the baseline`` where the
    table has several.
    """
    names = table["baseline"].unique()
    if len(names) != 1:
        return "the baseline"
    return "SGD" if names[0] == "sgd" else str(names[0])


def common_columns(row: Mapping[str, Any] | pd.Series) -> list[str]:
    """The columns in which a method's runs and the baseline's are alike where they are compared: of
    the workload all but the epochs, and of chosen settings without the rates that were chosen.
    """
    free = {"epochs", *chosen_keys(row)}
    return [key for key in WORKLOAD if key not in free]


def same_workload(table: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    """The rows whose workload is that of ``row``, by its :func:`common_columns`."""
    alike = np.ones(len(table), bool)
    for key in common_columns(row):
        own = table[key].isna() if pd.isna(row[key]) else table[key] == row[key]
        alike &= own.to_numpy(bool)
    return table[alike]


def baseline_runs(table: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    """The baseline's rows that a method's are compared with, of every length.

    Several settings of the baseline may have been chosen for one workload, as by two grids with
    rates of their own. Of each length those at the method's own rates count, or, where there are
    none, those that the validation part prefers.

    Args:
        table: the rows of all methods.
        row: one of the method's.
    """
    there = same_workload(table[of_baseline(table)], row)
    rates = list(chosen_keys(row))
    kept = []
    for _, part in there.groupby("epochs", sort=False):
        alike = (part[rates] == row[rates]).all(axis=1) if rates else part["spec"].notna()
        part = part[alike] if alike.any() else part
        settings = part.groupby(["spec", *rates], dropna=False)["validation_accuracy"]
        if settings.ngroups > 1:
            best = settings.transform("mean").fillna(-1.0).to_numpy().argmax()
            number = settings.ngroup()
            part = part[number == number.iloc[best]]
        kept.append(part)
    return pd.concat(kept) if kept else there


def with_few_settings(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of workloads with at most :data:`MOST_SETTINGS`: those that a reader can be shown
    one by one. What has more is a plane, and shown as one.
    """
    keys = [key for key in WORKLOAD if key not in ("epochs", "learning_rate")]
    settings = table.groupby(keys, dropna=False)["spec"].transform("nunique")
    return table[settings <= MOST_SETTINGS]
