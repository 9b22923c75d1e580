"""Every method over many workloads: from trainings beside the baseline's to a few numbers.

The unit is the row of ``comparison``: a method and the baseline on one workload at one sort of
equal cost. A run's score is the share of the baseline's test errors that it removes,

    s = (a - mean of the baseline's a) / (1 - mean of the baseline's a),   a: test accuracy,

so that 0 is the baseline, 1 is no error, and workloads of any difficulty are in one unit. A
training that diverged gave no model: it counts as one without a right answer (a = 0), on either
side, and is counted. One that failed is no result of the method's, and is in no score.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from gr_bench import aggregate, stats
from gr_bench.experiments.columns import PARAMETERS, build_table, method_place
from gr_bench.experiments.generalization.analysis.tables import (
    GROUP,
    MOST_SETTINGS,
    baseline_runs,
    common_columns,
    with_few_settings,
)
from gr_bench.spec import parse

FEWEST = 2
"""Workloads that there must be for a number over many."""

FAMILY = ("role", "baseline", "cost")
"""The columns that rows have in common which are shown together."""

COSTS = ("epochs", "gradient evaluations", "time")
"""The sorts of equal cost, in order."""

AGGREGATES = (
    *FAMILY,
    *("workloads", "of_workloads", "all_diverged", "better", "worse", "undecided"),
    *("pairs", "seeds", "splits", "diverged", "baseline_diverged", "without_errors", "widening"),
    *("errors_removed", "errors_removed_low", "errors_removed_high", "p", "verdict"),
    *("improvement_probability", "improvement_probability_low", "improvement_probability_high"),
)
MEAN_RANKS = (
    *FAMILY,
    *("mean_rank", "methods", "workloads", "critical_difference"),
    *("friedman", "friedman_f", "p"),
)
PROFILES = (*FAMILY, "threshold", "share", "low", "high", "workloads", "pairs")
THRESHOLDS = 101
LOWEST_THRESHOLD = -1.0
"""A profile begins here, at twice the baseline's errors, or at its lowest score."""


@dataclass(frozen=True)
class Beside:
    """A method's trainings and the baseline's on one workload, pair by pair."""

    spec: str
    """The method; of chosen settings its name, since its numbers differ from workload to
    workload."""

    family: tuple[str, str, str]
    """:data:`FAMILY`."""

    workload: tuple[Hashable, ...]
    own: NDArray[Any]
    """(pairs,) test accuracies, 0 where the training diverged."""

    base: NDArray[Any]
    diverged: int
    baseline_diverged: int
    splits: int
    dependence: float
    """By how much more than independent pairs would the mean difference varies, as the interval of
    ``comparison`` has it: its standard error over theirs, at least 1."""

    verdict: str

    @property
    def pairs(self) -> int:
        """Pairs of trainings with one seed and split."""
        return len(self.own)


def few(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of families with no more methods than a reader can be shown one by one."""
    count = table.groupby([*FAMILY])["spec"].transform("nunique")
    return table[count <= MOST_SETTINGS + 1]


def beside(runs: pd.DataFrame, against: pd.DataFrame) -> list[Beside]:
    """Every row of ``comparison`` with its trainings; none without a pair.

    Args:
        runs: the table ``generalization``.
        against: the table ``comparison``.
    """
    runs = runs[runs["status"].isin(("ok", "diverged"))]
    own = _by_group(runs, GROUP)
    found = []
    for row in against.to_dict("records"):
        common = _key(row, common_columns({str(key): value for key, value in row.items()}))
        there = baseline_runs(runs, pd.Series(row))
        mine = own.get(_key(row, GROUP), {})
        (base,) = _by_group(there[there["epochs"] == row["baseline_epochs"]], ()).values() or [{}]
        both = sorted(mine.keys() & base.keys())
        if not both:
            continue
        x, y = (np.array([side[pair] for pair in both]) for side in (mine, base))
        lost, base_lost = np.isnan(x), np.isnan(y)
        found.append(
            Beside(
                spec=parse(row["spec"]).kind if row["role"] == "chosen" else row["spec"],
                family=(row["role"], row["baseline"], row["cost"]),
                workload=(*common, min(row["epochs"], row["baseline_epochs"])),
                own=np.where(lost, 0.0, x),
                base=np.where(base_lost, 0.0, y),
                diverged=int(lost.sum()),
                baseline_diverged=int(base_lost.sum()),
                splits=len({split for _, split in both}),
                dependence=_dependence((x - y)[~lost & ~base_lost], row["low"], row["high"]),
                verdict=row["verdict"],
            )
        )
    return found


def _by_group(table: pd.DataFrame, keys: Sequence[str]) -> dict[Hashable, dict[Any, float]]:
    """By the entries of ``keys``, test accuracies by seed and split, NaN where one diverged."""
    found: dict[Hashable, dict[Any, float]] = {}
    accuracy = table["test_accuracy"].astype(float).where(table["status"] == "ok")
    splits = table["split_seed"] if "split_seed" in table else pd.Series(0, index=table.index)
    entries = [table[key].astype(object).where(table[key].notna(), None) for key in keys]
    for *key, seed, split, value in zip(*entries, table["seed"], splits, accuracy, strict=True):
        found.setdefault(tuple(key), {})[(seed, split)] = value
    return found


def _key(row: Any, keys: Sequence[str]) -> tuple[Hashable, ...]:
    """A row's entries, those that are empty alike."""
    return tuple(None if pd.isna(row[key]) else row[key] for key in keys)


def _dependence(apart: NDArray[Any], low: float, high: float) -> float:
    """The standard error that an interval speaks of, at most, over that of independent pairs."""
    if len(apart) < 2 or not np.isfinite(high - low):
        return 1.0
    alone = stats.t_interval(apart)
    wide, narrow = (high - low) / 2, alone.half_width
    if np.isclose(wide, narrow, rtol=1e-6, atol=1e-12) or narrow == 0:
        return 1.0
    quantiles = special.stdtrit(len(apart) - 1, 0.975) / special.ndtri(0.975)
    return float(max(1.0, wide / narrow * quantiles))


def over_workloads(runs: pd.DataFrame, against: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables ``aggregates``, ``mean_ranks`` and ``performance_profiles``; profiles are drawn of
    workloads with few settings alone.

    Args:
        runs: the table ``generalization``.
        against: the table ``comparison``.
    """
    everything = beside(runs, against)
    return {
        "aggregates": aggregates(everything),
        "mean_ranks": mean_ranks(everything),
        "performance_profiles": performance_profiles(beside(runs, with_few_settings(against))),
    }


def aggregates(everything: Sequence[Beside]) -> pd.DataFrame:
    """A row a method and sort of equal cost, over all workloads on which there is a comparison.

    ``errors_removed`` is the interquartile mean over runs of the score, ``improvement_probability``
    the mean over workloads of P(X > Y) + P(X = Y)/2, a run against one of the baseline's (Agarwal
    et al. 2021). ``_low`` and ``_high`` are the ends of 95 % intervals by a bootstrap of pairs of
    trainings, each workload's among its own, the baseline's mean made anew in every resample; it is
    made wider by the factor ``widening`` (:func:`gr_bench.aggregate.widening`), for few runs and
    for the dependence that the intervals of ``comparison`` speak of. They speak of other seeds,
    splits and samples on these workloads, not of other workloads. Where a workload has one pair,
    they are infinite (a probability's: 0 and 1).

    ``workloads`` have a pair at that cost, of the ``of_workloads`` on which there is any comparison
    of the method. On ``all_diverged`` of those that have none every run of the method diverged, so
    that what an epoch of it costs is not known: they are in no other number. ``better``, ``worse``
    and ``undecided`` count the verdicts of ``comparison``. ``pairs`` counts pairs of trainings;
    ``seeds`` and ``splits`` are the fewest of a workload.
    ``diverged`` and ``baseline_diverged`` are among the pairs. ``without_errors`` counts workloads
    where the baseline made no error: they are in no ``errors_removed``. ``p`` is about the
    two-sided p-value of ``errors_removed`` against 0, of a normal distribution with the interval's
    end that is nearer to 0; ``verdict`` is ``ahead`` or ``behind`` where that is believed at a
    false-discovery rate of 5 % among all rows with chosen settings, or all others; else
    ``undecided``.
    """
    rows = []
    tried: dict[Hashable, set[Hashable]] = {}
    lost: dict[Hashable, set[Hashable]] = {}
    for one in everything:
        tried.setdefault((one.spec, one.family[:2]), set()).add(one.workload)
        if one.diverged == one.pairs:
            lost.setdefault((one.spec, one.family[:2]), set()).add(one.workload)
    for family, spec, own in _subjects(everything):
        if len(own) < FEWEST:
            continue
        of_all = len(tried[(spec, family[:2])])
        missing = lost.get((spec, family[:2]), set()) - {one.workload for one in own}
        counts = {"of_workloads": of_all, "all_diverged": len(missing)}
        rows.append(_head(family, spec) | counts | _aggregate(own))
    found = _table(rows, AGGREGATES)
    verdicts = pd.Series("undecided", index=found.index)
    for _, rows_of_role in found[found["p"].notna()].groupby("role"):
        believed = stats.discoveries(rows_of_role["p"])
        for place, sure in zip(rows_of_role.index, believed, strict=True):
            if sure:
                verdicts[place] = "ahead" if found["errors_removed"][place] > 0 else "behind"
    return found.assign(verdict=verdicts)


def _subjects(everything: Sequence[Beside]) -> Iterator[tuple[Any, str, list[Beside]]]:
    """Every method of every family, with a comparison a workload."""
    subjects: dict[tuple[Any, str], dict[Hashable, Beside]] = {}
    for one in everything:
        subjects.setdefault((one.family, one.spec), {})[one.workload] = one
    for (family, spec), own in subjects.items():
        yield family, spec, list(own.values())


def _head(family: Sequence[str], spec: str) -> dict[str, Any]:
    method = parse(spec)
    head = {"method": method.kind, PARAMETERS: method.all_parameters, "spec": spec}
    return head | dict(zip(FAMILY, family, strict=True))


def _table(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    table = build_table(rows, columns)
    places = {spec: method_place(spec) for spec in table["spec"].unique()}
    table = table.assign(_place=table["spec"].map(places).astype(float))
    by = ["role", "baseline", "cost", "_place", "spec"]
    return table.sort_values(by, kind="stable", ignore_index=True).drop(columns="_place")


def _scores(own: NDArray[Any], base: NDArray[Any], errors: float) -> NDArray[Any]:
    """Shares of the baseline's errors that are removed; the last axis holds the runs.

    Args:
        own: accuracies.
        base: the baseline's.
        errors: the unit, the baseline's mean error in what was measured, for resamples too: it is
            a weight, and a resample without an error has none.
    """
    scores: NDArray[Any] = (own - base.mean(axis=-1, keepdims=True)) / errors
    return scores


def _errors(one: Beside) -> float:
    return 1 - float(one.base.mean())


def _aggregate(own: Sequence[Beside]) -> dict[str, Any]:
    places = aggregate.stratified_resamples([one.pairs for one in own])
    factor = _widening(own)
    chance = [float(aggregate.probability_of_improvement(o.own, o.base)) for o in own]
    chances = np.mean(
        [
            aggregate.probability_of_improvement(one.own[place], one.base[place])
            for one, place in zip(own, places, strict=True)
        ],
        axis=0,
    )
    pairs = [one.pairs for one in own]
    ends = aggregate.share_intervals(chance, chances, pairs, factor)
    improvement = (float(np.mean(chance)), *map(float, ends))
    row: dict[str, Any] = {
        "workloads": len(own),
        "pairs": sum(pairs),
        "seeds": min(pairs),
        "splits": min(one.splits for one in own),
        "diverged": sum(one.diverged for one in own),
        "baseline_diverged": sum(one.baseline_diverged for one in own),
        "without_errors": sum(_errors(one) == 0 for one in own),
        "widening": factor,
    }
    for verdict in ("better", "worse", "undecided"):
        row[verdict] = sum(one.verdict == verdict for one in own)
    row |= dict(zip(_ends("improvement_probability"), improvement, strict=True))
    scored = [(o, place) for o, place in zip(own, places, strict=True) if _errors(o) > 0]
    if scored:
        scores = np.concatenate([_scores(o.own, o.base, _errors(o)) for o, _ in scored])
        drawn = np.concatenate(
            [_scores(o.own[place], o.base[place], _errors(o)) for o, place in scored], axis=1
        )
        removed = aggregate.bootstrap_interval(
            float(aggregate.interquartile_mean(scores)),
            aggregate.interquartile_mean(drawn),
            _widening([o for o, _ in scored]),
        )
        row |= dict(zip(_ends("errors_removed"), removed, strict=True))
        row["p"] = _p_value(removed)
    return row


def _p_value(found: stats.Interval) -> float:
    """About the two-sided p-value against 0; 1 where the interval is infinite or a point."""
    center, low, high = found
    reach = (center - low if center > 0 else high - center) / special.ndtri(0.975)
    if reach == 0 or not np.isfinite(reach):
        return 1.0
    return float(2 * special.ndtr(-abs(center) / reach))


def _ends(column: str) -> tuple[str, str, str]:
    return column, f"{column}_low", f"{column}_high"


def _widening(own: Sequence[Beside]) -> float:
    return aggregate.widening([one.pairs for one in own], [one.dependence for one in own])


def mean_ranks(everything: Sequence[Beside]) -> pd.DataFrame:
    """A row a method and sort of equal cost, the baseline's among them: its mean rank.

    On every workload methods are ranked by their mean test accuracy minus that of the baseline's
    trainings of equal cost, the baseline by 0; 1 is the best. Ranked are the methods that have a
    comparison on every workload of their family, where they are two or more and the workloads, too;
    ``methods`` counts them with the baseline. ``friedman`` and ``friedman_f`` test that all are
    alike, ``p`` by permutation; two whose mean ranks differ by less than ``critical_difference``
    are not told apart at 5 % (Nemenyi; Demšar 2006). Workloads are taken for a sample of
    independent ones, so that those on the same data make it look surer than it is. A mean rank also
    depends on the other methods that are ranked.
    """
    rows = []
    families: dict[Any, dict[str, dict[Hashable, float]]] = {}
    for one in everything:
        own = families.setdefault(one.family, {}).setdefault(one.spec, {})
        own[one.workload] = float(one.own.mean() - one.base.mean())
    for family, gains in families.items():
        workloads = list(dict.fromkeys(place for own in gains.values() for place in own))
        ranked = [spec for spec, own in gains.items() if len(own) == len(workloads)]
        if len(workloads) < FEWEST or len(ranked) < 2 or family[1] in ranked:
            continue
        scores = [[0.0, *(gains[spec][place] for spec in ranked)] for place in workloads]
        found = aggregate.ranks(scores)
        test = aggregate.friedman(found)
        difference = aggregate.critical_difference(len(ranked) + 1, len(workloads))
        for spec, rank in zip([family[1], *ranked], found.mean(axis=0), strict=True):
            rows.append(
                _head(family, spec)
                | {
                    "mean_rank": float(rank),
                    "methods": len(ranked) + 1,
                    "workloads": len(workloads),
                    "critical_difference": difference,
                    "friedman": test.chi_squared,
                    "friedman_f": test.f,
                    "p": test.p,
                }
            )
    return _table(rows, MEAN_RANKS)


def performance_profiles(everything: Sequence[Beside]) -> pd.DataFrame:
    """A row a method, sort of equal cost and threshold: the share of runs whose score is above it.

    It is the mean over workloads of the share of their runs (Agarwal et al. 2021), with pointwise
    95 % intervals, made as those of :func:`aggregates`. The baseline's runs, of all lengths that
    others are compared with, are scored by their own mean: its profile is the spread of its runs.
    Workloads where the baseline made no error are left out.
    """
    rows = []
    families: dict[Any, dict[str, list[Beside]]] = {}
    for family, spec, own in _subjects([one for one in everything if _errors(one) > 0]):
        if len(own) >= FEWEST:
            families.setdefault(family, {})[spec] = own
    for family, subjects in families.items():
        itself = {
            (one.workload, tuple(one.base)): _itself(one)
            for own in subjects.values()
            for one in own
        }
        subjects |= {family[1]: list(itself.values())}
        lowest, highest = _extremes(subjects.values())
        thresholds = np.linspace(max(LOWEST_THRESHOLD, lowest), highest, THRESHOLDS)
        for spec, own in subjects.items():
            pairs = [one.pairs for one in own]
            of_each = [
                aggregate.performance_profile(_scores(o.own, o.base, _errors(o)), thresholds)
                for o in own
            ]
            drawn = np.zeros((aggregate.DRAWS, len(thresholds)))
            for one, place in zip(own, aggregate.stratified_resamples(pairs), strict=True):
                scores = _scores(one.own[place], one.base[place], _errors(one))
                drawn += aggregate.performance_profile(scores, thresholds) / len(own)
            low, high = aggregate.share_intervals(of_each, drawn, pairs, _widening(own))
            head = _head(family, spec) | {
                "workloads": len({one.workload for one in own}),
                "pairs": sum(pairs),
            }
            points = zip(thresholds, np.mean(of_each, axis=0), low, high, strict=True)
            rows += [
                head | dict(zip(("threshold", "share", "low", "high"), point, strict=True))
                for point in points
            ]
    return _table(rows, PROFILES)


def _itself(one: Beside) -> Beside:
    """The baseline's trainings beside themselves."""
    return replace(one, own=one.base, diverged=one.baseline_diverged)


def _extremes(subjects: Iterable[Sequence[Beside]]) -> tuple[float, float]:
    scores = np.concatenate(
        [_scores(one.own, one.base, _errors(one)) for own in subjects for one in own]
    )
    return float(scores.min()), float(scores.max())
