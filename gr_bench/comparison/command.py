"""``gr-bench compare``: which sort of comparison is asked for, and where its answer goes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from gr_bench.comparison import pages
from gr_bench.comparison.findings import parse_share
from gr_bench.comparison.judge import compare_revisions
from gr_bench.comparison.paired import Told
from gr_bench.comparison.revisions import PREFIX
from gr_bench.comparison.stored import compare_runs
from gr_bench.errors import RequestError
from gr_bench.files import write_whole
from gr_bench.progress import duration
from gr_bench.runs.suite import load_suite

LINE_EVERY_S = 10.0


@dataclass(frozen=True)
class Request:
    """What the command line asked for; see its help."""

    names: Mapping[str, str]
    pythons: Mapping[str, str]
    suite: str
    only: str | None
    threshold: str
    budget_s: float
    json_file: Path | None
    markdown_file: Path | None


def compare(request: Request, out: Console, err: Console) -> bool:
    """Compare, show and write; returns whether there is a regression.

    Raises:
        RequestError: whatever is wrong with the request, or with one side.
    """
    threshold = parse_share(request.threshold)
    for file in (request.json_file, request.markdown_file):
        if file is not None and (file.is_dir() or not file.parent.is_dir()):
            raise RequestError(f"cannot write to {file}: name a file in a folder that is there")
    revisions = [name.startswith(PREFIX) for name in request.names.values()]
    if any(revisions) and not all(revisions):
        raise RequestError(
            f"compare two revisions ({PREFIX}NAME {PREFIX}NAME) or two runs' folders"
        )

    def keep(everything: dict[str, Any]) -> None:
        if request.json_file is not None:
            text = json.dumps(everything, indent=2)
            write_whole(request.json_file, lambda file: file.write(text.encode()))

    if all(revisions):
        suite = load_suite(request.suite, only=request.only)
        with _progress(err, request.budget_s) as told:
            comparison = compare_revisions(
                request.names,
                suite,
                pythons=request.pythons,
                threshold=threshold,
                budget_s=request.budget_s,
                keep=keep,
                told=told,
            )
    else:
        base, head = map(Path, request.names.values())
        comparison = compare_runs(base, head, threshold, keep)
    if request.markdown_file is not None:
        text = pages.markdown(comparison)
        write_whole(request.markdown_file, lambda file: file.write(text.encode()))
    pages.show(comparison, out)
    return comparison.regressed


@contextmanager
def _progress(console: Console, budget_s: float) -> Iterator[Told]:
    """A bar with the time left on a terminal, a line now and then anywhere else."""
    bar = Progress(
        BarColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=budget_s)
    last = -LINE_EVERY_S

    def told(spent_s: float, what: str) -> None:
        nonlocal last
        text = f"{what} · {duration(max(0.0, budget_s - spent_s))} left"
        bar.update(task, completed=min(spent_s, budget_s), description=text)
        if not console.is_terminal and spent_s - last >= LINE_EVERY_S:
            last = spent_s
            console.print(text, markup=False, highlight=False)

    with bar:
        yield told
