"""Two sides of code compared: from revisions, releases and calls to findings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gr_bench import stats
from gr_bench.comparison import sequential, stopping
from gr_bench.comparison.findings import COUNTERS, Comparison, Finding, changes, judged
from gr_bench.comparison.paired import LEAST_PAIRS, Measured, ProgressCallback, measure
from gr_bench.comparison.revisions import SIDES
from gr_bench.comparison.side import Side
from gr_bench.comparison.sides import Asked, made_ready, placed
from gr_bench.comparison.subject import Call, CellSubject, Subject
from gr_bench.errors import RequestError
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.runs import environment
from gr_bench.runs.suite import Suite
from gr_bench.units import duration

CALL_TIMEOUT_S = 600.0
"""A call that does not answer for so long is given up; a suite says it itself."""

Keep = Callable[[dict[str, Any]], None]


def compare_code(
    asked: Asked,
    *,
    suite: Suite | None,
    calls: Sequence[Call],
    build: str | None,
    pythons: Mapping[str, str],
    threshold: float,
    budget_s: float,
    keep: Keep,
    progress: ProgressCallback,
) -> Comparison:
    """Make both sides ready, measure them in pairs until all is known, and judge.

    Args:
        asked: both sides.
        suite: its step-cost cells are measured; None where there are calls.
        calls: functions that prepare steps.
        build: a shell command that builds a checkout.
        pythons: the interpreter of either side.
        threshold: relative, the smallest difference that matters.
        budget_s: the most time that measuring may take. Checking out is part of it; installing and
            building are not.
        keep: gets everything that was measured, also when the measurement does not end well.
        progress: told how it goes on.

    Raises:
        RequestError: whatever is wrong with the request, or with one of the sides.
    """
    begin = time.monotonic()
    subjects, notes = subjects_of(asked, suite, calls)
    device = subjects[0].cell.device if subjects[0].cell else calls[0].device
    about: dict[str, Any] = {
        "revisions": {side: asdict(asked.revisions[side]) for side in asked.revisions},
        "sides": dict(asked.names),
        "suite": suite.resolved if suite else None,
        "threshold": threshold,
        "budget_s": budget_s,
        "environment": environment.describe(device),
    }
    with made_ready(asked, pythons, build) as sides:
        if any(side.has_environment for side in sides.values()):
            begin = time.monotonic()
        return compare_ready(
            sides,
            subjects,
            threshold=threshold,
            budget_s=budget_s - (time.monotonic() - begin),
            timeout_s=suite.timeout_s if suite else CALL_TIMEOUT_S,
            keep=keep,
            about=about,
            notes=notes,
            progress=progress,
        )


def subjects_of(
    asked: Asked, suite: Suite | None, calls: Sequence[Call]
) -> tuple[list[Subject], list[str]]:
    """The subjects of a comparison, each with its file where the sides find it, and notes on them.

    Args:
        asked: both sides.
        suite: its step-cost cells are subjects; None where there are calls.
        calls: subjects as well.

    Raises:
        RequestError: a suite without such cells, a method or a file that is not there.
    """
    subjects: list[Subject] = []
    notes = []
    for call in calls:
        found, note = placed(call, asked)
        subjects.append(found)
        notes += [note] if note else []
    if suite is not None:
        subjects += _cells(suite)
        suite.check_methods()
    return subjects, notes


def compare_ready(
    sides: Mapping[str, Side],
    subjects: Sequence[Subject],
    *,
    threshold: float,
    budget_s: float,
    timeout_s: float,
    keep: Keep,
    about: Mapping[str, Any],
    notes: Sequence[str],
    progress: ProgressCallback,
    is_enough: Callable[[Measured], bool] = lambda so_far: False,
) -> Comparison:
    """Measure sides that are ready, and judge; see :func:`compare_code`.

    Args:
        about: plain data that goes with what is kept.
        notes: further notes of the comparison.
        is_enough: asked after every pair; True ends it though not all is known.
    """
    measured = Measured(list(subjects))
    status = "interrupted"
    comparison = None
    try:
        measure(
            measured,
            sides,
            open_subjects=lambda so_far: (
                [] if is_enough(so_far) else open_subjects(so_far, threshold)
            ),
            budget_s=budget_s,
            timeout_s=timeout_s,
            progress=progress,
        )
        comparison = evaluate(measured, sides, threshold, notes)
        status = "done"
    finally:
        found = comparison.plain() if comparison else {}
        keep({**about, "status": status, **found, "measured": plain(measured)})
    return comparison


def open_subjects(measured: Measured, threshold: float) -> list[Subject]:
    """Subjects that further pairs are to measure: those of which it is not known how they stand."""
    compared = measured.compared
    logs = [measured.log_ratios(subject) for subject in compared]
    standings = stopping.standings(logs, threshold)
    return [s for s, found in zip(compared, standings, strict=True) if not found.settled]


def evaluate(
    measured: Measured, sides: Mapping[str, Side], threshold: float, notes: Sequence[str] = ()
) -> Comparison:
    """Judge what was measured."""
    compared = measured.compared
    logs = {subject.id: measured.log_ratios(subject) for subject in compared}
    standings = stopping.standings(list(logs.values()), threshold)
    findings = []
    for subject, standing in zip(compared, standings, strict=True):
        of_pairs = [p.samples[subject.id] for p in measured.pairs if subject.id in p.samples]
        counted = {side: _settled(measured.counters[side][subject.id]) for side in SIDES}
        base, head = (
            1e3 * stats.median([s for of in of_pairs for s in of[side].step_s]) for side in SIDES
        )
        findings.append(
            Finding(
                name=subject.name,
                cell=subject.cell,
                quantity="ms a step",
                base=base,
                head=head,
                ratio=sequential.ratio_interval(logs[subject.id]),
                p_value=sequential.always_valid_p(logs[subject.id]),
                spread=stats.between_spread(logs[subject.id]),
                pairs=len(of_pairs),
                unconfirmed=standing.verdict in stopping.SIGNS and not standing.confirmed,
                changes=changes(counted["base"], counted["head"], threshold),
            )
        )
    found = judged(findings, threshold)
    undecided = [s for s, f in zip(compared, found, strict=True) if f.verdict == "undecided"]
    return Comparison(
        base=str(sides["base"]),
        head=str(sides["head"]),
        threshold=threshold,
        findings=found,
        notes=(*notes, *_notes(measured)),
        how=_how(measured),
        smallest_seen=_smallest_seen([logs[s.id] for s in undecided], threshold, len(compared)),
        more_time_s=_more_time_s(measured, undecided, threshold),
    )


def _smallest_seen(
    undecided: Sequence[Sequence[float]], threshold: float, cells: int
) -> float | None:
    seen = [stopping.smallest_seen(logs, threshold, cells=cells) for logs in undecided]
    largest = max(seen, default=float("inf"))
    return largest if largest < float("inf") else None


def _more_time_s(
    measured: Measured, undecided: Sequence[Subject], threshold: float
) -> float | None:
    """About how long it would take to decide the rest; None where it cannot be told."""
    cells = len(measured.compared)
    needed = []
    for subject in undecided:
        logs = measured.log_ratios(subject)
        pairs = stopping.pairs_to_decide(logs, threshold, cells=cells)
        if pairs is None:
            return None
        alarm = abs(sum(logs) / len(logs)) > threshold
        needed.append(max(pairs, 1) + (stopping.CONFIRMING_PAIRS if alarm else 0))
    if not needed:
        return None
    last = measured.pairs[-3:]
    return max(needed) * sum(pair.took_s for pair in last) / len(last)


def _how(measured: Measured) -> str:
    versions = [measured.processes[side]["torch"] for side in SIDES]
    torch = " -> ".join(dict.fromkeys(filter(None, versions)))
    every = [s for pair in measured.pairs for of in pair.samples.values() for s in of.values()]
    waited = sum(s.steps * sum(s.waited_s) for s in every)
    elapsed = sum(s.steps * sum(s.elapsed_s) for s in every)
    return (
        f"{len(measured.pairs)} pairs of freshly started processes, which stepped in alternation: "
        f"{sum(pair.rounds for pair in measured.pairs)} rounds, {duration(measured.took_s)} in "
        "all. The ratio is the geometric mean over pairs of each one's estimate over rounds "
        "(Hodges-Lehmann). Its 95 % interval may be looked at after every pair (a confidence "
        "sequence), so that measuring ends as soon as all is known."
        f"{f' PyTorch {torch}.' if torch else ''} Processes waited for a processor that others had "
        f"for {waited / elapsed:.0%} of the time, which is taken off."
    )


def _settled(readings: list[dict[str, Any]]) -> dict[str, Any]:
    """The counters that every reading agrees on."""
    first = readings[0]
    same = {key for key in COUNTERS if all(other.get(key) == first.get(key) for other in readings)}
    return {key: value for key, value in first.items() if key in same or key not in COUNTERS}


def _notes(measured: Measured) -> Iterator[str]:
    """Subjects that are not compared, defaults that moved, counters that are not known."""
    if len(measured.pairs) < LEAST_PAIRS:
        longest_s = max(pair.took_s for pair in measured.pairs)
        yield (
            f"the budget had room for {len(measured.pairs)} of at least {LEAST_PAIRS} pairs, a "
            f"pair takes {duration(longest_s)}: nothing can be known in less than "
            f"{duration(LEAST_PAIRS * longest_s)}"
        )
    for subject in measured.subjects:
        if subject.id in measured.added:
            yield f"added: {subject.name} (base: {measured.added[subject.id]})"
            continue
        old, new = (measured.methods[side].get(subject.id) for side in SIDES)
        if old != new:
            yield f"the method is spelled otherwise: {old} -> {new}"
        for side in SIDES:
            readings = measured.counters[side][subject.id]
            for key in COUNTERS.keys() & readings[0].keys() - _settled(readings).keys():
                seen = ", ".join(str(reading[key]) for reading in readings)
                yield f"{COUNTERS[key]} of {subject.name} in {side} are not deterministic: {seen}"
            if unknown := readings[0].get("uncounted"):
                yield (
                    f"FLOPs of {subject.name} in {side} are not counted: nothing is known of the "
                    f"arithmetic of {', '.join(unknown)}"
                )


def _cells(suite: Suite) -> list[CellSubject]:
    """The cells of a suite that a side's process can step: others are not held to plain steps."""
    cells = [
        CellSubject(cell)
        for cell in suite.cells
        if isinstance(cell, StepCostCell)
        and not cell.control
        and cell.allocator == "held"
        and cell.is_plain
    ]
    if not cells:
        raise RequestError(
            f"suite {suite.name!r} has no step_cost cell to compare by: one with the held "
            "allocator, in float32 or float64, neither compiled nor a variant"
        )
    return cells


def plain(measured: Measured) -> dict[str, Any]:
    """Everything that was measured as plain data."""
    return {
        "subjects": {subject.id: subject.plain() for subject in measured.subjects},
        "added": measured.added,
        "methods": measured.methods,
        "processes": measured.processes,
        "counters": measured.counters,
        "pairs": [asdict(pair) for pair in measured.pairs],
        "took_s": measured.took_s,
    }
