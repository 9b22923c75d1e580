"""Writing the report: Markdown, one self-contained HTML page, figures and tables as files."""

from __future__ import annotations

import base64
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from gr_bench.errors import RequestError
from gr_bench.experiments import looks
from gr_bench.experiments.experiment import Experiment, Picture, Summary
from gr_bench.reports.answers import answers
from gr_bench.reports.first_picture import first_picture
from gr_bench.reports.overview import overview
from gr_bench.reports.pivots import PIVOTS, Pivot
from gr_bench.runs import environment
from gr_bench.runs.about import DATA, MERGED, NODES
from gr_bench.runs.results import Results
from gr_bench.version import __version__

FOLDER = "report"
MOST_SVG_BYTES = 150_000
"""A larger figure is embedded as pixels; its SVG is beside the page."""

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
    tables: list[str]
    """The names of its tables."""


@looks.look(looks.DEFAULT)
def write_report(
    folder: Path, formats: Iterable[str], progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Write the report of a run into its folder ``report``, which is replaced as a whole.

    Figures go to ``figures/`` as PNG and SVG and every table to ``tables/`` as CSV.

    Args:
        folder: a run's folder, finished or not.
        formats: of ``html`` and ``md``.
        progress: told how many figures of how many have been drawn.

    Returns:
        The pages written.

    Raises:
        RequestError: the folder is not a run's, or nothing has been measured yet.
    """
    results = Results(folder)
    if not results.experiments:
        why = "".join(f" but those of {name}: {why}" for name, why in results.missing.items())
        raise RequestError(f"{folder} has no results yet{why}")
    sections = [_section(e, results) for e in results.experiments.values()]
    first = first_picture(results.tables)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as made:
        fresh = Path(made) / FOLDER
        pictures = [picture for section in sections for picture in section.pictures]
        images = _write_figures(
            fresh / "figures", [*([first] if first else []), *pictures], progress
        )
        _write_tables(fresh / "tables", results.tables)
        shown = about(results) | {
            "compared": compared(results),
            "answers": answers(results),
            "first": first,
            "sections": sections,
            "overview": overview(results),
        }
        names = []
        for format_ in formats:
            template = templates().get_template(f"report.{format_}.j2")
            name = f"report.{format_}"
            (fresh / name).write_text(template.render(**shown, images=images), encoding="utf-8")
            names.append(name)
        target = folder / FOLDER
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)
    return [target / name for name in names]


def _section(experiment: Experiment[Any, Any], results: Results) -> Section:
    tables = results.tables
    pivot = PIVOTS.get(experiment.name)
    return Section(
        title=experiment.title,
        findings=experiment.findings(tables),
        summaries=experiment.summaries(tables),
        pictures=_pictures(experiment, results),
        pivot=pivot(tables) if pivot else None,
        tables=[name for name, table in tables.items() if len(table)],
    )


def compared(results: Results) -> str:
    """The run in a line: how many methods and workloads, on what device, when, how far."""
    about = results.about
    tables = [results.tables[n] for n in ("step_cost", "generalization") if n in results.tables]
    rows = [table for table in tables if len(table)]
    methods = {name for table in rows for name in table["method"].unique()}
    workloads = {
        own
        for table in rows
        for own in table[["model", "dataset", "batch_size"]].itertuples(index=False, name=None)
    }
    device = about["environment"]["device"]
    failed = len(results.tables["failures"])
    without = f", {failed} without a result" if failed else ""
    parts = [
        *([f"{len(methods)} methods on {len(workloads)} workloads"] if rows else []),
        f"{device.get('name')} ({device['kind']})",
        about["started"][:10],
        f"{about['cells']:,} cells{without}",
        str(about["status"]),
    ]
    return " \N{MIDDLE DOT} ".join(parts)


def _pictures(experiment: Experiment[Any, Any], results: Results) -> list[Picture]:
    """An experiment's figures, each taken out of pyplot's hands as soon as it is drawn."""
    pictures = []
    for picture in experiment.figures(results.tables):
        plt.close(picture.figure)
        pictures.append(picture)
    return pictures


def _write_figures(
    folder: Path, pictures: Sequence[Picture], progress: Callable[[int, int], None] | None
) -> dict[str, str]:
    """Save every figure; returns each one's image as a data URI, by name."""
    folder.mkdir(parents=True)
    images: dict[str, str] = {}
    for picture in pictures:
        if progress is not None:
            progress(len(images), len(pictures))
        png = folder / f"{picture.name}.png"
        picture.figure.savefig(png)
        picture.figure.set_layout_engine("none")  # laid out once is enough
        svg = _svg(picture.figure)
        (folder / f"{picture.name}.svg").write_bytes(svg)
        images[picture.name] = _uri(svg) if len(svg) <= MOST_SVG_BYTES else _webp_uri(png)
        plt.close(picture.figure)
    return images


def _webp_uri(png: Path) -> str:
    """A picture with too many points for an SVG in a page."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(png) as image:
        image.convert("RGB").save(buffer, "WEBP", quality=90, method=6)
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


def templates() -> jinja2.Environment:
    """The pages' templates, with a filter for tables of either kind."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gr_bench.reports"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["zip"] = zip
    environment.globals["vendored"] = _vendored
    environment.filters["rows_json"] = _rows_json
    environment.filters["html_table"] = _html_table
    environment.filters["md_table"] = _md_table
    return environment


def _vendored(name: str) -> str:
    """The text of a file of another project that pages embed."""
    return resources.files("gr_bench.reports").joinpath("vendor", name).read_text("utf-8")


def _rows_json(table: pd.DataFrame) -> str:
    """A table as ``{"columns": [...], "rows": [[...]]}``, safe inside of a script element."""
    rows = table.astype(object).where(table.notna(), "-").map(_printed).to_numpy().tolist()
    text = json.dumps({"columns": [str(own) for own in table.columns], "rows": rows})
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _printed(value: object) -> object:
    return value.item() if hasattr(value, "item") else str(value)


def _html_table(table: pd.DataFrame) -> str:
    return table.to_html(index=False, border=0, na_rep="-", classes="data")


def _md_table(table: pd.DataFrame) -> str:
    text = table.fillna("-").astype(str).map(lambda s: " ".join(s.split()).replace("|", r"\|"))
    return text.to_markdown(index=False, disable_numparse=True)
