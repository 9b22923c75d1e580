"""``gr-bench calibrate``: run the calibration suite, keep what it showed, say it in words."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from gr_bench.errors import RequestError
from gr_bench.experiments.step_cost.calibration import Calibration, advice
from gr_bench.experiments.step_cost.calibration import calibrate as summarise
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.files import write_whole
from gr_bench.runs.executor import LocalExecutor
from gr_bench.runs.results import Results
from gr_bench.runs.runner import Watcher, run_suite
from gr_bench.runs.suite import load_suite
from gr_bench.units import duration

FILE = "calibration.json"

LEAST_S = 20.0
"""A shorter budget is gone before two processes have started and warmed up."""


def calibrate(budget_s: float, folder: Path, watcher: Watcher, device: str = "cpu") -> list[str]:
    """Measure A/A pairs for about ``budget_s``; write ``calibration.json``; return lines to print.

    Args:
        budget_s: seconds that it may take.
        folder: the run's own.
        watcher: told of everything that happens.
        device: whose noise is measured.

    Raises:
        RequestError: a budget that is too short, a device that is not here, or a folder that cannot
            be used.
    """
    if budget_s < LEAST_S:
        raise RequestError(
            f"nothing can be said of noise in {duration(budget_s)}: give at least "
            f"--budget {duration(LEAST_S)}"
        )
    suite = load_suite("calibrate", device=device)
    run_suite(suite, folder, LocalExecutor, watcher, fresh=True, budget_s=budget_s)
    results = Results(folder)
    about, records = results.about, results.records
    by_allocator = {}
    for allocator in ("held", "system"):
        own = [
            r for r in records if isinstance(r.cell, StepCostCell) and r.cell.allocator == allocator
        ]
        found = summarise(own)
        if found is not None:
            by_allocator[allocator] = found
    if "held" not in by_allocator:
        raise RequestError(
            f"no A/A pair could be measured in {duration(budget_s)}: give a larger --budget, "
            f"or see {folder / 'workers.log'}"
        )
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
    return [*_words(by_allocator), *(f"advice: {hint}" for hint in hints), f"{folder / FILE}"]


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
    if held.sequential is not None:
        lines.append(
            f"one after the other, it is off by {held.sequential:.2%} (median), "
            f"{held.sequential_worst:.2%} (90th percentile)"
        )
    if "system" in by_allocator:
        system = by_allocator["system"]
        lines.append(
            f"with the system's allocator settings: {system.between_spread:.2%} between processes, "
            f"noise floor {system.noise_floor:.2%}"
        )
    return lines
