"""A static site of many runs: an index with filters, a page a run, runs side by side, histories."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gr_bench.claims import page as claims
from gr_bench.comparison.history.history import read_history
from gr_bench.comparison.history.page import write_page as write_history
from gr_bench.errors import RequestError
from gr_bench.experiments import style
from gr_bench.files import Page, check_replaceable, write_whole
from gr_bench.reports.answers import NOT_KNOWN, NOT_MEASURED, answers
from gr_bench.reports.page import write_report
from gr_bench.reports.pages import templates
from gr_bench.reports.side_by_side import MOST_RUNS, check_distinct, labelled, write_side_by_side
from gr_bench.runs.about import RUN, read_about
from gr_bench.runs.results import Results
from gr_bench.runs.store import journal_of, locked
from gr_bench.version import __version__

MADE_FROM = "made-from.json"
"""The file by which a folder is known as a site; what each run's page was made from."""

INDEX = "index.html"
TOGETHER = ("side-by-side", "history")
"""Folders of what several runs of a suite have together, a folder a suite."""

PAGE = Page(marks=(MADE_FROM,), others=None)
"""A web server's own files, or git's, may be beside: a site deletes nothing but its pages."""

HOME = "../../index.html"
"""The index, as pages of runs and suites lead there."""

THRESHOLD = 0.02
"""Of changes in a history."""


@dataclass(frozen=True)
class Entry:
    """A run's line in the index."""

    run: str
    page: str | None
    """None if it has none: ``note`` then says why."""

    suite: str
    started: str
    status: str
    device: str
    version: str
    cells: int
    failed: int
    models: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    says: str = ""
    """The answers on cost and on generalization, in short."""

    note: str = ""
    claims: str | None = None
    """The page of the claims, where the run's folder has one."""


@dataclass(frozen=True)
class Site:
    """The result of :func:`write_site`."""

    index: Path
    written: int
    """Runs whose pages were made now; those of the others were there, made from the same."""

    notes: tuple[str, ...]
    """On what could not be drawn."""


def write_site(
    folders: Sequence[Path],
    out: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Site:
    """Write a site of runs, or bring one up to date: only runs that changed are drawn anew.

    Args:
        folders: of runs. Those of one suite are put side by side, the last :data:`MOST_RUNS` of
            them, and have a history where they have step costs.
        out: made if it is not there.
        progress: told how many pages of how many have been done.

    Raises:
        RequestError: a folder is not a run's, or is given twice; ``out`` holds something else.
    """
    if not folders:
        raise RequestError("no run for the site: name a run's folder")
    check_distinct(folders)
    check_replaceable(out, PAGE)
    for folder in folders:
        if out.resolve() in folder.resolve().parents:
            raise RequestError(f"{folder} is inside of the site's folder: choose another --out")
    runs = {style.slug(label) or "run": folder for label, folder in labelled(folders).items()}
    if len(runs) < len(folders):
        raise RequestError("two runs have names that differ in punctuation alone: rename one")
    abouts = {name: read_about(folder) for name, folder in runs.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot write to {out}: {error.strerror}") from error
    with locked(out):
        return _bring_up_to_date(runs, abouts, out, progress)


def _bring_up_to_date(
    runs: Mapping[str, Path],
    abouts: Mapping[str, Mapping[str, Any]],
    out: Path,
    progress: Callable[[int, int], None] | None,
) -> Site:
    """See :func:`write_site`; runs and their descriptions by their names in the site."""
    made = _made_from(out)
    _write_json(out / MADE_FROM, made)
    (out / "runs").mkdir(exist_ok=True)
    suites = _by_suite(abouts)
    total, done, written = len(runs) + len(suites), 0, 0

    def tell() -> None:
        if progress is not None:
            progress(done, total)

    for name, folder in runs.items():
        tell()
        stamp = _stamp(folder)
        if made.get(name, {}).get("stamp") != stamp:
            entry = _write_run(name, folder, abouts[name], out)
            made[name] = {"stamp": stamp, "entry": asdict(entry)}
            _write_json(out / MADE_FROM, made)
            written += 1
        done += 1
    for gone in made.keys() - runs.keys():
        shutil.rmtree(out / "runs" / gone, ignore_errors=True)
        del made[gone]
    entries = [Entry(**made[name]["entry"]) for name in runs]
    together = []
    for suite, names in suites.items():
        tell()
        having = [name for name in names if made[name]["entry"]["page"]]
        together.append(_write_suite(suite, {name: runs[name] for name in having}, out))
        done += 1
    _write_json(out / MADE_FROM, made)
    there = {style.slug(suite) for suite in suites}
    for folder in (old for name in TOGETHER for old in (out / name).glob("*")):
        if folder.name not in there:
            shutil.rmtree(folder, ignore_errors=True)
    text = (
        templates()
        .get_template("site.html.j2")
        .render(
            entries=entries,
            choices=_choices(entries),
            together=[own for own in together if own["pages"]],
            version=__version__,
        )
    )
    write_whole(out / INDEX, lambda file: file.write(text.encode()))
    tell()
    notes = [f"{own.run}: {own.note}" for own in entries if own.note]
    notes += [note for own in together for note in own["notes"]]
    return Site(out / INDEX, written, tuple(notes))


def _write_run(name: str, folder: Path, about: Mapping[str, Any], out: Path) -> Entry:
    """A run's page, and its line in the index."""
    described = about["environment"]
    head: dict[str, Any] = {
        "run": name,
        "suite": about.get("title") or about["name"],
        "started": about["started"][:16].replace("T", " "),
        "status": about["status"],
        "device": f"{described['device'].get('name')} ({described['device']['kind']})",
        "version": described["gr_bench"],
        "cells": about["cells"],
    }
    target = out / "runs" / name
    if not (target / "report.html").exists():
        shutil.rmtree(target, ignore_errors=True)  # the rest of a page
    try:
        results = Results(folder)
        failures = results.tables["failures"]
        head["failed"] = len(failures) - int(failures["unsupported"].sum())
        write_report(folder, ("html",), out=target, home=HOME)
    except RequestError as error:
        return Entry(**{"failed": 0, **head}, page=None, note=str(error))
    judged = None
    if (folder / claims.FOLDER).is_dir():
        claims.write_page(target / claims.FOLDER, claims.judge_runs([folder]))
        judged = f"runs/{name}/{claims.FOLDER}/claims.html"
    tables = [own for own in results.tables.values() if {"model", "method"} <= {*own.columns}]
    named = {
        key: tuple(dict.fromkeys(str(v) for own in tables for v in own[key].dropna().unique()))
        for key in ("model", "method")
    }
    short = [own.short for own in answers(results)[:2]]
    return Entry(
        **head,
        page=f"runs/{name}/report.html",
        models=named["model"],
        methods=named["method"],
        says="; ".join(own for own in short if own not in (NOT_KNOWN, NOT_MEASURED)),
        claims=judged,
    )


def _write_suite(suite: str, runs: Mapping[str, Path], out: Path) -> dict[str, Any]:
    """The runs of a suite side by side, and their history, as far as there is one."""
    slug = style.slug(suite)
    found: dict[str, Any] = {"suite": suite, "runs": len(runs), "pages": {}, "notes": []}
    if len(runs) < 2:
        return found
    folders = [*runs.values()]
    beside, history = (out / name / slug for name in TOGETHER)
    writers: dict[str, Callable[[], list[Path]]] = {
        "side by side": lambda: write_side_by_side(
            folders[-MOST_RUNS:], beside, ("html",), home=HOME
        ),
        "history": lambda: write_history(read_history(folders, THRESHOLD), history),
    }
    for name, write in writers.items():
        try:
            found["pages"][name] = write()[0].relative_to(out).as_posix()
        except RequestError as error:
            found["notes"].append(f"no {name} of {suite}: {error}")
    return found


def _by_suite(abouts: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Runs by the suite's name, in the order of their starts."""
    found: dict[str, list[str]] = {}
    for name in sorted(abouts, key=lambda name: str(abouts[name]["started"])):
        found.setdefault(str(abouts[name]["name"]), []).append(name)
    return found


def _choices(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """The values that each filter can choose from."""
    return {
        "device": sorted({own.device for own in entries}),
        "suite": sorted({own.suite for own in entries}),
        "model": sorted({model for own in entries for model in own.models}),
        "method": style.in_order(method for own in entries for method in own.methods),
    }


def _stamp(folder: Path) -> str:
    """A hash of what a run's page is made from; another version of gr-bench makes another page."""
    parts = [__version__, (folder / RUN).read_text(), str((folder / claims.FOLDER).is_dir())]
    journal = journal_of(folder)
    if journal is not None:
        stat = journal.stat()
        parts += [journal.name, str(stat.st_size), str(stat.st_mtime_ns)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _made_from(out: Path) -> dict[str, Any]:
    """The contents of the file; nothing is taken over from one that cannot be read."""
    try:
        found: dict[str, Any] = json.loads((out / MADE_FROM).read_text())["runs"]
        entries = {name: Entry(**own["entry"]) for name, own in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    there = [
        name
        for name, own in entries.items()
        if name == style.slug(name) and (not own.page or (out / own.page).exists())
    ]
    return {name: found[name] for name in there}


def _write_json(file: Path, runs: object) -> None:
    text = json.dumps({"made by": f"gr-bench {__version__}", "runs": runs}, indent=1)
    write_whole(file, lambda opened: opened.write(text.encode()))
