"""The flooding results in words: one column of the overview, and a few sentences."""

from __future__ import annotations

import pandas as pd

from gr_bench.experiments import style
from gr_bench.experiments.flooding.tables import KEYS


def headlines(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """``pairs off GR by`` of every spec: the range over settings of the median over seeds."""
    shown = {}
    for spec, own in table.groupby("spec", sort=False):
        medians = own.groupby(KEYS)["median_difference"].median()
        shown[str(spec)] = style.value_range(medians, "{:.2g}")
    return {"pairs off GR by": shown}


def findings(table: pd.DataFrame) -> list[str]:
    """Pairs by order and how exact they are, by way to draw batches; what was lost."""
    done = table[table["status"] == "ok"]
    found = [
        _pairs(part, "fresh mini-batches" if fresh else "one mini-batch", str(dtype))
        for (fresh, dtype), part in done.groupby(["fresh", "dtype"], sort=True)
    ]
    if len(table) and not len(done):
        found = ["Nothing can be said about flooding's pairs: no training has any."]
    return [*found, *_lost(table)]


def _pairs(part: pd.DataFrame, batches: str, dtype: str) -> str:
    b_gr, f_gr = int(part["descent_ascent"].sum()), int(part["ascent_descent"].sum())
    count = f"{len(part)} training{'s' if len(part) > 1 else ''}"
    where = f"On {batches} in {dtype} ({count})"
    if not b_gr + f_gr:
        return f"{where}: nothing can be said, since there are no pairs of opposite steps."
    median, largest = part["median_difference"].median(), part["largest_difference"].max()
    return (
        f"{where}: {b_gr + f_gr} pairs of opposite steps, {b_gr} as in B-GR and {f_gr} as in "
        f"F-GR; their distance from the explicit step of GR is {median:.2g} of its length "
        f"(median over trainings), and {largest:.2g} at most."
    )


def _lost(table: pd.DataFrame) -> list[str]:
    counts = table["status"].value_counts()
    words = ("level not reached", "diverged", "failed", "unsupported")
    lost = [f"{counts[status]} {status}" for status in words if status in counts]
    return (
        [f"Of {len(table)} trainings, the following have no pairs: {', '.join(lost)}."]
        if lost
        else []
    )
