"""The claim about generalization, from trainings paired by seed."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from gr_bench import stats
from gr_bench.claims.base import Case, Claim, Evidence, measured_by
from gr_bench.experiments.generalization.analysis.tables import WORKLOAD
from gr_bench.stats import Interval

MARGIN = 1.0
"""Percentage points of test accuracy that do not matter."""

NOTHING = Interval(float("nan"), float("nan"), float("nan"))


def _opponents(own: pd.Series, others: pd.DataFrame) -> pd.DataFrame:
    """Settings of B-GR and DB-GR to compare F-GR's with: of the same numbers, unless chosen."""
    if own["role"] == "chosen":
        return others
    alike = (others["method"] == "db-gr") | (others["epsilon"] == own["epsilon"])
    same: pd.DataFrame = others[alike & (others["gamma"] == own["gamma"])]
    return same


def _pairs(evidence: Evidence) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """A case's name, F-GR's runs at the largest ε of a workload, and an opponent's."""
    table = evidence.tables.get("generalization", pd.DataFrame(columns=WORKLOAD))
    # each method's chosen learning rate is part of what was chosen
    rates = table["learning_rate"].astype(object)
    chosen = table["role"] == "chosen"
    for _, group in table.assign(learning_rate=rates.mask(chosen, "chosen")).groupby(
        WORKLOAD, sort=False, dropna=False
    ):
        forward = group[group["method"] == "f-gr"]
        forward = forward[forward["epsilon"] == forward["epsilon"].max()]
        others = group[group["method"].isin(["b-gr", "db-gr"])]
        for spec, own in forward.groupby("spec", sort=False):
            first = own.iloc[0]
            workload = f"{first['model']}, {first['dataset']}, batch {first['batch_size']}"
            if first["label_noise"]:
                workload += f", label noise {first['label_noise']:g}"
            for other, theirs in _opponents(first, others).groupby("spec", sort=False):
                yield f"{spec} against {other} on {workload}", own, theirs


def _at_least_as_well(evidence: Evidence) -> list[Case]:
    cases = []
    for where, own, theirs in _pairs(evidence):
        done, their_done = (runs[runs["status"] == "ok"] for runs in (own, theirs))
        lost = f"{len(own) - len(done)} and {len(theirs) - len(their_done)} runs lost"
        both = done.merge(their_done, on=["seed", "split_seed"], suffixes=("", "_other"))
        apart = 100 * (both["test_accuracy"] - both["test_accuracy_other"])
        value = stats.t_interval(apart) if len(apart) else NOTHING
        holds: bool | None = None
        if len(done) < len(their_done):
            holds = False
        elif value.low > -MARGIN or (len(done) and not len(their_done)):
            holds = True
        elif value.high < 0:
            holds = False
        cases.append(Case(where, value, holds, "" if len(apart) == len(own) else lost))
    return cases


GENERALIZATION = (
    Claim(
        "generalizes-as-well",
        "F-GR with a large ascent step generalises at least as well as B-GR and as DB-GR.",
        "in the experiments, test accuracy over (γ, ε)",
        measured_by("generalization", "claims-generalization"),
        "test accuracy of F-GR minus the other's (points)",
        "{:+.2f}",
        "Where each method's numbers were chosen on the validation part, the chosen ones are "
        "compared; else F-GR at the largest ε that the run has is compared with the others at "
        "the same γ (and ε), paired by seed. A comparison holds if the 95 % interval of the "
        f"difference in test accuracy is above -{MARGIN:g} point, or if every run of the other "
        "was lost to divergence and not every one of F-GR; it does not if the interval is below "
        "0 and reaches beyond that, or if F-GR lost more runs.",
        _at_least_as_well,
    ),
)
