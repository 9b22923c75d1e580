"""The tables of a run folder, for notebooks and for the report."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr_bench.errors import RequestError
from gr_bench.experiments import known_experiments
from gr_bench.experiments.columns import build_table, cell_columns, with_later_columns
from gr_bench.experiments.experiment import Experiment
from gr_bench.experiments.record import Failure, Record
from gr_bench.files import write_whole
from gr_bench.plugins.place import PlugIn
from gr_bench.runs.about import DATA, PLUGINS, read_about, sources, write_about
from gr_bench.runs.store import COMPRESSED_JOURNAL, current, journal_of, latest, read_journal

if TYPE_CHECKING:
    from pandas import DataFrame

    from gr_bench.runs.charts import Figures
    from gr_bench.runs.outcome import Outcome

TABLES = "tables"
"""The entry of ``run.json`` that says which journal the parquet files were made from."""

TABLES_SCHEMA = 2
"""The schema of the parquet files: those of another are made anew from the journal."""

FAILURE_LATER = ("duration_s", "peak_memory_bytes", "last_output")
"""Columns of ``failures`` that runs of before lack."""

FAILURE = ("experiment", "reason", "unsupported", *FAILURE_LATER)


class Results:
    """A run's tables as attributes: ``Results("runs/quick").step_cost``.

    They are read from the run's parquet files where these are as new as its journal, and made from
    the journal where they are not; of a run that has lost its journal, or has it compressed, from
    what there is. ``failures`` is always among them. ``about`` is ``run.json``.

    Args:
        folder: a run's, finished or not.
        outcome: of the execution that it was just written by.

    Raises:
        RequestError: the folder is not a run's, or its journal cannot be read.
    """

    def __init__(self, folder: str | Path, outcome: Outcome | None = None) -> None:
        self.folder = Path(folder)
        self.outcome = outcome
        self.about: dict[str, Any] = read_about(self.folder)
        self.experiments: dict[str, Experiment[Any, Any]] = {}
        self.tables: dict[str, DataFrame] = {}
        plugins = [PlugIn(**own) for own in self.about.get(PLUGINS, ())]
        self._known, self._not_here = known_experiments(plugins)
        stored = self.about.get(TABLES)
        if stored and self._has_tables(stored):
            self._read_parquet(stored["names"])
            self.experiments = {
                name: experiment
                for name, experiment in self._known.items()
                if name in stored["experiments"]
            }
        elif journal_of(self.folder) is not None:
            self._make_tables()
        else:
            self._read_parquet([file.stem for file in sorted(self.folder.glob("*.parquet"))])
            self.experiments = {
                name: experiment
                for name, experiment in self._known.items()
                if name in self.about["suite"] and self.about["suite"][name]
            }
        for experiment in self.experiments.values():
            self.tables |= experiment.later_tables(self.tables)
        if "failures" not in self.tables:
            self.tables["failures"] = _failures([])

    @property
    def missing(self) -> dict[str, str]:
        """Experiments of its suite that are not here, or other ones by now, with the reason. Their
        stored tables can be read; they are in no report.
        """
        named = [
            key for key, grids in self.about["suite"].items() if grids and key not in ("only", DATA)
        ]
        why = "its package is not installed here"
        return {name: self._not_here.get(name, why) for name in named if name not in self._known}

    @cached_property
    def figures(self) -> Figures:
        """The run's figures as attributes, to be drawn and restyled."""
        from gr_bench.runs.charts import Figures

        return Figures(self.experiments, self.tables)

    @cached_property
    def records(self) -> list[Record]:
        """The run's records, without the failures after which the same cell was tried again, and
        without those of plug-ins whose source was another one when the suite was run last.
        """
        return latest(current(read_journal(self.folder), sources(self.about)))

    def _make_tables(self) -> None:
        if self.missing:  # theirs cannot be made from the journal
            self._read_parquet([file.stem for file in sorted(self.folder.glob("*.parquet"))])
        for name, experiment in self._known.items():
            own = [record for record in self.records if record.cell.experiment == name]
            if own:
                self.experiments[name] = experiment
                self.tables |= experiment.tables(own)
        failures = [record for record in self.records if isinstance(record, Failure)]
        self.tables["failures"] = _failures(failures)

    def _read_parquet(self, names: list[str]) -> None:
        import pandas as pd

        later = {
            table: columns
            for experiment in self._known.values()
            for table, columns in experiment.later_columns.items()
        }
        later["failures"] = dict.fromkeys(FAILURE_LATER)
        for name in names:
            try:
                table = pd.read_parquet(self.folder / f"{name}.parquet")
            except (OSError, ValueError, KeyError) as error:
                where = self.folder / f"{name}.parquet"
                raise RequestError(f"{where} cannot be read: {error}") from error
            missing = {k: v for k, v in later.get(name, {}).items() if k not in table}
            self.tables[name] = with_later_columns(table.assign(**missing))

    def _stamp(self, names: list[str], experiments: list[str]) -> dict[str, Any]:
        """The origin that tables made now would name."""
        stamp = {
            "schema": TABLES_SCHEMA,
            "journal_bytes": _uncompressed_bytes(self.folder),
            "names": names,
            "experiments": experiments,
        }
        plugins = sorted(map(list, sources(self.about).items()), key=str)
        return stamp | ({PLUGINS: json.loads(json.dumps(plugins))} if plugins else {})

    def _has_tables(self, stored: dict[str, Any]) -> bool:
        """True if the files that ``run.json`` tells of are there, and made from what is there."""
        if stored != self._stamp(stored["names"], stored["experiments"]):
            return False
        there = all((self.folder / f"{name}.parquet").exists() for name in stored["names"])
        return there or journal_of(self.folder) is None

    def __getattr__(self, name: str) -> DataFrame:
        tables: dict[str, DataFrame] = self.__dict__.get("tables", {})
        if name in tables:
            return tables[name]
        raise AttributeError(f"this run has no table {name!r}: available are {', '.join(tables)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tables]

    def __repr__(self) -> str:
        tables = "\n".join(
            f"  {name:<26} {len(table):>7} rows" for name, table in self.tables.items()
        )
        device = self.about["environment"]["device"].get("name", "an unknown device")
        failures = self.tables["failures"]
        failed = len(failures) - int(failures["unsupported"].sum())
        return (
            f"Run {self.about['name']!r} in {self.folder}: {self.about['status']}, "
            f"{self.about['cells']} cells{f' ({failed} failed)' if failed else ''}\n"
            f"  started {self.about['started']} on {device}\n{tables}"
            + "".join(f"\n  {name} as stored: {why}" for name, why in self.missing.items())
        )

    def _repr_html_(self) -> str:
        """The run in a notebook: the methods' results so far, and the tables that there are."""
        from html import escape

        from gr_bench.runs.so_far import so_far

        head, *rest = repr(self).splitlines()
        found = so_far(self.tables)
        table = found.table.to_html(index=False, border=0) if len(found.table) else ""
        return (
            f"<p><b>{escape(head)}</b><br>{escape(rest[0].strip())}</p>{table}"
            f"<p>{escape(found.caption)}</p><details><summary>{len(self.tables)} tables</summary>"
            f"<pre>{escape(chr(10).join(rest[1:]))}</pre></details>"
        )

    def write_parquet(self) -> None:
        """Write every table into the run's folder, each file whole or not at all."""
        for name, table in self.tables.items():
            write_whole(self.folder / f"{name}.parquet", table.to_parquet)
        self.about[TABLES] = self._stamp(list(self.tables), list(self.experiments))
        write_about(self.folder, self.about)


def _failures(records: list[Failure]) -> DataFrame:
    rows = [
        {
            **cell_columns(record.cell),
            "experiment": record.cell.experiment,
            "reason": record.reason,
            "unsupported": record.unsupported,
            "duration_s": record.duration_s,
            "peak_memory_bytes": record.peak_memory_bytes,
            "last_output": "\n".join(record.last_output) or None,
        }
        for record in records
    ]
    return build_table(rows, FAILURE).astype({"duration_s": float, "peak_memory_bytes": float})


def _uncompressed_bytes(folder: Path) -> int | None:
    """The journal's length, of a compressed one as its last four bytes have it."""
    journal = journal_of(folder)
    if journal is None:
        return None
    if journal.name != COMPRESSED_JOURNAL:
        return journal.stat().st_size
    if journal.stat().st_size < 4:
        raise RequestError(f"{journal} cannot be read: it is cut off")
    with open(journal, "rb") as file:
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")
