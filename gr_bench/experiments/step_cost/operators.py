"""The operators of a step and their time: table, summary and figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gr_bench.experiments import style
from gr_bench.experiments.block_times import BlockTimes
from gr_bench.experiments.columns import build_table, cell_columns, in_order
from gr_bench.experiments.experiment import Picture, Summary
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.meters.operators import KINDS, kind

FOUND = ("operator", "kind", "calls", "self_ms", "share", "replicates")
SHOWN = 10
"""Operators in the summary: those that the costliest method spends most on."""

WORKLOAD = ["model", "dataset", "batch_size", "threads"]


def step_operators(times: BlockTimes) -> pd.DataFrame:
    """A row an operator of a cell, the controls left out.

    ``calls`` and ``self_ms`` are of one step, medians over replicates; ``share`` is the part of the
    self time of all operators; ``kind`` is one of :data:`gr_bench.meters.operators.KINDS`.
    """
    rows = []
    for replicates in times.records.values():
        own = [record for record in replicates.values() if record.operators]
        if not own or not isinstance(own[0].cell, StepCostCell) or own[0].cell.control:
            continue
        readings: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for record in own:
            for operator in record.operators:
                readings[operator.name].append((operator.calls, 1e3 * operator.self_s))
        found = {name: np.median(pairs, axis=0).tolist() for name, pairs in readings.items()}
        total = sum(self_ms for _, self_ms in found.values())
        rows += [
            cell_columns(own[0].cell)
            | dict(zip(FOUND, (name, kind(name), calls, ms, ms / total, len(own)), strict=True))
            for name, (calls, ms) in found.items()
        ]
    table = build_table(rows, FOUND)
    table["_falling"] = -table["self_ms"].astype(float)
    return in_order(table, "_falling").drop(columns="_falling")


def summaries(table: pd.DataFrame) -> list[Summary]:
    """The costliest operators of every workload, each method's times side by side."""
    rows = []
    workload = style.with_differing(table, *WORKLOAD)
    for key, part in table.groupby(workload, sort=False):
        labels = style.in_order(part["spec"])
        totals = part.groupby("spec")["self_ms"].sum()
        costly = part[part["spec"] == totals.idxmax()].head(SHOWN)
        where = dict(zip(workload, key, strict=True))
        for name in [None, *costly["operator"]]:
            row: dict[str, Any] = {**where, "operator": name or "all operators"}
            for label in labels:
                own = part[part["spec"] == label]
                own = own if name is None else own[own["operator"] == name]
                row[label] = f"{own['self_ms'].sum():.2f} ({own['calls'].sum():.0f})"
            rows.append(row)
    if not rows:
        return []
    shown = pd.DataFrame(rows)
    alike = [key for key in ("batch_size", "threads") if shown[key].nunique() == 1]
    return [
        Summary(
            "step_operators",
            "The costliest operators",
            "Milliseconds of a step in each operator itself, without those that it calls, and how "
            "often it is called, from PyTorch's profiler, which slows short calls somewhat; "
            "medians over processes. The "
            "operators are those on which the costliest method spends most.",
            shown.drop(columns=alike).fillna("-"),
        )
    ]


def pictures(table: pd.DataFrame) -> Iterator[Picture]:
    """One figure: the time of a step by kind of operator."""
    if len(table):
        style.set_look()
        yield Picture(
            "step_operators",
            "Where the time of a step goes",
            "Self time of a step's operators by kind, from the profiler, in multiples of the first "
            "method's step (SGD's). The line is three times the matrix products of that step: what "
            "double backpropagation would cost if they were all. Batch norm's second derivative "
            "has no operator of its own: it is put together from elementwise ones, each of which "
            "goes through all activations once more.",
            _by_kind(table),
        )


def _by_kind(table: pd.DataFrame) -> Figure:
    groups = list(style.workloads(table, *WORKLOAD))
    labels = style.in_order(table["spec"])
    names = style.short(labels)
    shades = dict(zip(KINDS, sns.color_palette("colorblind", len(KINDS)), strict=True))
    figure, axes = style.panels(len(groups), names.values())
    for ax, (title, part) in zip(axes, groups, strict=True):
        by_kind = part.groupby(["spec", "kind"])["self_ms"].sum()
        ms = np.array([[float(by_kind.get((m, name), 0.0)) for name in KINDS] for m in labels])
        share = ms / ms[0].sum()
        for column, name in enumerate(KINDS):
            left = share[:, :column].sum(axis=1)
            ax.barh(range(len(labels)), share[:, column], left=left, color=shades[name], height=0.7)
        ax.axvline(3 * share[0, 0], color="0.3", linewidth=0.8)
        ax.set_yticks(range(len(labels)), [names[label] for label in labels])
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.set(title=style.two_lines(title), xlabel=f"self time over {names[labels[0]]}'s")
        ax.grid(axis="y", visible=False)
    handles = [Patch(color=shade, label=name) for name, shade in shades.items()]
    figure.legend(handles=handles, loc="outside right upper", title="operators")
    return figure
