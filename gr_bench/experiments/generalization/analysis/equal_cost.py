"""Every setting beside SGD: at equal epochs, at equal gradient evaluations, in equal time."""

from __future__ import annotations

import pandas as pd

from gr_bench import stats
from gr_bench.experiments.columns import build_table, in_order
from gr_bench.experiments.generalization.analysis.tables import (
    GROUP,
    SETTING,
    same_workload,
    setting_columns,
)
from gr_bench.experiments.generalization.cell import BASELINE

COMPARED = (
    *("cost", "baseline_epochs", "cost_ratio", "seeds"),
    *("test_accuracy", "difference", "low", "high", "p"),
)
EQUAL_TIME_TOLERANCE = 0.05
"""Two trainings take equal time if they differ by no more than this part."""


def paired_differences(
    table: pd.DataFrame, own: pd.DataFrame, column: str, *, epochs: int | None = None
) -> pd.Series:
    """``own``'s column minus the baseline's at the same seed, for the seeds that both have.

    Chosen settings are compared whatever the learning rate that was chosen for each; otherwise it
    must be the same.

    Args:
        table: of :func:`generalization`.
        own: rows of one setting.
        column: the quantity.
        epochs: of the baseline's runs; by default ``own``'s.
    """
    first = own.iloc[0]
    same = same_workload(table, first)
    length = first["epochs"] if epochs is None else epochs
    same = same[(same["spec"] == BASELINE) & (same["epochs"] == length)]
    joined = own.merge(same, on="seed", suffixes=("", "_base"))
    return (joined[column] - joined[f"{column}_base"]).dropna()


def comparison(table: pd.DataFrame) -> pd.DataFrame:
    """A row a setting and sort of cost: its test accuracy minus SGD's, paired by seed.

    ``cost`` says what is equal: ``epochs``; ``gradient evaluations``, for which SGD is trained for
    as many times the epochs as the method has evaluations a step; or ``time``, for which SGD is
    trained for as long as the method's steps take, by their step times one run at a time.
    ``cost_ratio`` is the method's cost over that of SGD's training (``baseline_epochs``), 1 if it
    is equal. ``verdict`` is ``better`` or ``worse`` where that is believed at a false-discovery
    rate of 5 % (Benjamini-Hochberg, on paired t-tests) among all rows with chosen settings, or all
    others; else ``undecided``; ``no pair of runs`` where all diverged or failed.
    """
    rows = []
    for _, group in table.groupby(GROUP, sort=False, dropna=False):
        setting = setting_columns(group.iloc[0])
        if setting["spec"] == BASELINE:
            continue
        done = group[group["status"] == "ok"]
        for cost, factor in _factors(group).items():
            for epochs in _lengths(table, group, factor):
                apart = pd.Series(dtype=float)
                if len(done):
                    apart = paired_differences(table, done, "test_accuracy", epochs=epochs)
                if cost != "epochs" and not len(apart):
                    continue
                ratio = factor * setting["epochs"] / epochs
                row = {"cost": cost, "baseline_epochs": epochs, "cost_ratio": ratio}
                row["seeds"] = len(apart)
                if len(apart):
                    row["difference"], row["low"], row["high"] = stats.t_interval(apart)
                    row["p"] = stats.p_value(apart)
                rows.append(setting | row | {"test_accuracy": done["test_accuracy"].mean()})
    found = in_order(build_table(rows, [*SETTING[1:], *COMPARED, "verdict"]), *SETTING[1:], "cost")
    verdicts = pd.Series("no pair of runs", index=found.index)
    for _, family in found[found["seeds"] > 0].groupby("role"):
        believed = stats.discoveries(family["p"])
        for place, sure in zip(family.index, believed, strict=True):
            better = "better" if family["difference"][place] > 0 else "worse"
            verdicts[place] = better if sure else "undecided"
    return found.assign(verdict=verdicts)


def _factors(group: pd.DataFrame) -> dict[str, float]:
    """The cost of a setting's epoch over that of SGD's, by sort of cost."""
    factors = {"epochs": 1.0}
    done = group[group["status"] == "ok"]
    if len(done):
        evaluations = float((done["gradient_evaluations"] / done["steps"]).max())
        if evaluations != 1:
            factors["gradient evaluations"] = evaluations
        time = float(done["step_time_ratio"].iloc[0])
        if time == time:
            factors["time"] = time
    return factors


def _lengths(table: pd.DataFrame, group: pd.DataFrame, factor: float) -> list[int]:
    """The length of SGD's trainings that cost as much as a setting's, if there is one."""
    epochs = factor * float(group["epochs"].iloc[0])
    if factor == 1:
        return [round(epochs)]
    there = same_workload(table, group.iloc[0])
    lengths = there.loc[there["spec"] == BASELINE, "epochs"].unique()
    nearest = min(lengths, key=lambda length: abs(length - epochs), default=0)
    return [int(nearest)] if abs(nearest - epochs) <= EQUAL_TIME_TOLERANCE * epochs else []
