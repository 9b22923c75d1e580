"""Following a training step by step, inside a worker process."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from gr_bench import registry
from gr_bench.experiments.flooding.cell import FloodingCell
from gr_bench.experiments.flooding.record import Order, Pair, Trace
from gr_bench.experiments.record import Progress, Record
from gr_bench.methods import SGD, BackwardGR, Flooding, ForwardGR, Method
from gr_bench.timing.step import Batch, Training, build_training, load_data
from gr_bench.workloads.datasets import Part


@dataclass(frozen=True)
class Move:
    """One step: where it began, on what, and which way it went."""

    start: Tensor
    batch: Batch
    sign: int
    """1 for descent, above the level; -1 for ascent, below it; 0 at it."""


def trace(cell: FloodingCell) -> Iterator[Record | Progress]:
    """Train, and compare every pair of opposite steps with the explicit step of GR.

    A descent step from θ and then an ascent step on the same mini-batch lead to
    θ - η²·ΔR_B with ΔR_B = (g - ∇L(θ - ηg))/η, the penalty part of B-GR with ε = η; in the other
    order to θ - η²·ΔR_F, that of F-GR. ``difference`` is ‖Δθ + η²·ΔR‖/‖η²·ΔR‖: rounding alone where
    both steps have the same mini-batch, and more where they have not.
    """
    data = load_data(cell, registry)
    training = build_training(
        cell,
        data,
        registry,
        seed=cell.seed,
        learning_rate=cell.learning_rate,
        momentum=0.0,
        weight_decay=0.0,
    )
    assert isinstance(training.method, Flooding)
    level = float(training.method.level)
    losses: list[float] = []
    pairs: list[Pair] = []
    before: Move | None = None
    diverged = False
    for step, batch in enumerate(_batches(cell, data.train)):
        start = _theta(training)
        loss = training.step(*batch).item()
        if diverged := not math.isfinite(loss):
            break
        move = Move(start, batch, (loss > level) - (loss < level))
        losses.append(loss)
        if before is not None and before.sign * move.sign < 0:
            difference = _difference(training, before, cell.learning_rate)
            order: Order = "descent, ascent" if before.sign > 0 else "ascent, descent"
            pairs.append(Pair(step=step - 1, order=order, difference=difference))
        before = move
        if step % 50 == 0:
            yield Progress(step / cell.steps)
    yield Trace(cell=cell, level=level, losses=tuple(losses), pairs=tuple(pairs), diverged=diverged)


def _batches(cell: FloodingCell, part: Part) -> Iterator[Batch]:
    """The first ``batch_size`` examples in every step, or others in each, by the cell's seed."""
    chosen = torch.arange(cell.batch_size)
    generator = torch.Generator().manual_seed(cell.seed)
    for _ in range(cell.steps):
        if cell.fresh:
            chosen = torch.randperm(len(part), generator=generator)[: cell.batch_size]
        yield part.inputs[chosen], part.targets[chosen]


def _theta(training: Training) -> Tensor:
    return parameters_to_vector(training.model.parameters()).detach().clone()


def _difference(training: Training, first: Move, rate: float) -> float:
    """‖Δθ + η²·ΔR‖/‖η²·ΔR‖ for the pair that began with ``first`` and has just ended."""
    end = _theta(training)
    partner = BackwardGR if first.sign > 0 else ForwardGR
    vector_to_parameters(first.start, training.model.parameters())
    plain = _direction(training, first.batch, SGD())
    # γ = 1: the direction is g + ΔR
    penalty = _direction(training, first.batch, partner(gamma=1.0, epsilon=rate)) - plain
    vector_to_parameters(end, training.model.parameters())
    expected = -(rate**2) * penalty
    apart = torch.linalg.vector_norm(end - first.start - expected)
    return float(apart / torch.linalg.vector_norm(expected))


def _direction(training: Training, batch: Batch, method: Method) -> Tensor:
    parameters = list(training.model.parameters())
    method.backward(training.loss_on(*batch), parameters)
    return parameters_to_vector(
        [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    )
