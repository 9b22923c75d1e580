"""Counters of a step, read inside a worker process."""

from __future__ import annotations

from dataclasses import asdict, replace

import psutil
import torch

from gr_bench import registry
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.cost_model import predict
from gr_bench.experiments.step_cost.record import Counters
from gr_bench.meters.counters import count_launches
from gr_bench.meters.flops import read_flops
from gr_bench.meters.get_device import get_device
from gr_bench.meters.memory import measure_memory
from gr_bench.timing.first_step import first_step
from gr_bench.timing.step import build_step


def counters(cell: StepCostCell) -> Counters:
    """Peak memory and FLOPs of a steady-state step: what does not depend on the clock.

    Where steps differ, memory is that of the step with the highest peak, and counts are means over
    a cycle, rounded. A graph that is replayed allocates nothing: its memory is that of the step
    without it.
    """
    device = get_device(cell.device)
    cell_read = cell.unreplayed
    step = build_step(cell_read, registry)
    with first_step(step.training):
        step.settle()
    cycle = step.cycle
    loss = torch.stack([step() for _ in range(max(2, cycle))])
    training = step.training
    memory = max(
        (
            measure_memory(
                step, device, training.model, training.optimizer, training.method, step.batch
            )
            for _ in range(cycle)
        ),
        key=lambda memory: memory.peak_bytes,
    )
    # the counter cannot look into compiled graphs; the arithmetic is the same without them
    compiled = cell_read.compiled
    eager = build_step(replace(cell_read, compiled=False), registry) if compiled else step
    predicted = predict(eager.training, eager.batch)

    def whole_cycle() -> None:
        for _ in range(cycle):
            eager()

    flops = read_flops(whole_cycle)
    return Counters(
        cell=cell,
        flops=None if flops.total is None else round(flops.total / cycle),
        uncounted=flops.uncounted,
        launches=round(count_launches(whole_cycle) / cycle) if device.kind == "cuda" else None,
        predicted_flops=predicted.predicted_flops,
        predicted_extra_low_bytes=predicted.predicted_extra_low_bytes,
        predicted_extra_high_bytes=predicted.predicted_extra_high_bytes,
        predicted_peak_low_bytes=predicted.predicted_peak_low_bytes,
        **asdict(memory),
        gradient_evaluations=training.method.gradient_evaluations,
        resident_bytes=psutil.Process().memory_info().rss,
        parameters=sum(p.numel() for p in training.model.parameters()),
        finite=bool(loss.isfinite().all()),
    )
