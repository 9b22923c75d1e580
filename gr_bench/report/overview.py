"""The page's first table: every method in one row."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from gr_bench.experiments.generalization.tables import WORKLOAD
from gr_bench.experiments.look import in_order
from gr_bench.runs.results import Results


def overview(results: Results) -> pd.DataFrame:
    """Per method, the range over the run's workloads of what was found.

    A column is there if the run has its experiment; ``-`` stands where a method has no result.
    """
    tables = results.tables
    labels = in_order(
        label
        for name in ("step_cost", "generalization", "implicit_bias")
        if name in tables
        for label in tables[name]["label"]
    )
    columns: dict[str, dict[str, str]] = {}
    if "step_cost" in tables:
        methods = tables["step_cost"][~tables["step_cost"]["control"]]
        for column, title, number in (
            ("time_ratio", "time ratio", "{:.2f}"),
            ("flop_ratio", "FLOP ratio", "{:.2f}"),
            ("extra_parameter_copies", "extra memory (P)", "{:+.2f}"),
        ):
            columns[title] = {
                label: _range(own[column], number) for label, own in _by_label(methods)
            }
    if "generalization" in tables:
        for column, title in (
            ("test_accuracy", "test accuracy (%)"),
            ("gap_accuracy", "accuracy gap (points)"),
        ):
            columns[title] = {
                label: _range(100 * own.groupby(WORKLOAD)[column].mean(), "{:.1f}")
                for label, own in _by_label(tables["generalization"])
            }
        columns["diverged"] = {
            label: f"{(own['status'] == 'diverged').sum()} of {len(own)}"
            for label, own in _by_label(tables["generalization"])
        }
    if "implicit_bias" in tables:
        table = tables["implicit_bias"]
        done = table[table["status"] != "not converged"]
        columns["α̃/α"] = {
            label: _range(own.groupby(["dataset", "alpha"])["alpha_ratio"].mean(), "{:.3f}")
            for label, own in _by_label(done)
        }
    rows = [
        {"method": label, **{title: by.get(label, "-") for title, by in columns.items()}}
        for label in labels
    ]
    return pd.DataFrame(rows)


def _by_label(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for label, own in table.groupby("label", sort=False):
        yield str(label), own


def _range(values: pd.Series, number: str) -> str:
    values = values.dropna().astype(float)
    if not len(values):
        return "-"
    low, high = number.format(values.min()), number.format(values.max())
    return low if low == high else f"{low} to {high}"
