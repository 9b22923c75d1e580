"""The looks of figures: for a screen, a paper's column, and slides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast

import matplotlib as mpl

from gr_bench.errors import unknown

SHARED: dict[str, Any] = {
    "figure.dpi": 100,
    "axes.axisbelow": True,
    "axes.edgecolor": "0.4",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.linewidth": 0.8,
    "grid.color": "0.88",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "xtick.color": "0.25",
    "ytick.color": "0.25",
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "pdf.fonttype": 42,  # TrueType, embedded: what publishers ask for
    "ps.fonttype": 42,
    "svg.hashsalt": "gr-bench",  # the same figure is the same file
}


@dataclass(frozen=True)
class Look:
    """Sizes, fonts and files of figures."""

    name: str
    points: float
    """The font's size; a panel's heights are in multiples of it."""

    column: float
    """The width of a figure with one panel, in inches."""

    full: float
    """The greatest width of a figure, in inches."""

    panel: float
    """The least width of a panel beside others, in inches."""

    formats: tuple[str, ...]
    """The files that a figure is saved as, by their suffixes."""

    titles: bool = True
    """False if a figure of one panel has no title, since its caption says what it shows, and the
    panels of a grid are titled by what tells them apart alone."""

    fills: bool = False
    """True if a figure with several panels has the full width, as a page's two columns have."""

    rc: Mapping[str, Any] = field(default_factory=dict)
    """Settings of matplotlib, beside :data:`SHARED`."""

    @property
    def settings(self) -> dict[str, Any]:
        """All its settings of matplotlib."""
        sizes = ("font.size", "axes.titlesize", "axes.labelsize", "legend.title_fontsize")
        small = ("xtick.labelsize", "ytick.labelsize", "legend.fontsize")
        return {
            **SHARED,
            **dict.fromkeys(sizes, self.points),
            **dict.fromkeys(small, 0.9 * self.points),
            "axes.titlepad": 0.75 * self.points,  # wide titles stay above the topmost number
            **self.rc,
        }


LOOKS = {
    look.name: look
    for look in (
        Look("screen", 10, 5.2, 9.6, 2.6, ("png", "svg"), rc={"savefig.dpi": 160}),
        Look(
            "paper",
            8,
            3.25,
            6.75,
            1.7,
            ("pdf",),
            titles=False,
            fills=True,
            rc={
                "font.family": ["STIXGeneral", "DejaVu Serif"],
                "mathtext.fontset": "stix",
                "lines.linewidth": 1.0,
                "lines.markersize": 4,
                "axes.linewidth": 0.6,
                "grid.linewidth": 0.4,
                "savefig.dpi": 600,
            },
        ),
        Look(
            "slides",
            18,
            9.0,
            13.3,
            4.0,
            ("png", "pdf"),
            rc={
                "lines.linewidth": 2.5,
                "lines.markersize": 9,
                "axes.linewidth": 1.2,
                "savefig.dpi": 144,
            },
        ),
    )
}
"""By name."""

DEFAULT = "screen"

_current: ContextVar[Look | None] = ContextVar("look", default=None)


def current() -> Look:
    """The look that figures are drawn in now."""
    return _current.get() or LOOKS[DEFAULT]


def chosen() -> bool:
    """True inside :func:`look`."""
    return _current.get() is not None


def find(name: str) -> Look:
    """A look by its name.

    Raises:
        RequestError: there is none of that name.
    """
    if name not in LOOKS:
        raise unknown("style", name, LOOKS)
    return LOOKS[name]


@contextmanager
def look(name: str) -> Iterator[Look]:
    """Draw and save figures in one of :data:`LOOKS`, and no others: settings are then as before.

    Raises:
        RequestError: there is none of that name.
    """
    found = find(name)
    before = _current.set(found)
    try:
        with mpl.rc_context(cast(Any, found.settings)):
            yield found
    finally:
        _current.reset(before)
