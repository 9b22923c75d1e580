"""Where the time of a step goes: table, summary and figure of its operators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gr_bench.experiments import look
from gr_bench.experiments.base import COLUMNS, Picture, Record, Summary, columns, in_order
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.meters.operators import KINDS, kind

FOUND = ("operator", "kind", "calls", "self_ms", "share", "replicates")
SHOWN = 10
"""Operators in the summary: those that the costliest method spends most on."""

WORKLOAD = ["model", "dataset", "batch_size", "threads"]


def step_operators(records: Sequence[Record]) -> pd.DataFrame:
    """A row an operator of a cell, the controls left out.

    ``calls`` and ``self_ms`` are of one step, medians over replicates; ``share`` is the part of the
    self time of all operators; ``kind`` is one of :data:`gr_bench.meters.operators.KINDS`.
    """
    profiles: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        assert isinstance(record.cell, StepCostCell)
        if "by_operator" in record.data and not record.cell.control:
            profiles[record.cell.id].append(record)
    rows = []
    for own in profiles.values():
        readings: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for record in own:
            for operator in record.data["by_operator"]:
                readings[operator["name"]].append((operator["calls"], 1e3 * operator["self_s"]))
        found = {name: np.median(pairs, axis=0).tolist() for name, pairs in readings.items()}
        total = sum(self_ms for _, self_ms in found.values())
        rows += [
            columns(own[0].cell)
            | dict(zip(FOUND, (name, kind(name), calls, ms, ms / total, len(own)), strict=True))
            for name, (calls, ms) in found.items()
        ]
    table = pd.DataFrame(rows, columns=[*COLUMNS, *FOUND])
    table["_falling"] = -table["self_ms"].astype(float)
    return in_order(table, "_falling").drop(columns="_falling")


def summaries(table: pd.DataFrame) -> list[Summary]:
    """The costliest operators of every workload, each method's times side by side."""
    rows = []
    for key, part in table.groupby(WORKLOAD, sort=False):
        labels = look.in_order(part["label"])
        totals = part.groupby("label")["self_ms"].sum()
        costly = part[part["label"] == totals.idxmax()].head(SHOWN)
        where = dict(zip(WORKLOAD, key, strict=True))
        for name in [None, *costly["operator"]]:
            row: dict[str, Any] = {**where, "operator": name or "all operators"}
            for label in labels:
                own = part[part["label"] == label]
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
        look.set_look()
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
    groups = list(look.workloads(table, *WORKLOAD))
    labels = look.in_order(table["label"])
    names = look.short(labels)
    shades = dict(zip(KINDS, sns.color_palette("colorblind", len(KINDS)), strict=True))
    figure, axes = look.panels(len(groups), names.values())
    for ax, (title, part) in zip(axes, groups, strict=True):
        by_kind = part.groupby(["label", "kind"])["self_ms"].sum()
        ms = np.array([[float(by_kind.get((m, name), 0.0)) for name in KINDS] for m in labels])
        share = ms / ms[0].sum()
        for column, name in enumerate(KINDS):
            left = share[:, :column].sum(axis=1)
            ax.barh(range(len(labels)), share[:, column], left=left, color=shades[name], height=0.7)
        ax.axvline(3 * share[0, 0], color="0.3", linewidth=0.8)
        ax.set_yticks(range(len(labels)), [names[label] for label in labels])
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.set(title=look.two_lines(title), xlabel=f"self time over {names[labels[0]]}'s")
        ax.grid(axis="y", visible=False)
    handles = [Patch(color=shade, label=name) for name, shade in shades.items()]
    figure.legend(handles=handles, loc="outside right upper", title="operators")
    return figure
