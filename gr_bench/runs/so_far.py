"""The results of a run so far, a line a method: on a terminal, in a notebook, in a log."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from gr_bench.experiments import style
from gr_bench.runs.costs_and_gains import (
    AT_COST,
    Gains,
    baseline_in_words,
    gains,
    ratio_in_words,
    step_times,
    timed_workloads,
)
from gr_bench.spec import parse
from gr_bench.units import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

NOTHING = "-"


@dataclass(frozen=True)
class SoFar:
    """A run's results by now."""

    table: pd.DataFrame
    """A row a method: its name, its time per step over the baseline's, and its gain with a verdict,
    each with its 95 % interval, as text."""

    caption: str

    def rich(self) -> RenderableType:
        """The table and the caption for a terminal."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=None, pad_edge=False)
        for column in self.table.columns:
            shown.add_column(Text(column), overflow="fold")
        for row in self.table.itertuples(index=False):
            shown.add_row(*(Text(str(value)) for value in row))
        return Group(shown, Text(self.caption))

    def line(self) -> str:
        """The times in one line, for a log; the gains where there are no times."""
        if not len(self.table):
            return ""
        column = next(own for own in self.table.columns[1:] if (self.table[own] != NOTHING).any())
        known = self.table[self.table[column] != NOTHING]
        pairs = zip(known["method"], known[column], strict=True)
        return f"{column}: {', '.join(f'{name} {value}' for name, value in pairs)}"


def so_far(tables: Mapping[str, pd.DataFrame]) -> SoFar:
    """The results by now, from a run's tables; empty where nothing is known yet."""
    times, found = step_times(tables), gains(tables)
    gained = _gained(found) if found else {}
    by_kind = found is not None and found.chosen
    of = {spec: parse(spec).kind if by_kind else spec for spec in times}
    specs = style.in_order([*times, *(name for name in gained if name not in of.values())])
    names = style.short(specs)
    rows = []
    for spec in specs:
        row = {"method": names[spec]}
        if times:
            value = times.get(spec)
            row["time over the baseline's"] = ratio_in_words(value) if value else NOTHING
        if found:
            text, verdict = gained.get(of.get(spec, spec), (NOTHING, NOTHING))
            row |= {_title(found): text, "verdict": verdict}
        rows.append(row)
    return SoFar(pd.DataFrame(rows), _caption(tables, bool(times), found))


def _title(found: Gains) -> str:
    return "test errors removed, %" if found.of_errors else "points of test accuracy"


def _gained(found: Gains) -> dict[str, tuple[str, str]]:
    """By method, its gain and its verdict in words."""
    words = {}
    for own in found.methods:
        center, low, high = (100 * end for end in own.value)
        ends = f" [{low:+.1f}, {high:+.1f}]" if math.isfinite(high - low) else ""
        text = f"{center:+.1f}{ends}" if math.isfinite(center) else NOTHING
        words[own.method] = (text, own.verdict)
    return words


def _caption(tables: Mapping[str, pd.DataFrame], timed: bool, found: Gains | None) -> str:
    parts = []
    if timed:
        parts.append(f"Times: means over {counted(timed_workloads(tables), 'workload')}.")
    if found:
        base = baseline_in_words(found.baseline)
        parts.append(
            f"Gains over {base} {AT_COST[found.cost]}: {counted(found.workloads, 'workload')}, "
            f"{counted(found.seeds, 'seed')}."
        )
    return " ".join([*parts, "95 % intervals."]) if parts else "Nothing is known yet."
