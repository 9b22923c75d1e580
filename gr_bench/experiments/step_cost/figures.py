"""The step-cost figures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from gr_bench.experiments import style
from gr_bench.experiments.experiment import Picture
from gr_bench.experiments.step_cost.tables import MEMORY
from gr_bench.spec import Spec, parse

WORKLOAD = ("model", "dataset", "threads")


def pictures(table: pd.DataFrame) -> Iterator[Picture]:
    """Ratio, time, time against batch size, memory; each only where there is something to show."""
    style.set_look(table["spec"])
    controls = table[table["control"].astype(bool) & table["time_ratio"].notna()]
    table = table[~table["control"].astype(bool)]
    timed = table[table["time_ms"].notna()]
    if len(timed[timed["time_ratio"].notna()]):
        yield Picture(
            "step_time_ratio",
            "Time per step against the baseline",
            "Dots: time over the baseline's (SGD's) in the same rounds, with the 95 % interval "
            "over freshly started processes. Bars across: what the matrix products alone would "
            "cost (FLOP ratio). A dot left of its bar is a method whose overhead is relatively "
            "smaller than the baseline's. Grey band: the interval of the baseline timed a second "
            "time.",
            _ratios(timed[timed["time_ratio"].notna()], controls),
        )
    if len(timed):
        yield Picture(
            "step_time",
            "Time per step",
            "Milliseconds a step, geometric mean over freshly started processes with the 95 % "
            "interval. These drift with the machine by the hour; the ratios do not.",
            _times(timed),
        )
    if timed["batch_size"].nunique() > 1:
        yield Picture(
            "step_time_by_batch",
            "Time per step against batch size",
            "Milliseconds a step over the batch size, both on logarithmic axes.",
            _by_batch(timed),
        )
    deep = _with_depth(timed)
    if len(deep):
        yield Picture(
            "step_time_by_depth",
            "Time per step against depth",
            "Dots: time ratio to the baseline, with the 95 % interval over processes. Lines: the "
            "FLOP ratio, which the layers' shapes decide (closed form). Dashed: what it tends to "
            "as layers are added, 2 for two gradients and 3 for double backpropagation.",
            _by_depth(deep),
        )
    measured = table[table["peak_memory_bytes"].notna()]
    if len(measured):
        yield Picture(
            "step_memory",
            "Peak memory of a step",
            "Bytes allocated at the peak of a step, at the largest batch size. The number at the "
            "end is the excess over the baseline in multiples of the parameters' bytes, P.",
            _memory(measured),
        )


def _dots(ax: Axes, part: pd.DataFrame, value: str, labels: list[str], batches: list[int]) -> None:
    """A row a method, a marker a batch size, with intervals."""
    rows = {label: index for index, label in enumerate(labels)}
    offsets = np.linspace(-0.22, 0.22, len(batches)) if len(batches) > 1 else [0.0]
    for row in part.to_dict("records"):
        at = batches.index(row["batch_size"])
        y = rows[row["spec"]] + offsets[at]
        low, high = row[f"{value}_low"], row[f"{value}_high"]
        ax.errorbar(
            row[value],
            y,
            xerr=[[row[value] - low], [high - row[value]]]
            if np.isfinite([low, high]).all()
            else None,
            color=style.color(row["spec"]),
            marker=style.MARKERS[at],
            markersize=5,
            capsize=2,
            linewidth=1,
        )
        if value == "time_ratio" and np.isfinite(row["flop_ratio"]):
            ax.plot(row["flop_ratio"], y, marker="|", color="0.25", markersize=9, zorder=1)
    names = style.short(labels)
    ax.set_yticks(range(len(labels)), [names[label] for label in labels])
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)


def _batch_legend(figure: Figure, batches: list[int], *more: Line2D) -> None:
    handles = [
        Line2D([], [], color="0.4", linestyle="", marker=style.MARKERS[at], label=f"batch {size}")
        for at, size in enumerate(batches)
    ]
    figure.legend(handles=[*handles, *more], loc="outside right upper")


def _ratios(table: pd.DataFrame, controls: pd.DataFrame) -> Figure:
    groups = list(style.workloads(table, *WORKLOAD))
    labels, batches = style.in_order(table["spec"]), sorted(table["batch_size"].unique())
    figure, axes = style.panels(len(groups), style.short(labels).values())
    keys = style.with_differing(table, *WORKLOAD)
    for ax, (title, part) in zip(axes, groups, strict=True):
        _dots(ax, part, "time_ratio", labels, batches)
        twin = controls.merge(part[keys].drop_duplicates(), on=keys)
        for row in twin.to_dict("records"):
            ax.axvspan(row["time_ratio_low"], row["time_ratio_high"], color="0.85", zorder=0)
        ax.axvline(1, color="0.5", linewidth=0.8)
        ax.set(title=style.two_lines(title), xlabel="time ratio to the baseline", xlim=(0.8, None))
    flops = Line2D([], [], color="0.25", linestyle="", marker="|", markersize=9, label="FLOP ratio")
    _batch_legend(figure, batches, flops)
    return figure


def _times(table: pd.DataFrame) -> Figure:
    groups = list(style.workloads(table, *WORKLOAD))
    labels, batches = style.in_order(table["spec"]), sorted(table["batch_size"].unique())
    figure, axes = style.panels(len(groups), style.short(labels).values())
    for ax, (title, part) in zip(axes, groups, strict=True):
        _dots(ax, part, "time_ms", labels, batches)
        ax.set(title=style.two_lines(title), xlabel="time per step (ms)", xscale="log")
        _plain_ticks(ax.xaxis)
    _batch_legend(figure, batches)
    return figure


def _by_batch(table: pd.DataFrame) -> Figure:
    groups = list(style.workloads(table, *WORKLOAD))
    labels, batches = style.in_order(table["spec"]), sorted(table["batch_size"].unique())
    shapes = style.markers(labels)
    figure, axes = style.panels(len(groups))
    for ax, (title, part) in zip(axes, groups, strict=True):
        sns.lineplot(
            part,
            x="batch_size",
            y="time_ms",
            hue="spec",
            style="spec",
            hue_order=labels,
            style_order=labels,
            palette={label: style.color(label) for label in labels},
            markers=shapes,
            dashes=False,
            errorbar=None,
            legend=False,
            ax=ax,
        )
        ax.set(
            title=style.two_lines(title),
            xlabel="batch size",
            ylabel="time per step (ms)",
            xscale="log",
            yscale="log",
        )
        ax.set_xticks(batches, [str(size) for size in batches])
        ax.xaxis.set_minor_locator(NullLocator())
        _plain_ticks(ax.yaxis)
    style.method_legend(figure, labels)
    return figure


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


def _by_depth(table: pd.DataFrame) -> Figure:
    groups = list(style.workloads(table, "family", "dataset", "batch_size", "threads"))
    labels = style.in_order(table["spec"])
    shapes = style.markers(labels)
    figure, axes = style.panels(len(groups))
    for ax, (title, part) in zip(axes, groups, strict=True):
        for limit in (2, 3):
            ax.axhline(limit, color="0.5", linewidth=0.8, linestyle="--", zorder=0)
        for at, label in enumerate(labels):
            own = part[part["spec"] == label].sort_values("depth")
            depth = own["depth"].astype(float)
            shifted = depth * (1 + 0.03 * (at - (len(labels) - 1) / 2))
            below = (own["time_ratio"] - own["time_ratio_low"]).to_numpy(float)
            above = (own["time_ratio_high"] - own["time_ratio"]).to_numpy(float)
            ax.errorbar(
                shifted,
                own["time_ratio"],
                yerr=np.nan_to_num([below, above], posinf=0.0),
                color=style.color(label),
                marker=shapes[label],
                markersize=5,
                capsize=2,
                linestyle="",
            )
            ax.plot(depth, own["flop_ratio"], color=style.color(label), linewidth=1, zorder=1)
        ax.set(title=style.two_lines(title), xlabel="linear layers", ylabel="ratio to the baseline")
        ax.set_xscale("log")
        depths = sorted(part["depth"].astype(int).unique())
        ax.set_xticks(depths, [str(value) for value in depths])
        ax.xaxis.set_minor_locator(NullLocator())
    style.method_legend(figure, labels)
    return figure


def _memory(table: pd.DataFrame) -> Figure:
    largest = table[table["batch_size"] == table["batch_size"].max()]
    groups = list(style.workloads(largest, "model", "dataset", "batch_size"))
    labels = style.in_order(largest["spec"])
    names = style.short(labels)
    shades = dict(zip(MEMORY, sns.color_palette("colorblind", len(MEMORY)), strict=True))
    figure, axes = style.panels(len(groups), names.values())
    for ax, (title, part) in zip(axes, groups, strict=True):
        rows = part.set_index("spec").reindex(labels)
        left = np.zeros(len(labels))
        for name in MEMORY:
            width = rows[name].to_numpy(float) / 1e6
            ax.barh(range(len(labels)), width, left=left, color=shades[name], height=0.7)
            left = left + width
        for y, (end, extra) in enumerate(zip(left, rows["extra_parameter_copies"], strict=True)):
            if np.isfinite(extra):
                ax.annotate(
                    f"{extra:+.2f} P", (end, y), (3, 0), textcoords="offset points", va="center"
                )
        ax.set_yticks(range(len(labels)), [names[label] for label in labels])
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.set(
            title=style.two_lines(title),
            xlabel="peak memory (MB)",
            xlim=(0, 1.28 * np.nanmax(left)),
        )
        ax.grid(axis="y", visible=False)
    handles = [
        Patch(color=shade, label=name.removesuffix("_bytes").replace("_", " "))
        for name, shade in shades.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", title="part")
    return figure


def _plain_ticks(axis: Axis) -> None:
    """1, 2, 5, 10, 20 and so on, in full, on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
