"""Every setting beside the baseline: at equal epochs, gradient evaluations and time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pandas as pd

from gr_bench import stats
from gr_bench.experiments.columns import build_table, in_order
from gr_bench.experiments.generalization.analysis.paired import Quantity, paired_comparison
from gr_bench.experiments.generalization.analysis.tables import (
    GROUP,
    SETTING,
    baseline_runs,
    head,
    of_baseline,
    setting_columns,
    setting_key,
)
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.record import Record

BITS: Quantity = "test_bits_per_byte"
COST = ("cost", "baseline_epochs", "cost_ratio", "seeds", "splits")
DIFFERENCE = ("difference", "low", "high", "p")
EQUAL_TIME_TOLERANCE = 0.05
"""Two trainings take equal time if they differ by no more than this part."""


def comparison(
    table: pd.DataFrame, records: Sequence[Record], quantity: Quantity = "test_accuracy"
) -> pd.DataFrame:
    """A row a setting and sort of cost: its test accuracy minus the baseline's, paired by seed and
    split; or another quantity.

    The interval and the p-value are those of
    :func:`~gr_bench.experiments.generalization.analysis.paired.paired_comparison`; ``interval``
    says what they are over, ``seeds`` is the number of pairs, ``splits`` that of their splits.

    ``cost`` says what is equal: ``epochs``; ``gradient evaluations``, for which of the method and
    the baseline the one with fewer evaluations a step is trained for as many times the epochs; or
    ``time``, for which the one whose steps are faster, one run at a time, is trained for as long as
    the other. ``cost_ratio`` is the method's cost over that of the baseline's training
    (``baseline_epochs``), 1 if it is equal. A training that is longer for the sake of cost has no
    row at equal epochs, as the baseline has none of that length. Of several settings of the
    baseline the one of
    :func:`~gr_bench.experiments.generalization.analysis.tables.baseline_runs` counts. ``verdict``
    is ``better`` or ``worse`` where that is believed at a false-discovery rate of 5 %
    (Benjamini-Hochberg) among all rows with chosen settings, or all others; else ``undecided``;
    ``no pair of runs`` where all diverged or failed.

    Args:
        table: of :func:`~gr_bench.experiments.generalization.analysis.tables.generalization`.
        records: that it was made from.
        quantity: a column of the table; what is no accuracy is better where it is less.
    """
    trainings: dict[tuple[str, ...], list[Training]] = defaultdict(list)
    for record in records:
        if isinstance(record, Training):
            trainings[setting_key(head(record.cell))].append(record)
    rows = []
    for _, group in table.groupby(GROUP, sort=False, dropna=False):
        setting = setting_columns(group.iloc[0])
        if of_baseline(group).any():
            continue
        done = group[group["status"] == "ok"]
        there = baseline_runs(table, group.iloc[0])
        for cost, factor in _factors(group, there).items():
            for epochs in _lengths(there, setting["epochs"], factor):
                same = there[there["epochs"] == epochs]
                own, base = (
                    [
                        record
                        for key in dict.fromkeys(map(setting_key, part.to_dict("records")))
                        for record in trainings[key]
                    ]
                    for part in (group, same)
                )
                pairs = paired_comparison(own, base, quantity)
                if cost != "epochs" and not pairs.pairs:
                    continue
                ratio = factor * setting["epochs"] / epochs
                row = {"cost": cost, "baseline_epochs": epochs, "cost_ratio": ratio}
                row |= {"seeds": pairs.pairs, "splits": pairs.splits}
                if pairs.pairs:
                    row |= {key: getattr(pairs, key) for key in DIFFERENCE}
                    row["interval"] = pairs.how
                rows.append(setting | row | {quantity: done[quantity].mean()})
    names = [*SETTING[1:], *COST, quantity, *DIFFERENCE, "interval", "verdict"]
    found = in_order(build_table(rows, names), *SETTING[1:], "cost")
    more_is_better = quantity == "test_accuracy"
    verdicts = pd.Series("no pair of runs", index=found.index)
    for _, family in found[found["seeds"] > 0].groupby("role"):
        believed = stats.discoveries(family["p"])
        for place, sure in zip(family.index, believed, strict=True):
            is_better = (family["difference"][place] > 0) == more_is_better
            verdicts[place] = ("better" if is_better else "worse") if sure else "undecided"
    return found.assign(verdict=verdicts)


def bits_comparison(table: pd.DataFrame, records: Sequence[Record]) -> pd.DataFrame:
    """:func:`comparison` of the test loss in bits per byte, of data whose targets are bytes alone.

    Its verdicts are a family of their own: with those on accuracy there are two on the same runs.
    """
    of_bytes = table.loc[table[BITS].notna(), "dataset"].unique()
    return comparison(table[table["dataset"].isin(of_bytes)], records, BITS)


def _factors(group: pd.DataFrame, baseline: pd.DataFrame) -> dict[str, float]:
    """The cost of a setting's epoch over that of the baseline's, by sort of cost."""
    factors = {"epochs": 1.0}
    done, base = (runs[runs["status"] == "ok"] for runs in (group, baseline))
    if len(done) and len(base):
        evaluations = _a_step(done) / _a_step(base)
        if evaluations != 1:
            factors["gradient evaluations"] = evaluations
        time = float(done["step_time_ratio"].iloc[0])
        if time == time:
            factors["time"] = time
    return factors


def _a_step(done: pd.DataFrame) -> float:
    """Gradient evaluations of a step."""
    return float((done["gradient_evaluations"] / done["steps"]).max())


def _lengths(baseline: pd.DataFrame, own: int, factor: float) -> list[int]:
    """The length of the baseline's trainings that cost as much as one of ``own`` epochs, if there
    is one; at equal epochs, that length if the baseline was not trained at all.
    """
    lengths = baseline["epochs"].unique()
    epochs = factor * own
    if factor == 1:
        return [own] if own in lengths or not len(lengths) else []
    nearest = min(lengths, key=lambda length: abs(length - epochs), default=0)
    return [int(nearest)] if abs(nearest - epochs) <= EQUAL_TIME_TOLERANCE * epochs else []
