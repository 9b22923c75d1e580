"""Figures of a history: one a block of cells, a row a method."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gr_bench.comparison.history.history import History
from gr_bench.comparison.history.series import Series
from gr_bench.comparison.history.words import relative
from gr_bench.experiments import style
from gr_bench.experiments.step_cost.cell import StepCostCell

PANEL = (6.0, 1.7)
"""Width and height of a panel, in inches."""

TICKS = 15
"""Commits that are named below a panel, at most: more would overlap."""

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
COUNTERS = {"peak_bytes": ("peak memory", "B"), "flops": ("FLOPs", "FLOP")}


def draw(history: History, cells: Sequence[StepCostCell], title: str) -> Figure:
    """One block: a row a cell, its ratio on the left and its time in matrix products on the right;
    below them peak memory and FLOPs of all.

    Points come with two standard errors to either side; lines are the fitted levels; a band is
    where a change lies, its size above; runs that stand apart are hollow.
    """
    figure, axes = plt.subplots(
        len(cells) + 1,
        2,
        figsize=(2 * PANEL[0], PANEL[1] * (len(cells) + 1) + 0.8),
        squeeze=False,
        sharex=True,
        layout="constrained",
    )
    labels = style.short(cell.spec for cell in cells)
    for cell, row in zip(cells, axes, strict=False):
        row[0].set_title(labels[cell.spec], loc="left", fontweight="bold")
        _ratio(row[0], history, cell)
        _products(row[1], history, cell)
    for ax, counter in zip(axes[-1], COUNTERS, strict=True):
        _counter(ax, history, cells, counter)
    names = [run.name for run in history.runs]
    shown = np.unique(np.linspace(0, len(names) - 1, min(TICKS, len(names))).round().astype(int))
    for ax in axes[-1]:
        ax.set_xticks(shown, [names[i] for i in shown], rotation=45, ha="right")
        ax.set_xlim(-0.5, len(names) - 0.5)
    figure.suptitle(title)
    return figure


def _ratio(ax: Axes, history: History, cell: StepCostCell) -> None:
    ax.set_ylabel(f"time / {cell.baseline}'s")
    own = [s for s in history.series if s.cell.id == cell.id and s.quantity == "ratio"]
    if cell.is_baseline:
        ax.text(0.5, 0.5, "the baseline", transform=ax.transAxes, ha="center", color="0.5")
        ax.set_yticks([])
    for series in own:
        _points(ax, series, 1.0, style.color(cell.spec))


def _products(ax: Axes, history: History, cell: StepCostCell) -> None:
    own = [s for s in history.series if s.cell.id == cell.id and s.quantity == "products"]
    highest = max((np.exp(np.nanmax(series.values)) for series in own), default=1.0)
    unit, letter = next(pair for pair in UNITS if highest >= pair[0] or pair[0] == 1.0)
    ax.set_ylabel(f"matrix product\n{letter}FLOP")
    for number, series in enumerate(own):
        color = style.color(cell.spec) if number == 0 else str(0.3 + 0.5 * number / len(own))
        _points(ax, series, unit, color)


def _points(ax: Axes, series: Series, unit: float, color: tuple[float, float, float] | str) -> None:
    """The values of a series with their errors, the levels, and the changes."""
    found, runs = series.found, np.array(series.runs)
    values, levels = np.exp(series.values) / unit, np.exp(found.levels) / unit
    reach = values * np.array([-np.expm1(-2 * found.errors), np.expm1(2 * found.errors)])
    apart = np.isin(np.arange(runs.size), found.apart)
    kept = (runs[~apart], values[~apart], reach[:, ~apart])
    ax.errorbar(*kept, color=color, marker="o", markersize=3, linestyle="none", elinewidth=0.8)
    known = np.flatnonzero(np.isfinite(series.values))
    begins = [known[0], *(c.after for c in found.changes if c.kind == "step"), known[-1] + 1]
    for begin, end in itertools.pairwise(begins):
        stretch = slice(begin, end)
        ax.plot(runs[stretch], levels[stretch], color="0.15", linewidth=1.4)
    ax.margins(y=0.25)
    low, high = ax.get_ylim()  # those apart would leave no room for the others: at the edge
    if apart.any():
        edge = np.clip(values[apart], low, high)
        ax.plot(runs[apart], edge, "o", color=color, mfc="white", clip_on=False)
        ax.set_ylim(low, high)
    for change in found.changes:
        ax.axvspan(runs[change.earliest], runs[change.latest], color="0.85", zorder=0)
        ax.annotate(
            f"{100 * relative(change.size.center):+.1f} %",
            ((runs[change.before] + runs[change.after]) / 2, 0.98),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=8,
        )


def _counter(ax: Axes, history: History, cells: Sequence[StepCostCell], counter: str) -> None:
    """A counter of all cells of a block."""
    values = {
        cell.id: np.array(
            [run.counters.get(cell.id, {}).get(counter, np.nan) for run in history.runs], float
        )
        for cell in cells
    }
    highest = max((float(np.nanmax(v)) for v in values.values() if np.isfinite(v).any()), default=1)
    unit, letter = next(pair for pair in UNITS if highest >= pair[0] or pair[0] == 1.0)
    name, of = COUNTERS[counter]
    shapes = style.markers(cell.spec for cell in cells)
    labels = style.short(cell.spec for cell in cells)
    for cell in cells:
        ax.plot(
            np.arange(len(history.runs)),
            values[cell.id] / unit,
            color=style.color(cell.spec),
            marker=shapes[cell.spec],
            markersize=3,
            linewidth=1,
            label=labels[cell.spec],
        )
    ax.set(ylabel=f"{name}\n{letter}{of}", ylim=(0, None))
    if counter == list(COUNTERS)[-1]:
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
