"""Measuring step cost, inside a worker process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gr_bench import registry
from gr_bench.experiments.base import Cell, Record
from gr_bench.experiments.training import Training, build_training
from gr_bench.meters.clock import interleave
from gr_bench.meters.device import Device, get_device
from gr_bench.meters.flops import count_flops
from gr_bench.meters.memory import measure_memory

SEED = 0


@dataclass
class Bench:
    """One method ready to step on the block's batch."""

    training: Training
    device: Device
    batch: tuple[Tensor, Tensor]

    def step(self) -> Tensor:
        """One training step."""
        return self.training.step(*self.batch)


def prepare(cell: Cell) -> Bench:
    """A fresh model and optimizer on the first ``batch_size`` training examples.

    The learning rate is 0: the optimizer does all its work, and the parameters stay at their
    initial values, so that every method and every round times the same arithmetic.
    """
    device = get_device(cell.device)
    dtype = getattr(torch, cell.dtype)
    data = registry.build_dataset(cell.dataset)
    if cell.batch_size > len(data.train):
        raise ValueError(
            f"batch size {cell.batch_size} is more than the {len(data.train)} training examples"
        )
    part = data.train.to(device.torch_device, dtype)
    batch = (part.inputs[: cell.batch_size].clone(), part.targets[: cell.batch_size].clone())
    training = build_training(
        method=cell.method,
        model=cell.model,
        input_shape=data.input_shape,
        num_classes=data.num_classes,
        device=device.torch_device,
        dtype=dtype,
        seed=SEED,
        learning_rate=0.0,
        momentum=0.9,
        weight_decay=1e-4,
    )
    return Bench(training, device, batch)


def counters(cell: Cell) -> Record:
    """Peak memory and FLOPs of a steady-state step: what does not depend on the clock."""
    bench = prepare(cell)
    loss = torch.stack([bench.step() for _ in range(2)])
    training = bench.training
    memory = measure_memory(
        bench.step, bench.device, training.model, training.optimizer, training.method, bench.batch
    )
    data = {
        "flops": count_flops(bench.step),
        **asdict(memory),
        "parameters": sum(p.numel() for p in training.model.parameters()),
        "finite": bool(loss.isfinite().all()),
    }
    return Record(cell, "counters", data)


def times(cells: Sequence[Cell], options: dict[str, Any]) -> Iterator[Record]:
    """One replicate of a block: rounds in which every method is timed once."""
    benches: dict[str, Bench] = {}
    for cell in cells:
        try:
            bench = prepare(cell)
            bench.step()
        except Exception as error:  # the others of the block go on
            yield Record(cell, "failure", {"reason": f"{type(error).__name__}: {error}"})
        else:
            benches[cell.method] = bench
    if not benches:
        return
    device = next(iter(benches.values())).device
    rounds = interleave(
        device,
        {name: bench.step for name, bench in benches.items()},
        budget_s=options["budget_s"],
        least_rounds=options["least_rounds"],
        most_rounds=options["most_rounds"],
        seed=options["replicate"],
    )
    for cell in cells:
        if cell.method in benches:
            data = {
                **options,
                "step_s": rounds.seconds[cell.method],
                "position": rounds.position[cell.method],
                "steps_per_sample": rounds.steps[cell.method],
            }
            yield Record(cell, "times", data)
