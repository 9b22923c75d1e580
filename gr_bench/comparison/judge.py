"""``gr-bench compare git:BASE git:HEAD``: from two revisions to findings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from gr_bench import stats
from gr_bench.comparison.findings import COUNTERS, Comparison, Finding, changes, judged, name_of
from gr_bench.comparison.paired import Measured, ProgressCallback, measure
from gr_bench.comparison.revisions import SIDES, Revision, checked_out, repository, resolve
from gr_bench.comparison.side import Side
from gr_bench.errors import RequestError
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.runs import environment
from gr_bench.runs.suite import Suite
from gr_bench.timing.replicates import log_ratio
from gr_bench.timing.variant import PLAIN


def compare_revisions(
    names: Mapping[str, str],
    suite: Suite,
    *,
    pythons: Mapping[str, str],
    threshold: float,
    budget_s: float,
    keep: Callable[[dict[str, Any]], None],
    progress: ProgressCallback,
) -> Comparison:
    """Check both revisions out, measure them in pairs, and judge.

    Args:
        names: ``git:NAME`` by side.
        suite: its step-cost cells are measured.
        pythons: the interpreter of either side.
        threshold: relative, the smallest difference that matters.
        budget_s: time for everything; three pairs are measured, whatever they take.
        keep: gets everything that was measured, also when the measurement does not end well.
        progress: told how it goes on.

    Raises:
        RequestError: whatever is wrong with the request, or with one of the revisions.
    """
    begin = time.monotonic()
    cells = _cells(suite)
    root = repository()
    revisions = {side: resolve(root, side, names[side]) for side in SIDES}
    suite.check_methods()
    measured = Measured(cells)
    about: dict[str, Any] = {
        "revisions": {side: asdict(revision) for side, revision in revisions.items()},
        "suite": suite.resolved,
        "threshold": threshold,
        "budget_s": budget_s,
        "environment": environment.describe(cells[0].device),
        "status": "interrupted",
    }
    try:
        with checked_out(root, list(revisions.values())) as folders:
            sides = {side: Side(revisions[side], folders[side], pythons[side]) for side in SIDES}
            left_s = budget_s - (time.monotonic() - begin)
            measure(
                measured,
                sides,
                budget_s=left_s,
                timeout_s=suite.timeout_s,
                progress=progress,
            )
        comparison = evaluate(measured, revisions, threshold)
        about |= {"status": "done"} | comparison.plain()
    finally:
        keep(about | {"measured": _plain(measured)})
    return comparison


def evaluate(measured: Measured, revisions: Mapping[str, Revision], threshold: float) -> Comparison:
    """Judge what was measured."""
    findings = []
    for cell in measured.compared:
        samples = [pair.samples[cell.id] for pair in measured.pairs]
        logs = [log_ratio(of["head"].step_s, of["base"].step_s) for of in samples]
        counted = {side: measured.counters[side][cell.id] for side in SIDES}
        findings.append(
            Finding(
                name=name_of(cell),
                cell=cell,
                quantity="ms a step",
                base=1e3 * stats.median([s for of in samples for s in of["base"].step_s]),
                head=1e3 * stats.median([s for of in samples for s in of["head"].step_s]),
                ratio=stats.ratio_interval(logs),
                p_value=stats.p_value(logs),
                spread=stats.between_spread(logs),
                changes=changes(_settled(counted["base"]), _settled(counted["head"]), threshold),
            )
        )
    return Comparison(
        base=str(revisions["base"]),
        head=str(revisions["head"]),
        threshold=threshold,
        findings=judged(findings, threshold),
        notes=tuple(_notes(measured)),
        how=_how(measured),
    )


def _how(measured: Measured) -> str:
    torch = " -> ".join(dict.fromkeys(measured.processes[side]["torch"] for side in SIDES))
    every = [s for pair in measured.pairs for of in pair.samples.values() for s in of.values()]
    waited = sum(s.steps * sum(s.waited_s) for s in every)
    elapsed = sum(s.steps * sum(s.elapsed_s) for s in every)
    return (
        f"{len(measured.pairs)} pairs of freshly started processes, which stepped in alternation: "
        f"{sum(pair.rounds for pair in measured.pairs)} rounds, {measured.took_s:.0f} s in all. "
        "The ratio is the geometric mean over pairs of each one's estimate over rounds "
        "(Hodges-Lehmann), with the "
        f"95 % t-interval over pairs. PyTorch {torch}. Processes were kept waiting, by others on "
        f"their processor, for {waited / elapsed:.0%} of the time; steps are timed "
        "without it."
    )


def _settled(readings: list[dict[str, Any]]) -> dict[str, Any]:
    """The counters that every reading agrees on."""
    first = readings[0]
    same = {key for key in COUNTERS if all(other[key] == first[key] for other in readings)}
    return {key: value for key, value in first.items() if key in same or key not in COUNTERS}


def _notes(measured: Measured) -> Iterator[str]:
    """Cells that are not compared, defaults that moved, counters that are not deterministic."""
    for cell in measured.cells:
        name = name_of(cell)
        if cell.id in measured.added:
            yield f"added: {name} (base: {measured.added[cell.id]})"
        else:
            old, new = (measured.methods[side][cell.id] for side in SIDES)
            if old != new:
                yield f"the method is spelled otherwise: {old} -> {new}"
            for side in SIDES:
                readings = measured.counters[side][cell.id]
                for key in COUNTERS.keys() - _settled(readings).keys():
                    seen = ", ".join(str(reading[key]) for reading in readings)
                    yield f"{COUNTERS[key]} of {name} in {side} are not deterministic: {seen}"


def _cells(suite: Suite) -> list[StepCostCell]:
    """The cells of a suite that a revision's process can step."""
    cells = [
        cell
        for cell in suite.cells
        if isinstance(cell, StepCostCell)
        and not cell.control
        and cell.allocator == "held"
        and cell.variant == PLAIN
    ]
    if not cells:
        raise RequestError(
            f"suite {suite.name!r} has no step_cost cell to compare by: one with the held "
            "allocator and the plain variant"
        )
    return cells


def _plain(measured: Measured) -> dict[str, Any]:
    plain = asdict(measured)
    plain["cells"] = {cell.id: asdict(cell) for cell in measured.cells}
    return plain
