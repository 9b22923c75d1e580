"""Stored runs of a history, night by night, whose changes are known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synthetic import cost, counted, run_of, timed

MACHINE = (1.0, 1.3, 0.8, 1.1)
"""Factors of all times of a night, and of a matrix product's."""

FLOPS_PER_S = 1e9
"""Of a matrix product, in a night whose factor is 1."""

METHODS = ("sgd", "f-gr")


def night(
    folder: Path,
    number: int,
    *,
    times: Mapping[str, float],
    peak: int | None = 1000,
    environment: Callable[[dict[str, Any]], None] = lambda described: None,
    flops_per_s: float = FLOPS_PER_S,
    replicates: int = 5,
    **fields: Any,
) -> Path:
    """The run of some night.

    Its processes differ by 0.1 % and the machine by much more; neither changes what they say
    together.

    Args:
        folder: of the run.
        number: of the night, 0 to 99: it decides the commit, the start and the machine's factor.
        times: seconds a step, by method.
        peak: bytes of every method that is not the baseline; None: nothing was counted.
        environment: changes the description of it.
        flops_per_s: of a matrix product in a night whose factor is 1.
        replicates: processes.
        fields: of every cell.
    """
    records = []
    slow = MACHINE[number % len(MACHINE)]
    cells = {cost(method, **fields): seconds for method, seconds in times.items()}
    cells[cost("sgd", control=True, **fields)] = times.get("sgd", 1.0)
    for place, (cell, seconds) in enumerate(cells.items()):
        if peak is not None:
            records.append(counted(cell, peak=500 if cell.spec == "sgd" else peak))
        for replicate in range(replicates):
            spread = math.exp(1e-3 * ((7 * replicate + place) % 5 - 2))
            step_s = [seconds * slow * spread] * 3
            rate = flops_per_s / slow
            records.append(timed(cell, replicate, step_s, machine_flops_per_s=rate))
    run = run_of(folder, *records)
    about = json.loads((run / "run.json").read_text())
    about["started"] = f"2026-01-{1 + number // 24:02}T{number % 24:02}:00:00+00:00"
    about["environment"]["git"] = {"commit": f"{number:02}" * 20, "dirty": number == 3}
    about["command"] = ["gr-bench", "run", "quick"]
    environment(about["environment"])
    (run / "run.json").write_text(json.dumps(about))
    return run
