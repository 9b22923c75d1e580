"""A history as plain data: one JSON object, one long table."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from gr_bench.comparison.history.history import Found, History
from gr_bench.comparison.history.series import Series, is_beyond
from gr_bench.comparison.history.words import FIELDS, relative
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.version import __version__

COLUMNS = (
    *("run", "commit", "started", "spec", *FIELDS),
    *("quantity", "value", "standard_error", "level", "apart", "change"),
)


def as_json(history: History) -> str:
    """Everything that was found, as JSON; docs/regressions.md says what its keys mean."""
    found = {
        "gr_bench": __version__,
        "threshold": history.threshold,
        "runs": [
            {
                "run": str(run.folder),
                "commit": run.commit,
                "with_changes": run.name.endswith("*"),
                "started": run.about["started"],
                "suite": run.suite,
            }
            for run in history.runs
        ],
        "series": [_series(history, series) for series in history.series],
        "counters": [
            {
                "cell": str(one.cell),
                "counter": one.change.counter,
                "before_run": one.before,
                "run": one.after,
                "before": one.change.base,
                "after": one.change.head,
            }
            for one in history.counted
        ],
    }
    return json.dumps(found, indent=2, allow_nan=False)


def _series(history: History, series: Series) -> dict[str, Any]:
    found = series.found
    own = [one for one in history.found if one.series is series]
    return {
        "cell": str(series.cell),
        **_cell(series.cell),
        "quantity": series.quantity,
        "verdict": history.verdict(series),
        "runs": list(series.runs),
        "values": _numbers(np.exp(series.values)),
        "standard_errors": _numbers(found.errors),
        "levels": _numbers(np.exp(found.levels)),
        "spread_between_runs": found.spread,
        "apart": [series.runs[number] for number in found.apart],
        "smallest_step": _number(relative(found.smallest_step)),
        "smallest_last_step": _number(relative(found.smallest_last_step)),
        "changes": [_change(history, one) for one in own],
    }


def _change(history: History, one: Found) -> dict[str, Any]:
    change, runs = one.change, one.series.runs
    size, low, high = (_number(relative(end)) for end in change.size)
    return {
        "kind": change.kind,
        "size": size,
        "low": low,
        "high": high,
        "beyond_threshold": is_beyond(change, history.threshold),
        "before_run": runs[change.before],
        "after_run": runs[change.after],
        "earliest_run": runs[change.earliest],
        "latest_run": runs[change.latest],
        "runs_before": change.runs_before,
        "runs_after": change.runs_after,
        "good": one.good.commit,
        "bad": one.bad.commit,
        "commits": one.commits,
        "command": one.command,
        "also": one.also,
    }


def table(history: History) -> pd.DataFrame:
    """A row for every run and quantity of a cell, the counters among them.

    ``value`` is the ratio, the FLOPs of matrix products, the FLOPs or the bytes; ``standard_error``
    is relative; ``level`` the fitted one; ``apart`` says that the run was left out; ``change`` has
    the size of a change, relative, at the first run that is on the level after it.
    """
    rows: list[dict[str, Any]] = []
    for series in history.series:
        sizes = {change.after: relative(change.size.center) for change in series.found.changes}
        for place, number in enumerate(series.runs):
            if not math.isfinite(series.values[place]):
                continue
            rows.append(
                {
                    **_place(history, number, series.cell),
                    "quantity": series.quantity,
                    "value": math.exp(series.values[place]),
                    "standard_error": series.found.errors[place],
                    "level": math.exp(series.found.levels[place]),
                    "apart": place in series.found.apart,
                    "change": sizes.get(place),
                }
            )
    changed = {(o.after, o.cell.id, o.change.counter): o.change for o in history.counted}
    for number, run in enumerate(history.runs):
        for key, counters in run.counters.items():
            for counter, value in counters.items():
                change = changed.get((number, key, counter))
                rows.append(
                    {
                        **_place(history, number, run.cells[key]),
                        "quantity": counter,
                        "value": value,
                        "change": change.head / change.base - 1 if change and change.base else None,
                    }
                )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _place(history: History, number: int, cell: StepCostCell) -> dict[str, Any]:
    run = history.runs[number]
    own = {"run": number, "commit": run.name, "started": run.about["started"]}
    return own | _cell(cell)


def _cell(cell: StepCostCell) -> dict[str, Any]:
    return {key: getattr(cell, key) for key in ("spec", *FIELDS)}


def _numbers(values: np.ndarray[Any, Any]) -> list[float | None]:
    return [_number(float(value)) for value in values]


def _number(value: float) -> float | None:
    """A number that JSON has; None for one that is not finite."""
    return value if math.isfinite(value) else None
