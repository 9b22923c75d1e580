"""Charts: figures that a run has the data for, drawn when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame


class FigureFunction(Protocol):
    """A function of :func:`gr_bench.experiments.facets.figure`."""

    __name__: str

    def __call__(
        self, table: DataFrame, *, ax: Axes | None = None, style: str | None = None, **how: Any
    ) -> Axes | Figure:
        """Draw a table; ``how`` has further tables, a quantity, and columns to select by."""
        ...


@dataclass(frozen=True)
class Picture:
    """A figure for a reader, with what it shows."""

    name: str
    title: str
    caption: str
    figure: Figure
    data: DataFrame | None = None
    """The rows that it was drawn from, for a file beside it."""


@dataclass(frozen=True, eq=False)
class Chart:
    """A figure function with the table that it draws, and what a reader is told of it."""

    draw: FigureFunction
    table: DataFrame
    title: str
    caption: str | Callable[[DataFrame], str]
    """Made from the rows of one picture, where it depends on them."""

    each: str | None = None
    """The column for each value of which a report has a picture of its own."""

    suffix: str = ""
    """The end of its name, where there are several of one function."""

    more: Mapping[str, Any] = field(default_factory=dict)
    """Further tables that it draws, by the function's parameters."""

    @property
    def name(self) -> str:
        """The function's, with what tells its charts apart."""
        return self.draw.__name__ + self.suffix

    def __call__(
        self, *, ax: Axes | None = None, style: str | None = None, **how: Any
    ) -> Axes | Figure:
        """Draw it: the function says how."""
        return self.draw(self.table, ax=ax, style=style, **self.more, **how)

    def pictures(self) -> Iterator[Picture]:
        """The report's pictures of it."""
        if self.each is None:
            yield self._picture(self.table)
            return
        from gr_bench.experiments.style import slug

        for value, part in self.table.groupby(self.each, sort=False):
            yield self._picture(part, f"_{slug(value)}", f": {value}")

    def _picture(self, part: DataFrame, end: str = "", title: str = "") -> Picture:
        caption = self.caption if isinstance(self.caption, str) else self.caption(part)
        drawn = self.draw(part, **self.more)
        return Picture(self.name + end, self.title + title, caption, figure_of(drawn), part)


def figure_of(drawn: Axes | Figure) -> Figure:
    """The figure that a figure function drew."""
    figure: Figure = drawn.figure  # type: ignore[assignment]  # a figure's is itself
    return figure
