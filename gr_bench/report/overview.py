"""The page's first table: every method in one row."""

from __future__ import annotations

import pandas as pd

from gr_bench.experiments.look import in_order
from gr_bench.runs.results import Results


def overview(results: Results) -> pd.DataFrame:
    """Per method, the range over the run's workloads of what was found.

    A column is there if the run has its experiment; ``-`` stands where a method has no result.
    """
    tables = results.tables
    labels = in_order(
        label for name in ("step_cost", "generalization") if name in tables
        for label in tables[name]["label"]
    )
    columns: dict[str, dict[str, str]] = {}
    if "step_cost" in tables:
        groups = tables["step_cost"].groupby("label")
        columns["time / SGD"] = {k: _range(g["time_ratio"], "{:.2f}") for k, g in groups}
        columns["FLOPs / SGD"] = {k: _range(g["flop_ratio"], "{:.2f}") for k, g in groups}
        columns["memory over SGD (P)"] = {
            k: _range(g["extra_parameter_copies"], "{:+.2f}") for k, g in groups
        }
    if "generalization" in tables:
        groups = tables["generalization"].groupby("label")
        workload = ["model", "dataset", "batch_size", "learning_rate"]
        for column, title, scale in (
            ("test_accuracy", "test accuracy (%)", 100),
            ("gap_accuracy", "accuracy gap (points)", 100),
        ):
            columns[title] = {
                k: _range(scale * g.groupby(workload)[column].mean(), "{:.1f}") for k, g in groups
            }
        columns["diverged"] = {
            k: f"{(g['status'] == 'diverged').sum()} of {len(g)}" for k, g in groups
        }
    rows = [
        {"method": label, **{title: by.get(label, "-") for title, by in columns.items()}}
        for label in labels
    ]
    return pd.DataFrame(rows)


def _range(values: pd.Series, number: str) -> str:
    values = values.dropna().astype(float)
    if not len(values):
        return "-"
    low, high = number.format(values.min()), number.format(values.max())
    return low if low == high else f"{low} to {high}"
