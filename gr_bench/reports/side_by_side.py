"""Several runs on one page: machines, versions or suites as columns."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gr_bench.errors import RequestError
from gr_bench.experiments import looks, style
from gr_bench.experiments.columns import SETTINGS
from gr_bench.experiments.experiment import Picture, Summary
from gr_bench.files import Page, check_replaceable, whole_folder
from gr_bench.reports.answers import answers
from gr_bench.reports.certainty import how_sure
from gr_bench.reports.images import Images
from gr_bench.reports.page import about, compared
from gr_bench.reports.pages import templates
from gr_bench.reports.pivots import (
    KEYS,
    QUESTIONS,
    Entry,
    Pivot,
    Question,
    entries_of,
    has_doubles,
)
from gr_bench.runs.results import Results
from gr_bench.units import counted
from gr_bench.version import __version__

FOLDER = Path("side-by-side")
NAME = "side-by-side"
PAGE = Page(marks=(f"{NAME}.html", f"{NAME}.md"), others=("figures", "tables"))
MOST_RUNS = 12
"""On a page: more columns cannot be read."""

MOST_PANELS = 12


@dataclass(frozen=True)
class Aligned:
    """One experiment of several runs."""

    title: str
    pivot: Pivot | None
    notes: list[str]
    """On what stands in the pivot, and what does not."""

    picture: Picture | None
    summaries: list[Summary]


@looks.look(looks.DEFAULT)
def write_side_by_side(
    folders: Sequence[Path],
    out: Path,
    formats: Iterable[str],
    progress: Callable[[int, int], None] | None = None,
    home: str | None = None,
) -> list[Path]:
    """Write ``side-by-side.html`` and ``.md`` with their figures and tables into ``out``.

    A workload is put side by side where two runs have it. Settings that each run has one value of,
    as its device or its threads, do not tell workloads apart: they stand at the runs' heads.

    Args:
        folders: of two runs or more.
        out: replaced, if it holds such a page; made, if it is not there.
        formats: of ``html`` and ``md``.
        progress: told how many figures of how many have been drawn.
        home: the address of the site's index, if it is a page of one.

    Returns:
        The pages written.

    Raises:
        RequestError: a folder is not a run's, is given twice or has no results; too many runs;
            ``out`` holds something else.
    """
    check_distinct(folders)
    check_replaceable(out, PAGE)
    if not folders:
        raise RequestError("no run to report on: name a run's folder")
    if len(folders) > MOST_RUNS:
        raise RequestError(
            f"{len(folders)} runs: a page has room for {MOST_RUNS}; gr-bench site takes any number"
        )
    runs = {label: Results(folder) for label, folder in labelled(folders).items()}
    for results in runs.values():
        if not results.experiments:
            raise RequestError(f"{results.folder} has no results yet")
    sections = [_aligned(name, runs) for name in _experiments(runs)]
    pictures = [section.picture for section in sections if section.picture]
    described = {label: about(results) for label, results in runs.items()}
    differing, alike = facts(runs, described)
    quality = {
        "Failures": [str(len(own["failures"])) for own in described.values()],
        "How sure": [how_sure(own.tables) for own in runs.values()],
    }
    names = []
    with whole_folder(out, PAGE) as fresh:
        images = Images(fresh / "figures")
        for picture in pictures:
            images.add(picture)
        (fresh / "tables").mkdir()
        tables = list(_write_tables(fresh / "tables", runs))
        shown = {
            "title": f"{len(runs)} runs side by side",
            "runs": {label: compared(results) for label, results in runs.items()},
            "facts": (differing | quality, alike),
            "answers": asked(runs),
            "warnings": [
                f"{k}: {line}" for k, own in described.items() for line in own["warnings"]
            ],
            "sections": sections,
            "images": images.uris(progress),
            "tables": tables,
            "command": shlex.join(["gr-bench", "report", *map(str, folders)]),
            "version": __version__,
            "home": home,
        }
        for format_ in formats:
            template = templates().get_template(f"side_by_side.{format_}.j2")
            names.append(f"{NAME}.{format_}")
            (fresh / names[-1]).write_text(template.render(**shown), encoding="utf-8")
    return [out / name for name in names]


def check_distinct(folders: Sequence[Path]) -> None:
    """Refuse a run that is given twice.

    Raises:
        RequestError: it is.
    """
    seen: dict[Path, Path] = {}
    for folder in folders:
        real = folder.resolve()
        if real in seen:
            raise RequestError(f"{folder} is given twice")
        seen[real] = folder


def labelled(folders: Sequence[Path]) -> dict[str, Path]:
    """Runs by the end of their paths, as long as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    deepest = max(map(len, parts))
    for depth in range(1, deepest + 1):
        labels = ["/".join(own[-depth:]) for own in parts]
        if len(set(labels)) == len(labels):
            break
    return dict(zip(labels, folders, strict=True))


def facts(
    runs: Mapping[str, Results], described: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The facts that differ between the runs, each in the runs' order; and those that do not."""
    rows: dict[str, list[str]] = {"Suite": [own.about["title"] for own in runs.values()]}
    names = dict.fromkeys(name for own in described.values() for name in own["facts"])
    for name in names:
        rows[name] = [own["facts"].get(name, "-") for own in described.values()]
    rows |= {
        f"Setting {key}": [values.get(label, "-") for label in runs]
        for experiment in _experiments(runs)
        if experiment in QUESTIONS
        for key, values in _own_settings(_rows(experiment, runs)).items()
    }
    alike = {name: row[0] for name, row in rows.items() if len(set(row)) == 1}
    return {name: row for name, row in rows.items() if name not in alike}, alike


def asked(runs: Mapping[str, Results]) -> dict[str, list[tuple[str, str, str]]]:
    """By question, each run's label, its answer in short and in a sentence."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for label, results in runs.items():
        for answer in answers(results):
            found.setdefault(answer.question, []).append((label, answer.short, answer.text))
    return found


def _experiments(runs: Mapping[str, Results]) -> list[str]:
    return list(dict.fromkeys(name for own in runs.values() for name in own.experiments))


def _rows(experiment: str, runs: Mapping[str, Results]) -> pd.DataFrame:
    return QUESTIONS[experiment].select({label: own.tables for label, own in runs.items()})


def _own_settings(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Settings that every run has one value of, but not the same one: by name and run, in words."""
    found = {}
    for key in SETTINGS if len(rows) else ():
        if key not in rows or key in KEYS:
            continue
        words = rows[key].map(str)
        values = words.groupby(rows["run"], sort=False).unique()
        if all(len(own) == 1 for own in values) and words.nunique() > 1:
            found[key] = {str(run): str(own[0]) for run, own in values.items()}
    return found


def _aligned(name: str, runs: Mapping[str, Results]) -> Aligned:
    having = {label: own for label, own in runs.items() if name in own.experiments}
    experiment = next(own.experiments[name] for own in having.values())
    notes = [f"Not measured: {label}." for label in runs if label not in having]
    pivot = picture = None
    if name in QUESTIONS and len(having) > 1:
        rows = _rows(name, having)
        rows = rows.drop(columns=list(_own_settings(rows)))
        pivot, told = by_run(QUESTIONS[name], rows, list(runs))
        notes += told
        picture = _picture(name, QUESTIONS[name], rows, list(runs)) if pivot else None
    return Aligned(experiment.title, pivot, notes, picture, _summaries(name, having))


def by_run(
    question: Question, rows: pd.DataFrame, runs: Sequence[str]
) -> tuple[Pivot | None, list[str]]:
    """The pivot with runs in columns, of the workloads that two of them have; and what it lacks.

    Its last column has the smallest and the largest relative number of the runs.
    """
    if not len(rows):
        return None, ["No run has a result that can be put beside another's."]
    parts = list(style.workloads(rows, *KEYS))
    shared = [(title, part) for title, part in parts if part["run"].nunique() > 1]
    notes = []
    if alone := len(parts) - len(shared):
        notes.append(f"{alone} of {len(parts)} workloads are in one run only: see every row.")
    single = [(title, part) for title, part in shared if not has_doubles(part)]
    if doubled := len(shared) - len(single):
        notes.append(f"{counted(doubled, 'workload')} with several rows a method: see every row.")
    if not single:
        return None, notes
    names = style.short(rows["spec"])
    groups = {}
    for title, part in single:
        columns = {
            run: entries_of(question, own, names) for run, own in part.groupby("run", sort=False)
        }
        methods = [name for name in names.values() if any(name in own for own in columns.values())]
        lines = {name: [columns.get(run, {}).get(name) for run in runs] for name in methods}
        groups[title] = {name: [*line, _range(line)] for name, line in lines.items()}
    return (
        Pivot(
            columns=[*runs, "lowest to highest"],
            groups=groups,
            colors={name: style.color(spec) for spec, name in names.items()},
            **question.words(rows),
        ),
        notes,
    )


def _range(line: Sequence[Entry | None]) -> Entry | None:
    """The smallest and the largest number of a line, where there are two."""
    entries = sorted((own for own in line if own), key=lambda own: own.value)
    if len(entries) < 2:
        return None
    first, last = (own.relative.partition(" [")[0] for own in (entries[0], entries[-1]))
    return Entry(first if first == last else f"{first} to {last}", "", entries[0].value)


def _summaries(name: str, runs: Mapping[str, Results]) -> list[Summary]:
    """The experiment's tables of every row, those of all runs together."""
    found: dict[str, Summary] = {}
    for label, results in runs.items():
        for own in results.experiments[name].summaries(results.tables):
            table = own.table.copy()
            table.insert(0, "run", label)
            main = ("run", *own.main) if own.main else ()
            if own.name in found:
                table = pd.concat([found[own.name].table, table], ignore_index=True)
                main = tuple(dict.fromkeys((*found[own.name].main, *main)))
            found[own.name] = replace(own, table=table, main=main)
    return list(found.values())


COLUMNS = {
    "step_cost": ("time_ratio", "time_ratio_low", "time_ratio_high"),
    "generalization": ("difference", "low", "high"),
}
"""A number and the ends of its interval, by experiment."""

AXES = {"step_cost": (1.0, "time over the baseline's"), "generalization": (0.0, "points")}
"""The baseline's place, and the label."""


def _picture(name: str, question: Question, rows: pd.DataFrame, runs: Sequence[str]) -> Picture:
    """Every method's number and interval in every run, a panel a workload."""
    center, low, high = COLUMNS[name]
    parts = [
        (title, part)
        for title, part in style.workloads(rows, *KEYS)
        if part["run"].nunique() > 1 and not has_doubles(part)
    ]
    drawn = parts[:MOST_PANELS]
    style.set_methods(rows["spec"])
    specs = style.in_order(rows["spec"])
    names = style.short(specs)
    across = min(3, len(drawn))
    down = math.ceil(len(drawn) / across)
    height = 0.7 + 0.11 * (len(runs) + 1) * len(specs)
    figure, grid = plt.subplots(
        down,
        across,
        figsize=(1.2 + 3.1 * across, 0.6 + height * down),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    panels = list(grid.flat)
    for axes, (title, part) in zip(panels, drawn, strict=False):
        scale = 1.0 if name == "step_cost" else 100.0
        _panel(axes, part, specs, runs, (center, low, high), scale, AXES[name][0])
        axes.set_title(title)
        axes.set_xlabel(AXES[name][1])
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    for line in grid:
        line[0].set_yticks(range(len(specs)), [names[spec] for spec in specs])
        line[0].invert_yaxis()
    handles = [
        Line2D([], [], color="0.35", marker=_marker(place), linestyle="", label=run)
        for place, run in enumerate(runs)
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(3, len(handles)))
    words = question.words(rows)
    left = f" Drawn are {len(drawn)} of {len(parts)} workloads." if len(drawn) < len(parts) else ""
    caption = f"A marker is a run, a colour a method; lines are 95 % intervals.{left}"
    data = rows[["run", *KEYS, "spec", center, low, high]]
    return Picture(f"side_by_side_{name}", words["title"], caption, figure, data)


def _marker(place: int) -> str:
    """A run's marker; colours are the methods'."""
    return style.MARKERS[place % len(style.MARKERS)]


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    specs: Sequence[str],
    runs: Sequence[str],
    columns: tuple[str, str, str],
    scale: float,
    nothing: float,
) -> None:
    axes.axvline(nothing, color="0.6", linewidth=0.8)
    for row in rows.to_dict("records"):
        center, low, high = (scale * float(row[column]) for column in columns)
        if not math.isfinite(center):
            continue
        place = runs.index(row["run"])
        shift = 0.7 * ((place + 0.5) / len(runs) - 0.5)
        arms = [[center - low], [high - center]] if math.isfinite(high - low) else None
        axes.errorbar(
            [center],
            [specs.index(row["spec"]) + shift],
            xerr=arms,
            fmt=_marker(place),
            markersize=4,
            color=style.color(row["spec"]),
            elinewidth=1.2,
        )
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.08)


def _write_tables(folder: Path, runs: Mapping[str, Results]) -> Iterable[str]:
    """Every table of all runs as one CSV file, with a column ``run``; their names."""
    for name in dict.fromkeys(name for own in runs.values() for name in own.tables):
        parts = [
            own.tables[name].assign(run=label)
            for label, own in runs.items()
            if len(own.tables.get(name, ()))
        ]
        if parts:
            table = pd.concat(parts, ignore_index=True)
            table.insert(0, "run", table.pop("run"))
            table.to_csv(folder / f"{name}.csv", index=False)
            yield name
