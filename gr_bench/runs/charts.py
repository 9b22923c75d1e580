"""The figures of a run, as attributes."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from gr_bench.experiments.chart import Chart
from gr_bench.experiments.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame


class Figures:
    """A run's figures as attributes: ``run.figures.step_time(model="resnet-8", ax=ax)``.

    Those that the run has data for; iterating gives their names. Each is a function that takes
    ``ax``, ``style``, a ``quantity`` where it has several, and columns of its table to select rows
    by (:func:`gr_bench.experiments.facets.figure`). It returns the axes of a single panel and the
    figure of several.

    Args:
        experiments: of the run, by name.
        tables: of the run, by name.
    """

    def __init__(
        self, experiments: dict[str, Experiment[Any, Any]], tables: dict[str, DataFrame]
    ) -> None:
        self._charts = {
            chart.name: chart
            for experiment in experiments.values()
            for chart in experiment.charts(tables)
        }

    def __getattr__(self, name: str) -> RunFigure:
        charts: dict[str, Chart] = self.__dict__.get("_charts", {})
        if name in charts:
            return RunFigure(charts[name])
        raise AttributeError(f"this run has no figure {name!r}: available are {', '.join(charts)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._charts)

    def __len__(self) -> int:
        return len(self._charts)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._charts]

    def __repr__(self) -> str:
        lines = (f"  {name:<30} {chart.title}" for name, chart in self._charts.items())
        return "\n".join(["Figures:", *lines])


class RunFigure:
    """One figure of a run: its function, with the table."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self.__name__ = chart.name
        self.__doc__ = chart.draw.__doc__
        selection = Parameter("selection", Parameter.VAR_KEYWORD)
        own = signature(chart.draw).parameters
        kept = [
            own[key].replace(kind=Parameter.KEYWORD_ONLY)
            for key in ("ax", "quantity")
            if key in own
        ]
        style = Parameter("style", Parameter.KEYWORD_ONLY, default=None)
        self.__signature__ = signature(chart.draw).replace(parameters=[*kept, style, selection])

    def __call__(
        self, *, ax: Axes | None = None, style: str | None = None, **how: Any
    ) -> Axes | Figure:
        """Draw it."""
        return self._chart(ax=ax, style=style, **how)

    def __repr__(self) -> str:
        return f"<figure {self.__name__}: {self._chart.title}>"
