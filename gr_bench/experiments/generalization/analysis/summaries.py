"""The generalization tables that a reader is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from gr_bench.experiments import columns
from gr_bench.experiments.experiment import Summary
from gr_bench.experiments.generalization.analysis.aggregates import few
from gr_bench.experiments.generalization.analysis.paired import (
    OVER_SAMPLES,
    OVER_SEEDS,
    OVER_SPLITS,
)
from gr_bench.experiments.generalization.analysis.tables import (
    CHOSEN_BY,
    GROUP,
    JUDGED_BY,
    MOST_SETTINGS,
    SHOWN,
    WORKLOAD,
    baseline_name,
    setting_key,
    with_few_settings,
)
from gr_bench.experiments.generalization.analysis.tuning import NOTHING, OF_TUNING

Builder = Callable[[pd.DataFrame], Summary]


def summaries(tables: dict[str, pd.DataFrame]) -> list[Summary]:
    """A row for every method on every workload, over seeds; the baseline at equal cost; what a
    target accuracy takes; the candidates of a selection; step times.
    """
    found = []
    over_seeds: Builder = partial(_over_seeds, against=tables["comparison"])
    builders: dict[str, Builder] = {"generalization": over_seeds, **BUILDERS}
    for name, build in builders.items():
        table = tables.get(name, pd.DataFrame())  # older runs' files have not all
        shown = LISTED[name](table) if name in LISTED and len(table) else table
        if not len(shown):
            continue
        made = build(shown)
        if len(shown) < len(table):
            more = (
                f" Workloads with more than {MOST_SETTINGS} settings are omitted here: see the "
                f"(γ, ε) plane, and tables/{name}.csv for all {len(table)} rows."
            )
            made = replace(made, caption=made.caption + more)
        found.append(made)
    return found


def _against_baseline(against: pd.DataFrame, in_bits: bool = False) -> Summary:
    shown, alike = _told_apart(_settings(against), "spec")
    baseline = baseline_name(against)
    shown["at equal"] = against["cost"]
    shown[f"{baseline}'s epochs"] = against["baseline_epochs"]
    ratios = against["cost_ratio"].round(3)
    if (ratios != 1).any():
        shown[f"cost / {baseline}'s"] = ratios
    shown["seeds"] = against["seeds"]
    if (against["splits"] > 1).any():
        shown["splits"] = against["splits"]
    intervals = against[["difference", "low", "high"]].itertuples(index=False)
    words = _bits if in_bits else _points
    shown[f"minus {baseline} ({'bits per byte' if in_bits else 'points'})"] = [
        words(*row) if seeds else "-"
        for row, seeds in zip(intervals, against["seeds"], strict=True)
    ]
    if against["interval"].nunique() > 1:
        shown["interval over"] = against["interval"].fillna("-")
    shown["p"] = [f"{p:.2g}" if p == p else "-" for p in against["p"].astype(float)]
    shown["verdict"] = against["verdict"]
    return Summary(
        "bits_comparison" if in_bits else "comparison",
        f"{'Bits per byte' if in_bits else 'Test accuracy'} against {baseline} at equal cost",
        f"{alike}Paired by seed and split, with 95 % intervals. {_of_intervals(against)} At "
        f"equal gradient evaluations, whichever of the method and {baseline} takes fewer per "
        "step is trained for proportionally more epochs; at equal time, whichever has faster "
        "steps, one run at a time. Better and worse are significant at a 5 % false-discovery "
        "rate, corrected separately for rows with chosen settings and for all others."
        + (" Bits per byte are the test loss divided by ln 2; lower is better." if in_bits else ""),
        shown,
        tuple(str(c) for c in shown if c not in ("p", "splits", "interval over", "role", "tuned")),
    )


INTERVALS = {
    OVER_SAMPLES: "covers seeds, splits if there are several, and the samples of the test part: "
    "it generalises to other data of this kind",
    OVER_SPLITS: "covers seeds and splits, with Nadeau and Bengio's correction for their overlap",
    OVER_SEEDS: "is Student's t over seeds, and does not generalise to other data",
}


def _of_intervals(against: pd.DataFrame) -> str:
    """Sentences that say what the intervals of a table are over."""
    kinds = [kind for kind in INTERVALS if (against["interval"] == kind).any()]
    if len(kinds) == 1:
        return f"The interval {INTERVALS[kinds[0]]}."
    return " ".join(f"An interval marked `{kind}` {INTERVALS[kind]}." for kind in kinds)


def _settings(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that tell rows apart: workload and method, without those alike in all."""
    alike = [key for key in WORKLOAD if key not in SHOWN and table[key].nunique() == 1]
    return table[GROUP].drop(columns=alike)


def _told_apart(shown: pd.DataFrame, method: str) -> tuple[pd.DataFrame, str]:
    """The columns that differ, and the method's; and a sentence that has the others."""
    alike = [key for key in shown if key != method and shown[key].nunique(dropna=False) == 1]
    words = []
    for key in alike:
        value = shown[key].iloc[0]
        text = f"{value:g}" if isinstance(value, float) else str(value)
        words.append(f"{str(key).replace('_', ' ')} `{text}`")
    sentence = f"In all rows: {', '.join(words)}. " if words else ""
    return shown.drop(columns=alike), sentence


def _optimizer(table: pd.DataFrame) -> list[str]:
    """The column of the optimizer, where there are several."""
    return ["optimizer"] if table["optimizer"].nunique() > 1 else []


def _bits(center: float, low: float, high: float) -> str:
    return f"{center:+.4f} [{low:+.4f}, {high:+.4f}]"


def _over_workloads(found: pd.DataFrame) -> Summary:
    name = baseline_name(found)
    shown = _family(found)
    counts = found[["workloads", "of_workloads"]].itertuples(index=False)
    shown["workloads"] = [f"{a}" if a == b else f"{a} of {b}" for a, b in counts]
    lost = found["all_diverged"] > 0
    if lost.any():
        shown["all diverged on"] = found["all_diverged"].astype(float).map("{:.0f}".format)
    for verdict in ("better", "worse", "undecided"):
        shown[verdict] = found[verdict]
    shown["pairs"] = found["pairs"]
    shown["diverged"] = found["diverged"]
    if found["baseline_diverged"].any():
        shown[f"{name} diverged"] = found["baseline_diverged"]
    for column, title in (
        ("errors_removed", f"{name}'s errors removed (%)"),
        ("improvement_probability", f"probability of beating {name} (%)"),
    ):
        ends = found[[column, f"{column}_low", f"{column}_high"]].astype(float)
        shown[title] = [_percent(*row) for row in ends.itertuples(index=False)]
    shown["verdict"] = found["verdict"]
    return Summary(
        "aggregates",
        "Over many workloads",
        f"Errors removed: the share of {name}'s test errors on the same workload at the same "
        "cost that a run avoids; interquartile mean over all runs. Probability: that a run "
        f"beats one of {name}'s, with ties counted as half, averaged over workloads (Agarwal et "
        "al. 2021). 95 % intervals are by a bootstrap of pairs within workloads, widened for "
        "few seeds and, as in the comparisons, for overlapping splits; they apply to these "
        "workloads. Better, worse and undecided count the comparisons on individual workloads. "
        "A diverged training counts as having no correct answer. "
        + "If every run diverged, the cost of an epoch is not known: at equal evaluations or "
        "time such a workload enters no other column. "
        * bool(lost.any())
        + "Ahead and behind are significant at a false-discovery rate of 5 %; undecided does "
        "not mean equal.",
        shown,
    )


def _family(found: pd.DataFrame) -> pd.DataFrame:
    """The columns that tell rows over workloads apart."""
    shown = pd.DataFrame({"method": found["spec"]})
    if found["role"].nunique() > 1:
        shown["settings"] = found["role"].map({"chosen": "chosen", "run": "as listed"})
    if found["baseline"].nunique() > 1:
        shown["against"] = found["baseline"]
    return shown.assign(**{"at equal": found["cost"]})


def _percent(center: float, low: float, high: float) -> str:
    if np.isnan(center):
        return "-"
    ends = f" [{100 * low:.1f}, {100 * high:.1f}]" if np.isfinite(high - low) else " (no interval)"
    return f"{100 * center:.1f}{ends}"


def _ranked(found: pd.DataFrame) -> Summary:
    shown = _family(found)
    shown["mean rank"] = found["mean_rank"].map("{:.2f}".format)
    shown["of"] = found["methods"]
    shown["workloads"] = found["workloads"]
    shown["critical difference"] = found["critical_difference"].map("{:.2f}".format)
    shown["p"] = found["p"].map("{:.2g}".format)
    return Summary(
        "mean_ranks",
        "Mean ranks over workloads",
        "1 is the best. Methods are ranked on every workload by mean test accuracy minus that "
        f"of {baseline_name(found)} at the same cost. Two methods whose mean ranks differ by "
        "less than the critical difference (Nemenyi at 5 %, Demšar 2006) are not distinguished, "
        "which does not show that they are equal. p: Friedman's test that all are equal, by "
        "permutation. Both assume independent workloads. Methods without a comparison on some "
        "workload have no rank.",
        shown,
    )


def _points(center: float, low: float, high: float) -> str:
    """Fractions as percentage points."""
    return f"{100 * center:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def _to_target(found: pd.DataFrame) -> Summary:
    shown = _settings(found)
    shown["target (%)"] = (100 * found["target"]).round(2)
    shown["reached"] = [
        f"{reached} of {runs}"
        for reached, runs in zip(found["reached"], found["runs"], strict=True)
    ]
    if (found["evaluated_every"] > 1).any():
        shown["evaluated every"] = found["evaluated_every"]
    for column, title in REACHED.items():
        if found[column].notna().any():
            ranges = found[[column, f"{column}_low", f"{column}_high"]].itertuples(index=False)
            shown[title] = [_range(*row) for row in ranges]
    return Summary(
        "time_to_target",
        "Time to a target accuracy",
        f"The target is the lowest final validation accuracy of {baseline_name(found)}'s "
        "shortest training over its seeds. Median over seeds of the first epoch that reaches "
        "it, and its cost; in brackets the range over seeds. A run that never reaches it counts "
        "as longer than all others. If not every epoch was evaluated, only evaluated epochs "
        "count. Times are step times, one run at a time.",
        shown,
    )


REACHED = {
    "epochs_to_target": "epochs to it",
    "evaluations_to_target": "gradient evaluations to it",
    "time_to_target_s": "time to it (s)",
}


def _range(center: float, low: float, high: float) -> str:
    if np.isnan(center):
        return "-"
    if not np.isfinite(center):
        return "never" if not np.isfinite(low) else f"never [{low:.3g}, never]"
    return f"{center:.3g} [{low:.3g}, {f'{high:.3g}' if np.isfinite(high) else 'never'}]"


def _step_times(timed: pd.DataFrame) -> Summary:
    shown = timed[["model", "dataset", "batch_size", "dtype", *_optimizer(timed), "method"]].copy()
    shown["method"] += timed["control"].map({True: " (control)", False: ""})
    shown["step (ms)"] = timed["time_ms"].map("{:.3g}".format)
    baseline = baseline_name(timed)
    shown[f"over {baseline}'s"] = [
        f"{center:.3f} [{low:.3f}, {high:.3f}]"
        for center, low, high in timed[
            ["time_ratio", "time_ratio_low", "time_ratio_high"]
        ].itertuples(index=False)
    ]
    shown["processes"] = timed["replicates"]
    return Summary(
        "step_times",
        "Step times of this run",
        "One run at a time, in rounds that time every method once, in freshly started "
        f"processes; with 95 % intervals over processes. The control is {baseline} timed a "
        "second time: its true ratio is 1. Comparisons at equal time are based on these times.",
        shown,
    )


def _candidates(selected: pd.DataFrame) -> Summary:
    workload = ["model", "dataset", "batch_size", *_optimizer(selected)]
    shown = selected[[*workload, "spec", *CHOSEN_BY]].copy()
    shown["validation accuracy (%)"] = (100 * selected["validation_accuracy"]).round(2)
    shown["validation loss"] = selected["validation_loss"].round(4)
    for key in ("runs", "diverged", "failed"):
        shown[key] = selected[key]
    if selected["test_accuracy"].notna().any():
        shown["test accuracy (%)"] = (100 * selected["test_accuracy"]).round(2)
    shown["chosen"] = selected["chosen"].map({True: "yes", False: ""})
    alike = [key for key in CHOSEN_BY if selected[key].nunique() <= 1 and key != "learning_rate"]
    read = "The test part was not read for these runs."
    if "test accuracy (%)" in shown:
        read = "The test part was read at the end of these runs, and did not influence the choice."
    judges = {*selected[JUDGED_BY]}
    judge = "loss" if judges == {"loss"} else "accuracy"
    return Summary(
        "selection",
        "Chosen settings",
        f"All settings tried, trained with separate seeds and judged by the mean {judge} on the "
        f"validation part after the last epoch{', for bytes by the loss' * (len(judges) > 1)}; "
        f"settings with fewer diverged runs are preferred. {read}",
        shown.drop(columns=alike),
    )


def _budgets(found: pd.DataFrame) -> Summary:
    """A row a comparison, a column a number of trials."""
    keys = [key for key in TUNED if key in ("model", "dataset") or found[key].nunique() > 1]
    keys += ["method", "cost"]
    if (found["cost"] != "epochs").any():
        keys.append("baseline_epochs")
    rows = []
    for values, own in found.groupby(keys, sort=False, dropna=False):
        row: dict[str, Any] = dict(zip(keys, values, strict=True))
        for entry in own.to_dict("records"):
            center, low, high = (100 * entry[key] for key in ("difference", "low", "high"))
            star = "" if entry["said"] == NOTHING else "*"
            title = f"{entry['trials']} trial{'s' * (entry['trials'] > 1)}"
            row[title] = f"{center:+.1f}{star} [{low:+.1f}, {high:+.1f}]"
        rows.append(row)
    baseline = baseline_name(found)
    titles = {"cost": "at equal", "baseline_epochs": f"{baseline}'s epochs"}
    table = pd.DataFrame(rows)
    heads, alike = _told_apart(table[[*keys[: keys.index("cost")]]], "method")
    shown = heads.join(table.drop(columns=keys[: keys.index("cost")]))
    return Summary(
        "tuning_budgets",
        f"Comparison with {baseline} by number of trials",
        f"{alike}Expected test accuracy minus {baseline}'s, in points, if each had been tuned "
        "with this number of trials: the best by validation, averaged over all orders of the "
        "available trials, with the 95 % bootstrap interval over the trials of both. Marked * "
        "if the interval excludes 0; otherwise nothing can be said. The intervals are not "
        "corrected for the number of rows, and cover only the trials' own trainings, not the "
        "seeds of the final runs.",
        shown.rename(columns=titles),
    )


TUNED = (*columns.WORKLOAD, *OF_TUNING)


def _over_seeds(table: pd.DataFrame, against: pd.DataFrame) -> Summary:
    """A row for every method on every workload, with its comparison at equal epochs."""
    alike = against[(against["cost"] == "epochs") & (against["seeds"] > 0)]
    differences = {setting_key(row): row for row in alike.to_dict("records")}
    rows = []
    kept, baseline = list(_settings(table)), baseline_name(table)
    difference = f"minus {baseline} (points)"
    for key, group in table.groupby(GROUP, sort=False, dropna=False):
        done = group[group["status"] == "ok"]
        row: dict[str, Any] = dict(zip(GROUP, key, strict=True))
        row["test accuracy (%)"] = _mean(100 * done["test_accuracy"], "{:.2f}")
        row[difference] = "-"
        if found := differences.get(setting_key(row)):
            row[difference] = _points(*(found[end] for end in ("difference", "low", "high")))
        row["accuracy gap (points)"] = _mean(100 * done["gap_accuracy"], "{:.2f}")
        row["test loss"] = _mean(done["test_loss"], "{:.3f}")
        if done["test_bits_per_byte"].notna().any():
            row["test loss (bits per byte)"] = _mean(done["test_bits_per_byte"], "{:.4f}")
        row["loss gap"] = _mean(done["gap_loss"], "{:.3f}")
        row["‖∇L‖"] = _mean(done["gradient_norm"], "{:.2g}")
        if done["largest_eigenvalue"].notna().any():
            row["largest eigenvalue"] = _mean(done["largest_eigenvalue"].dropna(), "{:.3g}")
            row["Hessian trace"] = _mean(done["trace"].dropna(), "{:.3g}")
        row["training (s)"] = _mean(done["training_s"], "{:.1f}")
        row["seeds"] = len(done)
        row["diverged"] = int((group["status"] == "diverged").sum())
        row["failed"] = len(group) - len(done) - row["diverged"]
        rows.append(row)
    return Summary(
        "generalization",
        "Generalization",
        f"At equal epochs; mean ± standard deviation over seeds. Minus {baseline}: mean "
        "difference at the same seed and split, with its 95 % interval, explained at the next "
        "table. Accuracy gap: train minus test; loss gap: test minus train. ‖∇L‖ is the "
        "gradient norm on the whole training part at the end. Diverged and failed runs are "
        "counted but excluded from means. With label noise, train results use the noisy labels, "
        "and gaps can be negative.",
        pd.DataFrame(rows).drop(columns=[key for key in GROUP if key not in kept]),
        (*SHOWN, "spec", "test accuracy (%)", difference, "accuracy gap (points)", "seeds"),
    )


def _mean(values: pd.Series, number: str) -> str:
    if not len(values):
        return "-"
    text = number.format(values.mean())
    return f"{text} ± {number.format(values.std())}" if len(values) > 1 else text


BUILDERS: dict[str, Builder] = {
    "comparison": _against_baseline,
    "bits_comparison": partial(_against_baseline, in_bits=True),
    "aggregates": _over_workloads,
    "mean_ranks": _ranked,
    "time_to_target": _to_target,
    "selection": _candidates,
    "tuning_budgets": _budgets,
    "step_times": _step_times,
}
LISTED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    **dict.fromkeys(
        ("generalization", "comparison", "bits_comparison", "time_to_target"), with_few_settings
    ),
    **dict.fromkeys(("aggregates", "mean_ranks"), few),
}
"""Those that leave out workloads with many settings, and what they leave."""
