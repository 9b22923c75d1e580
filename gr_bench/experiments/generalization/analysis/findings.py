"""The generalization results in headlines and sentences, each made by a rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pandas as pd

from gr_bench.experiments import style
from gr_bench.experiments.generalization.analysis.tables import (
    METER_ERRORS,
    WORKLOAD,
    baseline_name,
)

MOST_NAMED = 3
"""Comparisons or methods that a sentence names; of more, it gives the number."""


def headlines(tables: dict[str, pd.DataFrame]) -> dict[str, dict[str, str]]:
    """Per column of the overview, the entry of every method's spec.

    Test accuracy and accuracy gap are the range over workloads of the mean over seeds, in per cent
    and in points; ``diverged`` counts trainings.
    """
    by_spec = list(_by_spec(tables["generalization"]))
    found: dict[str, dict[str, str]] = {}
    for column, title in (
        ("test_accuracy", "test accuracy (%)"),
        ("gap_accuracy", "accuracy gap (points)"),
    ):
        found[title] = {
            spec: style.value_range(
                100 * own.groupby(WORKLOAD, dropna=False)[column].mean(), "{:.1f}"
            )
            for spec, own in by_spec
        }
    found["diverged"] = {
        spec: f"{(own['status'] == 'diverged').sum()} of {len(own)}" for spec, own in by_spec
    }
    return found


def findings(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Up to three sentences: settings better than the baseline, settings worse, and the rest.

    They repeat the verdicts of the table ``comparison``. The settings named are those furthest from
    the baseline. Where there is nothing to compare there are no sentences.
    """
    against = tables["comparison"]
    if not len(against):
        return []
    found, baseline = [], baseline_name(against)
    for verdict in ("better", "worse"):
        rows = against[against["verdict"] == verdict]
        if len(rows):
            furthest = rows["difference"].abs().sort_values(ascending=False, kind="stable").index
            named = [_difference(rows.loc[i], against) for i in furthest[:MOST_NAMED]]
            found.append(
                f"Test accuracy is {verdict} than {baseline}'s in {len(rows)} of {len(against)} "
                f"comparisons: {_listed(named, len(rows))}."
            )
    counts = against["verdict"].value_counts()
    runs = tables["generalization"]["status"]
    rest = (
        f"{counts.get('undecided', 0)} of {len(against)} comparisons with {baseline} are undecided"
    )
    if unpaired := counts.get("no pair of runs", 0):
        rest += f", {unpaired} have no pair of runs"
    found.append(f"{rest}; {(runs == 'diverged').sum()} of {len(runs)} trainings diverged.")
    return found


def warnings(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Sentences about trainings that diverged or failed, and about undecided comparisons."""
    found = []
    runs, against, candidates = (
        tables[name] for name in ("generalization", "comparison", "selection")
    )
    for status in ("diverged", "failed"):
        lost = {
            spec: f"{spec} {count} of {len(own)}"
            for spec, own in _by_spec(runs)
            if (count := (own["status"] == status).sum())
        }
        if lost:
            count = (runs["status"] == status).sum()
            found.append(
                f"{count} of {len(runs)} trainings {status}, and are in no mean: "
                f"{_listed(list(lost.values())[:MOST_NAMED], len(lost))}."
            )
        if count := int(candidates[status].sum()):
            every = int(candidates[["runs", "diverged", "failed"]].sum().sum())
            found.append(f"{count} of the {every} trainings to choose by {status}.")
    if METER_ERRORS in runs:
        for words, count in Counter(runs[METER_ERRORS].dropna()).items():
            found.append(f"Meters gave no value in {count} of {len(runs)} trainings: {words}.")
    undecided = against[against["verdict"] == "undecided"]
    if len(undecided):
        widths = 50 * (undecided["high"] - undecided["low"]).astype(float)
        seeds = style.value_range(undecided["seeds"], "{:.0f}")
        found.append(
            f"{len(undecided)} of {len(against)} comparisons with {baseline_name(against)} are "
            f"undecided, which does not show that the methods are alike: with {seeds} seeds, "
            "differences in test accuracy are known to within "
            f"{style.value_range(widths, '{:.2g}')} points."
        )
    return found


def _difference(row: pd.Series, against: pd.DataFrame) -> str:
    """A comparison with its workload, as far as the table has several."""
    words = []
    for key in WORKLOAD:
        is_chosen = key == "learning_rate" and row["role"] == "chosen"
        if against[key].nunique() > 1 and key != "role" and not is_chosen:
            value = f"{row[key]:g}" if isinstance(row[key], float) else str(row[key])
            named = key in ("model", "dataset")
            words.append(value if named else f"{key.replace('_', ' ')} {value}")
    where = f" on {', '.join(words)}" if words else ""
    center, low, high = (100 * row[key] for key in ("difference", "low", "high"))
    return (
        f"{row['spec']}{where} at equal {row['cost']} by {center:+.2f} points "
        f"[{low:+.2f}, {high:+.2f}] ({row['seeds']} seeds)"
    )


def _listed(named: list[str], count: int) -> str:
    """The first of ``count`` things, and how many more there are."""
    more = f"; and {count - len(named)} more" if count > len(named) else ""
    return "; ".join(named) + more


def _by_spec(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for spec, own in table.groupby("spec", sort=False):
        yield str(spec), own
