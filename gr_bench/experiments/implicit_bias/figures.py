"""The implicit-bias figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gr_bench import stats
from gr_bench.experiments import style
from gr_bench.experiments.chart import Chart
from gr_bench.experiments.facets import Panel, draw_panels, figure, method_rows, quantities
from gr_bench.experiments.implicit_bias.tables import BASELINE, LIMIT, with_signed_epsilon
from gr_bench.spec import parse

PANEL = ["dataset", "alpha", "gamma"]
SIGNED = "signed ε"
ROOM = 0.1
"""Of the axis from rich to kernel, for the name of a point."""


def charts(table: pd.DataFrame, coordinates: pd.DataFrame) -> Iterator[Chart]:
    """α̃, prediction and solution, test error, the way; each where there is something to show."""
    style.set_methods(table["spec"])
    done = _done(table)
    family = with_signed_epsilon(done)
    if len(family):
        yield Chart(
            implicit_bias_alpha,
            table,
            "α̃ against the ascent step",
            "Below 1: closer to the rich regime (the L1 norm) than gradient descent from the "
            "same start. Thin lines: one problem each. Thick lines: their mean, with the 95 % "
            "interval. The three methods form one family in ε, with the opposite sign for B-GR; "
            "DB-GR is the limit at 0.",
        )
    if len(done):
        yield Chart(
            implicit_bias_prediction,
            table,
            "Predicted and actual solutions",
            "Left: every entry of every solution β against the minimiser of φ_α̃ under Xβ = y. "
            "Middle: √(w₊w₋)/α at the end against α̃/α from the accumulated integral. Right: "
            "the relative error ‖β - β̃‖/‖β̃‖ of every solution (dots) and the largest of its "
            f"α̃ (crosses), by method; the line is {LIMIT:g}. Flooding does not fit the data, so "
            "theory predicts only its α̃.",
            more={"coordinates": coordinates},
        )
    if len(family):
        yield Chart(
            implicit_bias_test_error,
            table,
            "Test error against the ascent step",
            "Mean over problems of the test error minus that of gradient descent on the same "
            "problem, with the 95 % interval. Theory promises a smaller α̃; whether this helps "
            "depends on the features' mean.",
        )
    path = _without_gaps(table)
    if path["alpha"].nunique() > 1:
        yield Chart(
            implicit_bias_path,
            table,
            "From the kernel to the rich regime",
            "Means over problems. Horizontal: the L1 norm, from the smallest that fits the data "
            "(0) to that of the minimum-L2-norm fit (1). Vertical: the L2 norm relative to its "
            "minimum. Line: gradient descent from different α. A method lies near the point "
            "reached by descent from its α̃, but not exactly there, since its α̃ differs from "
            "weight to weight. Settings with an unfinished run are omitted.",
        )


def _without_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Solutions of those settings alone that came to one on every problem: means then compare."""
    return table.groupby(["dataset", "alpha", "spec"]).filter(
        lambda own: bool((own["status"] == "ok").all())
    )


def _done(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["status"].isin(["ok", "flooded"])]


def _titled(key: tuple[object, ...]) -> str:
    dataset, alpha, gamma = key
    return f"{_problem(str(dataset))}{style.SEPARATOR}α {alpha:g}, γ {gamma:g}"


def _problem(text: str) -> str:
    """A problem as panels name it: its parameters alone."""
    inner = ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in parse(text).parameters.items())
    return inner or text


@figure
def implicit_bias_alpha(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """α̃/α, the scale whose minimiser the solution is over that of the start, against ε.

    Args:
        table: ``implicit_bias`` of a run; a panel a problem, α and γ.
        ax: where to draw a single panel.
    """

    def draw(ax: Axes, part: pd.DataFrame) -> None:
        for _, own in part.groupby("seed"):
            own = own.sort_values("signed_epsilon")
            ax.plot(own["signed_epsilon"], own["alpha_ratio"], color="0.8", linewidth=0.6, zorder=1)
        _means(ax, part, "alpha_ratio")
        ax.axhline(1, color="0.5", linewidth=0.8)
        ax.set(ylabel="mean of α̃/α")

    return _against_epsilon(with_signed_epsilon(_done(table)), ax, draw)


@figure
def implicit_bias_test_error(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """Test error minus gradient descent's on the same problem, against ε.

    Args:
        table: ``implicit_bias`` of a run; a panel a problem, α and γ.
        ax: where to draw a single panel.
    """
    family = with_signed_epsilon(_done(table))
    base = table[(table["spec"] == BASELINE) & (table["status"] == "ok")]
    joined = family.merge(base, on=["dataset", "alpha", "step", "seed"], suffixes=("", "_base"))
    joined["difference"] = joined["test_error"] - joined["test_error_base"]

    def draw(ax: Axes, part: pd.DataFrame) -> None:
        _means(ax, part, "difference")
        ax.axhline(0, color="0.5", linewidth=0.8)
        ax.set(ylabel="test error minus SGD's")

    return _against_epsilon(joined, ax, draw)


def _against_epsilon(
    table: pd.DataFrame, ax: Axes | None, draw: Callable[[Axes, pd.DataFrame], None]
) -> Axes | Figure:
    panels = [
        Panel(_titled(key), partial(_over_signed, part=part, draw=draw))
        for key, part in table.groupby(PANEL, sort=False)
    ]
    legend = style.marker_handles(table["method"])
    if not panels:  # no problem was solved by gradient descent, too
        panels = [Panel("", lambda ax: None)]
    return draw_panels(panels, ax, legend=legend)


def _over_signed(ax: Axes, part: pd.DataFrame, draw: Callable[[Axes, pd.DataFrame], None]) -> None:
    draw(ax, part)
    ax.set_xlabel(SIGNED)


def _means(ax: Axes, part: pd.DataFrame, column: str) -> None:
    """Mean and interval at every signed ε, in the methods' colours and markers."""
    points: list[tuple[float, float]] = []
    shapes = style.markers(part["method"])
    for epsilon, own in part.groupby("signed_epsilon"):
        mean = stats.t_interval(own[column])
        points.append((float(str(epsilon)), mean.center))
        method = own["method"].iloc[0]
        known = np.isfinite(mean.half_width)
        ax.errorbar(
            *points[-1],
            yerr=mean.half_width if known else None,
            color=style.color(method),
            marker=shapes[method],
            markersize=0.8 * mpl.rcParams["lines.markersize"],
            markerfacecolor=None if known else "white",
            capsize=2,
        )
    ax.plot(*zip(*points, strict=True), color="0.35", linewidth=1, zorder=1.5)


@figure
def implicit_bias_prediction(
    table: pd.DataFrame,
    ax: Axes | None = None,
    *,
    coordinates: pd.DataFrame,
    quantity: str | None = None,
) -> Axes | Figure:
    """The solution and the α̃ of theory, against those that descent finds.

    Args:
        table: ``implicit_bias`` of a run; a panel a quantity.
        ax: where to draw a single panel.
        coordinates: ``implicit_bias_coordinates`` of the run, of the solutions entry by entry.
        quantity: ``beta``, ``alpha`` or ``error``; by default all.
    """
    done = _done(table)
    names = style.in_order(done["method"])
    draws = {
        "beta": partial(_agreement, coordinates=coordinates, names=names, alpha=False),
        "alpha": partial(_agreement, coordinates=coordinates, names=names, alpha=True),
        "error": partial(_errors, table=done, names=names),
    }
    shown = quantities(draws, quantity)
    panels = [Panel("", draws[name]) for name in shown]
    return draw_panels(panels, ax, each=len(shown), legend=style.marker_handles(names))


def _agreement(ax: Axes, coordinates: pd.DataFrame, names: list[str], alpha: bool) -> None:
    size = 0.45 * mpl.rcParams["lines.markersize"]
    for name in names:
        part = coordinates[coordinates["method"] == name]
        start = part["alpha"].astype(float)
        across, up = part["predicted_beta"], part["beta"]
        if alpha:
            across, up = part["predicted_alpha"] / start, part["alpha_found"] / start
        # thousands of points: an image within the vector file
        ax.plot(
            across, up, ".", color=style.color(name), alpha=0.35, markersize=size, rasterized=True
        )
    ends = [*ax.get_xlim()]
    ax.plot(ends, ends, color="0.4", linewidth=0.8, zorder=0)
    label = "α̃/α" if alpha else "β"
    ax.set(xlabel=f"{label} of theory", ylabel=f"{label} found")


def _errors(ax: Axes, table: pd.DataFrame, names: list[str]) -> None:
    size = 0.7 * mpl.rcParams["lines.markersize"]
    for row, name in enumerate(names):
        part = table[table["method"] == name]
        for column, marker, up in (("beta_error", ".", -0.13), ("discretisation_error", "x", 0.13)):
            values = part[column].dropna()
            y = np.full(len(values), row + up)
            ax.plot(values, y, marker, color=style.color(name), alpha=0.5, markersize=size)
    ax.axvline(LIMIT, color="0.4", linewidth=0.8)
    ax.set(xscale="log", xlabel="relative error")
    method_rows(ax, names)


@figure
def implicit_bias_path(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """Norms of the solutions, from the kernel to the rich regime.

    Args:
        table: ``implicit_bias`` of a run; a panel a problem, a marker a method.
        ax: where to draw a single panel.
    """
    table = _without_gaps(table)
    by_l2 = table["l2_norm"] - table["least_l2_norm"]
    table = table.assign(l2_excess=by_l2 / table["least_l2_norm"])
    specs = style.in_order(table["spec"])
    panels = [
        Panel(_problem(str(dataset)), partial(_norms, part=part, shapes=style.markers(specs)), 20.0)
        for dataset, part in table.groupby("dataset", sort=False)
    ]
    return draw_panels(panels, ax, legend=style.marker_handles(specs))


def _norms(ax: Axes, part: pd.DataFrame, shapes: dict[str, str]) -> None:
    size = 0.7 * mpl.rcParams["lines.markersize"]
    for spec, own in part.groupby("spec", sort=False):
        means = own.groupby("alpha")[["kernel_share", "l2_excess"]].mean()
        plain = spec == BASELINE
        ax.plot(
            means["kernel_share"],
            means["l2_excess"],
            color=style.color(str(spec)),
            marker=shapes[str(spec)],
            markersize=size,
            linewidth=1 if plain else 0,
            zorder=1 if plain else 2,
        )
        if plain:
            _name_alphas(ax, means)
    ax.set(
        xlabel="kernel share of the L1 norm\n(0: rich, 1: kernel)",
        ylabel="L2 norm over the least, minus 1",
    )


def _name_alphas(ax: Axes, means: pd.DataFrame) -> None:
    """Each α beside its point, where there is room for it."""
    last, small = float("-inf"), 0.75 * mpl.rcParams["font.size"]
    for alpha, row in means.sort_index().iterrows():
        at = (float(row["kernel_share"]), float(row["l2_excess"]))
        if at[0] - last > ROOM:
            ax.annotate(f"α {alpha:g}", at, (4, 4), textcoords="offset points", fontsize=small)
            last = at[0]
