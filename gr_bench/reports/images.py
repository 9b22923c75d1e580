"""Figures as files, and as images inside of a page."""

from __future__ import annotations

import base64
import io
import os
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from gr_bench.experiments import looks
from gr_bench.experiments.experiment import Picture

MOST_SVG_BYTES = 100_000
"""A larger figure is embedded as pixels; its SVG is beside the page."""

MOST_PIXELS = 16_383
"""Of a side: WebP has no more."""


class Images:
    """The figures of a page: PNG, SVG and CSV files in a folder, and a data URI of each.

    Args:
        folder: to be made.
        many: figures are saved by processes beside this one, a core each, which draws the next
            meanwhile. It takes a second or two until they are there.
    """

    def __init__(self, folder: Path, *, many: bool = False) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._pool = _processes() if many else None
        self._saved: dict[str, str | Future[str]] = {}

    def add(self, picture: Picture) -> None:
        """Save a figure, which is closed."""
        if picture.data is not None:
            picture.data.to_csv(self._folder / f"{picture.name}.csv", index=False)
        plt.close(picture.figure)
        stem = self._folder / picture.name
        if self._pool is None:
            self._saved[picture.name] = _save(picture.figure, stem)
        else:
            self._saved[picture.name] = self._pool.submit(_save, picture.figure, stem)

    def uris(self, progress: Callable[[int, int], None] | None = None) -> dict[str, str]:
        """Every figure's image as a data URI, by name.

        Args:
            progress: told how many figures of how many are saved.
        """
        found = {}
        for done, (name, saved) in enumerate(self._saved.items()):
            if progress is not None:
                progress(done, len(self._saved))
            found[name] = saved if isinstance(saved, str) else saved.result()
        return found


def _processes() -> Executor:
    """Processes that end when they have had nothing to do for a while.

    They are joblib's, which unlike those of the standard library do not run the caller's script
    again.
    """
    from joblib.externals.loky import get_reusable_executor

    pool: Executor = get_reusable_executor(os.cpu_count() or 1, timeout=10)
    return pool


@looks.look(looks.DEFAULT)
def _save(figure: Figure, stem: Path) -> str:
    """Write ``STEM.png`` and ``STEM.svg``; returns the image for a page."""
    png = stem.parent / f"{stem.name}.png"
    with warnings.catch_warnings():  # names in scripts that the font lacks are boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(png)
        figure.set_layout_engine("none")  # laid out once is enough
        svg = _svg(figure)
    (stem.parent / f"{stem.name}.svg").write_bytes(svg)
    return _uri(svg) if len(svg) <= MOST_SVG_BYTES else _webp_uri(png)


def _webp_uri(png: Path) -> str:
    """A picture with too many points for an SVG in a page."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(png) as image:
        image.thumbnail((MOST_PIXELS, MOST_PIXELS))
        image.convert("RGB").save(buffer, "WEBP", quality=85, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def svg_uri(figure: Figure) -> str:
    """A figure as an SVG in a data URI, for a page that needs no other file."""
    return _uri(_svg(figure))


def _uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
