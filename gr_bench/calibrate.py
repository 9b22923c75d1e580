"""``gr-bench calibrate``: run the calibration suite, keep what it showed, say it in words."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

from gr_bench.errors import RequestError
from gr_bench.experiments.step_cost.calibration import Calibration, advice
from gr_bench.experiments.step_cost.calibration import calibrate as summarise
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.files import write_whole
from gr_bench.runs.executors import LocalExecutor
from gr_bench.runs.runner import Watcher, run
from gr_bench.runs.store import read_about, read_journal
from gr_bench.runs.suite import Suite, load_suite

FILE = "calibration.json"

REPLICATES = 5

PROCESSES = 2 * REPLICATES + 3
"""One for each replicate with either allocator, and for the counters."""

START_S, BLOCK_S = 3.5, 0.3
"""About what it takes to start a process, and to build a block in it."""

LEAST_S = 0.3
"""Less than this for a block's rounds says nothing."""


def calibrate(budget_s: float, folder: Path, watcher: Watcher) -> list[str]:
    """Measure A/A pairs for about ``budget_s``; write ``calibration.json``; return lines to print.

    Raises:
        RequestError: a budget that is too short, or a folder that cannot be used.
    """
    suite = _fitted(budget_s)
    run(suite, folder, LocalExecutor, watcher, fresh=True)
    about, records = read_about(folder), read_journal(folder)
    by_allocator = {}
    for allocator in ("held", "system"):
        own = [
            r for r in records if isinstance(r.cell, StepCostCell) and r.cell.allocator == allocator
        ]
        found = summarise(own)
        if found is not None:
            by_allocator[allocator] = found
    if "held" not in by_allocator:
        raise RequestError(f"no A/A pair could be measured: see {folder / 'workers.log'}")
    hints = advice(about["environment"], by_allocator["held"])
    text = json.dumps(
        {
            "environment": about["environment"],
            "advice": hints,
            **{name: asdict(found) for name, found in by_allocator.items()},
        },
        indent=2,
    )
    write_whole(folder / FILE, lambda file: file.write(text.encode()))
    return [*_words(by_allocator), *(f"what hurts: {hint}" for hint in hints), f"{folder / FILE}"]


def _fitted(budget_s: float) -> Suite:
    """The calibration suite with as much time a block as the budget allows."""
    suite = load_suite("calibrate")
    blocks = len({cell.workload for cell in suite.cells})
    fixed = PROCESSES * START_S + REPLICATES * blocks * BLOCK_S
    each = (budget_s - fixed) / (REPLICATES * blocks * 2)  # timing in turn takes as long again
    if each < LEAST_S:
        least = fixed + REPLICATES * blocks * 2 * LEAST_S
        raise RequestError(f"a budget of {budget_s:g} s is too short: give at least {least:.0f}s")
    return load_suite("calibrate", settings=[f"step_cost.seconds_per_block={each}"])


def _words(by_allocator: dict[str, Calibration]) -> list[str]:
    held = by_allocator["held"]
    lines = [
        f"noise floor: {held.noise_floor:.2%} (the smallest difference that {held.replicates} "
        "processes tell from none)",
        f"false positives: {held.excluding_one} of {held.pairs} equal pairs have a 95 % interval "
        f"without 1 (coverage {held.coverage:.0%}); {held.called_different} called different at a "
        f"margin of {held.margin:.0%}",
        f"spread of the ratio: {held.between_spread:.2%} between processes, "
        f"{held.within_spread:.2%} by one process's own account",
        f"interleaved, one process is off by {held.one_process:.2%} (median)",
    ]
    if held.in_turn is not None:
        lines.append(
            f"one after the other, it is off by {held.in_turn:.2%} (median), "
            f"{held.in_turn_worst:.2%} (90th percentile)"
        )
    if "system" in by_allocator:
        system = by_allocator["system"]
        lines.append(
            f"with the system's allocator settings: {system.between_spread:.2%} between processes, "
            f"noise floor {system.noise_floor:.2%}"
        )
    return lines


def parse_duration(text: str) -> float:
    """Seconds in ``90s``, ``2m``, ``1h`` or ``45``.

    Raises:
        RequestError: the text is not a positive duration.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not seconds:
        raise RequestError(f"cannot read the time {text!r}: write it as 90s, 2m or 1h")
    return seconds
