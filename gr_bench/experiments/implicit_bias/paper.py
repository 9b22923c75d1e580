"""The implicit bias as a paper tells it: a table, and how it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from gr_bench.experiments.experiment import Summary
from gr_bench.experiments.paper_tables import listed
from gr_bench.experiments.style import value_range

COLUMNS = ["problem", "α", "method", "α̃/α", "test error", "minus SGD", "problems"]


def paper_tables(summaries: Sequence[Summary]) -> list[Summary]:
    """The summaries, the solutions without the columns on how exact they are."""
    return [_solutions(s) if s.name == "implicit_bias" else s for s in summaries]


def _solutions(summary: Summary) -> Summary:
    table = summary.table[COLUMNS].copy()
    table["problem"] = table["problem"].mask(table["problem"].duplicated(), "")
    return replace(
        summary,
        table=table,
        caption="Solutions of the diagonal linear network: means over problems with 95 % "
        "t-intervals. α̃/α: the scale of the potential minimised by the solution, "
        "relative to that of the start; mean over the weights, computed from the "
        "integral in the theory. Test error: expected squared error on new inputs; "
        "minus SGD: paired by problem.",
    )


def protocol(table: pd.DataFrame) -> list[str]:
    """Sentences for a paper's section on methods, from the table ``implicit_bias``."""
    if not len(table):
        return []
    done = table["status"].isin(["ok", "flooded"])
    counts = table.groupby(["dataset", "alpha", "spec"])["seed"].nunique()
    return [
        "Diagonal linear networks were trained by full-batch gradient descent to their "
        f"solutions on {value_range(counts, '{:.0f}')} problems each of "
        f"{listed(table['dataset'])}, from scales α of {listed(table['alpha'])}, and compared "
        f"with the minimiser of the potential predicted by theory; {done.sum()} of {len(table)} "
        "trainings reached a solution."
    ]
