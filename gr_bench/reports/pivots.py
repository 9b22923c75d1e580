"""Small tables of methods by workloads, one for each question."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from gr_bench.experiments import style
from gr_bench.experiments.generalization.analysis.tables import without_choices
from gr_bench.reports.costs_and_gains import COSTS, is_baseline
from gr_bench.spec import parse
from gr_bench.stats import Interval


@dataclass(frozen=True)
class Entry:
    """A method's result on a workload."""

    relative: str
    """Beside the baseline's, with its interval."""

    absolute: str
    best: bool = False
    """True if its interval leaves no doubt that it is the best in its column."""

    where: Mapping[str, Any] = field(default_factory=dict)
    """The values that its rows have in the table of every row, by column."""


@dataclass(frozen=True)
class Pivot:
    """Methods in rows, workloads in columns."""

    title: str
    caption: str
    relative: str
    """The words for relative entries; ``absolute`` those for the others."""

    absolute: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Entry | None]]
    """By the method's name; None where it was not measured, or gave no result."""

    colors: Mapping[str, str]
    every_row: str
    """The name of the summary that has every row."""


MOST_COLUMNS = 12
"""Of more workloads, a pivot has none: the rows below have all of them."""


def step_cost(tables: Mapping[str, pd.DataFrame]) -> Pivot | None:
    """Time per step by method and workload; best is a method whose interval is below all others."""
    table = tables["step_cost"]
    table = table[~table["control"].astype(bool)]
    return _pivot(
        table,
        ("model", "dataset", "batch_size"),
        _time_entry,
        _shortest,
        title="Time per step",
        caption="Ratios to the baseline, timed in the same rounds, with 95 % intervals. Bold: "
        "faster than every other method except the baseline, with disjoint intervals.",
        every_row="step_time",
        relative="over the baseline's",
        absolute="milliseconds",
    )


def generalization(tables: Mapping[str, pd.DataFrame]) -> Pivot | None:
    """Test accuracy minus the baseline's, by method and workload, at the hardest cost there is."""
    table = tables["comparison"]
    if not len(table):
        return None
    role = "chosen" if (table["role"] == "chosen").any() else "run"
    base = "sgd" if (table["baseline"] == "sgd").any() else table["baseline"].iloc[0]
    table = table[(table["role"] == role) & (table["baseline"] == base)]
    cost = next((own for own in COSTS if (table["cost"] == own).any()), None)
    table = table[table["cost"] == cost]
    words = {"time": "in equal time", "epochs": "at equal epochs"}.get(
        str(cost), f"at equal {cost}"
    )
    name = "SGD" if base == "sgd" else base
    table = without_choices(table.assign(spelled=table["spec"]), "as chosen")
    if role == "chosen":
        table["spec"] = [parse(str(spec)).kind for spec in table["spec"]]
    return _pivot(
        table,
        ("model", "dataset", "batch_size"),
        _accuracy_entry,
        _most_accurate,
        title=f"Test accuracy against {name}, {words}",
        caption=f"Points over {name} trained {words}, with 95 % intervals. Bold: better than "
        f"{name} (at a 5 % false-discovery rate), and better than every other method, "
        "with disjoint intervals. An interval that contains 0 does not show that there "
        "is no difference.",
        every_row="comparison",
        relative=f"points over {name}",
        absolute="test accuracy, %",
    )


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
    return Entry(relative, own, where=where)


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
    return Entry(f"{center:+.1f} [{low:+.1f}, {high:+.1f}]", own, where=where)


def _where(row: Mapping[Any, Any], **method: str) -> dict[str, Any]:
    workload = (*("model", "dataset", "batch_size", "device", "dtype", "threads"), "epochs")
    return {key: row[key] for key in workload if key in row} | method


def _known(value: Any) -> bool:
    return value is not None and not pd.isna(value) and math.isfinite(float(value))


def _pivot(
    table: pd.DataFrame,
    keys: Sequence[str],
    entry: Callable[[Mapping[Any, Any]], Entry | None],
    best: Callable[[pd.DataFrame], set[Any]],
    **words: str,
) -> Pivot | None:
    """The pivot of a table; None where a cell of it would have two rows, or it is too wide."""
    parts = list(style.workloads(table, *keys))
    if not 1 <= len(parts) <= MOST_COLUMNS or any(p["spec"].duplicated().any() for _, p in parts):
        return None
    names = style.short(table["spec"])
    rows: dict[str, list[Entry | None]] = {name: [] for name in names.values()}
    for _, part in parts:
        found: dict[str, Entry | None] = {}
        winners = best(part)
        for index, row in zip(part.index, part.to_dict("records"), strict=True):
            own = entry(row)
            if own is not None and index in winners:
                own = replace(own, best=True)
            found[names[str(row["spec"])]] = own
        for name, column in rows.items():
            column.append(found.get(name))
    return Pivot(
        columns=[title for title, _ in parts],
        rows=rows,
        colors={name: style.color(spec) for spec, name in names.items()},
        **words,
    )


PIVOTS: Mapping[str, Callable[[Mapping[str, pd.DataFrame]], Pivot | None]] = {
    "step_cost": step_cost,
    "generalization": generalization,
}
"""By experiment."""
