"""The words, colours and shapes of methods and workloads in figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gr_bench.experiments import looks, palette
from gr_bench.experiments.columns import SETTINGS, method_place
from gr_bench.spec import Spec, parse

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
"""Told apart by shape: the settings of one method, or the batch sizes of one workload."""

Dash = Literal["-", ":", ""] | tuple[int, tuple[float, ...]]

DASHES: tuple[Dash, ...] = (
    *("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (7, 2))),
    (0, (3, 1, 1, 1, 1, 1)),
)
"""The same of lines."""

SEPARATOR = " · "
"""Between the parts of a panel's title."""

_colors: dict[str, str] = {}
"""Of the methods that :func:`set_methods` was told of."""


def set_methods(labels: Iterable[str] = ()) -> None:
    """The methods of the figures to come. Those from elsewhere whose names happen to give like
    colours are told apart by this (:func:`gr_bench.experiments.palette.colors`).
    """
    _colors.clear()
    _colors.update(palette.colors({parse(label).kind for label in labels}))


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
    return {label: MARKERS[at % len(MARKERS)] for label, at in _among_settings(labels).items()}


def dashes(labels: Iterable[str]) -> dict[str, Dash]:
    """A sort of line for every label, as :func:`markers`."""
    return {label: DASHES[at % len(DASHES)] for label, at in _among_settings(labels).items()}


def _among_settings(labels: Iterable[str]) -> dict[str, int]:
    """Each label's place among those of its method."""
    count: dict[str, int] = {}
    places = {}
    for label in in_order(labels):
        name = parse(label).kind
        places[label] = count.setdefault(name, 0)
        count[name] += 1
    return places


def marker_handles(labels: Iterable[str]) -> list[Artist]:
    """A legend's entries: every method's colour and marker."""
    names, shapes = short(labels), markers(labels)
    return [
        Line2D([], [], color=color(label), marker=shapes[label], linestyle="", label=name)
        for label, name in names.items()
    ]


def line_handles(labels: Iterable[str]) -> list[Artist]:
    """A legend's entries: every method's colour and sort of line."""
    names, sorts = short(labels), dashes(labels)
    return [
        Line2D([], [], color=color(label), linestyle=sorts[label], label=name)
        for label, name in names.items()
    ]


def patch_handles(shades: Mapping[str, Any]) -> list[Artist]:
    """A legend's entries: the colours of a bar's parts."""
    return [Patch(color=shade, label=name) for name, shade in shades.items()]


def shades(names: Sequence[str]) -> dict[str, Any]:
    """Colours for things that are no methods, from dark blue to light yellow: their lightness tells
    them apart in any sight, and in grey.
    """
    scale = mpl.colormaps["cividis"]
    places = [at / max(1, len(names) - 1) for at in range(len(names))]
    return {name: scale(0.05 + 0.9 * at) for name, at in zip(names, places, strict=True)}


def with_differing(table: pd.DataFrame, *keys: str) -> list[str]:
    """``keys``, and the settings of the workload that are not the same in the whole table."""
    differing = [key for key in SETTINGS if key in table and table[key].nunique() > 1]
    return [*keys, *(key for key in differing if key not in keys)]


def workloads(table: pd.DataFrame, *keys: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The table's parts of one workload each, told apart by :func:`with_differing` ``keys``, with a
    title for its panel: all of these, or in a look without titles those that differ.
    """
    every = with_differing(table, *keys)
    told = [key for key in every if looks.current().titles or table[key].nunique() > 1]
    for values, part in table.groupby(every, sort=False, dropna=False):
        pairs = dict(zip(every, values, strict=True))
        yield SEPARATOR.join(in_words(key, pairs[key]) for key in told), part


def in_words(key: str, value: object) -> str:
    """A setting of a workload as a title says it: ``batch 128``."""
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


def plain(value: float) -> str:
    """A number to two digits, without an exponent: ``0.15``, ``120``."""
    return np.format_float_positional(float(f"{value:.2g}"), trim="-")


def slug(text: object) -> str:
    """A text as a part of a file's name: ``resnet-8(width=8)`` becomes ``resnet-8-width-8``."""
    return re.sub(r"[^\w-]+", "-", str(text)).strip("-")
