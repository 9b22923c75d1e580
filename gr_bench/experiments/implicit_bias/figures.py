"""The implicit-bias figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gr_bench import stats
from gr_bench.experiments import style
from gr_bench.experiments.experiment import Picture
from gr_bench.experiments.implicit_bias.tables import BASELINE, LIMIT, with_signed_epsilon
from gr_bench.spec import parse

PANEL = ["dataset", "alpha", "gamma"]
SIGNED = "ε   (left of 0: B-GR, at 0: DB-GR, right: F-GR)"
ROOM = 0.1
"""Of the axis from rich to kernel, for the name of a point."""


def pictures(table: pd.DataFrame, coordinates: pd.DataFrame) -> Iterator[Picture]:
    """α̃, prediction and solution, test error, the way; each where there is something to show."""
    style.set_look(table["spec"])
    done = table[table["status"].isin(["ok", "flooded"])]
    family = with_signed_epsilon(done)
    if len(family):
        yield Picture(
            "implicit_bias_alpha",
            "α̃ against the ascent step",
            "Below 1: nearer to the rich regime (the L1 norm) than gradient descent from the same "
            "start. Thin lines: one problem each. Thick: their mean, with the 95 % interval. The "
            "three methods are one family in ε, which B-GR enters with the other sign; DB-GR is "
            "the limit at 0.",
            _against_epsilon(family, "alpha_ratio", "mean of α̃/α"),
        )
    if len(done):
        yield Picture(
            "implicit_bias_prediction",
            "What theory predicts, and what descent finds",
            "Left: every entry of every solution β against the minimiser of φ_α̃ under Xβ = y. "
            "Middle: √(w₊w₋)/α at the end against α̃/α from the accumulated integral. Right: the "
            "relative error ‖β - β̃‖/‖β̃‖ of every solution (dots) and the largest of its α̃ "
            f"(crosses), by method; the line is {LIMIT:g}. Flooding fits no data, so that theory "
            "predicts its α̃ alone.",
            _prediction(done, coordinates),
        )
    if len(family):
        yield Picture(
            "implicit_bias_test_error",
            "Test error against the ascent step",
            "Mean over problems of the test error minus that of gradient descent on the same "
            "problem, with the 95 % interval. A smaller α̃ is what theory promises; whether it "
            "helps is another matter: the features' mean decides it.",
            _test_error(table, family),
        )
    path = _without_gaps(table)
    if path["alpha"].nunique() > 1:
        yield Picture(
            "implicit_bias_path",
            "The way from the kernel to the rich regime",
            "Means over problems. Across: the L1 norm, from the least that fits the data (0) to "
            "that of the fit of least L2 norm (1). Upwards: how far the L2 norm is above its "
            "least. Line: gradient descent from different α. A method lies near where descent from "
            "its α̃ would lead; not there, since that α̃ differs from weight to weight. Settings "
            "with a run that is not done are left out.",
            _path(path),
        )


def _without_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Solutions of those settings alone that came to one on every problem: means then compare."""
    return table.groupby(["dataset", "alpha", "spec"]).filter(
        lambda own: bool((own["status"] == "ok").all())
    )


def _titled(key: tuple[object, ...]) -> str:
    dataset, alpha, gamma = key
    return f"{_problem(str(dataset))}\nα {alpha:g}, γ {gamma:g}"


def _problem(text: str) -> str:
    """A problem as panels name it: its parameters alone."""
    inner = ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in parse(text).parameters.items())
    return inner or text


def _against_epsilon(table: pd.DataFrame, column: str, title: str) -> Figure:
    groups = list(table.groupby(PANEL, sort=False))
    figure, axes = style.panels(len(groups))
    for ax, (key, part) in zip(axes, groups, strict=True):
        for _, own in part.groupby("seed"):
            own = own.sort_values("signed_epsilon")
            ax.plot(own["signed_epsilon"], own[column], color="0.8", linewidth=0.6, zorder=1)
        _means(ax, part, column)
        ax.axhline(1, color="0.5", linewidth=0.8)
        ax.set(title=_titled(key), ylabel=title)
    figure.supxlabel(SIGNED, fontsize=10)
    return figure


def _means(ax: Axes, part: pd.DataFrame, column: str) -> None:
    """Mean and interval at every signed ε, in the methods' colours."""
    points: list[tuple[float, float]] = []
    for epsilon, own in part.groupby("signed_epsilon"):
        mean = stats.t_interval(own[column])
        points.append((float(str(epsilon)), mean.center))
        spec = own["spec"].iloc[0]
        half = mean.half_width if np.isfinite(mean.half_width) else 0.0
        ax.errorbar(
            *points[-1], yerr=half, color=style.color(spec), marker="o", markersize=5, capsize=2
        )
    ax.plot(*zip(*points, strict=True), color="0.35", linewidth=1, zorder=1.5)


def _test_error(table: pd.DataFrame, family: pd.DataFrame) -> Figure:
    base = table[(table["spec"] == BASELINE) & (table["status"] == "ok")]
    joined = family.merge(base, on=["dataset", "alpha", "step", "seed"], suffixes=("", "_base"))
    joined["difference"] = joined["test_error"] - joined["test_error_base"]
    groups = list(joined.groupby(PANEL, sort=False))
    figure, axes = style.panels(max(1, len(groups)))
    for ax, (key, part) in zip(axes, groups, strict=False):
        _means(ax, part, "difference")
        ax.axhline(0, color="0.5", linewidth=0.8)
        ax.set(title=_titled(key), ylabel="test error minus SGD's")
    figure.supxlabel(SIGNED, fontsize=10)
    return figure


def _prediction(table: pd.DataFrame, coordinates: pd.DataFrame) -> Figure:
    names = list(dict.fromkeys(table["method"]))
    figure, (left, middle, right) = style.panels(3, names)
    for name in names:
        part = coordinates[coordinates["method"] == name]
        of_name: dict[str, Any] = {"color": style.color(name), "alpha": 0.35, "markersize": 2.5}
        left.plot(part["predicted_beta"], part["beta"], ".", **of_name)
        start = part["alpha"].astype(float)
        middle.plot(part["predicted_alpha"] / start, part["alpha_found"] / start, ".", **of_name)
    for ax, label in ((left, "β"), (middle, "α̃/α")):
        ends = [*ax.get_xlim()]
        ax.plot(ends, ends, color="0.4", linewidth=0.8, zorder=0)
        ax.set(xlabel=f"{label} of theory", ylabel=f"{label} found")
    for row, name in enumerate(names):
        part = table[table["method"] == name]
        for column, marker, up in (("beta_error", ".", -0.13), ("discretisation_error", "x", 0.13)):
            values = part[column].dropna()
            y = np.full(len(values), row + up)
            right.plot(values, y, marker, color=style.color(name), alpha=0.5, markersize=4)
    right.axvline(LIMIT, color="0.4", linewidth=0.8)
    right.set(xscale="log", xlabel="relative error", ylim=(len(names) - 0.4, -0.6))
    right.set_yticks(range(len(names)), names)
    right.grid(axis="y", visible=False)
    handles = [
        Line2D([], [], color=style.color(name), marker="o", linestyle="", label=name)
        for name in names
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="method")
    return figure


def _path(table: pd.DataFrame) -> Figure:
    by_l2 = table["l2_norm"] - table["least_l2_norm"]
    table = table.assign(l2_excess=by_l2 / table["least_l2_norm"])
    groups = list(table.groupby("dataset", sort=False))
    figure, axes = style.panels(len(groups))
    specs = style.in_order(table["spec"])
    shapes = style.markers(specs)
    for ax, (dataset, part) in zip(axes, groups, strict=True):
        for spec, own in part.groupby("spec", sort=False):
            means = own.groupby("alpha")[["kernel_share", "l2_excess"]].mean()
            plain = spec == BASELINE
            ax.plot(
                means["kernel_share"],
                means["l2_excess"],
                color=style.color(str(spec)),
                marker=shapes[str(spec)],
                markersize=4,
                linewidth=1 if plain else 0,
                zorder=1 if plain else 2,
            )
            if plain:
                _name_alphas(ax, means)
        ax.set(
            title=_problem(str(dataset)),
            xlabel="kernel share of the L1 norm (0: rich, 1: kernel)",
            ylabel="‖β‖₂ over the least, minus 1",
        )
    style.method_legend(figure, specs)
    return figure


def _name_alphas(ax: Axes, means: pd.DataFrame) -> None:
    """Each α beside its point, where there is room for it."""
    last = float("-inf")
    for alpha, row in means.sort_index().iterrows():
        at = (float(row["kernel_share"]), float(row["l2_excess"]))
        if at[0] - last > ROOM:
            ax.annotate(f"α {alpha:g}", at, (4, 4), textcoords="offset points", fontsize=7)
            last = at[0]
