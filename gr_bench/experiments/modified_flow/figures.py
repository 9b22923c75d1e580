"""The modified-flow figure."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gr_bench.experiments import style
from gr_bench.experiments.experiment import Picture
from gr_bench.experiments.modified_flow.tables import FLOWS

COLORS = dict(zip(FLOWS, sns.color_palette("colorblind", len(FLOWS)), strict=True))
NAMES = {
    "plain": "flow of the loss",
    "modified": "modified flow",
    "full": "penalty of the full gradient",
}


def pictures(table: pd.DataFrame) -> Iterator[Picture]:
    """The distance from each flow against the step."""
    style.set_look(table["spec"])
    done = table[table["status"] == "ok"]
    if len(done):
        yield Picture(
            "modified_flow",
            "Distance of finite steps from flows",
            "Where one epoch ends, less where each flow is at that time, over the length of the "
            "epoch; one line a seed. Both axes are logarithmic: a distance of order p in the step "
            "is a line of slope p - 1.",
            _distances(done),
        )


def _distances(done: pd.DataFrame) -> Figure:
    groups = list(done.groupby(["model", "batches"], sort=False))
    figure, axes = style.panels(len(groups))
    for axis, ((model, count), own) in zip(axes, groups, strict=False):
        batches = int(str(count))
        for _, line in own.sort_values("step").groupby("seed"):
            for flow in FLOWS if batches > 1 else FLOWS[:2]:
                axis.plot(line["step"], line[flow], ".-", color=COLORS[flow], linewidth=0.7)
        many = "one batch" if batches == 1 else f"{batches} mini-batches"
        axis.set(xscale="log", yscale="log", title=f"{model}\n{many}")
        axis.set(xlabel="m·h·λ", ylabel="relative distance")
    handles = [Line2D([], [], color=COLORS[flow], marker=".", label=NAMES[flow]) for flow in FLOWS]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
