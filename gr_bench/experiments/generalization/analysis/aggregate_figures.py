"""The figures over many workloads: intervals, performance profiles, critical differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gr_bench import aggregate
from gr_bench.experiments import style
from gr_bench.experiments.chart import Chart
from gr_bench.experiments.facets import Panel, draw_panels, figure, method_rows, quantities
from gr_bench.experiments.generalization.analysis.aggregates import COSTS, few
from gr_bench.experiments.generalization.analysis.tables import baseline_name

MARKERS = dict(zip(COSTS, ("o", "s", "^"), strict=True))
"""Of the sorts of equal cost."""

INTERVALS = {
    "errors_removed": ("{}'s errors removed (%)", 0.0),
    "improvement_probability": ("probability of beating {} (%)", 50.0),
}
"""The columns of the first figure: titles, and the values of methods that are as the baseline."""


def charts(tables: dict[str, pd.DataFrame]) -> Iterator[Chart]:
    """Intervals, profiles, critical differences, for chosen settings and for others."""
    found, profiles, ranked = (
        few(tables[name]) for name in ("aggregates", "performance_profiles", "mean_ranks")
    )
    for (role, baseline), part in found.groupby(["role", "baseline"], sort=False):
        name, which = baseline_name(part), "" if role == "chosen" else ": settings as listed"
        end = "" if role == "chosen" else "_as_listed"
        if baseline != "sgd":
            end += f"_against_{style.slug(baseline)}"
        yield Chart(
            over_workloads,
            part,
            f"Over {_counts(part['workloads'])} workloads{which}",
            f"Left: interquartile mean over runs of the share of {name}'s test errors that a "
            f"method removes. Right: probability that a run beats one of {name}'s, with ties "
            "counted as half, averaged over workloads. Bars are 95 % intervals over seeds and "
            "splits on these workloads; a hollow marker has none, since some workload has only "
            "one run. The dashed line marks no difference.",
            suffix=end,
        )
        curves = profiles[(profiles["role"] == role) & (profiles["baseline"] == baseline)]
        if len(curves):
            yield Chart(
                performance_profiles,
                curves,
                f"Performance profiles{which}",
                f"Share of runs that remove more than a given share of {name}'s test errors, "
                "averaged over workloads; higher is better. Bands are pointwise 95 % intervals. "
                f"{name}'s own curve shows the spread of its runs about their mean.",
                suffix=end,
            )
        places = ranked[(ranked["role"] == role) & (ranked["baseline"] == baseline)]
        if len(places):
            yield Chart(
                critical_differences,
                places,
                f"Mean ranks{which}",
                "Mean rank over workloads; 1 is the best. A thick bar joins methods that are "
                "not distinguished: their mean ranks differ by less than the critical "
                "difference (CD, Nemenyi at 5 %), which does not show that they are equal. p: "
                "Friedman's test that all are equal, by permutation. Methods without a "
                "comparison on some workload have no rank.",
                suffix=end,
            )


def _counts(values: pd.Series) -> str:
    return style.value_range(values, "{:.0f}")


def _costs(table: pd.DataFrame) -> list[str]:
    return [cost for cost in COSTS if (table["cost"] == cost).any()]


@figure
def over_workloads(
    table: pd.DataFrame, ax: Axes | None = None, *, quantity: str | None = None
) -> Axes | Figure:
    """Errors of the baseline removed, and probability of beating it, over many workloads.

    Args:
        table: ``aggregates`` of a run, of one role and baseline; a row a method, a marker a sort of
            equal cost, a panel a quantity.
        ax: where to draw a single panel.
        quantity: ``errors_removed`` or ``improvement_probability``; by default both.
    """
    shown = quantities(INTERVALS, quantity)
    names, costs = style.short(table["spec"]), _costs(table)
    panels = [
        Panel("", partial(_intervals, part=table, column=column), _height(len(names), len(costs)))
        for column in shown
    ]
    legend: list[Artist] = [
        Line2D([], [], color="0.3", marker=MARKERS[cost], linestyle="", label=f"equal {cost}")
        for cost in costs
    ]
    return draw_panels(panels, ax, labels=names.values(), each=len(shown), legend=legend)


def _height(methods: int, costs: int) -> float:
    return max(4.0, 1.3 * methods * (costs + 0.6))


def _intervals(ax: Axes, part: pd.DataFrame, column: str) -> None:
    names, costs = style.short(part["spec"]), _costs(part)
    specs = list(names)
    title, alike = INTERVALS[column]
    step = 1 / (len(costs) + 0.6)
    ax.axvline(alike, color="0.5", linewidth=0.8, linestyle="--", zorder=1)
    for row in part.to_dict("records"):
        shift = step * (costs.index(row["cost"]) - (len(costs) - 1) / 2)
        y = specs.index(row["spec"]) + shift
        center, low, high = (100 * row[f"{column}{end}"] for end in ("", "_low", "_high"))
        if np.isnan(center):
            continue
        known = math.isfinite(row["widening"])
        if known:
            ax.plot([low, high], [y, y], color=style.color(row["spec"]), linewidth=1.5)
        ax.plot(
            center,
            y,
            MARKERS[row["cost"]],
            color=style.color(row["spec"]),
            markersize=0.8 * mpl.rcParams["lines.markersize"],
            markerfacecolor=None if known else "white",
        )
    method_rows(ax, list(names.values()))
    ax.set_xlabel(title.format(baseline_name(part)))


@figure
def performance_profiles(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """Share of the runs that remove more than so much of the baseline's errors.

    Args:
        table: ``performance_profiles`` of a run, of one role and baseline; a curve a method, a
            panel a sort of equal cost (select by ``cost``).
        ax: where to draw a single panel.
    """
    specs, costs = style.in_order(table["spec"]), _costs(table)
    panels = [
        Panel(
            f"equal {cost}",
            partial(_profile, part=table[table["cost"] == cost], specs=specs),
            15.0,
        )
        for cost in costs
    ]
    return draw_panels(panels, ax, legend=style.line_handles(specs))


def _profile(ax: Axes, part: pd.DataFrame, specs: Sequence[str]) -> None:
    baseline, sorts = baseline_name(part), style.dashes(specs)
    ax.axvline(0, color="0.5", linewidth=0.8, linestyle="--", zorder=1)
    for spec in specs:
        own = part[part["spec"] == spec]
        x, color = 100 * own["threshold"], style.color(spec)
        ax.fill_between(x, 100 * own["low"], 100 * own["high"], color=color, alpha=0.1, lw=0)
        ax.plot(x, 100 * own["share"], color=color, linewidth=1.4, linestyle=sorts[spec])
    ax.set(ylabel="runs (%)", ylim=(0, 102))
    ax.set_xlabel(f"more of {baseline}'s errors\nremoved than (%)")
    ax.margins(x=0)


@figure
def critical_differences(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """Mean ranks over workloads, with bars over methods that are not told apart.

    Args:
        table: ``mean_ranks`` of a run, of one role and baseline; a panel a sort of equal cost
            (select by ``cost``). The diagram is that of Demšar (2006).
        ax: where to draw a single panel.
    """
    panels = []
    for cost in _costs(table):
        part = table[table["cost"] == cost].sort_values("mean_rank")
        first, height = part.iloc[0], _lines(part)
        title = f"equal {cost}, {first['workloads']:.0f} workloads, p = {first['p']:.2g}"
        panels.append(Panel(title, partial(_diagram, part=part, height=height), 1.6 * height - 3))
    return draw_panels(panels, ax, columns=1)


ABOVE, CLIQUE = 3.4, 0.5
"""Lines above the axis, for its numbers and the ruler; and those that a bar takes below it."""


def _groups(part: pd.DataFrame) -> list[tuple[int, int]]:
    return aggregate.cliques(list(part["mean_rank"]), float(part["critical_difference"].iloc[0]))


def _lines(part: pd.DataFrame) -> float:
    """The height of a diagram in lines."""
    return ABOVE + CLIQUE * len(_groups(part)) + math.ceil(len(part) / 2) + 1.0


def _diagram(ax: Axes, part: pd.DataFrame, height: float) -> None:
    """Demšar's diagram: an axis of ranks, a name at the end of each line, bars over groups.

    Every name has a line of its own on its side, so that no two overlap.
    """
    count, difference = len(part), float(part["critical_difference"].iloc[0])
    small = 0.9 * mpl.rcParams["font.size"]
    ranks, specs = list(part["mean_rank"]), list(part["spec"])
    names = style.short(specs)
    ax.set(xlim=(0.9, count + 0.1), ylim=(-height + ABOVE, ABOVE))
    ax.axis("off")
    ax.plot([1, count], [0, 0], color="0.2", linewidth=1)
    for rank in range(1, count + 1):
        ax.plot([rank, rank], [0, 0.25], color="0.2", linewidth=1)
        ax.text(rank, 0.4, str(rank), ha="center", va="bottom", fontsize=small)
    ruler = 1 + min(difference, count - 1)
    more = "" if difference <= count - 1 else ", longer than the axis"
    ax.plot([1, ruler], [2.1, 2.1], color="0.2", linewidth=1.2, marker="|", markersize=6)
    ax.text(1, 2.4, f"CD {difference:.2f}{more}", ha="left", va="bottom", fontsize=small)
    groups = _groups(part)
    for i, (first, last) in enumerate(groups):
        y = -CLIQUE * (i + 1)
        ax.plot([ranks[first], ranks[last]], [y, y], color="0.2", linewidth=3.5)
    top = -CLIQUE * len(groups) - 0.8
    on_left = math.ceil(count / 2)
    for place, (rank, spec) in enumerate(zip(ranks, specs, strict=True)):
        left = place < on_left
        y = top - (place if left else count - 1 - place)
        edge = 1.0 if left else float(count)
        ax.plot([rank, rank, edge], [0, y, y], color=style.color(spec), linewidth=1.2)
        text = f"{names[spec]} {rank:.2f}"
        shift = -0.02 * count if left else 0.02 * count
        ax.text(edge + shift, y, text, ha="right" if left else "left", va="center", fontsize=small)
