"""One training run from start to end, inside a worker process."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gr_bench.experiments.base import Progress, Record
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.training import build_training, load_data
from gr_bench.meters.curvature import gradient_norm
from gr_bench.workloads.augmentation import AUGMENTATIONS
from gr_bench.workloads.datasets import Part
from gr_bench.workloads.loss import accuracy, cross_entropy

EVALUATION_BATCH = 1024
"""Examples in one piece when a whole part is evaluated; it bounds memory and changes no result."""


@dataclass(frozen=True)
class Evaluation:
    """A model on a whole part of the data, in evaluation mode."""

    loss: float
    accuracy: float
    gradient_norm: float | None


def train(cell: GeneralizationCell) -> Iterator[Record | Progress]:
    """Train a cell; yield its progress after every epoch and its one record at the end.

    A run whose loss is no longer finite stops there: it is recorded as diverged, with the step.
    The test part is read once, after the last step.
    """
    device, data = load_data(cell)
    count = len(data.train)
    training = build_training(
        cell,
        data,
        device,
        seed=cell.seed,
        learning_rate=cell.learning_rate,
        momentum=cell.momentum,
        weight_decay=cell.weight_decay,
    )
    steps_per_epoch = count // cell.batch_size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        training.optimizer, T_max=cell.epochs * steps_per_epoch
    )
    draws = torch.Generator().manual_seed(cell.seed)
    augment = AUGMENTATIONS.get(cell.augmentation)
    curve: list[dict[str, Any]] = []
    training_s = 0.0
    diverged_step = None
    for epoch in range(1, cell.epochs + 1):
        batches = torch.randperm(count, generator=draws).to(device.torch_device)
        losses: list[Tensor] = []

        def one_epoch(batches: Tensor = batches, losses: list[Tensor] = losses) -> None:
            training.model.train()
            # the last, incomplete batch is left out, as a batch of one breaks batch norm
            for index in range(steps_per_epoch):
                chosen = batches[index * cell.batch_size : (index + 1) * cell.batch_size]
                inputs = data.train.inputs[chosen]
                if augment is not None:
                    inputs = augment(inputs, draws)
                losses.append(training.step(inputs, data.train.targets[chosen]))
                schedule.step()

        training_s += device.time(one_epoch).seconds
        finite = torch.stack(losses).isfinite().cpu()
        if not finite.all():
            diverged_step = (epoch - 1) * steps_per_epoch + int(finite.int().argmin()) + 1
            break
        fit = evaluate(training.model, data.train, with_gradient=True)
        held_out = evaluate(training.model, data.validation)
        if not math.isfinite(fit.loss + held_out.loss):
            diverged_step = epoch * steps_per_epoch  # where the step led, no loss is
            break
        curve.append(
            {
                "epoch": epoch,
                "train_loss": fit.loss,
                "train_accuracy": fit.accuracy,
                "validation_loss": held_out.loss,
                "validation_accuracy": held_out.accuracy,
                "gradient_norm": fit.gradient_norm,
            }
        )
        yield Progress(epoch / cell.epochs)
    steps = diverged_step or cell.epochs * steps_per_epoch
    result: dict[str, Any] = {
        "steps": steps,
        "gradient_evaluations": steps * training.method.gradient_evaluations,
        "training_s": training_s,
        "diverged_step": diverged_step,
        "split": data.split,
        "curve": curve,
    }
    if diverged_step is None:
        test = evaluate(training.model, data.test)
        if math.isfinite(test.loss):
            result |= {"test_loss": test.loss, "test_accuracy": test.accuracy}
        else:
            result["diverged_step"] = steps
    yield Record(cell, "training", result)


def evaluate(model: nn.Module, part: Part, *, with_gradient: bool = False) -> Evaluation:
    """Mean loss and accuracy over a part, and ‖∇L‖ of that mean loss where asked for."""
    model.eval()
    for p in model.parameters():
        p.grad = None
    total_loss = torch.zeros((), device=part.inputs.device, dtype=torch.float64)
    total_accuracy = torch.zeros_like(total_loss)
    pieces = zip(
        part.inputs.split(EVALUATION_BATCH), part.targets.split(EVALUATION_BATCH), strict=True
    )
    with torch.set_grad_enabled(with_gradient):
        for inputs, targets in pieces:
            share = len(inputs) / len(part)
            logits = model(inputs)
            loss = cross_entropy(logits, targets) * share
            if with_gradient:
                loss.backward()
            total_loss += loss.detach()
            total_accuracy += accuracy(logits, targets) * share
    norm = float(gradient_norm(model.parameters())) if with_gradient else None
    return Evaluation(float(total_loss), float(total_accuracy), norm)
