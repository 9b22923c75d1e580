"""Small tables of methods by workloads, or by runs, one for each question."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from gr_bench.experiments import style
from gr_bench.experiments.generalization.analysis.tables import without_choices
from gr_bench.runs.costs_and_gains import AT_COST, COSTS, baseline_in_words, is_baseline
from gr_bench.spec import parse
from gr_bench.stats import Interval


@dataclass(frozen=True)
class Entry:
    """A method's result on a workload."""

    relative: str
    """Beside the baseline's, with its interval."""

    absolute: str
    value: float
    """The relative number."""

    best: bool = False
    """True if its interval leaves no doubt that it is the best in its column."""

    where: Mapping[str, Any] = field(default_factory=dict)
    """The values that its rows have in the table of every row, by column."""


@dataclass(frozen=True)
class Pivot:
    """Methods in rows; in columns workloads of one run, or runs."""

    title: str
    caption: str
    relative: str
    """The words for relative entries; ``absolute`` those for the others."""

    absolute: str
    columns: Sequence[str]
    groups: Mapping[str, Mapping[str, Sequence[Entry | None]]]
    """By the workload where columns are runs, else under an empty name, and by the method's name.
    None where it was not measured, or gave no result."""

    colors: Mapping[str, str]
    every_row: str
    """The name of the summary that has every row."""


@dataclass(frozen=True)
class Question:
    """A pivot's rows and words."""

    select: Callable[[Mapping[str, Mapping[str, pd.DataFrame]]], pd.DataFrame]
    """From the tables of runs by their labels, the rows to show, with a column ``run``."""

    entry: Callable[[Mapping[Any, Any]], Entry | None]
    best: Callable[[pd.DataFrame], set[Any]]
    """From a run's rows of one workload, the index of the best one, if there is no doubt."""

    words: Callable[[pd.DataFrame], Mapping[str, str]]
    """From the rows, the title, the caption, the words for entries, and the name of all rows."""


KEYS = ("model", "dataset", "batch_size")
"""Columns that name a workload, whatever its other settings."""

MOST_COLUMNS = 12
"""Of more workloads, a pivot has none: the rows below have all of them."""


def by_workload(question: Question, tables: Mapping[str, pd.DataFrame]) -> Pivot | None:
    """A run's pivot; None where an entry would have two rows, or where it would be too wide."""
    rows = question.select({"": tables})
    parts = list(style.workloads(rows, *KEYS)) if len(rows) else []
    if not 1 <= len(parts) <= MOST_COLUMNS or any(has_doubles(part) for _, part in parts):
        return None
    names = style.short(rows["spec"])
    columns = [entries_of(question, part, names) for _, part in parts]
    return Pivot(
        columns=[title for title, _ in parts],
        groups={"": {name: [own.get(name) for own in columns] for name in names.values()}},
        colors={name: style.color(spec) for spec, name in names.items()},
        **question.words(rows),
    )


def has_doubles(rows: pd.DataFrame) -> bool:
    """True if a method has several rows in a run."""
    return bool(rows.duplicated(["run", "spec"]).any())


def entries_of(
    question: Question, rows: pd.DataFrame, names: Mapping[str, str]
) -> dict[str, Entry]:
    """The entries of a run's rows of one workload, by the method's name."""
    winners = question.best(rows)
    found = {}
    for index, row in zip(rows.index, rows.to_dict("records"), strict=True):
        entry = question.entry(row)
        if entry is not None:
            found[names[str(row["spec"])]] = replace(entry, best=index in winners)
    return found


def _joined(runs: Mapping[str, pd.DataFrame | None]) -> pd.DataFrame:
    """Tables of runs as one, with a column ``run``."""
    tables = [own.assign(run=run) for run, own in runs.items() if own is not None and len(own)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _timed(runs: Mapping[str, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """The steps that were timed, without the controls."""
    rows = _joined({run: tables.get("step_cost") for run, tables in runs.items()})
    return rows[~rows["control"].astype(bool)] if len(rows) else rows


def _compared(runs: Mapping[str, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """The comparisons with the baseline of one role and at one cost.

    The first that all runs have, and where there is none, the first that any has: settings chosen
    on the validation part before others, the hardest cost before easier ones.
    """
    rows = _joined({run: tables.get("comparison") for run, tables in runs.items()})
    if not len(rows):
        return rows
    bases = rows["baseline"].astype(str)
    rows = rows[bases == ("sgd" if (bases == "sgd").any() else bases.iloc[0])]
    sorts = [
        rows[(rows["role"] == role) & (rows["cost"] == cost)]
        for role in ("chosen", "run")
        for cost in COSTS
    ]
    of_all = [own for own in sorts if own["run"].nunique() == rows["run"].nunique()]
    found = next((own for own in [*of_all, *sorts] if len(own)), rows.head(0))
    found = without_choices(found.assign(spelled=found["spec"]), "as chosen")
    if (found["role"] == "chosen").all():
        found["spec"] = [parse(str(spec)).kind for spec in found["spec"]]
    return found


def _words_of_times(rows: pd.DataFrame) -> Mapping[str, str]:
    return {
        "title": "Time per step",
        "caption": "Ratios to the baseline, timed in the same rounds, with 95 % intervals. Bold: "
        "faster than every other method except the baseline, with disjoint intervals.",
        "every_row": "step_time",
        "relative": "over the baseline's",
        "absolute": "milliseconds",
    }


def _words_of_accuracies(rows: pd.DataFrame) -> Mapping[str, str]:
    cost, base = str(rows["cost"].iloc[0]), str(rows["baseline"].iloc[0])
    name = baseline_in_words(base)
    words = AT_COST.get(cost, f"at equal {cost}")
    return {
        "title": f"Test accuracy against {name}, {words}",
        "caption": f"Points over {name} trained {words}, with 95 % intervals. Bold: better than "
        f"{name} (at a 5 % false-discovery rate), and better than every other method, with "
        "disjoint intervals. An interval that contains 0 does not show that there is no "
        "difference.",
        "every_row": "comparison",
        "relative": f"points over {name}",
        "absolute": "test accuracy, %",
    }


def _time_entry(row: Mapping[Any, Any]) -> Entry | None:
    if not _known(row["time_ratio"]):
        return None
    value = Interval(row["time_ratio"], row["time_ratio_low"], row["time_ratio_high"])
    ends = f" [{value.low:.2f}, {value.high:.2f}]" if _known(value.high) else ""
    itself = value.center == 1 and not 0 < row["half_width"] < math.inf
    relative = "1" if itself else f"{value.center:.2f}{ends}"
    own, where = f"{row['time_ms']:.3g}", _where(row, method=row["spec"])
    if _known(row["time_ms_low"]):
        own += f" [{row['time_ms_low']:.3g}, {row['time_ms_high']:.3g}]"
    return Entry(relative, own, value.center, where=where)


def _shortest(rows: pd.DataFrame) -> set[Any]:
    """The row whose interval is below those of all others but the baseline's; none if in doubt."""
    own = rows[rows["time_ratio_high"].notna() & ~is_baseline(rows)]
    if len(own) < 2:
        return set()
    order = own.sort_values("time_ratio")
    sure = order["time_ratio_high"].iloc[0] < order["time_ratio_low"].iloc[1:].min()
    return {order.index[0]} if sure else set()


def _most_accurate(rows: pd.DataFrame) -> set[Any]:
    """The row that is better than the baseline and whose interval is above all others'."""
    order = rows[rows["low"].notna()].sort_values("difference", ascending=False)
    if not len(order) or order["verdict"].iloc[0] != "better":
        return set()
    sure = len(order) == 1 or order["low"].iloc[0] > order["high"].iloc[1:].max()
    return {order.index[0]} if sure else set()


def _accuracy_entry(row: Mapping[Any, Any]) -> Entry | None:
    if not _known(row["difference"]):
        return None
    center, low, high = (100 * float(row[key]) for key in ("difference", "low", "high"))
    own = f"{100 * float(row['test_accuracy']):.1f}" if _known(row["test_accuracy"]) else "-"
    where = _where(row, spec=row["spelled"]) | {"at equal": row["cost"]}
    return Entry(f"{center:+.1f} [{low:+.1f}, {high:+.1f}]", own, center, where=where)


def _where(row: Mapping[Any, Any], **method: str) -> dict[str, Any]:
    workload = (*KEYS, "device", "dtype", "threads", "epochs")
    run = {"run": row["run"]} if row["run"] else {}
    return run | {key: row[key] for key in workload if key in row} | method


def _known(value: Any) -> bool:
    return value is not None and not pd.isna(value) and math.isfinite(float(value))


QUESTIONS: Mapping[str, Question] = {
    "step_cost": Question(_timed, _time_entry, _shortest, _words_of_times),
    "generalization": Question(_compared, _accuracy_entry, _most_accurate, _words_of_accuracies),
}
"""By experiment."""
