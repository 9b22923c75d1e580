"""Runs of one suite from several machines, or parts of it, put together into one run's folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gr_bench.errors import RequestError
from gr_bench.experiments.block_times import Times
from gr_bench.experiments.record import Failure, Record
from gr_bench.runs.about import (
    MERGED,
    NODES,
    PLUGINS,
    Plain,
    own_files,
    read_about,
    sources,
    suite_by_names,
)
from gr_bench.runs.environment import differences
from gr_bench.runs.results import TABLES, Results
from gr_bench.runs.store import current, open_store, read_journal

OWN = ("conditions", "origin", "training_s", "trainer", "runs_together", "resident_bytes")
"""Fields of a record in which two of one cell may differ and be the same result."""


@dataclass
class Merged:
    """The findings of :func:`merge`."""

    folder: Path
    records: dict[str, int] = field(default_factory=dict)
    """Records that were taken from each run."""

    alike: int = 0
    """Results that two runs have alike, of which the first run's is kept."""

    replicated: int = 0
    """Cells whose step times are from several runs, as further replicates."""


@dataclass
class _Source:
    """A run that is merged."""

    name: str
    folder: Path
    about: Plain
    records: list[Record]


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Put runs of one suite together; each may have measured a part of it (``--only``).

    Every record says which run it is from (``origin``), and ``run.json`` has that run's
    environment. Replicates of step times get numbers of their own, so that a ratio is always of two
    times from one process. A cell that several runs have timed gets the replicates of all where
    these ran under the same conditions. Any other result that two runs have must be the same in
    both: it is then kept once. A failure gives way to a result of the same cell.

    Args:
        folders: two or more runs.
        out: the folder to make.

    Raises:
        RequestError: a folder is no run's, or is given twice; runs of different suites, or with
            plug-ins of different sources; ``out`` has something in it; a cell with two results.
    """
    if len(folders) < 2:
        raise RequestError("merge takes two runs or more")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise RequestError("merge was given the same run twice")
    if out.is_dir() and own_files(out):
        raise RequestError(f"{out} is not empty: choose another --out")
    runs = [_read(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    first = runs[0]
    for run in runs[1:]:
        _check_suite(first, run)
    found = Merged(out)
    records = _together(runs, found)
    with open_store(out, _about(runs, records), fresh=False) as store:
        for record in records:
            store.append(record, at_once=False)
        store.flush()
    results = Results(out)
    results.write_parquet()
    return found


def _names(folders: Sequence[Path]) -> list[str]:
    """A short name for each: the folder's own, or where two have the same, all of the path."""
    short = [folder.resolve().name for folder in folders]
    return short if len({*short}) == len(short) else [str(folder) for folder in folders]


def _read(folder: Path, name: str) -> _Source:
    about = read_about(folder)
    if MERGED in about:
        raise RequestError(f"{folder} is a merge itself: merge the runs that it was made from")
    return _Source(name, folder, about, current(read_journal(folder), sources(about)))


def _check_suite(first: _Source, other: _Source) -> None:
    """Refuse a run of another suite.

    Raises:
        RequestError: with the experiments in which they differ.
    """
    own, theirs = (_suite(run.about) for run in (first, other))
    if own != theirs:
        keys = [key for key in {**own, **theirs} if own.get(key) != theirs.get(key)]
        raise RequestError(
            f"{first.folder} and {other.folder} are of different suites ({', '.join(keys)} "
            "differ): to compare them, use gr-bench compare"
        )
    for key, source in sources(other.about).items():
        if sources(first.about).get(key, source) != source:
            kind, name = key
            raise RequestError(
                f"{kind} {name!r} has another source in {other.folder} than in {first.folder}"
            )


def _suite(about: Plain) -> Plain:
    """A run's suite, whatever part of it was to be measured there."""
    suite: Plain = suite_by_names(about)
    return {key: value for key, value in suite.items() if key != "only"}


def _together(runs: Sequence[_Source], found: Merged) -> list[Record]:
    """All records, failures first, so that results stand for them; each run's replicates behind
    those of the runs before.
    """
    results: dict[tuple[str, str], tuple[Record, _Source]] = {}
    timed: dict[str, tuple[Record, _Source]] = {}
    failures: list[Record] = []
    others: list[Record] = []
    offset = 0
    for run in runs:
        last = offset
        replicated = set()
        for record in run.records:
            own = dataclasses.replace(record, origin=run.name)
            found.records[run.name] = found.records.get(run.name, 0) + 1
            if isinstance(own, Failure):
                failures.append(own)
            elif isinstance(own, Times):
                earlier, where = timed.setdefault(own.cell.id, (own, run))
                if where is not run:
                    _check_conditions(earlier, where, own, run)
                    replicated.add(own.cell.id)
                last = max(last, offset + own.replicate + 1)
                others.append(dataclasses.replace(own, replicate=offset + own.replicate))
            else:
                key = (own.cell.id, own.kind)
                other, where = results.setdefault(key, (own, run))
                if where is run:  # the first, or a later one of the same run
                    others.append(own)
                elif list(_unlike(other, own)):
                    what = ", ".join(_unlike(other, own))
                    raise RequestError(
                        f"{own.cell}: {where.folder} and {run.folder} have different results "
                        f"({what}): merge without one of them"
                    )
                else:
                    found.alike += 1
        offset = last
        found.replicated += len(replicated)
    return [*failures, *others]


def _check_conditions(one: Record, first: _Source, other: Record, second: _Source) -> None:
    """Refuse to take times from two machines for replicates of one.

    Raises:
        RequestError: with what is not the same.
    """
    differ = differences(_environment(one, first), _environment(other, second))
    if not differ and _node(one) != _node(other):
        differ = [f"node {_node(one) or 'none'} -> {_node(other) or 'none'}"]
    if differ:
        raise RequestError(
            f"{one.cell} was timed in {first.folder} and in {second.folder}, under different "
            f"conditions ({'; '.join(differ)}): they cannot share a ratio; merge without one of "
            "them, or compare them with gr-bench compare"
        )


def _node(record: Record) -> str | None:
    return record.conditions.node if record.conditions else None


def _environment(record: Record, run: _Source) -> Plain:
    """That of the node, or else of the machine, where a run had a record measured."""
    environment: Plain = run.about.get(NODES, {}).get(_node(record), run.about["environment"])
    return environment


def _unlike(one: Record, other: Record) -> Iterator[str]:
    """The fields in which two records of one cell differ, though they should not."""
    for own in dataclasses.fields(one):
        values = getattr(one, own.name), getattr(other, own.name)
        if own.name not in OWN and repr(values[0]) != repr(values[1]):  # a NaN is itself
            yield own.name


def _about(runs: Sequence[_Source], records: Sequence[Record]) -> dict[str, Any]:
    """The description of the whole: the first run's, with all of them in it."""
    first = runs[0].about
    plugins = {(own["kind"], own["name"]): own for r in runs for own in r.about.get(PLUGINS, ())}
    whole = {key: value for key, value in first.items() if key not in (TABLES, PLUGINS, NODES)}
    nodes = {name: own for run in runs for name, own in run.about.get(NODES, {}).items()}
    kept = ("environment", "environment_at_end", "command", "started", "ended", "status", "cells")
    return {
        **whole,
        "suite": {**first["suite"], "only": None},
        **({PLUGINS: [*plugins.values()]} if plugins else {}),
        **({NODES: nodes} if nodes else {}),
        "started": min(run.about["started"] for run in runs),
        "cells": len({record.cell.id for record in records}),
        "status": ", ".join(dict.fromkeys(run.about["status"] for run in runs)),
        MERGED: [
            {
                "origin": run.name,
                "only": run.about["suite"].get("only"),
                **{key: run.about[key] for key in kept if key in run.about},
            }
            for run in runs
        ],
    }
