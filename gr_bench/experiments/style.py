"""One look for all figures."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gr_bench.experiments import palette
from gr_bench.experiments.columns import SETTINGS, method_place
from gr_bench.spec import Spec, parse

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
"""Told apart by shape: the settings of one method, or the batch sizes of one workload."""

PANEL = (3.6, 2.7)
"""Width and height of one panel, in inches."""

TITLE_WIDTH = 40
"""Characters in a line of a panel's title."""

_colors: dict[str, str] = {}
"""Of the methods that :func:`set_look` was told of."""


def set_look(labels: Iterable[str] = ()) -> None:
    """Fonts, grid and sizes, for every figure from here on.

    Args:
        labels: every method of the figures to come. Those from elsewhere whose names happen to give
            like colours are told apart by this (:func:`gr_bench.experiments.palette.colors`).
    """
    _colors.clear()
    _colors.update(palette.colors({parse(label).kind for label in labels}))
    sns.set_theme(
        context="paper",
        style="whitegrid",
        rc={
            "figure.dpi": 100,
            "savefig.dpi": 160,
            "savefig.bbox": "tight",  # long labels are not cut off
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "grid.linewidth": 0.6,
            "svg.hashsalt": "gr-bench",  # the same figure is the same file
        },
    )


def color(label: str) -> str:
    """A method's colour: the same in every figure, distinct to the colour-blind."""
    name = parse(label).kind
    return _colors.get(name) or palette.colors([name])[name]


def in_order(labels: Iterable[str]) -> list[str]:
    """Distinct labels in the order of the methods, then of their settings."""
    return sorted(dict.fromkeys(labels), key=method_place)


def short(labels: Iterable[str]) -> dict[str, str]:
    """Each label as figures print it: the name, with the parameters that tell labels apart."""
    specs = {label: parse(label) for label in in_order(labels)}
    printed = {}
    for label, spec in specs.items():
        same = [other for other in specs.values() if other.kind == spec.kind]
        printed[label] = str(_differing(spec, same))
    return printed


def _differing(spec: Spec, same: Sequence[Spec]) -> Spec:
    """A spec with the parameters, its own and further inside, that differ among those like it."""
    arguments = [
        (key, value)
        for key, value in spec.arguments
        if any(other.parameters.get(key) != value for other in same)
    ]
    inner = spec.inner and _differing(spec.inner, [other.inner for other in same if other.inner])
    return Spec(spec.name.rpartition(":")[2], tuple(arguments), inner)


def markers(labels: Iterable[str]) -> dict[str, str]:
    """A marker for every label: settings of one method share a colour and differ in this."""
    count: dict[str, int] = {}
    chosen = {}
    for label in in_order(labels):
        name = parse(label).kind
        chosen[label] = MARKERS[count.setdefault(name, 0) % len(MARKERS)]
        count[name] += 1
    return chosen


def panels(
    count: int, labels: Iterable[str] = (), *, rows_each: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels, as many side by side as there is room for.

    Args:
        count: how many.
        labels: what is written beside a panel; long ones make it wider, many make it higher.
        rows_each: rows of ``count`` panels each, one below the other.
    """
    labels = list(labels)
    width = PANEL[0] + 0.09 * max(0, max(map(len, labels), default=0) - 8)
    height = PANEL[1] + 0.2 * max(0, len(labels) - 8)
    columns = max(1, min(4, count, int(4 * PANEL[0] / width))) if rows_each == 1 else count
    rows = -(-count // columns) * rows_each
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        squeeze=False,
        layout="constrained",
    )
    flat = list(axes.flat)
    for spare in flat[count * rows_each :]:
        spare.remove()
    return figure, flat[: count * rows_each]


def with_differing(table: pd.DataFrame, *keys: str) -> list[str]:
    """``keys``, and the settings of the workload that are not the same in the whole table."""
    differing = [key for key in SETTINGS if key in table and table[key].nunique() > 1]
    return [*keys, *(key for key in differing if key not in keys)]


def workloads(table: pd.DataFrame, *keys: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The table's parts of one workload each, told apart by :func:`with_differing` ``keys``, with a
    title for its panel.
    """
    every = with_differing(table, *keys)
    for values, part in table.groupby(every, sort=False, dropna=False):
        pairs = zip(every, values, strict=True)
        yield " · ".join(_words(key, value) for key, value in pairs), part


def _words(key: str, value: object) -> str:
    units = {
        "batch_size": "batch {}",
        "threads": "{} threads",
        "learning_rate": "lr {}",
        "epochs": "{} epochs",
        "momentum": "momentum {}",
        "weight_decay": "weight decay {}",
        "schedule": "{} schedule",
        "augmentation": "augmentation {}",
        "label_noise": "label noise {}",
        "compiled": "compiled {}",
        "allocator": "{} allocator",
        "baseline": "against {}",
        "tuned": "equal tuning {}",
    }
    return units.get(key, "{}").format(value).replace("1 threads", "1 thread")


def two_lines(title: str) -> str:
    """A panel's title, its first part (the model) on a line of its own."""
    return wrapped(title.replace(" · ", "\n", 1))


def wrapped(title: str) -> str:
    """A panel's title in lines that are no wider than the panel."""
    return "\n".join(textwrap.fill(line, TITLE_WIDTH) for line in title.splitlines())


def value_range(values: pd.Series, number: str) -> str:
    """The smallest and the largest value as text: ``0.97 to 0.98``, or one where both print alike.

    Args:
        values: those that are missing are passed over; ``-`` stands for none.
        number: how to print one, as ``{:.2f}``.
    """
    known = values.dropna().astype(float)
    if not len(known):
        return "-"
    low, high = number.format(known.min()), number.format(known.max())
    return low if low == high else f"{low} to {high}"


def slug(text: object) -> str:
    """A text as a part of a file's name: ``resnet-8(width=8)`` becomes ``resnet-8-width-8``."""
    return re.sub(r"[^\w-]+", "-", str(text)).strip("-")


def method_legend(figure: Figure, labels: Iterable[str]) -> None:
    """A legend of the methods' colours and markers, beside the panels."""
    names, shapes = short(labels), markers(labels)
    handles = [
        Line2D([], [], color=color(label), marker=shapes[label], label=name)
        for label, name in names.items()
    ]
    # outside the figure, which saving makes room for: it never takes room from the panels
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="method")
