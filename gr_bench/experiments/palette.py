"""The colours of methods, as far from each other as can be, in normal and colour-blind sight.

The first ten are seaborn's palette ``colorblind``. Each further one is the colour of sRGB whose
distance from all before it, from white and from black is the largest: in CIELAB, the smallest of
the distance as it is and of twice the distances in deuteranopia and protanopia, as Machado,
Oliveira and Fernandes (2009) simulate them. Distances in CIELAB are at least 20.7 among built-in
methods and 18.6 among all, and 10.8 and 8.9 in deuteranopia.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

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
"""For methods from elsewhere, by their names."""


def colors(names: Iterable[str]) -> dict[str, str]:
    """A colour for each method, as ``#rrggbb``; the order of the names does not matter.

    A built-in method has one of its own. The colour of another is that of a hash of its name, of
    which the part after a colon counts: the same in every figure and run. Where some of ``names``
    have the same hash, the first of them in alphabetical order has that colour, and each of the
    rest the next one that none of the others would have.

    Args:
        names: of methods, as the registry finds them.
    """
    names = set(names)
    own = dict(zip(_built_in(), BUILT_IN, strict=False))
    found = {name: own[name] for name in names if name in own}
    others = sorted(names - {*own}, key=lambda name: (_short(name), name))
    homes = {name: _home(name) for name in others}
    taken: set[int] = set()
    for name, home in homes.items():
        places = [(home + step) % len(PLUG_INS) for step in range(len(PLUG_INS))]
        free = [place for place in places if place not in taken | {*homes.values()}]
        place = home if home not in taken else next(iter(free), home)
        taken.add(place)
        found[name] = PLUG_INS[place]
    return found


def _built_in() -> list[str]:
    return list(dict.fromkeys((*FIRST, *registry.METHODS.built_in)))


def _short(name: str) -> str:
    """The name as figures print it."""
    return name.rpartition(":")[2]


def _home(name: str) -> int:
    return int(hashlib.sha256(_short(name).encode()).hexdigest(), 16) % len(PLUG_INS)
