"""The figures over many workloads: intervals, performance profiles, critical differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gr_bench import aggregate
from gr_bench.experiments import style
from gr_bench.experiments.experiment import Picture
from gr_bench.experiments.generalization.analysis.aggregates import COSTS, few
from gr_bench.experiments.generalization.analysis.tables import baseline_name

MARKERS = dict(zip(COSTS, ("o", "s", "^"), strict=True))
"""Of the sorts of equal cost."""

INTERVALS = {
    "errors_removed": ("{}'s errors removed (%)", 0.0),
    "improvement_probability": ("probability of beating {} (%)", 50.0),
}
"""The columns of the first figure: titles, and the values of methods that are as the baseline."""

LINE = 0.22
"""Inches from one name in a diagram to the next."""


def pictures(tables: dict[str, pd.DataFrame]) -> Iterator[Picture]:
    """Intervals, profiles, critical differences, for chosen settings and for others."""
    found, profiles, ranked = (
        few(tables[name]) for name in ("aggregates", "performance_profiles", "mean_ranks")
    )
    for (role, baseline), part in found.groupby(["role", "baseline"], sort=False):
        name, which = baseline_name(part), "" if role == "chosen" else ": settings as listed"
        end = "" if role == "chosen" else "_as_listed"
        yield Picture(
            f"over_workloads{end}",
            f"Over {_counts(part['workloads'])} workloads{which}",
            "Left: interquartile mean over runs of the share of "
            f"{name}'s test errors that a method removes. Right: probability that a run beats one "
            f"of {name}'s, a tie counting half, as a mean over workloads. Bars are 95 % intervals "
            "over seeds and splits on these workloads; a hollow marker has none, since some "
            "workload has one run. The dashed line is no difference.",
            _intervals(part, name),
        )
        curves = profiles[(profiles["role"] == role) & (profiles["baseline"] == baseline)]
        if len(curves):
            yield Picture(
                f"performance_profiles{end}",
                f"Performance profiles{which}",
                f"Share of the runs that remove more than so much of {name}'s test errors, as a "
                "mean over workloads; higher is better. Bands are pointwise 95 % intervals. "
                f"{name}'s own curve is the spread of its runs about their mean.",
                _profiles(curves, name),
            )
        places = ranked[(ranked["role"] == role) & (ranked["baseline"] == baseline)]
        if len(places):
            yield Picture(
                f"critical_differences{end}",
                f"Mean ranks{which}",
                "Mean rank over workloads, 1 the best. A thick bar joins methods that are not told "
                "apart: their mean ranks differ by less than the critical difference (CD, Nemenyi "
                "at 5 %), which does not show that they are alike. p: Friedman's test that all are "
                "alike, by permutation. Methods without a comparison on some workload have no "
                "rank.",
                _critical_differences(places),
            )


def _counts(values: pd.Series) -> str:
    return style.value_range(values, "{:.0f}")


def _costs(table: pd.DataFrame) -> list[str]:
    return [cost for cost in COSTS if (table["cost"] == cost).any()]


def _intervals(part: pd.DataFrame, baseline: str) -> Figure:
    specs, costs = style.in_order(part["spec"]), _costs(part)
    names = style.short(specs)
    figure, axes = plt.subplots(
        1,
        len(INTERVALS),
        figsize=(7.2, 0.9 + LINE * max(2, len(specs) * (len(costs) + 0.6))),
        sharey=True,
        layout="constrained",
    )
    step = 1 / (len(costs) + 0.6)
    for ax, (column, (title, alike)) in zip(axes, INTERVALS.items(), strict=True):
        ax.axvline(alike, color="0.5", linewidth=0.8, linestyle="--", zorder=1)
        for row in part.to_dict("records"):
            shift = step * (costs.index(row["cost"]) - (len(costs) - 1) / 2)
            y = specs.index(row["spec"]) + shift
            center, low, high = (100 * row[f"{column}{end}"] for end in ("", "_low", "_high"))
            if np.isnan(center):
                continue
            known = math.isfinite(row["widening"])
            if known:
                ax.plot([low, high], [y, y], color=style.color(row["spec"]), linewidth=1.8)
            ax.plot(
                center,
                y,
                MARKERS[row["cost"]],
                color=style.color(row["spec"]),
                markersize=5,
                markerfacecolor=None if known else "white",
            )
        ax.set_yticks(range(len(specs)), [names[spec] for spec in specs])
        ax.set_ylim(len(specs) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(title.format(baseline))
    axes[1].tick_params(axis="y", left=False)
    if len(costs) > 1:
        handles = [
            Line2D([], [], color="0.3", marker=MARKERS[cost], linestyle="", label=f"equal {cost}")
            for cost in costs
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(costs))
    else:
        figure.suptitle(f"at equal {costs[0]}", fontsize=10)
    return figure


def _profiles(curves: pd.DataFrame, baseline: str) -> Figure:
    specs, costs = style.in_order(curves["spec"]), _costs(curves)
    figure, axes = style.panels(len(costs))
    for ax, cost in zip(axes, costs, strict=True):
        part = curves[curves["cost"] == cost]
        ax.axvline(0, color="0.5", linewidth=0.8, linestyle="--", zorder=1)
        for spec in specs:
            own = part[part["spec"] == spec]
            x, color = 100 * own["threshold"], style.color(spec)
            ax.fill_between(x, 100 * own["low"], 100 * own["high"], color=color, alpha=0.1, lw=0)
            line = ":" if (own["baseline"] == spec).any() else "-"
            ax.plot(x, 100 * own["share"], color=color, linewidth=1.4, linestyle=line)
        ax.set(
            xlabel=f"more of {baseline}'s errors removed than (%)",
            ylabel="" if ax is not axes[0] else "runs (%)",
            ylim=(0, 102),
            title=f"at equal {cost}",
        )
        ax.margins(x=0)
    _line_legend(figure, specs, str(curves["baseline"].iloc[0]))
    return figure


def _line_legend(figure: Figure, specs: Sequence[str], baseline: str) -> None:
    handles = [
        Line2D(
            [], [], color=style.color(spec), label=name, linestyle=":" if spec == baseline else "-"
        )
        for spec, name in style.short(specs).items()
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="method")


def _critical_differences(places: pd.DataFrame) -> Figure:
    costs = _costs(places)
    parts = [places[places["cost"] == cost].sort_values("mean_rank") for cost in costs]
    heights = [_lines(part) for part in parts]
    figure, axes = plt.subplots(
        len(parts),
        1,
        figsize=(6.5, LINE * sum(heights) + 0.3 * len(parts)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for ax, cost, part, height in zip(axes.flat, costs, parts, heights, strict=True):
        _diagram(ax, part, height)
        first = part.iloc[0]
        ax.set_title(
            f"at equal {cost}, {first['workloads']:.0f} workloads, p = {first['p']:.2g}", pad=8
        )
    return figure


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
    ranks, specs = list(part["mean_rank"]), list(part["spec"])
    names = style.short(specs)
    ax.set(xlim=(0.9, count + 0.1), ylim=(-height + ABOVE, ABOVE))
    ax.axis("off")
    ax.plot([1, count], [0, 0], color="0.2", linewidth=1)
    for rank in range(1, count + 1):
        ax.plot([rank, rank], [0, 0.25], color="0.2", linewidth=1)
        ax.text(rank, 0.4, str(rank), ha="center", va="bottom", fontsize=9)
    ruler = 1 + min(difference, count - 1)
    more = "" if difference <= count - 1 else ", longer than the axis"
    ax.plot([1, ruler], [2.1, 2.1], color="0.2", linewidth=1.2, marker="|", markersize=6)
    ax.text(1, 2.4, f"CD {difference:.2f}{more}", ha="left", va="bottom", fontsize=9)
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
        ax.text(edge + shift, y, text, ha="right" if left else "left", va="center", fontsize=9)
