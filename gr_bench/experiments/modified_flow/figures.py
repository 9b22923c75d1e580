"""The modified-flow figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gr_bench.experiments import style
from gr_bench.experiments.chart import Chart
from gr_bench.experiments.facets import Panel, draw_panels, figure
from gr_bench.experiments.modified_flow.tables import FLOWS

NAMES = {
    "plain": "flow of the loss",
    "modified": "modified flow",
    "full": "penalty of the full gradient",
}


def charts(table: pd.DataFrame) -> Iterator[Chart]:
    """The distance from each flow against the step."""
    style.set_methods(table["spec"])
    if (table["status"] == "ok").any():
        yield Chart(
            modified_flow,
            table,
            "Distance of finite steps from flows",
            "Distance between the end of one epoch and each flow at that time, divided by the "
            "length of the epoch; one line per seed. Both axes are logarithmic: a distance of "
            "order p in the step size is a line of slope p - 1.",
        )


@figure
def modified_flow(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """The distance of an epoch's end from each flow, relative to its length, against the step.

    Args:
        table: ``modified_flow`` of a run; a panel a model and number of mini-batches, a line a flow
            and seed.
        ax: where to draw a single panel.
    """
    done = table[table["status"] == "ok"]
    shades = style.shades([NAMES[flow] for flow in FLOWS])

    def draw(ax: Axes, part: pd.DataFrame, flows: Sequence[str]) -> None:
        for _, line in part.sort_values("step").groupby("seed"):
            for flow in flows:
                ax.plot(
                    line["step"],
                    line[flow],
                    ".-",
                    color=shades[NAMES[flow]],
                    linewidth=0.7,
                    markersize=0.6 * mpl.rcParams["lines.markersize"],
                )
        ax.set(xscale="log", yscale="log", xlabel="m·h·λ", ylabel="relative distance")

    panels = []
    for (model, count), own in done.groupby(["model", "batches"], sort=False):
        batches = int(str(count))
        many = "one batch" if batches == 1 else f"{batches} mini-batches"
        flows = FLOWS if batches > 1 else FLOWS[:2]
        title = f"{model}{style.SEPARATOR}{many}"
        panels.append(Panel(title, partial(draw, part=own, flows=flows)))
    return draw_panels(panels, ax, legend=style.patch_handles(shades))
