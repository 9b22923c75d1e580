"""Figure functions, and figures of several panels."""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from scipy.optimize import isotonic_regression

from gr_bench.errors import RequestError, unknown
from gr_bench.experiments import looks
from gr_bench.experiments.chart import FigureFunction
from gr_bench.experiments.style import SEPARATOR

TICKS = ((1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.5, 1.7, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9))
"""Of a decade on a logarithmic axis, from coarse to fine."""

TOGETHER = 0.75
"""Of a panel's least width: that of panels that stand in one line since they belong together."""

GLYPH = 0.52
"""The mean width of a character, in multiples of the font's size."""


def figure(function: Callable[..., Axes | Figure]) -> FigureFunction:
    """Make a figure function: it draws a table's rows, all or selected ones, in a look.

    What it makes takes the table (and further tables by name), then

    - ``ax``: the axes to draw into, where there is one panel; otherwise it makes a figure;
    - ``style``: ``screen``, ``paper`` or ``slides`` (:data:`gr_bench.experiments.looks.LOOKS`); by
      default the one of the surrounding :func:`gr_bench.experiments.looks.look`, or ``screen``. Of
      given axes the settings of matplotlib are left as they are if no style is named;
    - ``quantity``, where it has several;
    - columns of the table by name, each with a value, a pattern with ``*``, or a list of these:
      the rows to draw.

    It returns the axes of a single panel, and the figure of several.
    """
    own = inspect.signature(function).parameters

    @functools.wraps(function)
    def draw(
        table: pd.DataFrame, *, ax: Axes | None = None, style: str | None = None, **how: Any
    ) -> Axes | Figure:
        passed = {key: value for key, value in how.items() if key in own}
        selection = {key: value for key, value in how.items() if key not in own}
        chosen = select(table, selection)
        # of a further table the rows that such a selection leaves
        for key, value in passed.items():
            if isinstance(value, pd.DataFrame):
                passed[key] = select(value, {k: v for k, v in selection.items() if k in value})
        if style is None and (looks.chosen() or ax is not None):
            return function(chosen, ax, **passed)
        with looks.look(style or looks.DEFAULT):
            return function(chosen, ax, **passed)

    return draw


def select(table: pd.DataFrame, selection: Mapping[str, Any]) -> pd.DataFrame:
    """The rows that have what is selected, by column: a value, a pattern with ``*``, or a list.

    Raises:
        RequestError: there is no such column, or no such row.
    """
    for column, wanted in selection.items():
        if column not in table:
            raise unknown("column", column, map(str, table.columns))
        several = wanted if isinstance(wanted, list | tuple | set) else [wanted]
        values = table[column]
        kept = values.isin(list(several))
        for pattern in several:
            if isinstance(pattern, str) and "*" in pattern:
                kept |= values.astype(str).map(lambda v, p=pattern: fnmatchcase(v, p))
        if not kept.any():
            there = ", ".join(sorted(map(str, values.unique())))
            raise RequestError(f"no {column} is {wanted!r}: available are {there or 'none'}")
        table = table[kept]
    return table


def quantities(known: Mapping[str, Any], wanted: str | None) -> list[str]:
    """Those that are drawn: all, or the one that is wanted.

    Raises:
        RequestError: it is not there.
    """
    if wanted is None:
        return list(known)
    if wanted not in known:
        raise RequestError(f"no quantity {wanted!r}: available are {', '.join(known)}")
    return [wanted]


@dataclass(frozen=True)
class Panel:
    """A panel: its title and what draws it."""

    title: str
    draw: Callable[[Axes], None]
    lines: float = 0.0
    """Its height in lines of text, axis and title aside; 0 if it follows from the width."""


def draw_panels(
    panels: Sequence[Panel],
    ax: Axes | None = None,
    *,
    labels: Iterable[str] = (),
    each: int = 1,
    legend: Sequence[Artist] = (),
    legend_title: str = "",
    gutter: str = "",
    columns: int | None = None,
) -> Axes | Figure:
    """Draw panels, as many side by side as there is room for, with a legend below all.

    Args:
        panels: at least one.
        ax: drawn into, where there is one panel.
        labels: a row's each, written beside the first panel of a line alone, since all have the
            same rows.
        each: panels that belong together, as quantities of a workload, and stand in one line where
            there is room; the first has the title.
        legend: its entries.
        legend_title: above them.
        gutter: the longest text to the right of a panel.
        columns: panels in a line; by default as many as there is room for.

    Returns:
        The axes of one panel, or the figure of several.

    Raises:
        RequestError: several panels for one ``ax``.
    """
    if ax is not None:
        return _into(panels, ax, legend, legend_title)
    look = looks.current()
    em = look.points / 72
    labels = list(labels)
    beside = (GLYPH * max(map(len, labels)) + 1.0) * em if labels else 0.0
    right = GLYPH * len(gutter) * em
    room = look.panel + (0.0 if labels else 3.5 * em) + right
    least = room if each == 1 else TOGETHER * room
    fit = max(1, int((look.full - beside) / least))
    columns = columns or _columns(len(panels), each, fit)
    if columns == 1 and look.fills:
        width = look.column if each == 1 or len(panels) == 1 else look.full
    elif look.fills:
        width = look.full
    else:
        width = min(look.full, max(look.column, beside + columns * 1.25 * room))
    inner = (width - beside) / columns - right
    chars = max(12, int(0.95 * inner / (GLYPH * em)))
    titles = ["" if at % each else _wrapped(panel.title, chars) for at, panel in enumerate(panels)]
    if len(panels) == 1 and not look.titles:
        titles = [""]
    rows = -(-len(panels) // columns)
    heights = [
        _height(panels[row * columns : (row + 1) * columns], inner, em)
        + 1.35 * em * max(t.count("\n") + 1 if t else 0 for t in titles[row * columns :][:columns])
        for row in range(rows)
    ]
    ncols, below = _legend_size(legend, legend_title, width, em)
    drawn, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, sum(heights) + below),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    flat = list(axes.flat)
    for spare in flat[len(panels) :]:
        spare.remove()
    for at, (panel, own) in enumerate(zip(panels, flat, strict=False)):
        panel.draw(own)
        own.set_title(titles[at])
        if labels and at % columns:
            own.tick_params(axis="y", labelleft=False)
    if legend:
        drawn.legend(
            handles=legend,
            loc="outside lower center",
            ncols=ncols,
            title=legend_title or None,
            columnspacing=1.2,
            handletextpad=0.5,
        )
    return flat[0] if len(panels) == 1 else drawn


def _into(panels: Sequence[Panel], ax: Axes, legend: Sequence[Artist], title: str) -> Axes:
    if len(panels) != 1:
        names = "; ".join(dict.fromkeys(panel.title for panel in panels))
        raise RequestError(
            f"{len(panels)} panels do not fit into one ax: select one by columns or quantity "
            f"({names})"
        )
    panels[0].draw(ax)
    if looks.current().titles:
        ax.set_title(panels[0].title.replace(SEPARATOR, "\n", 1))
    if len(legend) > 1:
        ax.legend(handles=legend, title=title or None)
    return ax


def _columns(count: int, each: int, fit: int) -> int:
    """Panels in a line: of those that belong together a number that divides theirs."""
    if each == 1:
        lines = -(-count // min(count, fit))
        return -(-count // lines)  # lines of like length
    return max(n for n in range(1, each + 1) if each % n == 0 and n <= max(1, fit))


def _height(panels: Sequence[Panel], width: float, em: float) -> float:
    """A line's, with its axis: of rows, or three quarters of the panel's width."""
    axis = 3.6 * em
    lines = max(panel.lines for panel in panels)
    return axis + (1.0 * em * lines if lines else 0.72 * min(width, 30 * em))


def _wrapped(title: str, chars: int) -> str:
    """A title in lines: its first part (the model) has one of its own where it must be broken."""
    if len(title) <= chars:
        return title
    first, *rest = title.split(SEPARATOR, 1)
    parts = [first, *rest]
    return "\n".join(textwrap.fill(part, chars, break_on_hyphens=False) for part in parts)


def _legend_size(
    legend: Sequence[Artist], title: str, width: float, em: float
) -> tuple[int, float]:
    """Columns of a legend, and the height that it takes, in inches."""
    if not legend:
        return 1, 0.0
    longest = max(len(str(artist.get_label())) for artist in legend)
    ncols = max(1, min(len(legend), int(width / ((GLYPH * 0.9 * longest + 4.2) * em))))
    lines = -(-len(legend) // ncols) + bool(title)
    return -(-len(legend) // -(-len(legend) // ncols)), (1.3 * lines + 1.0) * em


def method_rows(ax: Axes, names: Sequence[str]) -> None:
    """A row a method, the first at the top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)


def beside(ax: Axes, y: float, text: str, **how: Any) -> None:
    """Write to the right of a row, outside the axes, so that nothing is written over."""
    ax.annotate(
        text,
        (1.0, y),
        xycoords=ax.get_yaxis_transform(),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=0.9 * mpl.rcParams["font.size"],
        annotation_clip=False,
        **how,
    )


def label_ends(ax: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Write every line's name at its right end, in its colour; those that would overlap are moved
    apart. The axes' limits must be those of the finished panel.

    Args:
        ax: the panel.
        ends: by name the height at which the line ends, and its colour.
    """
    size = 0.9 * mpl.rcParams["font.size"]
    to_axes = ax.transData + ax.transAxes.inverted()
    x = ax.get_xlim()[1]
    names = sorted(ends, key=lambda name: ends[name][0])
    wanted = np.array([to_axes.transform((x, ends[name][0]))[1] for name in names])
    height = ax.get_window_extent().height * 72 / ax.get_figure().dpi  # type: ignore[union-attr]
    places = spread(wanted, 1.45 * size / height)
    for name, at, place in zip(names, wanted, places, strict=True):
        color = ends[name][1]
        ax.annotate(
            name,
            (1.0, at),
            xycoords="axes fraction",
            xytext=(1.04, place),
            textcoords="axes fraction",
            va="center",
            fontsize=size,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 1.2, "shrinkA": 0},
        )


def spread(wanted: Sequence[float] | np.ndarray, gap: float) -> np.ndarray:
    """The nearest places to those wanted (least squares) that are ``gap`` apart, in their order.

    Args:
        wanted: sorted.
        gap: the least distance of neighbours.
    """
    steps = gap * np.arange(len(wanted))
    found: np.ndarray = isotonic_regression(np.asarray(wanted, float) - steps).x + steps
    return found


def _plain(value: float, place: int | None = None) -> str:
    """A tick's number; a function with a name, so that a figure can be sent to a process."""
    return f"{value:g}"


def plain_ticks(axis: Axis) -> None:
    """Numbers in full on a logarithmic axis, at least three of them where there are round ones.

    Its limits must be those of the finished panel. One without a finite value keeps what it has.
    """
    low, high = sorted(axis.get_view_interval())
    if not (np.isfinite(high) and low > 0):
        return
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for digits in TICKS:
        every = [digit * 10.0**decade for decade in decades for digit in digits]
        ticks = [tick for tick in every if low <= tick <= high]
        if len(ticks) >= 3:
            break
    if len(ticks) > 6:
        ticks = [10.0**decade for decade in decades if low <= 10.0**decade <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
