"""Tables as figures draw them."""

from __future__ import annotations

import pandas as pd

from gr_bench.experiments.generalization.analysis.tables import of_baseline, without_choices

WORKLOAD = ("model", "dataset", "batch_size", "learning_rate")
"""The columns that tell panels apart."""

PERCENT = ("validation_accuracy", "test_accuracy", "gap_accuracy")


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Chosen settings belong into one panel, and a method's in one row, whatever was chosen."""
    spec = table["spec"].where(table["role"] != "chosen", table["method"])
    return without_choices(table, "as chosen").assign(spec=spec)


def without_longer_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Without the runs that are longer for the sake of equal cost, which belong beside the others
    in cost alone: those of a length that not both the baseline and another method have.
    """
    kept = pd.Series(True, index=table.index)
    for _, part in table.groupby("model", sort=False):
        base = of_baseline(part)
        lengths = {*part.loc[~base, "epochs"]} or {*part["epochs"]}
        both = lengths & {*part.loc[base, "epochs"]}
        kept[part.index] = part["epochs"].isin(both or lengths)
    return table[kept]


def in_percent(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracies in per cent."""
    return table.assign(**{c: 100 * table[c].astype(float) for c in PERCENT if c in table})
