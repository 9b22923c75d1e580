"""The cost of reaching a target accuracy, setting by setting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gr_bench.experiments.columns import build_table, in_order
from gr_bench.experiments.generalization.analysis.tables import (
    GROUP,
    SETTING,
    baseline_runs,
    setting_columns,
)
from gr_bench.experiments.generalization.cell import SEEDS

COSTS = ("epochs_to_target", "evaluations_to_target", "time_to_target_s")


def time_to_target(table: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """A row a setting: how long it takes to an accuracy on the validation part.

    The target is the lowest validation accuracy that the shortest training of the baseline on the
    same workload ended with, among its seeds; no target, no rows. A run reaches it with the first
    epoch that ends at least there, of those that were evaluated: ``evaluated_every`` is the most
    epochs from one to the next, and the epoch that was not seen may be so many, less one, before. A
    run that never gets there, that diverged or failed takes infinitely long.
    Given are the median over runs and, as ``_low`` and ``_high``, the least and the greatest: with
    n runs, that range holds the median of all seeds with a probability of 1 - 2^(1-n).
    ``evaluations_to_target`` counts gradient evaluations, of which every step has the mean over the
    training; ``time_to_target_s`` is steps times
    ``step_time_ms``, empty where steps were not timed.

    Args:
        table: of :func:`~gr_bench.experiments.generalization.analysis.tables.generalization`.
        curves: of :func:`~gr_bench.experiments.generalization.analysis.tables.training_curves`.
    """
    rows = []
    groups = table.groupby(GROUP, sort=False, dropna=False)
    runs = table.loc[table["status"] == "ok", [*GROUP, *SEEDS]].assign(number=groups.ngroup())
    seen = curves[[*GROUP, *SEEDS, "epoch", "validation_accuracy"]]
    evaluations = dict([*runs.merge(seen, on=[*GROUP, *SEEDS]).groupby("number")])
    for number, (_, group) in enumerate(groups):
        first = group.iloc[0]
        target = _target(table, first)
        done = group[group["status"] == "ok"]
        if target is None:
            continue
        row: dict[str, Any] = setting_columns(first) | {"target": target, "runs": len(group)}
        epochs = np.full(len(group), np.inf)
        if len(done):
            own = evaluations[number]
            there = own[own["validation_accuracy"] >= target].groupby([*SEEDS])["epoch"].min()
            epochs[: len(there)] = there
            row["evaluated_every"] = _largest_gap(own)
            a_step = done["gradient_evaluations"] / done["steps"]
            factors = (
                1.0,
                float((done["steps"] / done["epochs"] * a_step).iloc[0]),
                float((done["steps"] / done["epochs"] * done["step_time_ms"] / 1e3).iloc[0]),
            )
        else:
            factors = (1.0, 1.0, 1.0)
        row["reached"] = int(np.isfinite(epochs).sum())
        for cost, factor in zip(COSTS, factors, strict=True):
            row[cost] = factor * np.median(epochs)
            row[f"{cost}_low"], row[f"{cost}_high"] = factor * epochs.min(), factor * epochs.max()
        rows.append(row)
    found = [end for cost in COSTS for end in (cost, f"{cost}_low", f"{cost}_high")]
    head = ("target", "reached", "runs", "evaluated_every")
    made = build_table(rows, [*SETTING[1:], *head, *found])
    return in_order(made, *SETTING[1:])


def _largest_gap(curves: pd.DataFrame) -> int:
    """The most epochs from one evaluation to the next in any run, the first counted from 0."""
    runs = curves.groupby([*SEEDS])["epoch"]
    gaps = [np.diff(np.sort(own), prepend=0).max() for _, own in runs]
    return int(max(gaps))


def _target(table: pd.DataFrame, row: pd.Series) -> float | None:
    there = baseline_runs(table, row)
    done = there[there["status"] == "ok"]
    shortest = done[done["epochs"] == done["epochs"].min()]
    return float(shortest["validation_accuracy"].min()) if len(done) else None
