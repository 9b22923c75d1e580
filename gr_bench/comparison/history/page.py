"""The page of a history, with its figures and its table beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from gr_bench.comparison.history.figures import draw
from gr_bench.comparison.history.history import Found, History
from gr_bench.comparison.history.plain import table
from gr_bench.comparison.history.words import FIELDS, labels_of, quantity, relative, size, summary
from gr_bench.errors import RequestError
from gr_bench.experiments import looks, style
from gr_bench.experiments.columns import method_place
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.reports.images import svg_uri
from gr_bench.reports.pages import templates
from gr_bench.version import __version__

COMMAND = "look closer"
"""The text of a change that has a line of its own in the table."""


def write_page(history: History, out: Path) -> list[Path]:
    """Write ``history.html``, ``history.csv`` and a figure for every block of cells into ``out``.

    Args:
        history: of some runs.
        out: made if it is not there.

    Returns:
        The files written, the page first.

    Raises:
        RequestError: ``out`` cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot write to {out}: {error.strerror}") from error
    style.set_methods(series.cell.spec for series in history.series)
    images, written = {}, []
    for cells in _blocks(series.cell for series in history.series):
        title = _title(cells[0])
        values = (getattr(cells[0], key) for key in FIELDS)
        written.append(out / f"history_{style.slug(' '.join(map(str, values)))}.png")
        with looks.look(looks.DEFAULT):
            figure = draw(history, cells, title)
            figure.savefig(written[-1])
            images[title] = svg_uri(figure)
        plt.close(figure)
    labels = labels_of(history)
    page, values_file = out / "history.html", out / "history.csv"
    shown = {
        "images": images,
        "summary": list(summary(history)),
        "changes": _changes(history.beyond, labels),
        "smaller": _changes(history.smaller, labels),
        "apart": _apart(history, labels),
        "counters": _counters(history, labels),
        "series": _series(history, labels),
        "runs": _runs(history),
        "command": COMMAND,
        "threshold": history.threshold,
        "version": __version__,
    }
    text = templates().get_template("history.html.j2").render(**shown)
    page.write_text(text, encoding="utf-8")
    table(history).to_csv(values_file, index=False)
    return [page, values_file, *written]


def _blocks(cells: Iterable[StepCostCell]) -> list[list[StepCostCell]]:
    """Cells that differ in the method only, together; the methods in order."""
    blocks: dict[tuple[Any, ...], dict[str, StepCostCell]] = defaultdict(dict)
    for cell in cells:
        blocks[tuple(getattr(cell, key) for key in FIELDS)][cell.id] = cell
    return [
        sorted(block.values(), key=lambda cell: method_place(cell.spec))
        for block in blocks.values()
    ]


def _title(cell: StepCostCell) -> str:
    return f"{cell.model} · {cell.dataset} · batch {cell.batch_size}"


def _changes(found: Iterable[Found], labels: Mapping[str, str]) -> list[dict[str, str]]:
    """A change's texts by the title of their column, for every change."""
    return [
        {
            "cell": labels[one.series.cell.id],
            "quantity": quantity(one.series),
            "change [95 %]": f"{one.change.kind} {size(one.change.size)}",
            "commits": one.commits,
            "runs after": str(one.change.runs_after),
            "also different": "; ".join(one.also) or "-",
            COMMAND: one.command or "",
        }
        for one in found
    ]


def _apart(history: History, labels: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "commit": history.runs[series.runs[number]].name,
            "cell": labels[series.cell.id],
            "quantity": quantity(series),
            "off by": f"{relative(series.values[number] - series.found.levels[number]):+.1%}",
        }
        for series in history.series
        for number in series.found.apart
    )


def _counters(history: History, labels: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "commit": history.runs[one.after].name,
            "cell": labels[one.cell.id],
            "change": str(one.change),
        }
        for one in history.counted
    )


def _series(history: History, labels: Mapping[str, str]) -> pd.DataFrame:
    """A row a series: how noisy it is, and how small a step it would have shown."""
    return pd.DataFrame(
        {
            "cell": labels[series.cell.id],
            "quantity": quantity(series),
            "runs": series.known,
            "standard error": _percent(float(np.nanmedian(series.found.errors))),
            "spread between runs": _percent(series.found.spread),
            "smallest step half way": _percent(relative(series.found.smallest_step)),
            "in the last run": _percent(relative(series.found.smallest_last_step)),
            "apart": len(series.found.apart),
            "verdict": history.verdict(series),
        }
        for series in history.series
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if np.isfinite(share) else "none"


def _runs(history: History) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "commit": run.name,
            "run": str(run.folder),
            "started": run.about["started"],
            "machine": run.environment["device"]["name"],
            "torch": run.environment["packages"]["torch"],
        }
        for run in history.runs
    )
