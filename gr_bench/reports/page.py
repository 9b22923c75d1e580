"""Writing the report: Markdown, one self-contained HTML page, figures and tables as files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from gr_bench.errors import RequestError
from gr_bench.experiments import looks
from gr_bench.experiments.experiment import Experiment, Picture, Summary
from gr_bench.files import Page, check_replaceable, whole_folder
from gr_bench.reports.answers import NOT_MEASURED, answers
from gr_bench.reports.certainty import how_sure
from gr_bench.reports.first_picture import first_picture
from gr_bench.reports.images import Images
from gr_bench.reports.overview import overview
from gr_bench.reports.pages import templates
from gr_bench.reports.pivots import QUESTIONS, Pivot, by_workload
from gr_bench.runs import environment
from gr_bench.runs.about import DATA, MERGED, NODES
from gr_bench.runs.costs_and_gains import PLACE
from gr_bench.runs.results import Results
from gr_bench.version import __version__

FOLDER = "report"
PAGE = Page(
    marks=("report.html", "report.md"),
    others=("figures", "tables", "latex", *(f"figures-{name}" for name in looks.LOOKS), "claims"),
)

MOST_DRAWN = 12
"""Pairs of model and dataset that figures show: with more panels none can be read."""

DRAWN_OF_MORE = 6
"""Of more pairs, so many are drawn."""

ENDINGS = {"budget spent": "stopped at its time budget"}
"""The run's status in words, where it needs others."""

MOST_CLASSES = 20
"""Of so many classes of a dataset the targets are counted on the page; of all, in ``run.json``."""


@dataclass(frozen=True)
class Section:
    """One experiment's part of the page."""

    title: str
    findings: list[str]
    summaries: list[Summary]
    pictures: list[Picture]
    pivot: Pivot | None


@looks.look(looks.DEFAULT)
def write_report(
    folder: Path,
    formats: Iterable[str],
    progress: Callable[[int, int], None] | None = None,
    out: Path | None = None,
    home: str | None = None,
) -> list[Path]:
    """Write the report of a run into a folder, which is replaced as a whole.

    Figures go to ``figures/`` as PNG and SVG and every table to ``tables/`` as CSV.

    Args:
        folder: a run's folder, finished or not.
        formats: of ``html`` and ``md``.
        progress: told how many figures of how many have been drawn.
        out: where it goes; by default the run's folder ``report``.
        home: the address of the site's index, if it is a page of one.

    Returns:
        The pages written.

    Raises:
        RequestError: the folder is not a run's, or nothing has been measured yet; ``out`` holds
            something else.
    """
    results = Results(folder)
    if not results.experiments:
        why = "".join(f" but those of {name}: {why}" for name, why in results.missing.items())
        raise RequestError(f"{folder} has no results yet{why}")
    target = folder / FOLDER if out is None else out
    check_replaceable(target, PAGE)
    drawn, left_out = _drawn(results.tables)
    names = []
    with whole_folder(target, PAGE) as fresh:
        images = Images(fresh / "figures", many=bool(left_out))
        if first := first_picture(results.tables):
            images.add(first)
        sections = []
        for experiment in results.experiments.values():
            pictures = _pictures(experiment, drawn, left_out, images)
            sections.append(_section(experiment, results.tables, pictures))
        _write_tables(fresh / "tables", results.tables)
        given = answers(results)
        shown = about(results) | {
            "compared": compared(results),
            "how_sure": how_sure(results.tables),
            "again": shlex.join(["gr-bench", "report", str(results.folder)]),
            "home": home,
            "tables": [name for name, table in results.tables.items() if len(table)],
            "answers": [own for own in given if own.short != NOT_MEASURED],
            "unasked": [own.question for own in given if own.short == NOT_MEASURED],
            "first": first,
            "sections": sections,
            "overview": overview(results),
            "images": images.uris(progress),
        }
        for format_ in formats:
            template = templates().get_template(f"report.{format_}.j2")
            name = f"report.{format_}"
            (fresh / name).write_text(template.render(**shown), encoding="utf-8")
            names.append(name)
    return [target / name for name in names]


def _section(
    experiment: Experiment[Any, Any], tables: dict[str, pd.DataFrame], pictures: list[Picture]
) -> Section:
    question = QUESTIONS.get(experiment.name)
    return Section(
        title=experiment.title,
        findings=experiment.findings(tables),
        summaries=experiment.summaries(tables),
        pictures=pictures,
        pivot=by_workload(question, tables) if question else None,
    )


def compared(results: Results) -> str:
    """The run in a line: how many methods and workloads, on what device, when, how far."""
    about = results.about
    methods: set[str] = set()
    workloads = []
    for name, done in (("step_cost", "timed"), ("generalization", "trained")):
        table = results.tables.get(name)
        if table is not None and len(table):
            methods |= set(table["method"])
            keys = [key for key in PLACE if key in table]
            workloads.append(f"{len(table[keys].drop_duplicates())} {done}")
    device = about["environment"]["device"]
    failed = len(results.tables["failures"])
    without = f", {failed} without a result" if failed else ""
    parts = [
        *([f"{len(methods)} methods; workloads: {', '.join(workloads)}"] if workloads else []),
        f"{device.get('name')} ({device['kind']})",
        about["started"][:10],
        f"{about['cells']:,} cells{without}",
        ENDINGS.get(about["status"], str(about["status"])),
    ]
    return " \N{MIDDLE DOT} ".join(parts)


def _pictures(
    experiment: Experiment[Any, Any],
    drawn: dict[str, pd.DataFrame],
    left_out: str,
    images: Images,
) -> list[Picture]:
    """An experiment's figures, each saved as soon as it is drawn."""
    pictures = []
    for picture in experiment.figures(drawn):
        pictures.append(replace(picture, caption=picture.caption + left_out))
        images.add(picture)
    return pictures


def _drawn(tables: dict[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], str]:
    """The tables as far as figures show them, and a sentence on what they leave out.

    Of a table of more than :data:`MOST_DRAWN` models and datasets, each with a panel of its own,
    rows of the first :data:`DRAWN_OF_MORE`; rows over many workloads name none, and stay.
    """
    keys = ["model", "dataset"]
    drawn, most = {}, 0
    for name, table in tables.items():
        drawn[name] = table
        if not {*keys} <= {*table.columns}:
            continue
        places = table[keys].dropna().drop_duplicates()
        if len(places) > MOST_DRAWN:
            most = max(most, len(places))
            kept = {*places.head(DRAWN_OF_MORE).itertuples(index=False, name=None)}
            own = zip(table["model"], table["dataset"], strict=True)
            drawn[name] = table[[pd.isna(place[0]) or place in kept for place in own]]
    if not most:
        return tables, ""
    return drawn, (
        f" Of more than {MOST_DRAWN} pairs of model and dataset (here up to {most}), figures show "
        f"the first {DRAWN_OF_MORE}; the tables contain all."
    )


def _write_tables(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    folder.mkdir(parents=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)


def _merged(runs: Iterable[dict[str, Any]]) -> dict[str, str]:
    """The runs that a merge was made from, in words."""
    return {
        f"From {run['origin']}": ", ".join(
            [
                str(run["environment"]["device"].get("name")),
                f"host {run['environment']['machine']['host']}",
                *([f"only {run['only']}"] if run["only"] else []),
                f"started {run['started']}",
                f"{run['cells']} cells, {run['status']}",
            ]
        )
        for run in runs
    }


def about(results: Results) -> dict[str, Any]:
    """The run as its page describes it: title, warnings, machine, software, failures."""
    about = results.about
    described = about["environment"]
    git = described.get("git")
    facts = {
        "Device": f"{described['device'].get('name')} ({described['device']['kind']})",
        **environment.in_words(described, about.get("environment_at_end")),
        "Software": f"Python {described['python']}, "
        + ", ".join(f"{k} {v}" for k, v in described["packages"].items() if v),
        "gr-bench": described["gr_bench"]
        + (
            f", commit {git['commit'][:10]}{' with changes' if git['dirty'] else ''}" if git else ""
        ),
        **data_in_words(about.get(DATA, {})),
        "Started": about["started"],
        "Status": about["status"],
        "Command": " ".join(about["command"]),
        **_merged(about.get(MERGED, ())),
        **{
            f"On {name}": ", ".join(environment.node_in_words(node))
            for name, node in about.get(NODES, {}).items()
        },
    }
    experiments, missing = results.experiments.values(), results.missing
    return {
        "title": about["title"],
        "description": about["description"],
        "findings": [line for e in experiments for line in e.findings(results.tables)],
        "warnings": [
            *(line for e in experiments for line in e.warnings(results.tables)),
            *(f"{name} is not shown: {why}." for name, why in missing.items()),
        ],
        "facts": facts,
        "failures": results.tables["failures"],
        "cells": about["cells"],
        "version": __version__,
    }


def data_in_words(data: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Datasets that were read from a user's files, as facts of the page."""
    return {
        f"Data {number}" if len(data) > 1 else "Data": _dataset_in_words(text, described)
        for number, (text, described) in enumerate(data.items(), start=1)
    }


def _dataset_in_words(text: str, described: dict[str, Any]) -> str:
    samples = "/".join(f"{count:,}" for count in described["samples"])
    classes = described["classes"]
    counts = [f"{name} {'/'.join(map(str, of))}" for name, of in classes.items() if any(of)]
    shown = ", ".join(counts[:MOST_CLASSES]) + (", ..." if len(counts) > MOST_CLASSES else "")
    return (
        f"{text}: {described['source']} (BLAKE2b {described['content']}); {described['split']}; "
        f"{samples} samples; {len(classes)} classes: {shown}"
    )
