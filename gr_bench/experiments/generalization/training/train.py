"""Training runs from start to end, inside a worker process."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gr_bench.experiments.generalization.bits import encode_bits
from gr_bench.experiments.generalization.cell import GeneralizationCell, TrainerChoice
from gr_bench.experiments.generalization.record import Curvature, EpochResult, Training
from gr_bench.experiments.generalization.training.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    Piece,
)
from gr_bench.experiments.generalization.training.fleet import Fleet
from gr_bench.experiments.generalization.training.fleet_or_loop import divide
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.experiments.generalization.training.meters import read_meters
from gr_bench.experiments.generalization.training.pieces import DOUBLE_BACKPROP_GRAPHS
from gr_bench.experiments.generalization.training.schedules import SCHEDULES
from gr_bench.experiments.generalization.training.splits import SplitLoader, Splits
from gr_bench.experiments.generalization.training.trainer import Evaluation, Trainer
from gr_bench.experiments.record import Failure, Progress, failure
from gr_bench.meters.cuda_context import free_unused, is_broken
from gr_bench.meters.curvature import TOLERANCE, sharpness
from gr_bench.meters.device import Device
from gr_bench.meters.get_device import get_device
from gr_bench.timing.shared_state import kept_shared_state
from gr_bench.workloads.datasets import Dataset
from gr_bench.workloads.loss import cross_entropy


def train_all(
    cells: Sequence[GeneralizationCell],
    how: TrainerChoice,
    folder: Path | None = None,
    checkpoint_s: float = math.inf,
    at_work: Callable[..., None] = lambda *cells: None,
    evaluate_every: int = 1,
) -> Iterator[Training | Failure | Progress]:
    """Train cells that could be a fleet; yield each part's records when it is done.

    A part that fails costs its own cells alone.

    Args:
        cells: alike in everything but seeds, learning rate and the numbers of their method.
        how: ``fleet``, ``loop``, or ``auto`` for whichever steps faster here, measured once.
        folder: where checkpoints are kept, and looked for; an earlier start's cells may have been
            more than ``cells``.
        checkpoint_s: seconds, at least, between two checkpoints.
        at_work: told which cells are about to be trained together.
        evaluate_every: epochs from one evaluation to the next.

    Raises:
        RequestError: no such device or data set here.
        ValueError: the training part is smaller than one batch.
    """
    device = get_device(cells[0].device)
    loader = SplitLoader(cells)
    kept = CheckpointFolder(folder, checkpoint_s)
    wanted = {cell.id for cell in cells}
    divided = kept.pieces(lambda: divide(cells, loader, device, how))
    every = [cell for piece in divided for cell in piece]
    if {cell.split_seed for cell in every} != {cell.split_seed for cell in cells}:
        loader = SplitLoader(every)  # of those that have a record, too
    pieces = [
        (piece, kept.checkpoint(number, device.torch_device))
        for number, piece in enumerate(divided)
        if any(cell.id in wanted for cell in piece)
    ]
    for done, (piece, checkpoint) in enumerate(pieces):
        left = {cell.id: cell for cell in piece if cell.id in wanted}
        at_work(*left.values())
        try:
            build = partial(_trainer, piece, loader.load(piece), device, how)
            for result in _watched(piece[0], build, checkpoint, evaluate_every):
                if isinstance(result, Progress):
                    yield Progress((done + result.part) / len(pieces))
                elif left.pop(result.cell.id, None):
                    yield result
        except Exception as error:
            traceback.print_exc()
            yield from (failure(cell, error) for cell in left.values())
        free_unused()  # of a trainer that is gone


def _watched(
    cell: GeneralizationCell,
    build: Callable[[], Trainer],
    checkpoint: Checkpoint,
    evaluate_every: int,
) -> Iterator[Training | Progress]:
    """As :func:`train`; what a plug-in changes of the shared state is put back after every epoch.

    Raises:
        ContractBroken: it was changed.
    """
    results = None
    while True:
        with kept_shared_state(cell.spec, is_ours=not cell.sources):
            results = train(build(), checkpoint, evaluate_every) if results is None else results
            result = next(results, None)
        if result is None:
            return
        yield result


def _trainer(piece: Piece, data: Splits, device: Device, how: TrainerChoice) -> Trainer:
    """The trainer of cells that are trained together, all or one."""
    single = len(piece) == 1 and how != "fleet"
    return Loop(piece[0], data, device) if single else Fleet(piece, data, device)


@dataclass
class TrainingState:
    """The progress of a trainer's runs."""

    curves: list[list[EpochResult]]
    """Per run, its epochs that were evaluated."""

    diverged: list[int | None]
    """Per run, the step at which its loss was no longer finite."""

    epoch: int = 0
    training_s: float = 0.0
    """A run's share of the time that its steps took."""

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> TrainingState:
        """The state that ``dataclasses.asdict`` made plain data of."""
        curves = [[EpochResult(**point) for point in curve] for curve in plain["curves"]]
        return cls(**{**plain, "curves": curves})


def train(
    trainer: Trainer, checkpoint: Checkpoint, evaluate_every: int = 1
) -> Iterator[Training | Progress]:
    """Train a trainer's runs; yield its progress after every epoch and its records at the end.

    The learning rate follows the cells' schedule, step by step. A run whose loss is no longer
    finite is recorded as diverged, with the step; it has no influence on its fleet. When all have
    diverged, training stops. The training and the validation part are evaluated after every so many
    epochs and after the last one, which has no influence on the training. The test part is read
    once, after the last step; for candidates only if they are trials, of which it is shown and has
    no say in what is chosen. What ``checkpoint`` has is gone on from: on a
    CPU to the same result bit for bit, on a GPU to rounding, where the order of sums may change.
    """
    cells = trainer.cells
    epochs = cells[0].epochs
    state = TrainingState(curves=[[] for _ in cells], diverged=[None] * len(cells))
    if saved := checkpoint.load():
        trainer.load_state(saved["trainer"])
        state = TrainingState.from_plain(saved["training"])
    while state.epoch < epochs and not all(state.diverged):
        _one_epoch(trainer, state)
        if state.epoch % evaluate_every == 0 or state.epoch == epochs:
            _evaluate(trainer, state)
        checkpoint.save_if_due(lambda: {"trainer": trainer.state(), "training": asdict(state)})
        yield Progress(state.epoch / epochs)
    yield from _records(trainer, state)


def _one_epoch(trainer: Trainer, state: TrainingState) -> None:
    """Train for one epoch more; the host waits for the device, and reads the losses, at its end."""
    first = state.epoch * trainer.steps_per_epoch
    steps = trainer.cells[0].epochs * trainer.steps_per_epoch
    schedule = SCHEDULES[trainer.cells[0].schedule]
    losses: list[Tensor] = []

    def step_through() -> None:
        for index, batch in enumerate(trainer.batches(), start=first):
            losses.append(trainer.step(*batch, schedule(index / steps)))

    state.training_s += trainer.device.time(step_through).seconds / len(trainer.cells)
    state.epoch += 1
    finite = torch.stack(losses).isfinite().T.cpu()
    for run, diverged in enumerate(state.diverged):
        if diverged is None and not finite[run].all():
            state.diverged[run] = first + int(finite[run].int().argmin()) + 1


def _evaluate(trainer: Trainer, state: TrainingState) -> None:
    """Add a point to the curve of every run that has not diverged."""
    if all(state.diverged):
        return
    fits = trainer.evaluate(trainer.parts.train, with_gradient=True)
    held_out = trainer.evaluate(trainer.parts.validation)
    norms = trainer.parameter_norms()
    for run, (fit, validation) in enumerate(zip(fits, held_out, strict=True)):
        if state.diverged[run] is not None:
            continue
        if not math.isfinite(fit.loss + validation.loss):
            # where the step led, no loss is
            state.diverged[run] = state.epoch * trainer.steps_per_epoch
        else:
            assert fit.gradient_norm is not None
            state.curves[run].append(
                EpochResult(
                    epoch=state.epoch,
                    train_loss=fit.loss,
                    train_accuracy=fit.accuracy,
                    validation_loss=validation.loss,
                    validation_accuracy=validation.accuracy,
                    gradient_norm=fit.gradient_norm,
                    parameter_norm=norms[run],
                )
            )


def _records(trainer: Trainer, state: TrainingState) -> Iterator[Training]:
    """A record a run, when training is over."""
    cells, diverged = trainer.cells, list(state.diverged)
    steps = cells[0].epochs * trainer.steps_per_epoch
    unread = not cells[0].reads_test_part or all(diverged)
    nothing: list[Evaluation | None] = [None] * len(cells)
    tests = nothing if unread else trainer.evaluate(trainer.parts.test, with_hits=True)
    for run, (cell, test) in enumerate(zip(cells, tests, strict=True)):
        if diverged[run] is None and test is not None and not math.isfinite(test.loss):
            diverged[run] = steps
        ended = test if diverged[run] is None else None
        data = trainer.splits.of(cell)
        test_part, test_hits = (None, None) if ended is None else _bits(data, ended)
        curvature, error = None, None
        if ended is not None and cell.sharpness:
            try:
                curvature = _curvature(trainer, run, data)
            except RuntimeError as no_result:  # no convergence, or no second derivative
                if is_broken():  # nothing can be read from here any more
                    raise
                error = str(no_result)
        values: dict[str, dict[str, float]] = {}
        errors: dict[str, str] = {}
        if ended is not None and cell.meters:
            values, errors = read_meters(cell.meters, trainer.model(run), data)
        done = diverged[run] or steps
        taken = state.epoch * trainer.steps_per_epoch
        yield Training(
            cell=cell,
            curve=tuple(state.curves[run]),
            diverged_step=diverged[run],
            test_loss=None if ended is None else ended.loss,
            test_accuracy=None if ended is None else ended.accuracy,
            test_part=test_part,
            test_hits=test_hits,
            split_hash=None if data.places is None else data.places.hash,
            sharpness=curvature,
            sharpness_error=error,
            meters=values,
            meter_errors=errors,
            steps=done,
            gradient_evaluations=round(trainer.passes(run, done, taken)),
            training_s=state.training_s,
            split=data.split,
            unit=data.unit,
            test_over_train=len(data.test) / len(data.train),
            trainer=trainer.name,
            runs_together=len(cells),
        )


def _bits(data: Dataset, test: Evaluation) -> tuple[str | None, str | None]:
    """The test part and its hits in a record; nothing of sequences and where places are unknown."""
    if data.places is None or test.hits is None or test.hits.ndim > 1:
        return None, None
    return encode_bits(data.places.test_mask), encode_bits(test.hits)


def _curvature(trainer: Trainer, run: int, data: Dataset) -> Curvature:
    """The curvature of the whole training loss at a run's parameters.

    Raises:
        RuntimeError: the eigenvalue does not converge, or the model has no second derivative.
    """
    piece = trainer.piece(DOUBLE_BACKPROP_GRAPHS)
    model = trainer.model(run)

    def losses() -> Iterator[Tensor]:
        for inputs, targets in data.train.pieces(piece):
            yield cross_entropy(model(inputs), targets) * (len(inputs) / len(data.train))

    found = sharpness(losses, list(model.parameters()))
    return Curvature(
        largest_eigenvalue=found.largest_eigenvalue,
        trace=found.trace,
        trace_error=found.trace_error,
        tolerance=TOLERANCE,
        products=found.products,
    )
