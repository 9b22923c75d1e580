"""``gr-bench history``: step cost from run to run, with what changed marked."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gr_bench.comparison.stored import compare_runs
from gr_bench.errors import RequestError
from gr_bench.experiments import style
from gr_bench.reports.page import svg_uri, templates
from gr_bench.runs.results import Results
from gr_bench.version import __version__

PLOTTED = {
    "time_ratio": "time / SGD's",
    "peak_memory_bytes": "peak memory (MB)",
    "flops": "FLOPs (million)",
}
MILLION = 1e6
BLOCK = [
    *("model", "dataset", "batch_size", "threads", "dtype", "device"),
    *("compiled", "variant", "allocator"),
]
COMMIT_LETTERS = 8


def write_history(folders: Sequence[Path], out: Path, threshold: float) -> list[Path]:
    """Write ``history.html``, ``history.csv`` and a figure for every block of cells into ``out``.

    Every run is compared with the one before (:func:`~gr_bench.comparison.stored.compare_runs`):
    a change point stands where that finds a cell's ratio to SGD changed, or a counter.
    Runs are in the order of their commits in time or, if some commit is not in the repository here,
    of their starts.

    Args:
        folders: of runs with step costs, two at least.
        out: made if it is not there.
        threshold: relative, the smallest difference in time that matters.

    Returns:
        The files written, the page first.

    Raises:
        RequestError: a folder is no run's or has no step costs, or there are fewer than two.
    """
    if len(folders) < 2:
        raise RequestError("a history needs at least two runs: gr-bench history RUN RUN ...")
    runs = _in_order([Results(folder) for folder in folders])
    table = history(runs, threshold)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot write to {out}: {error.strerror}") from error
    style.set_look()
    images = {}
    written = []
    for keys, block in table.groupby(BLOCK, sort=False, dropna=False):
        named = dict(zip(BLOCK, keys, strict=True))
        title = f"{named['model']} · {named['dataset']} · batch {named['batch_size']}"
        figure = draw(block, title)
        written.append(out / f"history_{style.slug(' '.join(map(str, keys)))}.png")
        figure.savefig(written[-1])
        images[title] = svg_uri(figure)
        plt.close(figure)
    changed = table[table["change"] != ""]
    shown = {
        "runs": _about(runs),
        "images": images,
        "changes": changed[["commit", "model", "dataset", "batch_size", "spec", "change"]],
        "threshold": threshold,
        "version": __version__,
    }
    page, tables = out / "history.html", out / "history.csv"
    page.write_text(templates().get_template("history.html.j2").render(**shown), encoding="utf-8")
    table.to_csv(tables, index=False)
    return [page, tables, *written]


def history(runs: Sequence[Results], threshold: float) -> pd.DataFrame:
    """A row for every run and cell: the step-cost table, with ``change`` against the run before.

    Args:
        runs: in order.
        threshold: see :func:`write_history`.
    """
    tables = []
    for number, run in enumerate(runs):
        if "step_cost" not in run.tables:
            raise RequestError(f"{run.folder} has no step costs")
        table = run.step_cost
        table = table[~table["control"].astype(bool) & (table["status"] == "ok")].copy()
        table.insert(0, "run", number)
        table.insert(1, "commit", _commit(run))
        changes = _changes(runs[number - 1], run, threshold) if number else {}
        keys = table[["spec", *BLOCK]].itertuples(index=False, name=None)
        table["change"] = [changes.get(key, "") for key in keys]
        tables.append(table)
    made = pd.concat(tables, ignore_index=True)
    return made


def _changes(before: Results, run: Results, threshold: float) -> dict[tuple[Any, ...], str]:
    """By label and block: what is different from the run before, in words."""
    try:
        comparison = compare_runs(before.folder, run.folder, threshold, keep=lambda _: None)
    except RequestError:  # they have no cell in common
        return {}
    found: dict[tuple[Any, ...], list[str]] = {}
    for finding in comparison.findings:
        cell = finding.cell
        assert cell is not None
        words = found.setdefault((cell.spec, *(getattr(cell, key) for key in BLOCK)), [])
        if finding.verdict in ("slower", "faster") and finding.ratio is not None:
            low, high = (f"{end - 1:+.1%}" for end in finding.ratio[1:])
            change = f"{finding.ratio.center - 1:+.1%} [{low}, {high}]"
            words.append(f"{finding.verdict} ({finding.quantity} {change})")
        words += map(str, finding.changes)
    return {key: "; ".join(words) for key, words in found.items()}


def draw(block: pd.DataFrame, title: str) -> Figure:
    """One block over runs: ratio with its interval, memory, FLOPs; change points are ringed.

    Args:
        block: rows of :func:`history`.
        title: of the figure.
    """
    figure, axes = style.panels(len(PLOTTED))
    labels = style.in_order(block["spec"])
    shapes = style.markers(labels)
    for ax, (column, name) in zip(axes, PLOTTED.items(), strict=True):
        for label in labels:
            own = block[block["spec"] == label].sort_values("run")
            _line(ax, own, column, label, shapes[label])
        ticks = block.drop_duplicates("run").sort_values("run")
        ax.set_xticks(ticks["run"], ticks["commit"], rotation=45, ha="right")
        ax.set(xlabel="commit", ylabel=name)
    figure.suptitle(title)
    style.method_legend(figure, labels)
    return figure


def _line(ax: Axes, own: pd.DataFrame, column: str, label: str, shape: str) -> None:
    scale = 1.0 if column == "time_ratio" else MILLION
    values = own[column].astype(float) / scale
    ends = None
    if column == "time_ratio":
        low, high = own["time_ratio_low"].astype(float), own["time_ratio_high"].astype(float)
        ends = [(values - low).clip(lower=0), (high - values).clip(lower=0)]
    color = style.color(label)
    ax.errorbar(own["run"], values, yerr=ends, color=color, marker=shape, capsize=2, linewidth=1)
    word = {"time_ratio": "er (", "peak_memory_bytes": "peak bytes", "flops": "FLOPs"}[column]
    ringed = own["change"].str.contains(word, regex=False)
    ax.plot(
        own.loc[ringed, "run"],
        values[ringed],
        "o",
        markersize=13,
        markerfacecolor="none",
        markeredgecolor="0.2",
    )


def _in_order(runs: list[Results]) -> list[Results]:
    times = [_committed_s(run) for run in runs]
    if None in times:
        return sorted(runs, key=lambda run: str(run.about["started"]))
    order = sorted(range(len(runs)), key=lambda i: (times[i] or 0.0, str(runs[i].about["started"])))
    return [runs[i] for i in order]


def _committed_s(run: Results) -> float | None:
    git = run.about["environment"].get("git")
    if git is None:
        return None
    told = subprocess.run(
        ["git", "show", "--no-patch", "--format=%ct", git["commit"]], capture_output=True, text=True
    )
    return float(told.stdout) if told.returncode == 0 else None


def _commit(run: Results) -> str:
    git = run.about["environment"].get("git")
    if git is None:
        return run.folder.name
    return f"{git['commit'][:COMMIT_LETTERS]}{'*' if git['dirty'] else ''}"


def _about(runs: Sequence[Results]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "commit": _commit(run),
            "run": str(run.folder),
            "started": run.about["started"],
            "machine": run.about["environment"]["device"]["name"],
            "torch": run.about["environment"]["packages"]["torch"],
        }
        for run in runs
    )
