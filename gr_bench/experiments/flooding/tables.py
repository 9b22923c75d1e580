"""From records to the flooding tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pandas as pd

from gr_bench.experiments.columns import build_table, cell_columns, in_order
from gr_bench.experiments.experiment import Summary
from gr_bench.experiments.flooding.record import Order, Trace
from gr_bench.experiments.record import Failure, Record

SETTING = ("seed", "steps", "learning_rate", "fresh")
ORDERS: tuple[Order, ...] = get_args(Order)
RESULT = (
    "reached_step",
    "descent_ascent",
    "ascent_descent",
    "pair_share",
    "median_difference",
    "largest_difference",
    "status",
)
KEYS = ["model", "dataset", "batch_size", "dtype", "spec", "learning_rate", "fresh"]


def flooding(records: Sequence[Record]) -> pd.DataFrame:
    """A row a training.

    ``reached_step`` is the first step whose loss was not above the level, ``level`` of the method.
    ``descent_ascent`` and ``ascent_descent`` count the pairs of consecutive steps in opposite
    directions, by their order; ``pair_share`` is their part of all pairs of consecutive steps from
    there on. ``median_difference`` and ``largest_difference`` are over pairs, of the relative
    distance of where the pair led from where the explicit step of GR does. ``status`` is ``ok``,
    ``level not reached``, ``diverged``, ``failed`` or ``unsupported``.
    """
    rows = []
    for record in records:
        row = cell_columns(record.cell, *SETTING)
        if isinstance(record, Failure):
            row["status"] = record.status
        elif isinstance(record, Trace):
            row |= _traced(record)
        rows.append(row)
    return in_order(build_table(rows, [*SETTING, *RESULT]), *SETTING)


def _traced(record: Trace) -> dict[str, Any]:
    if record.diverged:
        return {"status": "diverged"}
    below = [step for step, loss in enumerate(record.losses) if loss <= record.level]
    if not below:
        return {"status": "level not reached"}
    orders = [pair.order for pair in record.pairs]
    differences = pd.Series([pair.difference for pair in record.pairs], dtype=float)
    # the pair before counts too: it has its second step below
    possible = len(record.losses) - max(1, below[0])
    return {
        "reached_step": below[0],
        "descent_ascent": orders.count(ORDERS[0]),
        "ascent_descent": orders.count(ORDERS[1]),
        "pair_share": len(orders) / possible,
        "median_difference": differences.median(),
        "largest_difference": differences.max(),
        "status": "ok",
    }


def traces(records: Sequence[Record]) -> pd.DataFrame:
    """A row a step: its loss, and where it began a pair, the pair's order and difference."""
    rows = []
    for record in records:
        if not isinstance(record, Trace):
            continue
        head = cell_columns(record.cell, *SETTING)
        pairs = {pair.step: pair for pair in record.pairs}
        for step, loss in enumerate(record.losses):
            row = head | {"step": step, "loss": loss}
            if step in pairs:
                row |= {"order": pairs[step].order, "difference": pairs[step].difference}
            rows.append(row)
    table = build_table(rows, [*SETTING, "step", "loss", "order", "difference"])
    return in_order(table.astype({"difference": float}), *SETTING, "step")


def summaries(table: pd.DataFrame) -> list[Summary]:
    """A row for every setting, over seeds."""
    rows = []
    for key, group in table.groupby(KEYS, sort=False):
        done = group[group["status"] == "ok"]
        row: dict[str, Any] = dict(zip(KEYS, key, strict=True))
        row["fresh"] = "fresh" if row["fresh"] else "one"
        for column, number in (
            ("reached_step", "{:.0f}"),
            ("descent_ascent", "{:.0f}"),
            ("ascent_descent", "{:.0f}"),
            ("pair_share", "{:.1%}"),
        ):
            values = done[column].dropna()
            row[column.replace("_", " ")] = number.format(values.mean()) if len(values) else "-"
        for name, value in (
            ("median difference", done["median_difference"].median()),
            ("largest difference", done["largest_difference"].max()),
        ):
            row[name] = "-" if pd.isna(value) else f"{value:.1e}"
        row["seeds"] = len(done)
        row["lost"] = len(group) - len(done)
        rows.append(row)
    shown = pd.DataFrame(rows, columns=list(rows[0]) if rows else KEYS)
    return [
        Summary(
            "flooding",
            "Flooding's steps, pair by pair",
            "Means over seeds. A pair is two consecutive steps in opposite directions. Its "
            "difference is the distance from the explicit step, θ - η²·ΔR_B for descent first "
            "and θ - η²·ΔR_F for ascent first, relative to that step's length; it is at "
            "rounding level if both steps use the same mini-batch. Pair share: share of all "
            "consecutive steps after the level was reached. Lost: the level was not reached, or "
            "the run diverged or failed.",
            shown.rename(columns={"fresh": "batches", "spec": "method"}),
        )
    ]
