"""The operators of a step and their time: table and summary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd

from gr_bench.experiments import style
from gr_bench.experiments.block_times import BlockTimes
from gr_bench.experiments.columns import build_table, cell_columns, in_order
from gr_bench.experiments.experiment import Summary
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.meters.operators import Operator, kind

FOUND = ("operator", "kind", "calls", "self_ms", "device_ms", "share", "replicates")
SHOWN = 10
"""Operators in the summary: those that the costliest method spends most on."""

WORKLOAD = ["model", "dataset", "batch_size", "threads"]


def step_operators(times: BlockTimes) -> pd.DataFrame:
    """A row an operator of a cell, the controls left out.

    ``calls``, ``self_ms`` on the processor and ``device_ms`` of the kernels on a GPU (empty where
    there is none) are of one step, medians over replicates; ``share`` is the part of the time of
    all operators, on the GPU if there is one; ``kind`` is one of
    :data:`gr_bench.meters.operators.KINDS`.
    """
    rows = []
    for replicates in times.records.values():
        own = [record for record in replicates.values() if record.operators]
        if not own or not isinstance(own[0].cell, StepCostCell) or own[0].cell.control:
            continue
        readings: dict[str, list[Operator]] = defaultdict(list)
        for record in own:
            for operator in record.operators:
                readings[operator.name].append(operator)
        found = [
            {
                "operator": name,
                "kind": kind(name),
                "calls": median(operator.calls for operator in several),
                "self_ms": 1e3 * median(operator.self_s for operator in several),
                "device_ms": _device_ms(several),
                "replicates": len(own),
            }
            for name, several in readings.items()
        ]
        total = sum(map(_cost_ms, found))
        rows += [
            cell_columns(own[0].cell) | row | {"share": _cost_ms(row) / total if total else None}
            for row in found
        ]
    table = build_table(rows, FOUND)
    table["_falling"] = -costs_ms(table)
    return in_order(table, "_falling").drop(columns="_falling")


def _device_ms(several: Sequence[Operator]) -> float | None:
    known = [operator.device_s for operator in several if operator.device_s is not None]
    return 1e3 * median(known) if known else None


def _cost_ms(row: Mapping[str, Any]) -> float:
    """The time that counts: on the GPU, or where there is none on the processor."""
    device_ms = row["device_ms"]
    return float(row["self_ms"] if device_ms is None else device_ms)


def costs_ms(table: pd.DataFrame) -> pd.Series[float]:
    """:func:`_cost_ms` of every row."""
    device_ms = table["device_ms"].astype(float)
    return device_ms.where(device_ms.notna(), table["self_ms"].astype(float))


def summaries(table: pd.DataFrame) -> list[Summary]:
    """The costliest operators of every workload, each method's times side by side."""
    rows = []
    table = table.assign(cost_ms=costs_ms(table))
    workload = style.with_differing(table, *WORKLOAD)
    for key, part in table.groupby(workload, sort=False):
        labels = style.in_order(part["spec"])
        totals = part.groupby("spec")["cost_ms"].sum()
        costly = part[part["spec"] == totals.idxmax()].head(SHOWN)
        where = dict(zip(workload, key, strict=True))
        for name in [None, *costly["operator"]]:
            row: dict[str, Any] = {**where, "operator": name or "all operators"}
            for label in labels:
                own = part[part["spec"] == label]
                own = own if name is None else own[own["operator"] == name]
                row[label] = f"{own['cost_ms'].sum():.2f} ({own['calls'].sum():.0f})"
            rows.append(row)
    if not rows:
        return []
    shown = pd.DataFrame(rows)
    alike = [key for key in ("batch_size", "threads") if shown[key].nunique() == 1]
    return [
        Summary(
            "step_operators",
            "Most expensive operators",
            "Self time per step of each operator in milliseconds, without the operators that it "
            "calls (on a GPU: in its kernels), and its number of calls, from PyTorch's "
            "profiler, which slows short calls somewhat; medians over processes. Shown are the "
            "operators on which the most expensive method spends most time.",
            shown.drop(columns=alike).fillna("-"),
        )
    ]
