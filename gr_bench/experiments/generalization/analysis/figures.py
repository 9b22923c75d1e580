"""The generalization figures."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gr_bench import stats
from gr_bench.experiments import style
from gr_bench.experiments.experiment import Picture
from gr_bench.experiments.generalization.analysis import aggregate_figures
from gr_bench.experiments.generalization.analysis.plane import has_plane, plane
from gr_bench.experiments.generalization.analysis.tables import (
    baseline_name,
    of_baseline,
    with_few_settings,
    without_choices,
)
from gr_bench.experiments.generalization.analysis.tuning_figures import tuning_curves

WORKLOAD = ("dataset", "batch_size", "learning_rate")
"""The columns that tell the panels of one model's figure apart."""

CURVES = {
    "train_loss": "train loss (nats)",
    "validation_loss": "validation loss (nats)",
    "validation_accuracy": "validation accuracy (%)",
    "gradient_norm": "‖∇L‖ on the training part",
}
BITS = "test_bits_per_byte"
RESULTS = {
    "test_accuracy": "test accuracy (%)",
    BITS: "test loss (bits per byte)",
    "gap_accuracy": "accuracy gap (points)",
    "gap_loss": "loss gap (nats)",
}
PERCENT = ("validation_accuracy", "test_accuracy", "gap_accuracy")


def pictures(tables: dict[str, pd.DataFrame]) -> Iterator[Picture]:
    """Results by seed, curves, accuracy against cost, as far as there are any.

    Args:
        tables: those of the experiment.
    """
    style.set_look(tables["generalization"]["spec"])
    names = ("generalization", "training_curves", "time_to_target")
    table, curves, to_target = (_side_by_side(tables[name]) for name in names)
    every, table, curves = table, with_few_settings(table), with_few_settings(curves)
    done = table[table["status"] == "ok"]
    for model, part in without_longer_runs(done).groupby("model", sort=False):
        yield Picture(
            f"test_accuracy_and_gap_{style.slug(model)}",
            f"Test accuracy and generalization gap: {model}",
            "Small dots: one training each (a seed). Large dots: their mean with the 95 % interval "
            "over seeds. Accuracy gap is train minus test, loss gap test minus train. "
            "Methods that diverged or failed in every seed have no dot. Where it says `as chosen`, "
            "the table of what was chosen has the numbers."
            + " Bits per byte are the test loss over ln 2, of data in bytes."
            * _has_bits(part),
            _results(part),
        )
    for model, part in every.groupby("model", sort=False):
        if has_plane(part):
            yield Picture(
                f"gamma_epsilon_plane_{style.slug(model)}",
                f"The (γ, ε) plane: {model}",
                "Means over the seeds whose run ended; the others are counted in the cell as lost, "
                "and a cell of which none ended is hatched. Framed in red: γ = ε, where F-GR is "
                "SAM without its normalisation. DB-GR is the limit ε -> 0; SGD (γ = 0) stands in "
                "the title. One colour scale for a quantity and workload. All numbers: "
                "tables/generalization.csv.",
                plane(part, WORKLOAD),
            )
    for model, part in without_longer_runs(curves).groupby("model", sort=False):
        yield Picture(
            f"training_curves_{style.slug(model)}",
            f"Training curves: {model}",
            "Mean over seeds at the end of every evaluated epoch; the band is their range. "
            "Runs that diverged are in the mean up to their last such epoch.",
            _curves(part),
        )
    for model, part in done.groupby("model", sort=False):
        yield Picture(
            f"accuracy_against_cost_{style.slug(model)}",
            f"Test accuracy against cost: {model}",
            "Mean over seeds, with the 95 % interval of the accuracy. A gradient evaluation is one "
            "forward and one backward pass on a mini-batch: one a step for SGD, two for SAM, F-GR "
            "and B-GR; double backpropagation counts as three. Seconds are steps times the step "
            "time of one run, where steps were timed. A line joins runs of different length; the "
            "grey steps are the front, the best mean that a cost can buy.",
            _against_cost(part),
        )
    targets = without_longer_runs(with_few_settings(to_target))
    for model, part in targets.groupby("model", sort=False):
        yield Picture(
            f"time_to_target_{style.slug(model)}",
            f"Time to a target accuracy: {model}",
            "Median over seeds of what it takes to the first epoch that ends with the target on "
            f"the validation part, which is the least that {baseline_name(part)}'s shortest "
            "training ended with; the line is the range over seeds, with an arrow where some seed "
            "never gets there.",
            _to_target(part),
        )
    yield from aggregate_figures.pictures(tables)

    tuned = tables.get("tuning_curves", every[:0])  # older runs' files have none
    for model, part in without_longer_runs(tuned).groupby("model", sort=False):
        yield Picture(
            f"tuning_curves_{style.slug(model)}",
            f"Test accuracy against trials: {model}",
            "Expected test accuracy of the best of so many trials, chosen on the validation part, "
            "over all orders of the trials there are; the band is its 95 % interval by bootstrap "
            "over trials, which is too narrow at the right end, where no more trials are left to "
            "draw. Every method has the same number. A trial that diverged predicts nothing right, "
            "and is chosen last.",
            tuning_curves(part, ("dataset", "batch_size")),
        )


def _side_by_side(table: pd.DataFrame) -> pd.DataFrame:
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


def _in_percent(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{c: 100 * table[c].astype(float) for c in PERCENT if c in table})


def _has_bits(table: pd.DataFrame) -> bool:
    return bool(table[BITS].notna().any())


def _results(table: pd.DataFrame) -> Figure:
    shown = {key: title for key, title in RESULTS.items() if key != BITS or _has_bits(table)}
    table = _in_percent(table)
    groups = list(style.workloads(table, *WORKLOAD))
    specs = style.in_order(table["spec"])
    names, shapes = style.short(specs), style.markers(specs)
    figure, axes = style.panels(len(groups), names.values(), rows_each=len(shown))
    for row, (column, title) in enumerate(shown.items()):
        for place, (workload, part) in enumerate(groups):
            ax = axes[row * len(groups) + place]
            if column == BITS and not _has_bits(part):
                ax.text(0.5, 0.5, "not in bytes", transform=ax.transAxes, ha="center", va="center")
                ax.set_xticks([])
            for y, spec in enumerate(specs):
                values = part.loc[part["spec"] == spec, column].dropna().astype(float)
                if not len(values):
                    continue
                shift = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else [0.0]
                ax.plot(
                    values, y + np.asarray(shift) + 0.15, ".", color=style.color(spec), alpha=0.6
                )
                mean = stats.t_interval(values)
                half = mean.half_width if np.isfinite(mean.half_width) else 0.0
                ax.errorbar(
                    mean.center,
                    y - 0.15,
                    xerr=half,
                    color=style.color(spec),
                    marker=shapes[spec],
                    capsize=2,
                )
            printed = [names[spec] if place == 0 else "" for spec in specs]
            ax.set_yticks(range(len(specs)), printed)
            ax.set_ylim(len(specs) - 0.4, -0.6)
            ax.grid(axis="y", visible=False)
            ax.set_xlabel(title)
            if row == 0:
                ax.set_title(style.wrapped(workload))
    return figure


def _curves(curves: pd.DataFrame) -> Figure:
    curves = _in_percent(curves)
    groups = list(style.workloads(curves, *WORKLOAD))
    specs = style.in_order(curves["spec"])
    figure, axes = style.panels(len(groups), rows_each=len(CURVES))
    for row, (column, title) in enumerate(CURVES.items()):
        for place, (workload, part) in enumerate(groups):
            ax = axes[row * len(groups) + place]
            sns.lineplot(
                part,
                x="epoch",
                y=column,
                hue="spec",
                hue_order=specs,
                style="spec",
                style_order=specs,
                palette={spec: style.color(spec) for spec in specs},
                errorbar=("pi", 100),
                err_kws={"alpha": 0.12, "linewidth": 0},
                linewidth=1.2,
                marker="o" if part["epoch"].nunique() == 1 else "",  # no line has one point
                legend=False,
                ax=ax,
            )
            ax.set(xlabel="epoch" if row == len(CURVES) - 1 else "", ylabel="" if place else title)
            if column != "validation_accuracy":
                ax.set_yscale("log")
            if row == 0:
                ax.set_title(style.wrapped(workload))
    style.method_legend(figure, specs)
    return figure


def _against_cost(table: pd.DataFrame) -> Figure:
    # training for longer is a cost and not another workload
    table = _in_percent(table).rename(columns={"epochs": "length"})
    table["seconds"] = table["steps"] * table["step_time_ms"] / 1e3
    costs = {"gradient_evaluations": "gradient evaluations", "seconds": "time, one run (s)"}
    costs = {column: title for column, title in costs.items() if table[column].notna().any()}
    groups = list(style.workloads(table, *WORKLOAD))
    specs = style.in_order(table["spec"])
    figure, axes = style.panels(len(groups), rows_each=len(costs))
    for row, (cost, title) in enumerate(costs.items()):
        for place, (workload, part) in enumerate(groups):
            ax = axes[row * len(groups) + place]
            _accuracies(ax, part, cost, specs)
            ax.set(xlabel=title, ylabel="" if place else "test accuracy (%)")
            ax.set_xlim(left=0)
            if row == 0:
                ax.set_title(style.wrapped(workload))
    style.method_legend(figure, specs)
    return figure


def _accuracies(ax: Axes, part: pd.DataFrame, cost: str, specs: list[str]) -> None:
    shapes = style.markers(specs)
    every = []
    for spec in specs:
        points = []
        for _, own in part[part["spec"] == spec].groupby("length"):
            mean = stats.t_interval(own["test_accuracy"])
            points.append((own[cost].mean(), mean.center))
            ax.errorbar(
                *points[-1],
                yerr=mean.half_width if np.isfinite(mean.half_width) else 0.0,
                color=style.color(spec),
                marker=shapes[spec],
                capsize=2,
            )
        if len(points) > 1:
            ax.plot(*zip(*points, strict=True), color=style.color(spec), linewidth=1)
        every += points
    front = pd.DataFrame(sorted(every), columns=["cost", "accuracy"])
    ax.plot(
        front["cost"],
        front["accuracy"].cummax(),
        color="0.6",
        drawstyle="steps-post",
        linewidth=1,
        zorder=0,
    )


def _to_target(table: pd.DataFrame) -> Figure:
    timed = table["time_to_target_s"].notna().any()
    column = "time_to_target_s" if timed else "evaluations_to_target"
    groups = list(style.workloads(table, *WORKLOAD))
    specs = style.in_order(table["spec"])
    printed = style.short(specs)
    figure, axes = style.panels(len(groups), printed.values())
    for ax, (workload, part) in zip(axes, groups, strict=True):
        for y, spec in enumerate(specs):
            for row in part[part["spec"] == spec].to_dict("records"):
                _reached(ax, y, spec, row, column)
        ax.set_yticks(range(len(specs)), printed.values())
        ax.set_ylim(len(specs) - 0.4, -0.6)
        ax.grid(axis="y", visible=False)
        ax.set_xlim(left=0)
        ax.set_title(f"{style.wrapped(workload)}\nto {100 * part['target'].iloc[0]:.4g} %")
        ax.set_xlabel("time, one run (s)" if timed else "gradient evaluations")
    return figure


def _reached(ax: Axes, y: int, spec: str, row: dict[Hashable, Any], column: str) -> None:
    low, center, high = row[f"{column}_low"], row[column], row[f"{column}_high"]
    note = "" if row["reached"] == row["runs"] else f" {row['reached']} of {row['runs']}"
    if not np.isfinite(low):
        ax.text(
            0.02, y, f"never ({row['runs']} runs)", transform=ax.get_yaxis_transform(), va="center"
        )
        return
    last = max(value for value in (low, center, high) if np.isfinite(value))
    ax.plot([low, last], [y, y], color=style.color(spec), linewidth=1.5)
    if np.isfinite(center):
        ax.plot(center, y, "o", color=style.color(spec))
    if note:
        ax.annotate(f"→{note}", (last, y), xytext=(4, 0), textcoords="offset points", va="center")
