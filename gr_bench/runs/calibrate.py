"""The findings of a run of the suite calibrate: kept as JSON, and said in words."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from gr_bench.errors import RequestError
from gr_bench.files import write_whole
from gr_bench.units import duration

if TYPE_CHECKING:
    from gr_bench.experiments.step_cost.calibration import Calibration
    from gr_bench.runs.results import Results

FILE = "calibration.json"

LEAST_S = 20.0
"""The least budget: a shorter one is gone before two processes have started and warmed up."""


def write_calibration(results: Results) -> list[str]:
    """Write ``calibration.json`` into the folder of a run of the suite calibrate.

    Returns:
        Lines to print.

    Raises:
        RequestError: the run has no A/A pair.
    """
    from gr_bench.experiments.step_cost.calibration import advice, calibrate
    from gr_bench.experiments.step_cost.cell import StepCostCell

    folder, about, records = results.folder, results.about, results.records
    by_allocator = {}
    for allocator in ("held", "system"):
        own = [
            r for r in records if isinstance(r.cell, StepCostCell) and r.cell.allocator == allocator
        ]
        found = calibrate(own)
        if found is not None:
            by_allocator[allocator] = found
    if "held" not in by_allocator:
        raise RequestError(
            f"no A/A pair could be measured in {duration(about['budget_s'])}: use a larger "
            f"--budget, or see {folder / 'workers.log'}"
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
        "processes distinguish from none)",
        f"false positives: {held.excluding_one} of {held.pairs} equal pairs have a 95 % interval "
        f"that excludes 1 (coverage {held.coverage:.0%}); {held.called_different} called "
        f"different at a margin of {held.margin:.0%}",
        f"spread of the ratio: {held.between_spread:.2%} between processes, "
        f"{held.within_spread:.2%} as estimated within one process",
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
