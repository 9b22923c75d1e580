"""The program of a run's worker: measures units, one request each, and says what comes of them.

    python -m gr_bench.workers.unit_worker ALLOCATOR AT_WORK STARTED

``AT_WORK`` is the number of the open file in which it notes whose code is about to run, ``STARTED``
the time when it was started. A request with ``processors`` is one to be timed: the worker takes
what it needs of them for itself alone.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gr_bench.experiments import get_experiment
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.experiment import Unit, Worker
from gr_bench.experiments.lines import encode
from gr_bench.experiments.record import Progress, failure
from gr_bench.meters.conditions import hold_still, pin
from gr_bench.meters.device import get_device
from gr_bench.workers.channel import Message, note_at_work, serve


def main() -> None:
    """Measure units until there are no more."""
    allocator, at_work, started = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    conditions = hold_still(allocator)
    start_s = time.monotonic() - started

    def note(cell: Cell) -> None:
        note_at_work(at_work, cell.id)

    def measure(request: Message) -> Iterator[Message]:
        import torch

        experiment = get_experiment(request["experiment"])
        cells = tuple(experiment.cell(**fields) for fields in request["cells"])
        settings = dict(request["options"])
        kind = settings.pop("kind")
        (options,) = (cls(**settings) for cls in experiment.options if cls.kind == kind)
        folder = Path(request["folder"]) if request["folder"] else None
        unit = Unit(cells, options, folder, Worker(start_s, note))
        torch.set_num_threads(cells[0].threads)
        near = None
        with suppress(Exception):  # whatever is wrong with the device, the measurement will tell
            device = get_device(cells[0].device)
            device.select()
            near = device.near_processors()
        allowed = request["processors"]
        processors = None if allowed is None else pin(cells[0].threads, allowed, near)
        own = replace(conditions, processors=processors)
        note_at_work(at_work, "")
        try:
            for result in experiment.measure(unit):
                if isinstance(result, Progress):
                    yield {"progress": result.part}
                else:
                    yield {"record": encode(replace(result, conditions=own))}
        except Exception as error:
            traceback.print_exc()
            for cell in cells:
                yield {"record": encode(replace(failure(cell, error), conditions=own))}

    serve(measure)


if __name__ == "__main__":
    main()
