"""Generalization as a paper tells it: tables, and how it was measured."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from gr_bench.experiments import style
from gr_bench.experiments.experiment import Summary
from gr_bench.experiments.generalization.analysis.figure_tables import (
    WORKLOAD,
    in_percent,
    side_by_side,
    without_longer_runs,
)
from gr_bench.experiments.generalization.analysis.tables import baseline_name, with_few_settings
from gr_bench.experiments.paper_tables import Strong, listed, with_interval

COSTS = ("epochs", "gradient evaluations", "time")
"""The sorts of equal cost, in order."""


def paper_tables(tables: dict[str, pd.DataFrame]) -> list[Summary]:
    """Test accuracies of every method and workload, and the differences from the baseline at equal
    cost.
    """
    every = with_few_settings(in_percent(side_by_side(tables["generalization"])))
    done = without_longer_runs(every[every["status"] == "ok"])
    if not len(done):
        return []
    against = side_by_side(tables["comparison"])
    words = baseline_name(every)
    names = style.short(done["spec"])
    costs = [cost for cost in COSTS if (against["cost"] == cost).any()]
    rows = []
    for title, part in style.workloads(done, *WORKLOAD):
        for spec in style.in_order(part["spec"]):
            own = part[part["spec"] == spec]
            here = against.merge(own[_keys(done, against)].drop_duplicates())
            rows.append(
                {
                    "workload": title if spec == style.in_order(part["spec"])[0] else "",
                    "method": names[spec],
                    "seeds": str(own["seed"].nunique()),
                    "test accuracy (%)": _spread(own["test_accuracy"]),
                    "gap (points)": _spread(own["gap_accuracy"]),
                    **{cost: _difference(here, cost) for cost in costs},
                }
            )
    shown = pd.DataFrame(rows, dtype=object)
    seeds = "seeds"
    if shown["seeds"].nunique() == 1:
        seeds = f"{shown['seeds'].iloc[0]} seeds"
        shown = shown.drop(columns="seeds")
    if not shown["workload"].any():
        shown = shown.drop(columns="workload")
    above = {cost: f"minus {words} (points), at equal" for cost in costs}
    pairs = [(above.get(str(column), ""), column) for column in shown]
    shown.columns = pd.MultiIndex.from_tuples(pairs)
    return [
        Summary(
            "generalization",
            "Test accuracy, its gap, and differences at equal cost",
            "Test accuracy and generalization gap (train minus test), mean ± standard deviation "
            f"over {seeds}. Differences from {words} in percentage points are paired by seed and "
            "split, with 95 % intervals. Bold: better, at a false-discovery rate of 5 % over "
            f"all comparisons. {_lost(every)}",
            shown,
        )
    ]


def _keys(done: pd.DataFrame, against: pd.DataFrame) -> list[str]:
    """The columns by which a comparison belongs to a method on a workload."""
    keys = [*WORKLOAD, "spec", "role", "label_noise", "augmentation", "schedule", "optimizer"]
    return [key for key in (*keys, "baseline", "tuned") if key in done and key in against]


def _spread(values: pd.Series) -> str:
    mean, deviation = values.mean(), values.std()
    return f"{mean:.2f}" + (f" ± {deviation:.2f}" if deviation == deviation else "")


def _difference(here: pd.DataFrame, cost: str) -> str:
    own = here[here["cost"] == cost]
    if not len(own) or not own["seeds"].iloc[0]:
        return "-"
    row = own.iloc[0]
    center, low, high = (100 * float(row[key]) for key in ("difference", "low", "high"))
    text = with_interval(center, low, high, "{:+.2f}")
    return Strong(text) if row["verdict"] == "better" else text


def protocol(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Sentences for a paper's section on methods, from the experiment's tables."""
    table = tables["generalization"]
    done = table[table["status"] == "ok"]
    if not len(done):
        return []
    return [*_trained(table), *_chosen(table), *_compared(tables["comparison"], table)]


def _trained(table: pd.DataFrame) -> Iterator[str]:
    shown = without_longer_runs(side_by_side(table))
    seeds = shown.groupby(["model", "dataset", "spec"])["seed"].nunique()
    yield (
        f"{listed(shown['model'])} {'was' if shown['model'].nunique() == 1 else 'were'} trained on "
        f"{listed(shown['dataset'])} for "
        f"{listed(shown['epochs'])} epochs at batch size {listed(shown['batch_size'])} with "
        f"{style.value_range(seeds, '{:.0f}')} seeds each ({_optimizer(table)})."
    )
    splits = table["split_seed"].nunique()
    if splits > 1:
        yield f"The data were split anew {splits} times."
    noisy = table[table["label_noise"] > 0]["label_noise"]
    if len(noisy):
        yield f"A share of {listed(noisy)} of the training labels was drawn at random."
    yield (
        "The test part was read once, at the end of training; results are those of the last "
        "parameters, not of the best."
    )
    yield _lost(table)


def _lost(table: pd.DataFrame) -> str:
    lost = int((table["status"] != "ok").sum())
    rest = "; they are excluded from means" if lost else ""
    return f"{lost or 'None'} of {len(table)} trainings diverged or failed{rest}."


def _optimizer(table: pd.DataFrame) -> str:
    words = [f"optimizer {listed(table['optimizer'])}"]
    rates = side_by_side(table)["learning_rate"]
    words.append(f"learning rate {listed(rates)}")
    for key in ("momentum", "weight_decay"):
        if table[key].notna().any():
            words.append(f"{key.replace('_', ' ')} {listed(table[key].dropna())}")
    return ", ".join([*words, f"{listed(table['schedule'])} schedule"])


def _chosen(table: pd.DataFrame) -> Iterator[str]:
    roles = set(table["role"])
    if "chosen" in roles:
        yield (
            "Learning rates and the methods' hyper-parameters were chosen on the validation "
            "part, from trainings whose seeds and test results were not used otherwise."
        )
    if "run" in roles:
        other = "The other" if "chosen" in roles else "The"
        yield f"{other} settings were fixed in advance and not tuned."


def _compared(against: pd.DataFrame, table: pd.DataFrame) -> Iterator[str]:
    if not len(against):
        return
    words = baseline_name(table)
    yield (
        f"Differences from {words} are paired by seed and split, with 95 % intervals; they are "
        "called better or worse at a false-discovery rate of 5 % [@benjamini1995]."
    )
    costs = set(against["cost"])
    more = [
        text
        for cost, text in (
            ("gradient evaluations", "for as many gradient evaluations"),
            ("time", "for as long"),
        )
        if cost in costs
    ]
    if more:
        yield (
            f"In addition to equal epochs, a method and {words} were compared after training "
            f"{' and '.join(more)}: the cheaper one was trained for more epochs."
        )
