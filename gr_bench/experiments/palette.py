"""The colours of methods, as far from each other as can be, in normal and colour-blind sight.

The first ten are seaborn's palette ``colorblind``. Each further one is the colour of sRGB whose
distance from all before it, from white and from black is the largest: in CIELAB, the smallest of
the distance as it is and of twice the distances in deuteranopia and protanopia, as Machado,
Oliveira and Fernandes (2009) simulate them. Distances in CIELAB are at least 20.7 among built-in
methods and 18.6 among all, and 10.8 and 8.9 in deuteranopia.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from functools import cache

from gr_bench import registry

FIRST = (
    *("sgd", "sam", "f-gr", "b-gr", "db-gr", "c-gr", "unnormalized-sam", "gnp", "asam"),
    "flooding",
)
"""Methods that have the first colours, wherever they stand in the registry."""

BUILT_IN = (
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494"),
    *("#ece133", "#56b4e9", "#0000ff", "#2d1e96", "#e10fff", "#2d4b00", "#78f069", "#69005a"),
    *("#c3002d", "#b4e196", "#873c4b", "#c300a5", "#2d69e1", "#00f0c3", "#690fd2", "#2d6978"),
    *("#ffa5a5", "#78784b"),
)
"""For built-in methods, by the order of the registry after :data:`FIRST`."""

PLUG_INS = (
    *("#5a4b87", "#78a5ff", "#a5c33c", "#a5963c", "#a52d69", "#a569d2", "#3ce1f0", "#00c378"),
    *("#962dc3", "#00692d", "#ff5a96", "#003cff", "#78b4b4", "#5a2d4b", "#966996", "#691e87"),
    *("#87d269", "#873c1e", "#a5d200", "#b45a1e", "#5a2d1e", "#1e3c69", "#f01e5a", "#ff5a3c"),
)
"""For methods from elsewhere and those made of others, by their names."""


FAR = 30.0
"""A distance (:func:`distance`) from which on two colours are not taken for one another."""


def colors(names: Iterable[str]) -> dict[str, str]:
    """A colour for each method, as ``#rrggbb``; the order of the names does not matter.

    A built-in method has one of its own. The colour of another is that of a hash of its name, of
    which the part after a colon counts, where that is :data:`FAR` from all colours before it: of
    the built-in ones among ``names``, and then in alphabetical order. Where it is not, it is the
    one that is the farthest from these: the same in every figure and run of these methods.

    Args:
        names: of methods, as the registry finds them.
    """
    names = set(names)
    own = dict(zip(_built_in(), BUILT_IN, strict=False))
    found = {name: own[name] for name in names if name in own}
    for name in sorted(names - {*own}, key=lambda name: (_short(name), name)):
        before = set(found.values())

        def room(color: str, before: set[str] = before) -> float:
            return min((distance(color, other) for other in before), default=math.inf)

        home = PLUG_INS[_home(name)]
        found[name] = home if room(home) >= FAR else max(PLUG_INS, key=room)
    return found


@cache
def distance(a: str, b: str) -> float:
    """The distance of two colours in CIELAB, or twice that in deuteranopia or protanopia if that is
    smaller.
    """
    plain = math.dist(_lab(a), _lab(b))
    return min(plain, *(2 * math.dist(_lab(a, sight), _lab(b, sight)) for sight in SIGHTS))


Matrix = tuple[tuple[float, float, float], ...]

SIGHTS: tuple[Matrix, ...] = (
    (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
)
"""The rest of linear sRGB in deuteranopia and in protanopia (Machado et al. 2009)."""

XYZ: Matrix = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
"""From linear sRGB, to be divided by :data:`WHITE` (D65)."""

WHITE = (0.95047, 1.0, 1.08883)


def _lab(color: str, sight: Matrix | None = None) -> tuple[float, float, float]:
    light = [_linear(int(color[place : place + 2], 16) / 255) for place in (1, 3, 5)]
    if sight is not None:
        light = [min(1.0, max(0.0, value)) for value in _product(sight, light)]
    x, y, z = (
        _root(value / white) for value, white in zip(_product(XYZ, light), WHITE, strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _product(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def _root(value: float) -> float:
    return math.cbrt(value) if value > (6 / 29) ** 3 else value / (3 * (6 / 29) ** 2) + 4 / 29


def _built_in() -> list[str]:
    return list(dict.fromkeys((*FIRST, *registry.METHODS.built_in)))


def _short(name: str) -> str:
    """The name as figures print it."""
    return name.rpartition(":")[2]


def _home(name: str) -> int:
    return int(hashlib.sha256(_short(name).encode()).hexdigest(), 16) % len(PLUG_INS)
