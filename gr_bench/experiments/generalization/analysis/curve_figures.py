"""Curves over epochs, and over the number of trials."""

from __future__ import annotations

from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gr_bench.experiments import style
from gr_bench.experiments.facets import Panel, draw_panels, figure, plain_ticks, quantities
from gr_bench.experiments.generalization.analysis.figure_tables import (
    WORKLOAD,
    in_percent,
    side_by_side,
    without_longer_runs,
)

CURVES = {
    "train_loss": "train loss (nats)",
    "validation_loss": "validation loss (nats)",
    "validation_accuracy": "validation accuracy (%)",
    "gradient_norm": "‖∇L‖, training part",
}


@figure
def training_curves(
    table: pd.DataFrame, ax: Axes | None = None, *, quantity: str | None = None
) -> Axes | Figure:
    """Losses, accuracy and gradient norm over epochs: means over seeds and their range.

    Args:
        table: ``training_curves`` of a run; a curve a method, a line of panels a workload, a panel
            a quantity.
        ax: where to draw a single panel.
        quantity: one of ``train_loss``, ``validation_loss``, ``validation_accuracy`` and
            ``gradient_norm``; by default all.
    """
    table = in_percent(without_longer_runs(side_by_side(table)))
    shown = quantities(CURVES, quantity)
    specs = style.in_order(table["spec"])
    panels = [
        Panel(title, partial(_over_epochs, part=part, column=column, specs=specs), 15.0)
        for title, part in style.workloads(table, *WORKLOAD)
        for column in shown
    ]
    return draw_panels(panels, ax, each=len(shown), legend=style.line_handles(specs))


def _over_epochs(ax: Axes, part: pd.DataFrame, column: str, specs: list[str]) -> None:
    sorts = style.dashes(specs)
    values = part[column].astype(float)
    part = part.assign(**{column: values.where(np.isfinite(values))})
    for spec in specs:
        of_spec = part[part["spec"] == spec].groupby("epoch")[column]
        own = of_spec.agg(["mean", "min", "max"]).astype(float)
        color = style.color(spec)
        marker = "o" if len(own) == 1 else ""  # no line has one point
        ax.plot(
            own.index,
            own["mean"],
            marker=marker,
            color=color,
            linestyle=sorts[spec],
            linewidth=1.2,
        )
        ax.fill_between(own.index, own["min"], own["max"], color=color, alpha=0.12, linewidth=0)
    ax.set(xlabel="epoch", ylabel=CURVES[column])
    if column != "validation_accuracy" and (part[column] > 0).any():
        ax.set_yscale("log")
        plain_ticks(ax.yaxis)
    ax.margins(x=0.02)


@figure
def tuning_curves(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """Expected test accuracy of the best of so many trials, with 95 % bands.

    Args:
        table: ``tuning_curves`` of a run; a panel a workload, a curve a method.
        ax: where to draw a single panel.
    """
    table = without_longer_runs(table)
    specs = style.in_order(table["spec"])
    panels = [
        Panel(title, partial(_over_trials, part=part, specs=specs))
        for title, part in style.workloads(table, "model", "dataset", "batch_size")
    ]
    return draw_panels(panels, ax, legend=style.marker_handles(specs))


def _over_trials(ax: Axes, part: pd.DataFrame, specs: list[str]) -> None:
    shapes = style.markers(specs)
    for spec in specs:
        own = part[part["spec"] == spec].sort_values("trials")
        color = style.color(spec)
        ax.plot(
            own["trials"],
            100 * own["test_accuracy"],
            color=color,
            marker=shapes[spec],
            markersize=0.5 * mpl.rcParams["lines.markersize"],
            linewidth=1.2,
        )
        low, high = 100 * own["low"], 100 * own["high"]
        ax.fill_between(own["trials"], low, high, color=color, alpha=0.12, linewidth=0)
    # the curves fill the panel; a band of few trials may be many times as wide
    least, most = (100 * value for value in (part["test_accuracy"].min(), part["high"].max()))
    most = max(most, 100 * part["test_accuracy"].max()) if np.isfinite(most) else 100.0
    ax.set_ylim(least - 0.3 * (most - least) - 0.1, most + 0.05 * (most - least) + 0.1)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="trials", ylabel="test accuracy (%)")
