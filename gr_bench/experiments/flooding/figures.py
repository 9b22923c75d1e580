"""The flooding figure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from gr_bench.experiments import style
from gr_bench.experiments.chart import Chart
from gr_bench.experiments.facets import Panel, draw_panels, figure, method_rows, quantities
from gr_bench.experiments.flooding.tables import KEYS, ORDERS
from gr_bench.spec import parse

SHOWN = 40
"""Steps of a trace that are drawn: single ones are to be seen."""

LEAST = 1e-17
"""Drawn for a difference of exactly 0, which a logarithmic axis does not have."""

PARTNERS: dict[str, str] = dict(zip(ORDERS, ("b-gr", "f-gr"), strict=True))
"""The method whose step a pair of each order makes."""

PARTS = ("loss", "difference")


def charts(table: pd.DataFrame, traces: pd.DataFrame) -> Iterator[Chart]:
    """The loss near the level, how often each order occurs, and how exact the pairs are."""
    style.set_methods(table["spec"])
    if (table["status"] == "ok").any():
        yield Chart(
            flooding_traces,
            table,
            "Flooding near its level",
            f"Left: the loss over {SHOWN} steps of one training after it first reached the level "
            "(line). A coloured step is the first of a pair in opposite directions; its colour "
            "is that of the method whose step the pair makes. Right: distance of every pair "
            "from the explicit step of finite-difference GR, relative to that step, by order; "
            "all seeds.",
            more={"traces": traces},
        )


@figure
def flooding_traces(
    table: pd.DataFrame,
    ax: Axes | None = None,
    *,
    traces: pd.DataFrame,
    quantity: str | None = None,
) -> Axes | Figure:
    """The loss near flooding's level, and how exactly its pairs of steps are those of GR.

    Args:
        table: ``flooding`` of a run; a line of panels a setting.
        ax: where to draw a single panel.
        traces: ``flooding_traces`` of the run.
        quantity: ``loss`` or ``difference``; by default both.
    """
    shown = quantities(dict.fromkeys(PARTS), quantity)
    panels = []
    for key, part in table[table["status"] == "ok"].groupby(KEYS, sort=False):
        named = dict(zip(KEYS, key, strict=True))
        own = traces
        for column, value in named.items():
            own = own[own[column] == value]
        for name in shown:
            draw = _loss if name == "loss" else _differences
            panels.append(Panel(_title(named), partial(draw, part=part, traces=own), 13.0))
    handles: list[Artist] = [
        Line2D([], [], color=_color(order), marker="o", linestyle="", label=f"pair: {order}")
        for order in ORDERS
    ]
    return draw_panels(panels, ax, each=len(shown), legend=handles)


def _color(order: str) -> str:
    return style.color(PARTNERS[order])


def _loss(ax: Axes, part: pd.DataFrame, traces: pd.DataFrame) -> None:
    first = part.iloc[0]
    one = traces[traces["seed"] == first["seed"]].set_index("step")
    begin = int(first["reached_step"])
    window = one.loc[begin : begin + SHOWN]
    size = 0.8 * mpl.rcParams["lines.markersize"]
    ax.plot(
        window.index,
        window["loss"],
        ".-",
        color="0.6",
        linewidth=0.8,
        markersize=0.8 * size,
        zorder=1,
    )
    for order in ORDERS:
        started = window[window["order"] == order]
        ax.plot(started.index, started["loss"], "o", color=_color(order), markersize=size)
    ax.axhline(first["level"], color="0.3", linewidth=0.8)
    ax.set(xlabel="step", ylabel="loss (nats)")


def _differences(ax: Axes, part: pd.DataFrame, traces: pd.DataFrame) -> None:
    names = []
    for row, order in enumerate(ORDERS):
        values = traces.loc[traces["order"] == order, "difference"].dropna().clip(lower=LEAST)
        shift = np.random.default_rng(0).uniform(-0.2, 0.2, len(values))
        ax.plot(
            values,
            row + shift,
            ".",
            color=_color(order),
            markersize=0.5 * mpl.rcParams["lines.markersize"],
            alpha=0.5,
            rasterized=True,
        )
        names.append(f"{order}\n({PARTNERS[order].upper()}),\n{len(values)} pairs")
    ax.set(xscale="log", xlabel="relative difference from GR's step")
    ax.xaxis.set_minor_formatter(NullFormatter())
    method_rows(ax, names)


def _title(named: dict[str, object]) -> str:
    level = parse(str(named["spec"])).parameters["level"]
    batches = "fresh batches" if named["fresh"] else "one batch"
    where = f"{named['dataset']}, {batches} of {named['batch_size']}"
    return style.SEPARATOR.join(
        [str(named["model"]), where, f"level {level:g}", str(named["dtype"])]
    )
