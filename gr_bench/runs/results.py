"""The tables of a run folder, for notebooks and for the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr_bench.experiments import Experiment, all_experiments
from gr_bench.experiments.base import COLUMNS, columns
from gr_bench.files import write_whole
from gr_bench.runs.store import latest, read_about, read_journal

if TYPE_CHECKING:
    from pandas import DataFrame


class Results:
    """A run's tables as attributes, made from its journal: ``Results("runs/quick").step_cost``.

    ``failures`` is always among them. ``about`` is ``run.json``.

    Raises:
        RequestError: the folder is not a run's, or its journal cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        import pandas as pd

        self.folder = Path(folder)
        self.about: dict[str, Any] = read_about(self.folder)
        records = latest(read_journal(self.folder))
        self.experiments: dict[str, Experiment] = {}
        self.tables: dict[str, DataFrame] = {}
        for name, experiment in all_experiments().items():
            own = [record for record in records if record.cell.experiment == name]
            if own:
                self.experiments[name] = experiment
                self.tables |= experiment.tables(own)
        failures = [
            {"experiment": r.cell.experiment, **columns(r.cell), **r.data}
            for r in records
            if r.kind == "failure"
        ]
        self.tables["failures"] = pd.DataFrame(
            failures, columns=["experiment", *COLUMNS, "reason", "unsupported"]
        )

    def __getattr__(self, name: str) -> DataFrame:
        tables: dict[str, DataFrame] = self.__dict__.get("tables", {})
        if name in tables:
            return tables[name]
        raise AttributeError(f"this run has no table {name!r}: it has {', '.join(tables)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tables]

    def write_parquet(self) -> None:
        """Write every table into the run's folder, each file whole or not at all."""
        for name, table in self.tables.items():
            write_whole(self.folder / f"{name}.parquet", table.to_parquet)
