"""The flooding figure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from gr_bench.experiments import style
from gr_bench.experiments.experiment import Picture
from gr_bench.experiments.flooding.tables import KEYS, ORDERS
from gr_bench.spec import parse

SHOWN = 40
"""Steps of a trace that are drawn: single ones are to be seen."""

LEAST = 1e-17
"""Drawn for a difference of exactly 0, which a logarithmic axis does not have."""

COLORS = dict(zip(ORDERS, sns.color_palette("colorblind", 2), strict=True))


def pictures(table: pd.DataFrame, traces: pd.DataFrame) -> Iterator[Picture]:
    """The loss near the level, how often each order occurs, and how exact the pairs are."""
    style.set_look(table["spec"])
    done = table[table["status"] == "ok"]
    if len(done):
        yield Picture(
            "flooding_traces",
            "Flooding near its level",
            f"Above: the loss of {SHOWN} steps of one training from where it reached the level "
            "(line). A coloured step is the first of a pair in opposite directions. Below: how far "
            "every pair leads from the explicit step of finite-difference GR, relative to it, by "
            "order; all seeds.",
            _traces(done, traces),
        )


def _traces(done: pd.DataFrame, traces: pd.DataFrame) -> Figure:
    groups = list(done.groupby(KEYS, sort=False))
    figure, axes = style.panels(len(groups), rows_each=2)
    for place, (key, part) in enumerate(groups):
        named = dict(zip(KEYS, key, strict=True))
        above, below = axes[place], axes[len(groups) + place]
        own = traces
        for column, value in named.items():
            own = own[own[column] == value]
        first = part.iloc[0]
        one = own[own["seed"] == first["seed"]].set_index("step")
        begin = int(first["reached_step"])
        window = one.loc[begin : begin + SHOWN]
        above.plot(window.index, window["loss"], ".-", color="0.6", linewidth=0.8, zorder=1)
        for order in ORDERS:
            started = window[window["order"] == order]
            above.plot(started.index, started["loss"], "o", color=COLORS[order], label=order)
        above.axhline(first["level"], color="0.3", linewidth=0.8)
        above.set(title=_title(named), xlabel="step", ylabel="loss (nats)")
        names = []
        for row, (order, partner) in enumerate(zip(ORDERS, ("B-GR", "F-GR"), strict=True)):
            values = own.loc[own["order"] == order, "difference"].dropna().clip(lower=LEAST)
            shift = np.random.default_rng(0).uniform(-0.2, 0.2, len(values))
            below.plot(values, row + shift, ".", color=COLORS[order], markersize=3, alpha=0.5)
            names.append(f"{order}\n({partner}), {len(values)} pairs")
        below.set(xscale="log", xlabel="relative difference from the step of GR", ylim=(1.6, -0.6))
        below.xaxis.set_minor_formatter(NullFormatter())
        below.set_yticks(range(2), names)
        below.grid(axis="y", visible=False)
    handles = [
        Line2D([], [], color=shade, marker="o", linestyle="", label=order)
        for order, shade in COLORS.items()
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="pair begins")
    return figure


def _title(named: dict[str, object]) -> str:
    level = parse(str(named["spec"])).parameters["level"]
    batches = "fresh batches" if named["fresh"] else "one batch"
    where = f"{named['dataset']}, {batches} of {named['batch_size']}"
    return f"{named['model']}\n{where}\nlevel {level:g}, {named['dtype']}"
