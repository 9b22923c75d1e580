"""What is written in a figure, and where."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


class Written:
    """The texts of a figure, which is drawn for that, with their places in pixels."""

    def __init__(self, figure: Figure) -> None:
        figure.canvas.draw()
        self._edge = figure.bbox
        self._panels = {ax: ax.get_window_extent() for ax in figure.axes if ax.axison}
        self._boxes = [(ax, *_placed(text)) for ax in self._panels for text in texts(ax)]
        of_legends = [text for legend in figure.legends for text in legend.get_texts()]
        self._boxes += [(None, *_placed(text)) for text in of_legends]

    @property
    def overlaps(self) -> list[tuple[str, str]]:
        """Pairs of texts that are written over each other."""
        return [
            (one, other)
            for (_, one, a), (_, other, b) in itertools.combinations(self._boxes, 2)
            if _shared(a, b) > 0.02 * min(a.width * a.height, b.width * b.height)
        ]

    @property
    def outside(self) -> list[str]:
        """Texts that the figure's edge cuts."""
        edge = self._edge
        return [
            text
            for _, text, box in self._boxes
            if box.x0 < edge.x0 - 1
            or box.y0 < edge.y0 - 1
            or box.x1 > edge.x1 + 1
            or box.y1 > edge.y1 + 1
        ]

    @property
    def over_other_axes(self) -> list[str]:
        """Texts that are written into a panel that is not theirs."""
        return [
            text
            for own, text, box in self._boxes
            if any(_shared(box, panel) > 1 for ax, panel in self._panels.items() if ax is not own)
        ]


def texts(ax: Axes) -> Iterator[Text]:
    """A panel's visible texts: title, labels, ticks' labels within the limits, annotations."""
    ticks = []
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        ticks += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
    for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *ticks, *ax.texts):
        if text.get_visible() and text.get_text().strip():
            yield text


def _placed(text: Text) -> tuple[str, Bbox]:
    # of an annotation without its arrow
    return text.get_text(), Text.get_window_extent(text)


def _shared(a: Bbox, b: Bbox) -> float:
    both = Bbox.intersection(a, b)
    return both.width * both.height if both is not None else 0.0
