"""The program of a worker process: reads units, one line each, measures them, writes what comes.

    python -m gr_bench.runs.executors.worker ALLOCATOR [alone]

``alone`` says that no other worker is beside it: it may have processors of its own.
Its standard output belongs to the coordinator. What the measured code prints goes to the log.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main() -> None:
    """Measure units until the input ends."""
    _die_with_parent()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a stray print must not be taken for a message

    def say(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    from gr_bench.meters.conditions import allowed_processors, hold_still, pin

    allocator, alone = sys.argv[1], sys.argv[2:] == ["alone"]
    conditions = hold_still(allocator)
    allowed = allowed_processors()
    say({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        if alone:
            conditions["processors"] = pin(request["cells"][0]["threads"], allowed)
        try:
            for message in _measure(request, conditions):
                say(message)
        except Exception as error:
            traceback.print_exc()
            for failed in _failures(request, error):
                say(failed)
        say({"done": True})


def _failures(request: dict[str, Any], error: Exception) -> Iterator[dict[str, Any]]:
    from gr_bench.experiments import all_experiments
    from gr_bench.experiments.base import failure
    from gr_bench.runs.store import encode

    experiment = all_experiments()[request["experiment"]]
    for cell in request["cells"]:
        yield {"record": encode(failure(experiment.cell(**cell), error))}


def _measure(request: dict[str, Any], conditions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    import torch

    from gr_bench.experiments import all_experiments
    from gr_bench.experiments.base import Progress, Record, Unit
    from gr_bench.runs.store import encode

    experiment = all_experiments()[request["experiment"]]
    cells = tuple(experiment.cell(**cell) for cell in request["cells"])
    torch.set_num_threads(cells[0].threads)
    folder = Path(request["folder"]) if request["folder"] else None
    for result in experiment.measure(Unit(cells, request["options"], folder)):
        if isinstance(result, Progress):
            yield {"progress": result.part}
        else:
            record = Record(result.cell, result.kind, {**result.data, "conditions": conditions})
            yield {"record": encode(record)}


def _die_with_parent() -> None:
    """On Linux, ask to be killed when the coordinator dies, so that no worker is left behind."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    main()
