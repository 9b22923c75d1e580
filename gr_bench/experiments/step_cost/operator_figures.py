"""The figure of a step's operators."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gr_bench.experiments import style
from gr_bench.experiments.chart import Chart
from gr_bench.experiments.facets import Panel, draw_panels, figure, method_rows
from gr_bench.experiments.step_cost.operators import WORKLOAD, costs_ms
from gr_bench.meters.operators import KINDS


def charts(table: pd.DataFrame) -> Iterator[Chart]:
    """One figure: the time of a step by kind of operator."""
    if len(table):
        yield Chart(
            step_operators,
            table,
            "Where the time of a step goes",
            "Self time of a step's operators by kind, from the profiler, in multiples of the "
            "first method's step (SGD's). The line is three times the matrix products of that "
            "step: the cost of double backpropagation if there were no other operators. Batch "
            "norm's second derivative has no operator of its own: it is composed of elementwise "
            "ones, each of which makes another pass over all activations.",
        )


@figure
def step_operators(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """Time of a step by kind of operator, in multiples of the first method's step.

    Args:
        table: ``step_operators`` of a run; a panel a model, dataset, batch size and number of
            threads, a row a method.
        ax: where to draw a single panel.
    """
    table = table.assign(cost_ms=costs_ms(table))
    names = style.short(table["spec"])
    labels = list(names)
    shades = style.shades(KINDS)

    def draw(ax: Axes, part: pd.DataFrame) -> None:
        by_kind = part.groupby(["spec", "kind"])["cost_ms"].sum()
        ms = np.array([[float(by_kind.get((m, name), 0.0)) for name in KINDS] for m in labels])
        share = ms / ms[0].sum()
        for column, shade in enumerate(shades.values()):
            left = share[:, :column].sum(axis=1)
            width = share[:, column]
            ax.barh(range(len(labels)), width, left=left, color=shade, height=0.7, linewidth=0)
        ax.axvline(3 * share[0, 0], color="0.3", linewidth=0.8)
        method_rows(ax, list(names.values()))
        ax.set(xlabel=f"self time / {names[labels[0]]}'s step")

    panels = [
        Panel(title, partial(draw, part=part), 1.8 * len(labels))
        for title, part in style.workloads(table, *WORKLOAD)
    ]
    return draw_panels(panels, ax, labels=names.values(), legend=style.patch_handles(shades))
