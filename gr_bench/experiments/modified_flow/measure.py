"""Epochs and paths held to flows, inside a worker process."""

from __future__ import annotations

import torch
from torch import Tensor

from gr_bench.experiments.modified_flow.cell import ModifiedFlowCell
from gr_bench.experiments.modified_flow.flow import (
    Objective,
    batch_losses,
    descend,
    flow,
    full_loss,
    gradient,
    largest_curvature,
    mean_epoch,
    penalised,
)
from gr_bench.experiments.modified_flow.problem import build_problem
from gr_bench.experiments.modified_flow.record import End, Epoch, Path

SMALLER = 8
"""The step of a path over the smaller one that it is compared with."""


def measure_epoch(cell: ModifiedFlowCell) -> Epoch:
    """The mean epoch of a cell, beside the flow of the loss and those of two penalised losses."""
    problem = build_problem(cell.model, cell.seed)
    loss, parts, start = full_loss(problem), batch_losses(problem, cell.batches), problem.start
    curvature = largest_curvature(loss, start)
    time = cell.step / curvature
    step = time / cell.batches
    end = mean_epoch(parts, start, step)
    length = float(torch.linalg.vector_norm(end - start))

    def distance(objective: Objective) -> float:
        apart = torch.linalg.vector_norm(end - flow(objective, start, time))
        return float(apart) / length

    return Epoch(
        cell=cell,
        curvature=curvature,
        length=length,
        plain=distance(loss),
        modified=distance(penalised(loss, step / 4, parts)),
        full=distance(penalised(loss, step / 4, [loss])),
    )


def measure_path(cell: ModifiedFlowCell) -> Path:
    """Descent to the cell's time with its step, with a smaller one, and with that and a penalty."""
    problem = build_problem(cell.model, cell.seed)
    loss, start = full_loss(problem), problem.start
    curvature = largest_curvature(loss, start)
    step, count = cell.step / curvature, round(cell.time / cell.step)
    finer = step / SMALLER
    explicit = penalised(loss, (step - finer) / 4, [loss])
    large = descend(loss, start, step, count)
    small = descend(loss, start, finer, SMALLER * count)
    other = descend(explicit, start, finer, SMALLER * count)
    return Path(
        cell=cell,
        start_curvature=curvature,
        large=_end(loss, large),
        small=_end(loss, small),
        explicit=_end(loss, other),
        small_distance=_distance(small, large),
        explicit_distance=_distance(other, large),
    )


def _end(loss: Objective, theta: Tensor) -> End | None:
    if not torch.isfinite(theta).all():
        return None
    return End(
        loss=float(loss(theta)),
        gradient_norm=float(torch.linalg.vector_norm(gradient(loss, theta))),
        curvature=largest_curvature(loss, theta),
    )


def _distance(one: Tensor, other: Tensor) -> float | None:
    apart = float(torch.linalg.vector_norm(one - other))
    return apart if apart < float("inf") else None
