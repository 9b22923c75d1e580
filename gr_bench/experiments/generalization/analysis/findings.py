"""The generalization results in headlines and sentences, each made by a rule.

A sentence on a comparison says who is ahead, by how much, at what cost, how sure that is and over
how many workloads; or that nothing can be said, and why. What is undecided is never said to be no
difference.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gr_bench import stats
from gr_bench.experiments import style
from gr_bench.experiments.generalization.analysis.aggregates import FEWEST
from gr_bench.experiments.generalization.analysis.tables import (
    METER_ERRORS,
    WORKLOAD,
    baseline_name,
    chosen_keys,
    common_columns,
    of_baseline,
    same_workload,
)
from gr_bench.spec import parse

MOST_NAMED = 3
"""Comparisons, or methods that lost runs, that a sentence names; of more, it gives the number."""

MOST_METHODS = 8
"""Methods that have a sentence each; where there are more, they are counted."""

SEEDS_ALONE = "seeds alone"
"""The word of ``comparison`` for intervals that do not speak of other data."""

ONE_POINT = 0.01
"""A difference in test accuracy that readers ask for."""

BITS = "test_bits_per_byte"
UNITS = {False: (100, 2, "points of test accuracy"), True: (1, 4, "bits per byte of test loss")}
"""Of differences in accuracy, and of those in bits per byte: factor, digits, words."""

SIGNIFICANCE = (
    "Better, worse, ahead and behind are significant at a 5 % false-discovery rate; undecided "
    "does not mean equal."
)


def headlines(tables: dict[str, pd.DataFrame]) -> dict[str, dict[str, str]]:
    """Per column of the overview, the entry of every method's spec.

    Test accuracy and accuracy gap are the range over workloads of the mean over seeds, in per cent
    and in points, of text in bytes also the test loss in bits; ``diverged`` counts trainings.
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
    if tables["generalization"][BITS].notna().any():
        found["test loss (bits per byte)"] = {
            spec: style.value_range(own.groupby(WORKLOAD, dropna=False)[BITS].mean(), "{:.3f}")
            for spec, own in by_spec
        }
    found["diverged"] = {
        spec: f"{(own['status'] == 'diverged').sum()} of {len(own)}" for spec, own in by_spec
    }
    return found


def findings(tables: dict[str, pd.DataFrame]) -> list[str]:
    """A sentence for every method, over its workloads or on its one; then one that counts.

    Where there are more than :data:`MOST_METHODS`, one sentence counts them and names the furthest.
    They repeat the verdicts of the tables ``aggregates`` and ``comparison``. Where there is nothing
    to compare there are none.
    """
    against = tables["comparison"]
    if not len(against):
        return []
    found = []
    for role in ("chosen", "run"):
        rows = against[against["role"] == role]
        over = tables["aggregates"]
        over = over[over["role"] == role]
        if len(rows) and _subjects(rows).nunique() > MOST_METHODS:
            found += _counted(rows, over, against)
        else:
            found += _one_by_one(rows, over, tables)
        in_bits = tables["bits_comparison"]
        in_bits = in_bits[in_bits["role"] == role]
        if len(in_bits) and _subjects(in_bits).nunique() <= MOST_METHODS:
            found += _one_by_one(in_bits, over[:0], tables)
    counts = against["verdict"].value_counts()
    baseline, runs = baseline_name(against), tables["generalization"]["status"]
    parts = [f"{counts.get(word, 0)} {word}" for word in ("better", "worse", "undecided")]
    if unpaired := counts.get("no pair of runs", 0):
        parts.append(f"{unpaired} without a pair of runs")
    found += _by_trials(tables, baseline)
    found.append(
        f"In total, {_number(len(against), 'comparison')} with {baseline} on individual "
        f"workloads: {', '.join(parts)}; {(runs == 'diverged').sum()} of "
        f"{_number(len(runs), 'training')} diverged. {SIGNIFICANCE}"
    )
    return found


def _by_trials(tables: dict[str, pd.DataFrame], baseline: str) -> list[str]:
    """A sentence on what the fewest and the most trials would have concluded, if there are any."""
    table = tables.get("tuning_budgets")
    if table is None or not len(table):
        return []
    words = []
    for trials in sorted({table["trials"].min(), table["trials"].max()}):
        own = table[table["trials"] == trials]
        said = own["said"].value_counts()
        words.append(
            f"with {trials} each, methods are ahead of {baseline} in {said.get('ahead', 0)} of "
            f"{len(own)} comparisons and behind in {said.get('behind', 0)}"
        )
    return [f"Over trials only, {'; '.join(words)}; nothing can be said about the rest."]


def warnings(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Sentences about trainings that diverged or failed, about undecided comparisons, and about
    what the results do not speak of: other workloads, other data.
    """
    runs, against, candidates = (
        tables[name] for name in ("generalization", "comparison", "selection")
    )
    found = []
    for status in ("diverged", "failed"):
        lost = {
            spec: f"{spec} {count} of {len(own)}"
            for spec, own in _by_spec(runs)
            if (count := (own["status"] == status).sum())
        }
        if lost:
            count = (runs["status"] == status).sum()
            more = ""
            if status == "diverged" and len(tables["aggregates"]):
                more = ", and count as having no correct answer in results over workloads"
            found.append(
                f"{count} of {_number(len(runs), 'training')} {status}: they are excluded from "
                f"all means{more} ({_listed(list(lost.values())[:MOST_NAMED], len(lost))})."
            )
        if count := int(candidates[status].sum()):
            every = int(candidates[["runs", "diverged", "failed"]].sum().sum())
            found.append(f"{count} of the {every} trainings of candidates {status}.")
    for words, count in Counter(runs["sharpness_error"].dropna()).items():
        found.append(
            f"Sharpness could not be computed for {count} of {_number(len(runs), 'training')}: "
            f"{words}."
        )
    if METER_ERRORS in runs:
        for words, count in Counter(runs[METER_ERRORS].dropna()).items():
            found.append(f"Meters returned no value in {count} of {len(runs)} trainings: {words}.")
    if len(against):
        found += [*_undecided(against), *_scope(against)]
    return found


# --- sentences on methods


def _subjects(rows: pd.DataFrame) -> pd.Series[str]:
    """The methods that sentences are about: chosen settings go by the method's name."""
    return rows["spec"].where(
        rows["role"] != "chosen", rows["spec"].map(lambda spec: parse(spec).kind)
    )


def _one_by_one(
    rows: pd.DataFrame, over: pd.DataFrame, tables: dict[str, pd.DataFrame]
) -> list[str]:
    """A sentence a method: over its workloads if it has several, on its one if not."""
    found = []
    judged = int(rows["p"].notna().sum())
    for (subject, baseline), own in rows.groupby([_subjects(rows), "baseline"], sort=False):
        name = baseline_name(own)
        whole = over[(over["spec"] == subject) & (over["baseline"] == baseline)]
        if len(whole):
            found.append(_over_workloads(str(subject), name, whole, int(over["p"].notna().sum())))
            own = own[~own["cost"].isin(whole["cost"])]
        keys = ["spec", *common_columns(own.iloc[0])] if len(own) else ["spec"]
        for _, part in own.groupby(keys, sort=False, dropna=False):
            first = part.iloc[0]
            runs = tables["generalization"]
            clauses = [_clause(row, runs, name, judged) for _, row in part.iterrows()]
            where = _where(first, tables["comparison"].drop(columns="epochs"))
            found.append(f"{first['spec']} against {name}{where}: {'; '.join(clauses)}.")
    return found


def _over_workloads(subject: str, baseline: str, whole: pd.DataFrame, judged: int) -> str:
    """The sentence on one method over its workloads, a clause a sort of equal cost.

    Args:
        subject: the method.
        baseline: in words.
        whole: its rows of ``aggregates``.
        judged: rows that were judged together.
    """
    most = int(whole["of_workloads"].max())
    seeds = style.value_range(whole["seeds"], "{:.0f}")
    splits = style.value_range(whole["splits"], "{:.0f}")
    chosen = ", with settings chosen on each" if whole["role"].iloc[0] == "chosen" else ""
    clauses = []
    for row in whole.to_dict("records"):
        here = row["workloads"]
        on = f" on {here:.0f} of them" if here < most else ""
        counts = ", ".join(
            f"{words} {row[verdict]:.0f}"
            for verdict, words in (
                ("better", "better on"),
                ("worse", "worse on"),
                ("undecided", "undecided on"),
            )
        )
        if row["all_diverged"] > 0:
            counts += f"; all runs diverged on {row['all_diverged']:.0f} more, not counted here"
        clauses.append(f"{_lead(row, on, judged)} ({counts})")
    return (
        f"{subject} against {baseline} over {most} workloads{chosen} "
        f"({_number(seeds, 'seed')}, {_number(splits, 'split')} each): {'; '.join(clauses)}."
    )


def _not_believed(low: float, high: float, judged: int, things: str) -> str:
    """The reason for which nothing can be said where an interval does not hold 0."""
    if low <= 0 <= high:
        return ""
    return f", not significant at a 5 % false-discovery rate over all {_number(judged, things)}"


def _lead(row: Mapping[Any, Any], on: str, judged: int) -> str:
    """A row of ``aggregates`` in words: the verdict, and the interquartile mean."""
    cost = f"at equal {row['cost']}{on}"
    center, low, high = (100 * row[f"errors_removed{end}"] for end in ("", "_low", "_high"))
    if math.isnan(center):
        return f"nothing can be said {cost}, since the baseline made no test error"
    if not math.isfinite(high - low):
        return f"nothing can be said {cost}, since some workload has only one pair of runs"
    if row["verdict"] == "ahead":
        return f"ahead {cost}, {center:.1f} % fewer test errors [{low:.1f}, {high:.1f}]"
    if row["verdict"] == "behind":
        return f"behind {cost}, {-center:.1f} % more test errors [{-high:.1f}, {-low:.1f}]"
    why = _not_believed(low, high, judged, "row")
    return (
        f"nothing can be said about all together {cost}: {_more(low)} to {_more(high)} test "
        f"errors{why}"
    )


def _more(removed: float) -> str:
    return f"{abs(removed):.1f} % {'fewer' if removed > 0 else 'more'}"


def _clause(row: pd.Series, runs: pd.DataFrame, baseline: str, judged: int) -> str:
    """A row of ``comparison`` in words; ``judged`` counts the rows that were judged together."""
    cost = f"at equal {row['cost']}"
    if row["verdict"] == "no pair of runs":
        return f"nothing can be said {cost}, since {_reason(row, runs, baseline)}"
    factor, digits, what = UNITS[BITS in row]
    size = row["high"] - row["low"]
    center, low, high = (
        f"{factor * row[key]:+.{digits}f}" for key in ("difference", "low", "high")
    )
    if not math.isfinite(size):
        return (
            f"nothing can be said {cost} from one pair of runs ({center} {what}), since an "
            "interval requires two"
        )
    sure = _number(int(row["seeds"]), "seed")
    if (splits := row.get("splits", 1)) > 1:
        sure += f" on {splits:.0f} splits"
    if row["verdict"] == "undecided":
        why = _not_believed(row["low"], row["high"], judged, "comparison")
        return f"nothing can be said {cost}: {low} to {high} {what}{why} ({sure}{_needed(row)})"
    return f"{row['verdict']} {cost}, {center} {what} [{low}, {high}] ({sure})"


def _needed(row: pd.Series) -> str:
    """The seeds with which an interval would reach one point to either side, where more seeds are
    all that it takes.
    """
    if BITS in row:
        return ""
    half = float(row["high"] - row["low"]) / 2
    if row.get("interval", SEEDS_ALONE) != SEEDS_ALONE or half <= ONE_POINT:
        return ""
    count = int(row["seeds"])
    unit = [-1.0, *[0.0] * (count - 2), 1.0]  # any values: half-widths go with their spread
    spread = half / stats.t_interval(unit).half_width * stats.between_spread(unit)
    return f"; about {stats.replicates_needed(spread, ONE_POINT)} would resolve one point"


def _reason(row: pd.Series, runs: pd.DataFrame, baseline: str) -> str:
    """The reason for which a comparison has no pair of runs."""
    there = same_workload(runs, row)
    base = there[of_baseline(there)]
    own = there[(there["spec"] == row["spec"]) & (there["epochs"] == row["epochs"])]
    for name, part in ((row["spec"], own), (baseline, base)):
        if not len(part):
            return f"{name} was not trained there"
        if not (part["status"] == "ok").any():
            counts = part["status"].value_counts()
            lost = " and ".join(f"{count} {status}" for status, count in counts.items())
            return f"of {_number(len(part), 'training')} of {name}, {lost}"
    return "no two completed trainings share a seed"


def _counted(rows: pd.DataFrame, over: pd.DataFrame, against: pd.DataFrame) -> list[str]:
    """Sentences on many methods or settings: how many are ahead or behind, and the furthest."""
    found, baseline = [], baseline_name(rows)
    for cost, whole in over.groupby("cost", sort=False):
        parts = []
        for verdict in ("ahead", "behind"):
            some = whole[whole["verdict"] == verdict]
            furthest = some["errors_removed"].abs().sort_values(ascending=False).index
            named = [
                f"{some.loc[i, 'spec']} {_more(100 * some.loc[i, 'errors_removed'])}"
                for i in furthest[:MOST_NAMED]
            ]
            words = f", by test errors ({_listed(named, len(some))})" if named else ""
            parts.append(f"{len(some)} {verdict}{words}")
        open_ = (whole["verdict"] == "undecided").sum()
        workloads = style.value_range(whole["workloads"], "{:.0f}")
        found.append(
            f"Of {len(whole)} settings against {baseline} at equal {cost}, over {workloads} "
            f"workloads: {parts[0]}; {parts[1]}; nothing can be said about {open_}."
        )
        if lost := int((whole["all_diverged"] > 0).sum()):
            found[-1] = (
                f"{found[-1][:-1]}; {lost} of them diverged in every run on some workload, which "
                "is not counted here."
            )
    for verdict in ("better", "worse"):
        some = rows[rows["verdict"] == verdict]
        if len(some) and not len(over):
            furthest = some["difference"].abs().sort_values(ascending=False, kind="stable").index
            named = [_difference(some.loc[i], against) for i in furthest[:MOST_NAMED]]
            found.append(
                f"Test accuracy is {verdict} than {baseline}'s in {len(some)} of {len(rows)} "
                f"comparisons: {_listed(named, len(some))}."
            )
    return found


def _difference(row: pd.Series, against: pd.DataFrame) -> str:
    """A comparison with its workload, as far as the table has several."""
    center, low, high = (100 * row[key] for key in ("difference", "low", "high"))
    return (
        f"{row['spec']}{_where(row, against)} at equal {row['cost']} by {center:+.2f} points "
        f"[{low:+.2f}, {high:+.2f}] ({_number(int(row['seeds']), 'seed')})"
    )


def _where(row: pd.Series, against: pd.DataFrame) -> str:
    """The workload of a comparison, as far as the table has several."""
    words = []
    for key in WORKLOAD:
        several = key in against and against[key].nunique() > 1
        if several and key not in ("role", *chosen_keys(row)):
            value = f"{row[key]:g}" if isinstance(row[key], float) else str(row[key])
            named = key in ("model", "dataset")
            words.append(value if named else f"{key.replace('_', ' ')} {value}")
    return f" on {', '.join(words)}" if words else ""


# --- sentences on what is not known


def _undecided(against: pd.DataFrame) -> list[str]:
    """The undecided comparisons, with how well their differences are known."""
    rows = against[against["verdict"] == "undecided"]
    if not len(rows):
        return []
    half = 50 * (rows["high"] - rows["low"]).astype(float)
    known = half[np.isfinite(half)]
    words = []
    if len(known):
        seeds = style.value_range(rows.loc[known.index, "seeds"], "{:.0f}")
        words.append(
            f"with {_number(seeds, 'seed')}, differences in test accuracy are known to within "
            f"{_from_best_to_worst(known)}"
        )
    if single := len(half) - len(known):
        words.append(f"nothing is known about {single} with one pair of runs")
    return [
        f"{len(rows)} of {_number(len(against), 'comparison')} with {baseline_name(against)} "
        f"{'is' if len(rows) == 1 else 'are'} undecided, which does not show that the methods "
        f"are equal: {'; '.join(words)}."
    ]


def _from_best_to_worst(points: pd.Series) -> str:
    """Half-widths in words: ``0.15 points at best and 120 points at worst``."""
    best, worst = (_number(style.plain(end), "point") for end in (points.min(), points.max()))
    return best if best == worst else f"{best} at best and {worst} at worst"


def _scope(against: pd.DataFrame) -> list[str]:
    """Sentences on other workloads and other data, of which comparisons do not speak."""
    found = []
    paired = against[against["seeds"] > 0]
    keys = [key for key in WORKLOAD if key not in ("epochs", "role", "baseline", "learning_rate")]
    if len(paired) and len(paired[keys].drop_duplicates()) < FEWEST:
        found.append("All comparisons are on one workload: nothing can be said about others.")
    alone = paired.get("interval", pd.Series(SEEDS_ALONE, index=paired.index)) == SEEDS_ALONE
    if count := int(alone.sum()):
        which = "All" if count == len(paired) else f"{count} of {len(paired)}"
        found.append(
            f"{which} intervals are over the seeds of one split: nothing can be said about other "
            "data of the same kind."
        )
    return found


def _number(count: int | str, noun: str) -> str:
    """A count with its noun, ``1 seed`` or ``5 seeds``."""
    return f"{count} {noun}{'' if str(count) == '1' else 's'}"


def _listed(named: Sequence[str], count: int) -> str:
    """The first of ``count`` things, and how many more there are."""
    more = f"; and {count - len(named)} more" if count > len(named) else ""
    return "; ".join(named) + more


def _by_spec(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for spec, own in table.groupby("spec", sort=False):
        yield str(spec), own
