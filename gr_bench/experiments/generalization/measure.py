"""Training runs from start to end, inside a worker process."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gr_bench.experiments.base import Progress, Record
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.checkpoint import Checkpoint, Kept, Piece
from gr_bench.experiments.generalization.choice import remembered
from gr_bench.experiments.generalization.fleet import Fleet
from gr_bench.experiments.generalization.loop import Loop
from gr_bench.experiments.generalization.schedules import SCHEDULES
from gr_bench.experiments.generalization.trainer import EVALUATION_BATCH, Trainer
from gr_bench.experiments.training import MIXED, load_data
from gr_bench.meters.curvature import TOLERANCE, sharpness
from gr_bench.meters.device import Device
from gr_bench.meters.memory import saved_bytes
from gr_bench.registry import build_method
from gr_bench.workloads.datasets import Dataset
from gr_bench.workloads.label_noise import with_label_noise
from gr_bench.workloads.loss import cross_entropy

TRIALS = 5
"""Steps of either trainer that are timed, in alternation, to choose between them."""

GAIN = 1.1
"""A fleet must be this many times as fast as the loop."""

FLEET_BYTES = 1 << 30
"""Memory that a fleet may take; runs beyond that are trained in a further one."""

COPIES = 6
"""Parameter copies of a run in a fleet: θ, velocity, θ', two gradients, one in between."""


DOUBLE = 4
"""Graphs of a forward pass that double backpropagation keeps: about as many, by its peak memory."""


def train_all(
    cells: Sequence[GeneralizationCell],
    how: str,
    folder: Path | None = None,
    checkpoint_seconds: float = math.inf,
) -> Iterator[Record | Progress]:
    """Train cells that could be a fleet; yield each part's records when it is done.

    Args:
        cells: alike in everything but seed, learning rate and the numbers of their method.
        how: ``fleet``, ``loop``, or ``auto`` for whichever steps faster here, measured once.
        folder: where checkpoints are kept, and looked for; an earlier start's cells may have been
            more than ``cells``.
        checkpoint_seconds: at least so long between two checkpoints.
    """
    device, data = load_data(cells[0])
    data = with_label_noise(data, cells[0].label_noise)
    kept = Kept(folder, checkpoint_seconds)
    wanted = {cell.id for cell in cells}
    pieces = [
        (piece, kept.checkpoint(number))
        for number, piece in enumerate(kept.pieces(lambda: _pieces(cells, data, device, how)))
        if any(cell.id in wanted for cell in piece)
    ]
    for done, (piece, checkpoint) in enumerate(pieces):
        single = len(piece) == 1 and how != "fleet"
        trainer = Loop(piece[0], data, device) if single else Fleet(piece, data, device)
        for result in train(trainer, data, checkpoint):
            if isinstance(result, Progress):
                yield Progress((done + result.part) / len(pieces))
            elif result.cell.id in wanted:
                yield result


def _pieces(cells: Piece, data: Dataset, device: Device, how: str) -> list[Piece]:
    """The cells in fleets as large as the memory allows; singly, if the loop is to train them."""
    alone: list[Piece] = [[cell] for cell in cells]
    # bfloat16 rounds the two by per cents apart
    rounds_apart = cells[0].dtype == MIXED
    if how == "loop" or (how == "auto" and (len(cells) == 1 or rounds_apart)):
        return alone
    together = in_memory(cells, data, device)
    if how == "fleet":
        return together
    if len(together) == len(cells):
        return alone

    def decide() -> bool:
        loop, fleet = Loop(cells[0], data, device), Fleet(together[0], data, device)
        return _gain(loop, fleet) > GAIN

    try:
        is_faster = remembered(cells[0], len(together[0]), device, decide)
    except Exception as error:  # a method or a model that cannot be vectorised
        print(f"trained one by one: {type(error).__name__}: {error}", file=sys.stderr)
        return alone
    return together if is_faster else alone


def in_memory(cells: Piece, data: Dataset, device: Device) -> list[Piece]:
    """The cells in as few pieces as :data:`FLEET_BYTES` allow, of one size."""
    most = max(1, FLEET_BYTES // _bytes_a_run(Loop(cells[0], data, device), data))
    count = math.ceil(len(cells) / most)
    size = math.ceil(len(cells) / count)
    return [cells[i : i + size] for i in range(0, len(cells), size)]


def _bytes_a_run(loop: Loop, data: Dataset) -> int:
    """About what one run takes of a fleet's memory, in a step or while a part is evaluated."""
    inputs, targets = (tensor[0] for tensor in next(loop.batches()))
    model = loop.training.model
    activations = saved_bytes(lambda: loop.training.loss_on(inputs, targets)()) // len(inputs)
    graphs = DOUBLE if loop.training.method.needs_second_derivatives else 1
    largest = max(graphs * len(inputs), min(EVALUATION_BATCH, len(data.train)))
    return activations * largest + COPIES * sum(p.nbytes for p in model.parameters())


def _gain(loop: Loop, fleet: Fleet) -> float:
    """How many times as fast the fleet trains a run, from alternating steps of the two.

    Raises:
        ValueError: the fleet's first run has other gradients or buffers than the loop's: a model or
            a method that cannot be vectorised, though it runs; or one that draws random numbers.
    """
    seconds: dict[Trainer, list[float]] = {loop: [], fleet: []}
    batches = {trainer: next(trainer.batches()) for trainer in seconds}
    for trial in range(TRIALS + 1):
        for trainer, readings in seconds.items():
            step = partial(trainer.step, *batches[trainer], rate=0.0)
            spent = loop.device.time(step).seconds
            if trial:  # the first is for warming up
                readings.append(spent / len(trainer.cells))
    for name, p in loop.training.model.named_parameters():
        own = fleet.params[name].grad
        if (p.grad is None) != (own is None) or (
            p.grad is not None and own is not None and _differ(own[0], p.grad)
        ):
            raise ValueError(f"another gradient of {name} than the loop's")
    for name, buffer in loop.training.model.named_buffers():
        if _differ(fleet.buffers[name][0], buffer):
            raise ValueError(f"another {name} than the loop's")
    return statistics.median(seconds[loop]) / statistics.median(seconds[fleet])


def _differ(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors differ by more than rounding; in bfloat16, by a tenth."""
    tolerance = max(1e-3, 10 * torch.finfo(a.dtype).eps) if a.is_floating_point() else 0.0
    return bool((a.double() - b.double()).norm() > tolerance * b.double().norm())


@dataclass
class _Course:
    """How far the runs of a trainer have come."""

    curves: list[list[dict[str, Any]]]
    """Per run, what every whole epoch ended with."""

    diverged: list[int | None]
    """Per run, the step at which its loss was no longer finite."""

    epoch: int = 0
    training_s: float = 0.0
    """A run's share of the time that its steps took."""


def train(trainer: Trainer, data: Dataset, checkpoint: Checkpoint) -> Iterator[Record | Progress]:
    """Train a trainer's runs; yield its progress after every epoch and its records at the end.

    The learning rate follows the cells' schedule, step by step. A run whose loss is no longer
    finite is recorded as diverged, with the step; it has no influence on its fleet. When all have
    diverged, training stops. The test part is read once, after the last step; never for candidates.
    What ``checkpoint`` has is gone on from, to the same result bit for bit.
    """
    cells = trainer.cells
    epochs = cells[0].epochs
    course = _Course(curves=[[] for _ in cells], diverged=[None] * len(cells))
    if state := checkpoint.load():
        trainer.go_on_from(state["trainer"])
        course = _Course(**state["course"])
    while course.epoch < epochs and not all(course.diverged):
        _one_epoch(trainer, data, course)
        checkpoint.save_if_due(lambda: {"trainer": trainer.state(), "course": asdict(course)})
        yield Progress(course.epoch / epochs)
    yield from _records(trainer, data, course)


def _one_epoch(trainer: Trainer, data: Dataset, course: _Course) -> None:
    """Train for one epoch more, and evaluate."""
    first = course.epoch * trainer.steps_per_epoch
    steps = trainer.cells[0].epochs * trainer.steps_per_epoch
    schedule = SCHEDULES[trainer.cells[0].schedule]
    losses: list[Tensor] = []

    def step_through() -> None:
        for index, batch in enumerate(trainer.batches(), start=first):
            losses.append(trainer.step(*batch, schedule(index / steps)))

    course.training_s += trainer.device.time(step_through).seconds / len(trainer.cells)
    course.epoch += 1
    finite = torch.stack(losses).isfinite().T.cpu()
    fits = trainer.evaluate(data.train, with_gradient=True)
    held_out = trainer.evaluate(data.validation)
    norms = trainer.parameter_norms()
    for run, (fit, validation) in enumerate(zip(fits, held_out, strict=True)):
        if course.diverged[run] is not None:
            continue
        if not finite[run].all():
            course.diverged[run] = first + int(finite[run].int().argmin()) + 1
        elif not math.isfinite(fit.loss + validation.loss):
            course.diverged[run] = first + len(losses)  # where the step led, no loss is
        else:
            course.curves[run].append(
                {
                    "epoch": course.epoch,
                    "train_loss": fit.loss,
                    "train_accuracy": fit.accuracy,
                    "validation_loss": validation.loss,
                    "validation_accuracy": validation.accuracy,
                    "gradient_norm": fit.gradient_norm,
                    "parameter_norm": norms[run],
                }
            )


def _records(trainer: Trainer, data: Dataset, course: _Course) -> Iterator[Record]:
    """A record a run, when training is over."""
    cells, diverged = trainer.cells, course.diverged
    steps = cells[0].epochs * trainer.steps_per_epoch
    unread = cells[0].role == "candidate" or all(diverged)
    tests = [None] * len(cells) if unread else trainer.evaluate(data.test)
    for run, (cell, test) in enumerate(zip(cells, tests, strict=True)):
        result: dict[str, Any] = {}
        if diverged[run] is None and test is not None:
            if math.isfinite(test.loss):
                result = {"test_loss": test.loss, "test_accuracy": test.accuracy}
                if cell.sharpness:
                    result |= _sharpness(trainer.model(run), data)
            else:
                diverged[run] = steps
        done = diverged[run] or steps
        evaluations = build_method(cell.method).gradient_evaluations
        result |= {
            "steps": done,
            "gradient_evaluations": done * evaluations,
            "training_s": course.training_s,
            "diverged_step": diverged[run],
            "split": data.split,
            "trainer": trainer.name,
            "runs_together": len(cells),
            "curve": course.curves[run],
        }
        yield Record(cell, "training", result)


def _sharpness(model: nn.Module, data: Dataset) -> dict[str, Any]:
    """The curvature of the whole training loss at a trained model's parameters."""

    def losses() -> Iterator[Tensor]:
        for inputs, targets in data.train.pieces(EVALUATION_BATCH):
            yield cross_entropy(model(inputs), targets) * (len(inputs) / len(data.train))

    try:
        return {"tolerance": TOLERANCE, **asdict(sharpness(losses, list(model.parameters())))}
    except RuntimeError as error:  # no convergence, or no second derivative: the run still counts
        return {"sharpness_error": str(error)}
