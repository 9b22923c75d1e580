"""A plan for people, within 80 columns, and as a table and JSON."""

from __future__ import annotations

import json
import math
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gr_bench.experiments.columns import build_table, cell_columns
from gr_bench.experiments.step_cost.tables import MEMORY
from gr_bench.optimizers import SGD
from gr_bench.planning.makespan import Spread
from gr_bench.planning.plan import PlannedCell, Problem, SuitePlan
from gr_bench.stats import Interval

if TYPE_CHECKING:
    from pandas import DataFrame

WIDTH = 80
MOST_ROWS = 40
"""Of methods; where there are more, a workload is one entry."""

MOST_SAVINGS = 8

COLUMNS = (
    *("experiment", "seed", "split_seed", "epochs", "control"),
    *("parameter_count", "flops", "flop_ratio", "operators", "peak_memory_bytes"),
    *MEMORY,
    *("extra_parameter_copies", "needed_bytes", "fits"),
    *("time_ms", "time_ms_low", "time_ms_high", "time_source"),
    *("total_flops", "total_s", "total_s_low", "total_s_high", "status", "reason"),
)


def table(plan: SuitePlan) -> DataFrame:
    """A row a cell: the columns of a run's tables, as far as they can be known beforehand.

    ``flops``, ``operators`` (calls of those that compute something) and the memory are those of a
    steady step; ``flop_ratio`` and ``extra_parameter_copies`` are over the baseline's.
    ``needed_bytes`` is the worst moment of the device, other steps of the block and the data set
    included, and ``fits`` the verdict on each device. Times have 90 % intervals, and
    ``time_source`` says where they are from. ``total_s`` is the cell's part of the suite's time.
    """
    return build_table((_row(one) for one in plan.cells), COLUMNS)


def as_json(plan: SuitePlan) -> str:
    """``{"cells": [...], "total_s": ..., ...}``, with null for what is not known."""
    cells = [
        {key: _plain(value) for key, value in row.items()} for row in table(plan).to_dict("records")
    ]
    document = {
        "suite": plan.suite.name,
        "cells": cells,
        **_seconds("total_s", plan.total),
        "total_flops": plan.total_flops,
        "cells_without_time": plan.without_time,
        "budget_s": plan.suite.budget_s,
        "times": plan.words or None,
        **({} if plan.spread is None else {"nodes": _nodes(plan.spread)}),
        "savings": [
            {
                "kind": one.kind,
                "name": one.name,
                **_seconds("saved_s", one.seconds),
                "saved_flops": one.flops,
            }
            for one in plan.savings
        ],
    }
    return json.dumps(document, indent=2)


def lines(plan: SuitePlan) -> Iterator[str]:
    """The table, the total, what leaving something out would save, and what is not known."""
    groups = _groups(plan.cells)
    collapsed = sum(map(len, groups.values())) > MOST_ROWS
    if not collapsed:
        yield _ROW.format("", "FLOPs", "ratio", "peak", "fits", "a step takes").rstrip()
    several = len({experiment for experiment, *_ in groups}) > 1
    for (experiment, *name), methods in groups.items():
        where = [experiment, *name] if several else name
        yield from textwrap.wrap(_heading(where, methods), WIDTH, subsequent_indent="    ")
        if collapsed:
            yield from _collapsed(methods)
        else:
            yield from (_method(cells) for cells in methods.values())
    yield ""
    yield from _wrapped(_total(plan))
    if plan.spread is not None:
        yield from _wrapped(_on_nodes(plan, plan.spread))
    for one in plan.savings[:MOST_SAVINGS]:
        yield f"  without {one.name[:40]:<40} {_saved(one.seconds, one.flops, plan)}"
    for note in _notes(plan):
        yield from _wrapped(note)


_ROW = "  {:<25.25} {:>8} {:>5} {:>8} {:>8} {:>19}"


def _groups(
    cells: Iterable[PlannedCell],
) -> dict[tuple[str, ...], dict[tuple[Any, ...], list[PlannedCell]]]:
    """The cells by workload, and there by method, those whose step is the same together."""
    found: dict[tuple[str, ...], dict[tuple[Any, ...], list[PlannedCell]]] = defaultdict(dict)
    for one in cells:
        cell = one.cell
        size = () if cell.experiment == "implicit_bias" else (f"batch {cell.batch_size}",)
        how = (
            "" if cell.dtype == "float32" else cell.dtype,
            "" if cell.threads == 1 else f"{cell.threads} threads",
            "compiled" if cell.compiled else "",
            "" if cell.variant == "plain" else cell.variant,
            "" if cell.optimizer == SGD else cell.optimizer,
        )
        name = (cell.experiment, cell.model, cell.dataset, *size, cell.device, *filter(None, how))
        found[name].setdefault((cell.spec,), []).append(one)
    return found


def _heading(name: Sequence[str], methods: dict[tuple[Any, ...], list[PlannedCell]]) -> str:
    own = [one for cells in methods.values() for one in cells]
    counts = {one.footprint.parameters for one in own if one.footprint}
    size = f" · {_count(max(counts))} parameters" if counts else ""
    amount = f"{_cells(len(own))}, {_time_of(own)}".replace(" ", "\N{NO-BREAK SPACE}")
    return f"{' / '.join(name)}{size} · {amount}"


def _method(cells: Sequence[PlannedCell]) -> str:
    """A method's line."""
    one, footprint = cells[0], cells[0].footprint
    spec = one.cell.spec
    if footprint is None:
        assert isinstance(one.found, Problem)
        return f"  {spec:<25.25} {one.found.status}: {one.found.reason}"[:WIDTH]
    ratio = _ratio(one)
    return _ROW.format(
        spec,
        _scaled(footprint.flops, ""),
        "" if ratio is None else f"{ratio:.2f}",
        "?" if one.cell.compiled else _scaled(footprint.memory.peak_bytes, "B"),
        _fits([one]),
        "not known" if one.time is None else _span(one.time.seconds),
    ).rstrip()


def _collapsed(methods: dict[tuple[Any, ...], list[PlannedCell]]) -> Iterator[str]:
    """A workload's line."""
    known = [cells[0] for cells in methods.values() if cells[0].footprint]
    words = [f"{len(methods)} methods"]
    if known:
        flops = [one.footprint.flops for one in known if one.footprint]
        peaks = [one.footprint.memory.peak_bytes for one in known if one.footprint]
        words += [
            f"{_range(flops, 'FLOP')} a step",
            f"peak {_range(peaks, 'B')}",
            f"fits {_fits(known)}",
        ]
        times = [one.time.seconds for one in known if one.time]
        if times:
            ends = Interval(0.0, min(t.low for t in times), max(t.high for t in times))
            words.append(_span(ends))
    if len(known) < len(methods):
        words.append(f"{len(methods) - len(known)} not known")
    yield from textwrap.wrap("; ".join(words), WIDTH, initial_indent="  ", subsequent_indent="    ")


def _fits(cells: Iterable[PlannedCell]) -> str:
    """The verdict on the device, or the smallest device of those known that all fit on."""
    given = [one.fits for one in cells if one.fits]
    if not given:
        return "?"
    names = list(given[0])
    worst = {name: min((fits[name] for fits in given), key=_WORST.index) for name in names}
    if len(names) == 1:
        return worst[names[0]]
    first = next((name for name in names if worst[name] == "yes"), None)
    return "none" if first is None else first.partition(" (")[0]


_WORST = ("no", "tight", "yes")


def _total(plan: SuitePlan) -> str:
    amount = f", {_scaled(plan.total_flops, '')}FLOP in trainings" if plan.total_flops else ""
    count = len(plan.cells)
    if plan.without_time == count:
        return f"Total: {_cells(count)}{amount}; times are not known."
    least = "at least " if plan.without_time else ""
    budget = plan.suite.budget_s
    within = f", within the suite's budget of {_hours(budget)}" if budget is not None else ""
    spread = f"{_hours(plan.total.low)} to {_hours(plan.total.high)}"
    return (
        f"Total: {_cells(count)}{amount}; {least}{_hours(plan.total.center)} ({spread}), "
        f"one after another{within}."
    )


def _on_nodes(plan: SuitePlan, spread: Spread) -> str:
    what = f"{spread.places} core{'s' if spread.places > 1 else ''}"
    if all(cell.cell.device != "cpu" for cell in plan.cells):
        what = "one GPU"
    where = f"On {spread.nodes} node{'s' if spread.nodes > 1 else ''} of {what}"
    if plan.without_time == len(plan.cells):
        return f"{where}: not known."
    least = "at least " if plan.without_time else ""
    span = f"{_hours(spread.total.low)} to {_hours(spread.total.high)}"
    return (
        f"{where}: {least}{_hours(spread.total.center)} ({span}); the longest piece, which more "
        f"nodes do not shorten, takes {_hours(spread.longest.center)}."
    )


def _nodes(spread: Spread) -> dict[str, Any]:
    return {
        "nodes": spread.nodes,
        "places_a_node": spread.places,
        **_seconds("total_s", spread.total),
        **_seconds("longest_piece_s", spread.longest),
    }


def _saved(seconds: Interval, flops: float, plan: SuitePlan) -> str:
    if any(seconds):
        part = seconds.center / plan.total.center if plan.total.center else math.nan
        share = f" ({part:.0%})" if part <= 1 else ""
        return f"saves {_hours(seconds.center)}{share}"
    return f"saves {_scaled(flops, '')}FLOP ({flops / plan.total_flops:.0%})"


def _notes(plan: SuitePlan) -> Iterator[str]:
    if plan.words:
        sources = {one.time.source for one in plan.cells if one.time}
        ends = (
            "intervals are 90 %" if sources - {"assumed"} else ("none of the intervals is measured")
        )
        yield f"{plan.words[0].upper()}{plan.words[1:]}; {ends}, and totals add up their ends."
    problems = Counter(
        (one.found.status, one.found.reason) for one in plan.cells if isinstance(one.found, Problem)
    )
    for (status, reason), count in problems.most_common(5):
        yield f"{_cells(count)} {status}: {reason}."
    if any(one.time is None and one.footprint for one in plan.cells):
        yield (
            "For times that are not known, use --rates with a run whose step_cost has such cells."
        )
    if any(getattr(one.cell, "sharpness", False) for one in plan.cells):
        yield (
            "Not included: sharpness, which takes as long as some tens of epochs of each training."
        )
    if any(one.cell.device != "cpu" for one in plan.cells):
        yield (
            "Not included in peaks: the workspaces of cuDNN and cuBLAS; 'fits' leaves a fifth "
            "and 1 GiB for them and for CUDA itself."
        )


def _row(one: PlannedCell) -> dict[str, Any]:
    """The row of a table, for :func:`build_table`."""
    cell, found = one.cell, one.found
    row = cell_columns(cell) | {
        "experiment": cell.experiment,
        "seed": getattr(cell, "seed", None),
        "split_seed": getattr(cell, "split_seed", None),
        "epochs": getattr(cell, "epochs", None),
        "control": getattr(cell, "control", False),
        "status": found.status if isinstance(found, Problem) else "ok",
        "reason": found.reason if isinstance(found, Problem) else None,
        "total_flops": one.total_flops,
    }
    if one.footprint:
        row |= {
            "parameter_count": one.footprint.parameters,
            "flops": one.footprint.flops,
            "flop_ratio": _ratio(one),
            "operators": one.footprint.calls,
        }
        if not cell.compiled:
            memory = one.footprint.memory
            row |= {part: getattr(memory, part) for part in MEMORY}
            row["peak_memory_bytes"] = memory.peak_bytes
            row["extra_parameter_copies"] = _copies(one)
    if one.needed_bytes is not None:
        row |= {"needed_bytes": one.needed_bytes, "fits": dict(one.fits)}
    if one.time is not None:
        ms = Interval(*(1e3 * end for end in one.time.seconds))
        row |= {**_seconds("time_ms", ms), "time_source": one.time.source}
    if one.total is not None:
        row |= _seconds("total_s", one.total)
    return row


def _seconds(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.center, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _ratio(one: PlannedCell) -> float | None:
    own, base = one.footprint, one.baseline
    return own.flops / base.flops if own and base and base.flops else None


def _copies(one: PlannedCell) -> float | None:
    own, base = one.footprint, one.baseline
    if not own or not base or not own.memory.parameter_bytes:
        return None
    return (own.memory.peak_bytes - base.memory.peak_bytes) / own.memory.parameter_bytes


def _plain(value: Any) -> Any:
    """The value as JSON has it; None for what is missing."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _cells(count: int) -> str:
    return f"{count:,} cell{'' if count == 1 else 's'}"


def _time_of(cells: Sequence[PlannedCell]) -> str:
    known = [one.total for one in cells if one.total is not None]
    if not known:
        return "time not known"
    least = "" if len(known) == len(cells) else "at least "
    return least + _hours(sum(own.center for own in known))


def _hours(seconds: float) -> str:
    """Seconds as ``42 s``, ``12 min`` or ``5.2 h``."""
    if seconds < 90:
        return f"{seconds:.2g} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.0f} h" if seconds >= 36_000 else f"{seconds / 3600:.1f} h"


def _span(interval: Interval) -> str:
    """A step's time from its low to its high end: ``1.2 to 3.4 ms``."""
    unit, scale = ("s", 1.0) if interval.high >= 1 else ("ms", 1e3)
    return f"{interval.low * scale:.3g} to {interval.high * scale:.3g} {unit}"


_PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def _scaled(value: float, unit: str) -> str:
    """A number with three digits and a prefix: ``4.03 T``."""
    power = min(len(_PREFIXES) - 1, max(0, int(math.log10(value) // 3))) if value >= 1 else 0
    if round(value / 1000**power, 0) >= 1000 and power < len(_PREFIXES) - 1:
        power += 1
    return f"{value / 1000**power:.3g} {_PREFIXES[power]}{unit}".rstrip()


def _count(value: float) -> str:
    return _scaled(value, "").replace(" ", "")


def _range(values: Sequence[float], unit: str) -> str:
    low, high = _scaled(min(values), unit), _scaled(max(values), unit)
    return high if low == high else f"{low} to {high}"
