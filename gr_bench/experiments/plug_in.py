"""Rules that an experiment from elsewhere must keep, each with the line that would keep it."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from gr_bench.experiments.cell import Cell
from gr_bench.experiments.experiment import Experiment
from gr_bench.experiments.grid import AnyGrid
from gr_bench.experiments.record import Record
from gr_bench.plugins.rules import RuleBroken


def check_experiment(cls: Any, where: str, name: str) -> None:
    """Refuse a class that is no experiment.

    Args:
        cls: that stands there.
        where: it stands.
        name: that suites, cells and records have for it.

    Raises:
        RuleBroken: with the line that would be right.
    """

    def refuse(why: str, right: str) -> RuleBroken:
        return RuleBroken(f"experiment {where!r} {why}: write {right}")

    if not (inspect.isclass(cls) and issubclass(cls, Experiment)):
        raise refuse(
            "is not a gr_bench.experiments.experiment.Experiment",
            f"class {getattr(cls, '__name__', 'MyExperiment')}(Experiment[MyGrid, MyCell])",
        )
    if getattr(cls, "name", None) != name:
        raise refuse("has no name", f'name = "{name}" in its class')
    if not isinstance(getattr(cls, "title", None), str):
        raise refuse("has no title", 'title = "The question that it answers"')
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        raise refuse(f"has no {', '.join(missing)}", f"def {missing[0]}(self, ...)")
    grid, cell = getattr(cls, "grid", None), getattr(cls, "cell", None)
    if not (inspect.isclass(grid) and issubclass(grid, AnyGrid)):
        raise refuse("has no grid", "grid = MyGrid, a class derived from Grid")
    if not (inspect.isclass(cell) and issubclass(cell, Cell) and dataclasses.is_dataclass(cell)):
        raise refuse("has no cell", "cell = MyCell, a frozen dataclass derived from Cell")
    if getattr(cell, "experiment", None) != name:
        raise refuse(
            f"has cells of another name, {getattr(cell, 'experiment', None)!r}",
            f'experiment: ClassVar[str] = "{name}" in {cell.__name__}',
        )
    records = getattr(cls, "records", ())
    if not records or not all(inspect.isclass(r) and issubclass(r, Record) for r in records):
        raise refuse("has no records", "records = (MyRecord,), classes derived from Record")
    for record in records:
        if not isinstance(getattr(record, "kind", None), str):
            raise refuse(
                f"has a record {record.__name__} without a kind",
                'kind: ClassVar[str] = "my kind" in it',
            )
