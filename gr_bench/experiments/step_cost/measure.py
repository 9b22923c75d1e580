"""Measuring step cost, inside a worker process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import psutil
import torch

from gr_bench.experiments.base import Cell, Record, failure
from gr_bench.experiments.bench import Bench, in_building_order, prepare
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.cost_model import predict
from gr_bench.experiments.training import MIXED, parameter_dtype
from gr_bench.meters.clock import Samples, interleave, repeated
from gr_bench.meters.flops import count_flops
from gr_bench.meters.memory import measure_memory
from gr_bench.meters.operators import operators

MATRIX_PRODUCT = "matrix product"
MATRIX_PRODUCT_SIZE = 512


def counters(cell: Cell) -> Record:
    """Peak memory and FLOPs of a steady-state step: what does not depend on the clock."""
    bench = prepare(cell)
    loss = torch.stack([bench.step() for _ in range(2)])
    training = bench.training
    memory = measure_memory(
        bench.step, bench.device, training.model, training.optimizer, training.method, bench.batch
    )
    # the counter cannot look into compiled graphs; the arithmetic is the same without them
    eager = prepare(replace(cell, compiled=False)) if cell.compiled else bench
    data = {
        "flops": count_flops(eager.step),
        **predict(eager.training, eager.batch),
        **asdict(memory),
        "resident_bytes": psutil.Process().memory_info().rss,
        "parameters": sum(p.numel() for p in training.model.parameters()),
        "finite": bool(loss.isfinite().all()),
    }
    return Record(cell, "counters", data)


def times(cells: Sequence[Cell], options: dict[str, Any]) -> Iterator[Record]:
    """One replicate of a block: rounds in which every method is timed once.

    A matrix product of the machine is timed in the same rounds: what steps could reach.
    """
    began, begin = time.time(), time.monotonic()
    benches: dict[str, Bench] = {}
    for cell in in_building_order(cells, options["replicate"]):
        try:
            bench = prepare(cell)
            bench.step()
        except Exception as error:  # the others of the block go on
            yield failure(cell, error)
        else:
            benches[cell.id] = bench
    if not benches:
        return
    first = next(iter(benches.values()))
    before = first.device.state()
    samples = interleave(
        first.device,
        {
            **{cell_id: bench.step for cell_id, bench in benches.items()},
            MATRIX_PRODUCT: matrix_product(first.batch[0].device, _of_products(cells[0].dtype)),
        },
        budget_s=options["budget_s"],
        least_rounds=options["least_rounds"],
        most_rounds=options["most_rounds"],
        seed=options["replicate"],
    )
    by_operator = {
        cell_id: [asdict(operator) for operator in operators(bench.step)]
        for cell_id, bench in benches.items()
        if options.get("operators")
    }
    in_turn = _one_after_the_other(cells, benches, samples) if options["contrast"] else {}
    of_machine = statistics.median(samples[MATRIX_PRODUCT].step_s)
    shared = {
        "began_unix_s": began,
        "machine_flops_per_s": 2 * MATRIX_PRODUCT_SIZE**3 / of_machine,
        "state_before": before,
        "state_after": first.device.state(),
        "in_samples_s": sum(sum(own.wall_s) * own.steps for own in samples.values()),
        "spent_s": time.monotonic() - begin,
    }
    for cell in cells:
        if cell.id in benches:
            data = {**options, **asdict(samples[cell.id]), **shared}
            if cell.id in in_turn:
                data["in_turn_step_s"] = in_turn[cell.id]
            if cell.id in by_operator:
                data["by_operator"] = by_operator[cell.id]
            yield Record(cell, "times", data)


def _one_after_the_other(
    cells: Sequence[Cell], benches: dict[str, Bench], samples: dict[str, Samples]
) -> dict[str, list[float]]:
    """Seconds a step of the baseline and its control, all samples of the one before the other's."""
    readings = {}
    for cell in cells:
        assert isinstance(cell, StepCostCell)
        if cell.id in benches and cell.method == cell.baseline:
            bench, steps = benches[cell.id], samples[cell.id].steps
            readings[cell.id] = [
                bench.device.time(repeated(bench.step, steps)).seconds / steps
                for _ in samples[cell.id].step_s
            ]
    return readings


def _of_products(dtype: str) -> torch.dtype:
    return torch.bfloat16 if dtype == MIXED else parameter_dtype(dtype)


def matrix_product(device: torch.device, dtype: torch.dtype) -> Callable[[], object]:
    """A product of two square matrices: as near to the machine's best as PyTorch gets."""
    shape = (MATRIX_PRODUCT_SIZE, MATRIX_PRODUCT_SIZE)
    a, b = (
        torch.randn(shape, device=device, dtype=dtype),
        torch.randn(shape, device=device, dtype=dtype),
    )
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)
