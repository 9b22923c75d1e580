"""The step-cost figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from gr_bench.experiments import style
from gr_bench.experiments.chart import Chart
from gr_bench.experiments.facets import (
    Panel,
    beside,
    draw_panels,
    figure,
    label_ends,
    method_rows,
    plain_ticks,
)
from gr_bench.experiments.step_cost.tables import MEMORY
from gr_bench.spec import Spec, parse

WORKLOAD = ("model", "dataset", "threads")
ROW = 2.0
"""The height of a method's row, in lines."""


def charts(table: pd.DataFrame) -> Iterator[Chart]:
    """Ratio, time, time against batch size, memory; each only where there is something to show."""
    style.set_methods(table["spec"])
    plain = _without_controls(table)
    if len(_with_ratios(plain)):
        yield Chart(
            step_time_ratio,
            table,
            "Time per step relative to the baseline",
            "Dots: time relative to the baseline's (SGD's) in the same rounds, with the 95 % "
            "interval over freshly started processes. Bars: the cost of the matrix products "
            "alone (FLOP ratio). A dot to the left of its bar indicates a smaller relative "
            "overhead than the baseline's. Grey band: the interval of the baseline timed a "
            "second time.",
        )
    timed = _timed(plain)
    if len(timed):
        yield Chart(
            step_time,
            table,
            "Time per step",
            "Milliseconds per step, geometric mean over freshly started processes with the 95 % "
            "interval. They drift with the machine by the hour; the ratios do not.",
        )
    if len(_with_batches(timed)):
        yield Chart(
            step_time_by_batch,
            table,
            "Time per step against batch size",
            "Milliseconds per step with the 95 % interval, against the batch size, on "
            "logarithmic axes. Dotted: proportional to the batch size.",
        )
    if len(_with_depth(timed)):
        yield Chart(
            step_time_by_depth,
            table,
            "Time per step against depth",
            "Dots: time ratio to the baseline, with the 95 % interval over processes. Lines: "
            "the FLOP ratio, in closed form from the layers' shapes. Dashed: its limit as "
            "layers are added, 2 for two gradients and 3 for double backpropagation.",
        )
    if plain["peak_memory_bytes"].notna().any():
        yield Chart(
            step_memory,
            table,
            "Peak memory of a step",
            "Bytes allocated at the peak of a step, at the largest batch size. The number at "
            "the end is the excess over the baseline in multiples of the size of the "
            "parameters, P.",
        )


def _without_controls(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table["control"].astype(bool)]


def _timed(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["time_ms"].notna()]


def _with_batches(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of workloads with three batch sizes or more: two say no more than a row for each."""
    keys = style.with_differing(table, *WORKLOAD)
    sizes = table.groupby(keys, dropna=False)["batch_size"].transform("nunique")
    return table[sizes > 2]


def _with_ratios(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["time_ms"].notna() & table["time_ratio"].notna()]


def baseline_words(table: pd.DataFrame) -> str:
    """The method that ratios are to, in words: the one that is timed twice, or whose ratio is 1."""
    twice = table.loc[table["control"].astype(bool), "spec"]
    alone = table.loc[(table["time_ratio"] == 1) & (table["time_ratio_low"] == 1), "spec"]
    names = set(twice if len(twice) else alone)
    if len(names) != 1:
        return "the baseline"
    (name,) = names
    return "SGD" if name == "sgd" else str(name)


@figure
def step_time_ratio(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """Time per step relative to the baseline's, with 95 % intervals and the FLOP ratio.

    Args:
        table: ``step_cost`` of a run; a panel a model, dataset and number of threads, a row a
            method, a marker a batch size.
        ax: where to draw a single panel.
    """
    shown = _with_ratios(_without_controls(table))
    controls = table[table["control"].astype(bool) & table["time_ratio"].notna()]
    keys = style.with_differing(shown, *WORKLOAD)
    names, batches = _rows(shown)
    words = baseline_words(table)

    def draw(ax: Axes, part: pd.DataFrame) -> None:
        _dots(ax, part, "time_ratio", names, batches)
        twin = controls.merge(part[keys].drop_duplicates(), on=keys)
        for row in twin.to_dict("records"):
            ax.axvspan(row["time_ratio_low"], row["time_ratio_high"], color="0.85", zorder=0)
        ax.axvline(1, color="0.5", linewidth=0.8, zorder=1)
        ax.set(xlabel=f"time per step / {words}'s", xlim=(0.8, None))

    flops = Line2D([], [], color="0.25", linestyle="", marker="|", label="FLOP ratio")
    return _by_method(shown, ax, draw, names, [*_batches(batches), flops])


@figure
def step_time(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """Milliseconds a step, with 95 % intervals, on a logarithmic axis.

    Args:
        table: ``step_cost`` of a run; a panel a model, dataset and number of threads, a row a
            method, a marker a batch size.
        ax: where to draw a single panel.
    """
    shown = _timed(_without_controls(table))
    names, batches = _rows(shown)

    def draw(ax: Axes, part: pd.DataFrame) -> None:
        _dots(ax, part, "time_ms", names, batches)
        ax.set(xlabel="time per step (ms)", xscale="log")
        plain_ticks(ax.xaxis)

    return _by_method(shown, ax, draw, names, _batches(batches))


@figure
def step_memory(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """Peak memory of a step by its parts, in MB, at the largest batch size.

    Args:
        table: ``step_cost`` of a run; a panel a model, dataset and number of threads, a row a
            method. To the right the excess over the baseline in multiples of the parameters'
            bytes, P.
        ax: where to draw a single panel.
    """
    table = _without_controls(table)
    shown = table[table["peak_memory_bytes"].notna()]
    shown = shown[shown["batch_size"] == shown["batch_size"].max()]
    names, _ = _rows(shown)
    parts = style.shades([part.removesuffix("_bytes").replace("_", " ") for part in MEMORY])

    def draw(ax: Axes, part: pd.DataFrame) -> None:
        rows = part.drop_duplicates("spec").set_index("spec").reindex(list(names))
        left = np.zeros(len(names))
        for column, shade in zip(MEMORY, parts.values(), strict=True):
            width = rows[column].to_numpy(float) / 1e6
            ax.barh(range(len(names)), width, left=left, color=shade, height=0.7, linewidth=0)
            left = left + np.nan_to_num(width)
        for y, extra in enumerate(rows["extra_parameter_copies"]):
            if np.isfinite(extra):
                beside(ax, y, f"{extra:+.2f} P")
        method_rows(ax, list(names.values()))
        ax.set(xlabel="peak memory (MB)")

    panels = [
        Panel(title, partial(draw, part=part), ROW * len(names))
        for title, part in style.workloads(shown, "model", "dataset", "batch_size")
    ]
    return draw_panels(
        panels,
        ax,
        labels=names.values(),
        legend=style.patch_handles(parts),
        gutter="+00.00 P",
    )


@figure
def step_time_by_batch(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """Milliseconds a step against the batch size, with 95 % intervals, on logarithmic axes.

    Args:
        table: ``step_cost`` of a run; a panel a model, dataset and number of threads, a line a
            method.
        ax: where to draw a single panel.
    """
    shown = _with_batches(_timed(_without_controls(table)))
    names, batches = _rows(shown)
    shapes, sorts = style.markers(names), style.dashes(names)

    def draw(ax: Axes, part: pd.DataFrame) -> None:
        ends = {}
        for spec in style.in_order(part["spec"]):
            own = part[part["spec"] == spec].sort_values("batch_size")
            _with_intervals(ax, own["batch_size"], own, "time_ms", spec, shapes[spec], sorts[spec])
            ends[names[spec]] = (float(own["time_ms"].iloc[-1]), style.color(spec))
        ax.set(xlabel="batch size", ylabel="time per step (ms)", xscale="log", yscale="log")
        ax.set_xticks(batches, [str(size) for size in batches])
        ax.xaxis.set_minor_locator(NullLocator())
        first = part[part["batch_size"] == part["batch_size"].min()]["time_ms"].min()
        limits = ax.get_ylim()
        sizes = np.array([min(batches), max(batches)], float)
        ax.plot(sizes, first * sizes / part["batch_size"].min(), ":", color="0.6", zorder=0)
        ax.set_ylim(limits)
        plain_ticks(ax.yaxis)
        label_ends(ax, ends)

    panels = [
        Panel(title, partial(draw, part=part), 18.0)
        for title, part in style.workloads(shown, *WORKLOAD)
    ]
    return draw_panels(panels, ax, gutter="  " + max(names.values(), key=len))


def _with_depth(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of models that are there in several depths, with ``depth`` and ``family`` without it."""
    specs = table["model"].map(parse)
    depth = specs.map(lambda spec: spec.parameters.get("depth"))
    family = specs.map(
        lambda spec: str(Spec(spec.name, tuple(p for p in spec.arguments if p[0] != "depth")))
    )
    deep = table.assign(depth=depth, family=family)[depth.notna() & table["time_ratio"].notna()]
    several = deep.groupby("family")["depth"].transform("nunique") > 1
    return deep[several.astype(bool)]


@figure
def step_time_by_depth(table: pd.DataFrame, ax: Axes | None = None) -> Axes | Figure:
    """Time per step relative to the baseline's against a model's depth, and the FLOP ratio.

    Args:
        table: ``step_cost`` of a run; a panel a family of models that differ in their depth alone,
            dataset, batch size and number of threads, a line a method.
        ax: where to draw a single panel.
    """
    shown = _with_depth(_timed(_without_controls(table)))
    words = baseline_words(table)
    names, _ = _rows(shown)
    shapes = style.markers(names)

    def draw(ax: Axes, part: pd.DataFrame) -> None:
        labels, ends = style.in_order(part["spec"]), {}
        for limit in (2, 3):
            ax.axhline(limit, color="0.5", linewidth=0.8, linestyle="--", zorder=0)
        for at, spec in enumerate(labels):
            own = part[part["spec"] == spec].sort_values("depth")
            depth = own["depth"].astype(float)
            shifted = depth * (1 + 0.03 * (at - (len(labels) - 1) / 2))
            _with_intervals(ax, shifted, own, "time_ratio", spec, shapes[spec], "")
            ax.plot(depth, own["flop_ratio"], color=style.color(spec), linewidth=1, zorder=1)
            ends[names[spec]] = (float(own["time_ratio"].iloc[-1]), style.color(spec))
        ax.set(xlabel="linear layers", ylabel=f"ratio to {words}'s", xscale="log")
        depths = sorted(part["depth"].astype(int).unique())
        ax.set_xticks(depths, [str(value) for value in depths])
        ax.xaxis.set_minor_locator(NullLocator())
        label_ends(ax, ends)

    panels = [
        Panel(title, partial(draw, part=part), 18.0)
        for title, part in style.workloads(shown, "family", "dataset", "batch_size", "threads")
    ]
    return draw_panels(panels, ax, gutter="  " + max(names.values(), key=len))


def _rows(table: pd.DataFrame) -> tuple[dict[str, str], list[int]]:
    """Methods in order with their printed names, and batch sizes."""
    return style.short(table["spec"]), sorted(table["batch_size"].unique())


def _by_method(
    table: pd.DataFrame,
    ax: Axes | None,
    draw: Callable[..., None],
    names: dict[str, str],
    legend: list[Artist],
) -> Axes | Figure:
    """A panel a workload, with a row a method."""
    panels = [
        Panel(title, partial(draw, part=part), ROW * len(names))
        for title, part in style.workloads(table, *WORKLOAD)
    ]
    return draw_panels(panels, ax, labels=names.values(), legend=legend)


def _dots(
    ax: Axes, part: pd.DataFrame, value: str, names: dict[str, str], batches: list[int]
) -> None:
    """A row a method, a marker a batch size, with intervals."""
    rows = {spec: index for index, spec in enumerate(names)}
    offsets = np.linspace(-0.22, 0.22, len(batches)) if len(batches) > 1 else [0.0]
    size = 0.8 * mpl.rcParams["lines.markersize"]
    for row in part.to_dict("records"):
        at = batches.index(row["batch_size"])
        y = rows[row["spec"]] + offsets[at]
        low, high = row[f"{value}_low"], row[f"{value}_high"]
        known = np.isfinite([low, high]).all()
        ax.errorbar(
            row[value],
            y,
            xerr=[[row[value] - low], [high - row[value]]] if known else None,
            color=style.color(row["spec"]),
            marker=style.MARKERS[at % len(style.MARKERS)],
            markersize=size,
            markerfacecolor=None if known else "white",
            capsize=2,
            linewidth=1,
        )
        if value == "time_ratio" and np.isfinite(row["flop_ratio"]):
            ax.plot(row["flop_ratio"], y, marker="|", color="0.25", markersize=1.8 * size, zorder=1)
    method_rows(ax, list(names.values()))


def _with_intervals(
    ax: Axes,
    x: pd.Series,
    own: pd.DataFrame,
    value: str,
    spec: str,
    marker: str,
    line: style.Dash,
) -> None:
    """A method's values, upwards, with intervals where they are known."""
    ends = [own[value] - own[f"{value}_low"], own[f"{value}_high"] - own[value]]
    ax.errorbar(
        x,
        own[value],
        yerr=np.nan_to_num(np.array(ends, float), posinf=0.0),
        color=style.color(spec),
        marker=marker,
        markersize=0.8 * mpl.rcParams["lines.markersize"],
        capsize=2,
        linestyle=line,
        linewidth=1.2,
        elinewidth=1,
    )


def _batches(batches: list[int]) -> list[Artist]:
    return [
        Line2D(
            [],
            [],
            color="0.4",
            linestyle="",
            marker=style.MARKERS[at % len(style.MARKERS)],
            label=f"batch {size}",
        )
        for at, size in enumerate(batches)
    ]
