"""Curves of test accuracy against the number of trials."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gr_bench.experiments import style


def tuning_curves(table: pd.DataFrame, workload: tuple[str, ...]) -> Figure:
    """A panel a workload, a curve a method with its interval as a band.

    Args:
        table: of that name, of one model.
        workload: columns that tell panels apart.
    """
    groups = list(style.workloads(table, *workload))
    specs = style.in_order(table["spec"])
    shapes = style.markers(specs)
    figure, axes = style.panels(len(groups))
    for place, (ax, (title, part)) in enumerate(zip(axes, groups, strict=True)):
        for spec in specs:
            own = part[part["spec"] == spec].sort_values("trials")
            color = style.color(spec)
            ax.plot(
                own["trials"],
                100 * own["test_accuracy"],
                color=color,
                marker=shapes[spec],
                markersize=3,
                linewidth=1.2,
            )
            low, high = 100 * own["low"], 100 * own["high"]
            ax.fill_between(own["trials"], low, high, color=color, alpha=0.12, linewidth=0)
        # the curves fill the panel; a band of few trials may be many times as wide
        least, most = (100 * value for value in (part["test_accuracy"].min(), part["high"].max()))
        most = max(most, 100 * part["test_accuracy"].max()) if np.isfinite(most) else 100.0
        ax.set_ylim(least - 0.3 * (most - least) - 0.1, most + 0.05 * (most - least) + 0.1)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(xlabel="trials", ylabel="" if place else "test accuracy (%)")
        ax.set_title(style.wrapped(title))
    style.method_legend(figure, specs)
    return figure
