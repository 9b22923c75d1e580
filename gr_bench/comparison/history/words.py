"""A history in words: lines for a terminal, and the texts that pages and tables share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from gr_bench import stats
from gr_bench.comparison.history.history import Found, History
from gr_bench.comparison.history.series import Series
from gr_bench.experiments import style
from gr_bench.experiments.step_cost.cell import StepCostCell

COLUMNS = 80
"""Width of a line on the terminal."""

COMMIT_LETTERS = 7

FIELDS = (
    *("model", "dataset", "batch_size", "threads", "dtype", "device"),
    *("compiled", "variant", "allocator", "optimizer"),
)
"""The fields of a cell beside its method, which are named where they differ."""


def lines(history: History) -> list[str]:
    """The history for a terminal: a line a change, and how much was looked at.

    It says that nothing changed only of series in which a step of the threshold's size would have
    been found, and names the smallest that would have been.
    """
    labels = labels_of(history)
    return [
        *(_change(one, labels) for one in history.beyond),
        *(
            _cut(f"{one.change}  {_commit(history.runs[one.after].name)}  {labels[one.cell.id]}")
            for one in history.counted
        ),
        *summary(history),
    ]


def labels_of(history: History) -> dict[str, str]:
    """Short names of all cells, by id, that tell them apart."""
    return short_labels(cell for run in history.runs for cell in run.cells.values())


def size(interval: stats.Interval) -> str:
    """The size of a change with its 95 % interval: ``+2.1% [+1.6, +2.6]``."""
    low, high = (f"{100 * relative(end):+.1f}" for end in interval[1:])
    return f"{100 * relative(interval.center):+.1f}% [{low}, {high}]"


def relative(log: float) -> float:
    """The relative change that a difference of logarithms is."""
    return math.expm1(log) if log < 700 else math.inf


def quantity(series: Series) -> str:
    """The quantity of a series, in full."""
    if series.quantity == "ratio":
        return f"time over {series.cell.baseline}'s"
    return "time in matrix products"


def short_labels(cells: Iterable[StepCostCell]) -> dict[str, str]:
    """By a cell's id, its method and whatever else tells it from the others, in short."""
    cells = list(cells)
    methods = style.short(cell.spec for cell in cells)
    models = style.short(cell.model for cell in cells)
    differing = [key for key in FIELDS if len({getattr(cell, key) for cell in cells}) > 1]
    return {
        cell.id: ", ".join(
            [methods[cell.spec]]
            + [models[cell.model] if key == "model" else _field(cell, key) for key in differing]
        )
        for cell in cells
    }


def _field(cell: StepCostCell, key: str) -> str:
    value = getattr(cell, key)
    return f"batch {value}" if key == "batch_size" else str(value)


def _change(one: Found, labels: dict[str, str]) -> str:
    names = dict.fromkeys(_commit(run.name) for run in (one.good, one.bad))
    kind = one.change.kind + "?" * (one.change.runs_after == 1)  # one night may be a bad one
    return _cut(
        f"{kind:<5} {size(one.change.size):<21} {one.series.quantity:<8} "
        f"{'..'.join(names):<16} {labels[one.series.cell.id]}"
    )


def _commit(name: str) -> str:
    return f"{name[:COMMIT_LETTERS]}*" if name.endswith("*") else name[:COMMIT_LETTERS]


def _cut(line: str) -> str:
    return line if len(line) <= COLUMNS else line[: COLUMNS - 3] + "..."


def summary(history: History) -> Iterator[str]:
    """The number of series that changed, and what would have been found in the others."""
    by_verdict: dict[str, list[Series]] = {"changed": [], "no change": [], "not known": []}
    for series in history.series:
        by_verdict[history.verdict(series)].append(series)
    changed, quiet, unknown = by_verdict.values()
    limit, runs = f"{100 * history.threshold:g} %", len(history.runs)
    if changed:
        count = len(history.beyond)
        yield (
            f"{count} change{'s' * (count > 1)} beyond {limit}, in {len(changed)} of "
            f"{len(history.series)} series of {runs} runs"
        )
    if quiet:
        yield f"no change beyond {limit} found in {len(quiet)} series of {runs} runs"
        yield f"  would have been found: a step half way of {_range(quiet, 'smallest_step')},"
        yield f"  one in the last run of {_range(quiet, 'smallest_last_step')}"
    if unknown:
        why = f"too few or too noisy to see {limit}"
        yield f"not known in {len(unknown)} series of {runs} runs: {why}"
        yield f"  would have been found: a step half way of {_range(unknown, 'smallest_step')}"
    if history.smaller:
        yield f"{len(history.smaller)} smaller: on the page"
    apart = sum(len(series.found.apart) for series in history.series)
    if apart:
        yield f"{apart} values stand apart from the runs on both sides, and were left out"


def _range(found: Sequence[Series], field: str) -> str:
    """The smallest and the largest of relative sizes over series: ``0.6 to 1.4 %``."""
    sizes = [relative(getattr(series.found, field)) for series in found]
    if min(sizes) > 1:
        return "more than 100 %"
    low, high = (f"{100 * size:.2g}" for size in (min(sizes), max(sizes)))
    if max(sizes) > 1:
        return f"{low} to more than 100 %"
    return f"{low} %" if low == high else f"{low} to {high} %"
