"""Every method's cost and gain over the baseline, on all workloads together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from gr_bench.experiments.step_cost.tables import BLOCK
from gr_bench.spec import parse
from gr_bench.stats import Interval

AT_COST = {
    "time": "in equal time",
    "gradient evaluations": "at equal gradient evaluations",
    "epochs": "at equal epochs",
}
"""Costs at which methods are compared, in words; the first one that a run has counts."""

COSTS = tuple(AT_COST)


def step_times(tables: Mapping[str, pd.DataFrame]) -> dict[str, Interval]:
    """Time ratios by method, geometric means over the workloads that all methods were timed on.

    The ends of a mean's interval are the means of the ends: this holds whatever the errors of the
    workloads, timed by the same processes, have in common, and is wide where they have nothing. A
    method without an interval on a workload has none.

    Args:
        tables: a run's, with ``step_cost`` or without.

    Returns:
        By spec, the baseline left out; empty if there is no workload that all were timed on.
    """
    table = tables.get("step_cost")
    if table is None or not len(table):
        return {}
    own = table[~table["control"].astype(bool) & table["time_ratio"].notna()]
    own = own[~is_baseline(own)]
    count = own["spec"].nunique()
    common = own.groupby(BLOCK, dropna=False)["spec"].transform("nunique") == count
    found = {}
    for spec, rows in own[common].groupby("spec", sort=False):
        ends = rows[["time_ratio", "time_ratio_low", "time_ratio_high"]].astype(float)
        means = ends.where(ends > 0).map(math.log).mean(skipna=False)
        found[str(spec)] = Interval(*(math.exp(mean) for mean in means))
    return found


def baseline_in_words(spec: str) -> str:
    """A baseline as sentences name it."""
    return "SGD" if spec == "sgd" else spec


def ratio_in_words(value: Interval) -> str:
    """A ratio with its interval, if it has one: ``1.95 [1.91, 1.99]``."""
    if not math.isfinite(value.high - value.low):
        return f"{value.center:.2f} (no interval)"
    return f"{value.center:.2f} [{value.low:.2f}, {value.high:.2f}]"


def is_baseline(table: pd.DataFrame) -> pd.Series[bool]:
    """True for the rows of ``step_cost`` that hold the baseline against itself: exactly 1, with an
    interval of no width, or with none from one process.
    """
    half = table["half_width"].astype(float)
    return (table["time_ratio"] == 1) & ~((half > 0) & (half < math.inf))


def timed_workloads(tables: Mapping[str, pd.DataFrame]) -> int:
    """The workloads that :func:`step_times` speaks of."""
    table = tables["step_cost"]
    own = table[~table["control"].astype(bool) & table["time_ratio"].notna()]
    own = own[~is_baseline(own)]
    counts = own.groupby(BLOCK, dropna=False)["spec"].nunique()
    return int((counts == own["spec"].nunique()).sum())


@dataclass(frozen=True)
class Gain:
    """A method's test errors beside the baseline's."""

    method: str
    """Its spec, or its name where numbers were chosen on each workload."""

    verdict: str
    """``ahead``, ``behind`` or ``undecided``, at a 5 % false-discovery rate."""

    value: Interval
    """The part of the baseline's test errors that it removes (over several workloads), or the
    difference in test accuracy (on one), each with its 95 % interval."""


@dataclass(frozen=True)
class Gains:
    """The comparisons with the baseline at one cost."""

    baseline: str
    cost: str
    workloads: int
    seeds: int
    chosen: bool
    """True if the numbers were chosen on the validation part."""

    of_errors: bool
    """True if values are parts of the baseline's errors, False if they are accuracies."""

    methods: tuple[Gain, ...]


PLACE = ("model", "dataset", "batch_size", "device", "dtype", "threads", "optimizer", "label_noise")
"""The columns that tell the workloads of comparisons apart."""

WORDS = {"better": "ahead", "worse": "behind"}


def gains(tables: Mapping[str, pd.DataFrame], cost: str | None = None) -> Gains | None:
    """The gains at the hardest cost that the run has, equal time before equal epochs, or at a given
    one; over several workloads where there are, else on the one. Of methods with chosen numbers and
    of others, the first.
    """
    for name, of_errors in (("aggregates", True), ("comparison", False)):
        table = tables.get(name)
        if table is None or not len(table):
            continue
        for role in ("chosen", "run"):
            rows = table[(table["role"] == role) & (table["baseline"] == _baseline(table))]
            for own in [cost] if cost else COSTS:
                part = rows[rows["cost"] == own]
                if not of_errors and len(part[list(PLACE)].drop_duplicates()) != 1:
                    continue
                if len(part) and not part["spec"].duplicated().any():
                    return _gains(part, role == "chosen", own, of_errors)
    return None


def _baseline(table: pd.DataFrame) -> str:
    """Plain SGD if anything is compared with it, else the first."""
    names = table["baseline"].astype(str)
    return "sgd" if (names == "sgd").any() else str(names.iloc[0])


def _gains(rows: pd.DataFrame, chosen: bool, cost: str, of_errors: bool) -> Gains:
    columns = ["errors_removed", "errors_removed_low", "errors_removed_high"]
    if not of_errors:
        columns = ["difference", "low", "high"]
    methods = [
        Gain(
            method=parse(str(row["spec"])).kind if chosen else str(row["spec"]),
            verdict=WORDS.get(row["verdict"], str(row["verdict"])),
            value=Interval(*(float(row[column]) for column in columns)),
        )
        for row in rows.to_dict("records")
    ]
    return Gains(
        baseline=str(rows["baseline"].iloc[0]),
        cost=cost,
        workloads=int(rows["workloads"].max()) if of_errors else 1,
        seeds=int(rows["seeds"].max()),
        chosen=chosen,
        of_errors=of_errors,
        methods=tuple(sorted(methods, key=lambda own: -own.value.center)),
    )
