"""The generalization figures: results by seed, accuracy against cost, what a target takes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gr_bench import stats
from gr_bench.experiments import style
from gr_bench.experiments.chart import Chart
from gr_bench.experiments.facets import (
    Panel,
    beside,
    draw_panels,
    figure,
    method_rows,
    quantities,
)
from gr_bench.experiments.generalization.analysis import aggregate_figures
from gr_bench.experiments.generalization.analysis.curve_figures import (
    training_curves,
    tuning_curves,
)
from gr_bench.experiments.generalization.analysis.figure_tables import (
    WORKLOAD,
    in_percent,
    side_by_side,
    without_longer_runs,
)
from gr_bench.experiments.generalization.analysis.plane import gamma_epsilon_plane, has_plane
from gr_bench.experiments.generalization.analysis.tables import baseline_name, with_few_settings

BITS = "test_bits_per_byte"
RESULTS = {
    "test_accuracy": "test accuracy (%)",
    BITS: "test loss (bits per byte)",
    "gap_accuracy": "accuracy gap (points)",
    "gap_loss": "loss gap (nats)",
}
BOUNDS = {"test_accuracy": (0.0, 100.0), BITS: (0.0, np.inf), "gap_accuracy": (-100.0, 100.0)}
"""The range of a quantity: an interval that goes further is cut off there."""

COSTS = {"gradient_evaluations": "gradient evaluations", "seconds": "time of one run (s)"}
NEAR = 0.03
"""A part of the axis: markers that are nearer to each other stand side by side."""

ROW = 2.2
"""The height of a method's row, in lines."""


def charts(tables: dict[str, pd.DataFrame]) -> Iterator[Chart]:
    """Results by seed, curves, accuracy against cost, as far as there are any.

    Args:
        tables: those of the experiment.
    """
    style.set_methods(tables["generalization"]["spec"])
    names = ("generalization", "training_curves", "time_to_target")
    every, curves, to_target = (side_by_side(tables[name]) for name in names)
    table, curves = with_few_settings(every), with_few_settings(curves)
    done = table[table["status"] == "ok"]
    with_results = table[table["model"].isin(done["model"])]
    if len(with_results):
        yield Chart(test_accuracy_and_gap, with_results, each="model", **RESULTS_TOLD)
    planes = [part for _, part in every.groupby("model", sort=False) if has_plane(part)]
    if planes:
        yield Chart(gamma_epsilon_plane, pd.concat(planes), each="model", **PLANE_TOLD)
    if len(curves):
        yield Chart(training_curves, curves, each="model", **CURVES_TOLD)
    if len(done):
        yield Chart(accuracy_against_cost, done, each="model", **COST_TOLD)
    targets = with_few_settings(to_target)
    if len(targets):
        yield Chart(time_to_target, targets, each="model", **TARGET_TOLD)
    yield from aggregate_figures.charts(tables)
    tuned = tables.get("tuning_curves", every[:0])  # older runs' files have none
    if len(tuned):
        yield Chart(tuning_curves, tuned, each="model", **TUNING_TOLD)


RESULTS_TOLD: dict[str, Any] = {
    "title": "Test accuracy and generalization gap",
    "caption": lambda part: (
        "Small dots: one training each (a seed). Large dots: their mean with the 95 % interval "
        "over seeds, hollow if a single seed gives no interval, and with an arrow if it is cut "
        "off at 100 % accuracy. Accuracy gap is train minus test, loss gap test minus train. "
        "Seeds that diverged or failed are counted at the right as lost. For settings marked "
        "`as chosen`, see the table of chosen settings."
        + " Bits per byte are the test loss divided by ln 2, for data in bytes."
        * _has_bits(part)
    ),
}
PLANE_TOLD: dict[str, Any] = {
    "title": "The (γ, ε) plane",
    "caption": "Means over the seeds whose run completed; the others are counted in the cell as "
    "lost, and a cell without a completed run is hatched. Framed in red: γ = ε, "
    "where F-GR is SAM without its normalisation. DB-GR is the limit ε -> 0; SGD (γ "
    "= 0) is shown below. Each quantity and workload has one colour scale. For all "
    "numbers, see tables/generalization.csv.",
}
CURVES_TOLD: dict[str, Any] = {
    "title": "Training curves",
    "caption": "Mean over seeds at the end of every evaluated epoch; the band is their range. "
    "Diverged runs enter the mean up to their last such epoch.",
}
COST_TOLD: dict[str, Any] = {
    "title": "Test accuracy against cost",
    "caption": "Mean over seeds, with the 95 % interval of the accuracy. Methods of equal cost "
    "are drawn side by side. A gradient evaluation is one forward and one backward "
    "pass on a mini-batch: one per step for SGD, two for SAM, F-GR and B-GR; double "
    "backpropagation counts as three. Seconds are the number of steps times the step "
    "time of one run, if steps were timed. A line joins runs of different length; "
    "the grey staircase is the Pareto front, the best mean at each cost.",
}
TARGET_TOLD: dict[str, Any] = {
    "title": "Time to a target accuracy",
    "caption": lambda part: (
        "Median over seeds of the cost up to the first epoch that reaches the target on the "
        f"validation part, the lowest final value of {baseline_name(part)}'s shortest training; "
        "the line is the range over seeds. An arrow means that some seed never reaches it; the "
        "number of those that do is given at the right."
    ),
}
TUNING_TOLD: dict[str, Any] = {
    "title": "Test accuracy against trials",
    "caption": "Expected test accuracy of the best of this number of trials, chosen on the "
    "validation part, averaged over all orders of the available trials; the band is "
    "its 95 % bootstrap interval over trials, which is too narrow at the right end, "
    "where no trials are left to draw. Every method has the same number of trials. A "
    "diverged trial counts as predicting nothing correctly, and is chosen last.",
}


def _has_bits(table: pd.DataFrame) -> bool:
    return bool(table[BITS].notna().any())


@figure
def test_accuracy_and_gap(
    table: pd.DataFrame, ax: Axes | None = None, *, quantity: str | None = None
) -> Axes | Figure:
    """Test accuracy and generalization gap of every seed, their means and 95 % intervals.

    Args:
        table: ``generalization`` of a run; a row a method, a line of panels a workload, a panel a
            quantity.
        ax: where to draw a single panel.
        quantity: one of ``test_accuracy``, ``gap_accuracy``, ``gap_loss``, and of data in bytes
            ``test_bits_per_byte``; by default all.
    """
    table = in_percent(side_by_side(table))
    done = without_longer_runs(table[table["status"] == "ok"])
    lengths = done[["model", "epochs"]].drop_duplicates()
    table = table.merge(lengths, on=["model", "epochs"])
    known = {key: title for key, title in RESULTS.items() if key != BITS or _has_bits(table)}
    shown = quantities(known, quantity)
    names = style.short(table["spec"])
    groups = list(style.workloads(table, *WORKLOAD))
    panels = [
        Panel(title, partial(_results, part=part, column=column, names=names), ROW * len(names))
        for title, part in groups
        for column in shown
    ]
    lost = (table["status"] != "ok").any()
    for at in range(len(shown) - 1, len(panels), len(shown)):
        _, part = groups[at // len(shown)]
        own = panels[at]
        draw = partial(_with_lost, draw=own.draw, part=part, specs=list(names))
        panels[at] = Panel(own.title, draw, own.lines)
    return draw_panels(
        panels,
        ax,
        labels=names.values(),
        each=len(shown),
        gutter="0 of 0 lost" if lost else "",
    )


def _results(ax: Axes, part: pd.DataFrame, column: str, names: dict[str, str]) -> None:
    """Every seed above, and below the mean with its interval."""
    shapes = style.markers(names)
    low, high = BOUNDS.get(column, (-np.inf, np.inf))
    if column == BITS and not _has_bits(part):
        ax.text(0.5, 0.5, "not in bytes", transform=ax.transAxes, ha="center", va="center")
        ax.set_xticks([])
    size = mpl.rcParams["lines.markersize"]
    for y, spec in enumerate(names):
        of_spec = part[(part["spec"] == spec) & (part["status"] == "ok")]
        values = of_spec[column].dropna().astype(float)
        if not len(values):
            continue
        color = style.color(spec)
        shift = np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.zeros(1)
        ax.plot(values, y + shift + 0.2, ".", color=color, alpha=0.6, markersize=0.8 * size)
        mean = stats.t_interval(values)
        known = np.isfinite(mean.half_width)
        if known:
            _cut_interval(ax, y - 0.2, mean.center, mean.half_width, (low, high), color)
        ax.plot(
            mean.center,
            y - 0.2,
            shapes[spec],
            color=color,
            markersize=0.85 * size,
            markerfacecolor=None if known else "white",
        )
    method_rows(ax, list(names.values()))
    ax.set_xlabel(RESULTS[column])


def _cut_interval(
    ax: Axes, y: float, center: float, half: float, bounds: tuple[float, float], color: str
) -> None:
    """An interval as far as the quantity can go; an arrow where it would go on."""
    ends = (max(center - half, bounds[0]), min(center + half, bounds[1]))
    ax.plot(ends, [y, y], color=color, linewidth=1.2)
    cut = (center - half < bounds[0], center + half > bounds[1])
    for end, is_cut, arrow in zip(ends, cut, ("<", ">"), strict=True):
        size = 5 if is_cut else 6
        ax.plot(end, y, arrow if is_cut else "|", color=color, markersize=size, clip_on=False)


def _with_lost(ax: Axes, draw: Any, part: pd.DataFrame, specs: list[str]) -> None:
    """A panel with, beside each row, how many seeds came to nothing."""
    draw(ax)
    for y, spec in enumerate(specs):
        ended = part.loc[part["spec"] == spec, "status"]
        lost = int((ended != "ok").sum())
        if lost:
            beside(ax, y, f"{lost} of {len(ended)} lost")


@figure
def accuracy_against_cost(
    table: pd.DataFrame, ax: Axes | None = None, *, quantity: str | None = None
) -> Axes | Figure:
    """Mean test accuracy with 95 % intervals against what the training cost.

    Args:
        table: ``generalization`` of a run; a marker a method, a line of panels a workload, a panel
            a cost.
        ax: where to draw a single panel.
        quantity: the cost, ``gradient_evaluations`` or, where steps were timed, ``seconds``; by
            default both.
    """
    table = in_percent(side_by_side(table[table["status"] == "ok"]))
    # training for longer is a cost and not another workload
    table = table.rename(columns={"epochs": "length"})
    table["seconds"] = table["steps"] * table["step_time_ms"] / 1e3
    shown = quantities({k: t for k, t in COSTS.items() if table[k].notna().any()}, quantity)
    specs = style.in_order(table["spec"])
    panels = [
        Panel(title, partial(_accuracies, part=part, cost=cost, specs=specs), 16.0)
        for title, part in style.workloads(table, *WORKLOAD)
        for cost in shown
    ]
    return draw_panels(panels, ax, each=len(shown), legend=style.marker_handles(specs))


def _accuracies(ax: Axes, part: pd.DataFrame, cost: str, specs: list[str]) -> None:
    shapes = style.markers(specs)
    rows = []
    ax.set(xlabel=COSTS[cost], ylabel="test accuracy (%)")
    if part[cost].isna().all():
        ax.text(0.5, 0.5, "not timed", transform=ax.transAxes, ha="center", va="center")
        ax.set(xticks=[], yticks=[])
        return
    for spec in specs:
        for _, own in part[part["spec"] == spec].groupby("length"):
            mean = stats.t_interval(own["test_accuracy"])
            rows.append((spec, own[cost].mean(), mean.center, mean.half_width))
    points = pd.DataFrame(rows, columns=["spec", "cost", "accuracy", "half"]).dropna(
        subset=["cost"]
    )
    points["x"] = _side_by_side_places(points["cost"].to_numpy(float))
    size = 0.9 * mpl.rcParams["lines.markersize"]
    for spec in points["spec"].unique():
        own = points[points["spec"] == spec]
        color = style.color(spec)
        if len(own) > 1:
            ax.plot(own["x"], own["accuracy"], color=color, linewidth=1)
        known = np.isfinite(own["half"])
        for row in own[known].to_dict("records"):
            ends = [row["accuracy"] - row["half"], min(row["accuracy"] + row["half"], 100.0)]
            ax.plot([row["x"]] * 2, ends, color=color, linewidth=1.2)
        for is_known, face in ((True, None), (False, "white")):
            some = own[known == is_known]
            ax.plot(
                some["x"],
                some["accuracy"],
                shapes[spec],
                color=color,
                markersize=size,
                markerfacecolor=face,
            )
    front = points.sort_values(["cost", "accuracy"])
    ax.plot(
        front["cost"],
        front["accuracy"].cummax(),
        color="0.6",
        drawstyle="steps-post",
        linewidth=1,
        zorder=0,
    )
    ax.set_xlim(0, (1 + 2 * NEAR) * points["x"].max())


def _side_by_side_places(costs: np.ndarray) -> np.ndarray:
    """Costs, those that are nearly equal moved so far apart that their markers can be told."""
    gap = NEAR * costs.max(initial=0.0)
    places = costs.copy()
    order = np.argsort(costs, kind="stable")
    clusters = np.split(order, np.flatnonzero(np.diff(costs[order]) > gap) + 1)
    for own in clusters:
        if len(own) > 1:
            shift = gap * (np.arange(len(own)) - (len(own) - 1) / 2)
            places[own] = costs[own].mean() + shift
    return places


@figure
def time_to_target(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """The cost until a target accuracy is reached: median and range over seeds.

    Args:
        table: ``time_to_target`` of a run; a panel a workload, a row a method. The cost is the time
            of one run where steps were timed, otherwise gradient evaluations.
        ax: where to draw a single panel.
    """
    table = without_longer_runs(side_by_side(table))
    names = style.short(table["spec"])
    panels = [
        Panel(
            f"{title}{style.SEPARATOR}to {100 * part['target'].iloc[0]:.4g}\N{NO-BREAK SPACE}%",
            partial(_targets, part=part, names=names),
            1.8 * len(names),
        )
        for title, part in style.workloads(table, *WORKLOAD)
    ]
    missed = (table["reached"] < table["runs"]).any()
    return draw_panels(panels, ax, labels=names.values(), gutter=" none of 00" if missed else "")


def _targets(ax: Axes, part: pd.DataFrame, names: dict[str, str]) -> None:
    timed = bool(part["time_to_target_s"].notna().any())
    column = "time_to_target_s" if timed else "evaluations_to_target"
    ends = part[[f"{column}{end}" for end in ("_low", "", "_high")]].to_numpy(float)
    most = np.max(ends[np.isfinite(ends)], initial=0.0) or 1.0
    right = 1.1 * most
    for y, spec in enumerate(names):
        for row in part[part["spec"] == spec].to_dict("records"):
            _reached(ax, y, style.color(spec), row, column, right)
    method_rows(ax, list(names.values()))
    ax.set_xlim(0, right)
    ax.set_xlabel(COSTS["seconds" if timed else "gradient_evaluations"])


def _reached(
    ax: Axes, y: int, color: str, row: dict[Hashable, Any], column: str, right: float
) -> None:
    """Median and range, and an arrow to the right end where some seed never gets there."""
    low, center, high = row[f"{column}_low"], row[column], row[f"{column}_high"]
    size = mpl.rcParams["lines.markersize"]
    if row["reached"] < row["runs"]:
        beside(ax, y, f"{row['reached'] or 'none'} of {row['runs']}")
        high = right
    if not np.isfinite(low):
        return
    ax.plot([low, high], [y, y], color=color, linewidth=1.5)
    if row["reached"] < row["runs"]:
        ax.plot(right, y, ">", color=color, markersize=0.8 * size, clip_on=False)
    if np.isfinite(center):
        ax.plot(center, y, "o", color=color, markersize=size)
    else:
        ax.plot(low, y, "|", color=color, markersize=size)
