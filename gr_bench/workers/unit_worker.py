"""The program of a run's worker: measures units, one request each, and says what comes of them.

    python -m gr_bench.workers.unit_worker ALLOCATOR AT_WORK STARTED

``AT_WORK`` is the number of the open file in which it notes whose code is about to run, ``STARTED``
the time when it was started. A request with ``processors`` is one to be timed: the worker takes
what it needs of them for itself alone. A worker for a GPU sees no other one, so that the cells'
device goes by another name here, the request's ``device``; what is said and noted of a cell has the
cell's own.

An error that breaks the CUDA context ends the process. Its last words, after the failure, are
``{"broken": reason}``: the reason of what else was at work.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from gr_bench.experiments import EXPERIMENTS, get_experiment
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.experiment import Experiment, Unit, Worker
from gr_bench.experiments.lines import encode
from gr_bench.experiments.record import Failure, Progress, Record
from gr_bench.meters.conditions import hold_still, pin
from gr_bench.meters.get_device import get_device
from gr_bench.plugins.place import PlugIn
from gr_bench.registry import adopt
from gr_bench.workers.channel import Message, note_at_work, serve
from gr_bench.workers.request import unit_from_plain


def main() -> None:
    """Measure units until there are no more."""
    allocator, at_work, started = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    conditions = hold_still(allocator)
    start_s = time.monotonic() - started

    def measure(request: Message) -> Iterator[Message]:
        import torch

        from gr_bench.meters.cuda_context import free_unused, is_broken

        adopt((PlugIn(**plugin) for plugin in request["plugins"]), EXPERIMENTS)
        wanted = unit_from_plain(request)
        experiment = get_experiment(wanted.cells[0].experiment)
        local = [replace(cell, device=request["device"]) for cell in wanted.cells]
        own = {here.id: cell for here, cell in zip(local, wanted.cells, strict=True)}

        def note(*at: Cell) -> None:
            note_at_work(at_work, [own[cell.id].id for cell in at])

        unit = replace(wanted, cells=tuple(local), worker=Worker(start_s, note))
        threads = local[0].threads
        torch.set_num_threads(threads)
        near = None
        with suppress(Exception):  # whatever is wrong with the device, the measurement will tell
            device = get_device(request["device"])
            device.select()
            near = device.near_processors()
        allowed = request["processors"]
        processors = None if allowed is None else pin(threads, allowed, near)
        note()
        for result in _results(experiment, unit):
            if isinstance(result, Progress):
                yield {"progress": result.part}
                continue
            yield {
                "record": encode(
                    replace(
                        result,
                        cell=own[result.cell.id],
                        conditions=replace(conditions, processors=processors, gpu=request["gpu"]),
                    )
                )
            }
            if isinstance(result, Failure) and is_broken():
                yield {"broken": result.reason}
                sys.exit("the CUDA context is broken")
        free_unused()

    serve(measure)


def _results(experiment: Experiment[Any, Any], unit: Unit[Any]) -> Iterator[Record | Progress]:
    """The results of a unit; after an exception, failures of the cells that have no record yet."""
    done = set()
    try:
        for result in experiment.measure(unit):
            if isinstance(result, Record):
                done.add(result.cell.id)
            yield result
    except Exception as error:
        traceback.print_exc()
        for cell in unit.cells:
            if cell.id not in done:
                yield experiment.lost(unit, cell, error)


if __name__ == "__main__":
    main()
