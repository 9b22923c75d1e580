"""Learning-rate schedules against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from synthetic import training
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, MultiStepLR

from gr_bench import registry
from gr_bench.experiments.generalization.cell import TrainerChoice
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.generalization.training.schedules import SCHEDULES
from gr_bench.experiments.generalization.training.train import train_all
from gr_bench.timing.step import load_data

STEPS = 12


def of_pytorch(name: str, optimizer: torch.optim.Optimizer) -> LRScheduler:
    if name == "cosine":
        return CosineAnnealingLR(optimizer, STEPS)
    if name == "step":
        return MultiStepLR(optimizer, [STEPS // 2, 3 * STEPS // 4])
    return LambdaLR(optimizer, lambda _: 1.0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rates_are_pytorchs(name: str) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = of_pytorch(name, optimizer)
    for index in range(STEPS):
        assert SCHEDULES[name](index / STEPS) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("how", ["loop", "fleet"])
def test_a_training_follows_its_schedule_step_by_step(name: str, how: TrainerChoice) -> None:
    """Against a training loop in plain PyTorch, on batches that do not depend on their order."""
    cell = training(
        model="mlp(depth=1)",
        dataset="random(shape=(2,), num_classes=3, samples=8)",
        batch_size=8,
        epochs=STEPS,
        learning_rate=0.5,
        schedule=name,
        dtype="float64",
    )
    (found,) = [r for r in train_all([cell], how) if isinstance(r, Training)]
    data = load_data(cell, registry)
    torch.manual_seed(cell.seed)
    model = registry.build_model(cell.model, data.input_shape, data.num_classes).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=cell.momentum)
    scheduler = of_pytorch(name, optimizer)
    for point in found.curve:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(data.train.inputs), data.train.targets).backward()
        optimizer.step()
        scheduler.step()
        norm = torch.cat([p.detach().flatten() for p in model.parameters()]).norm()
        assert point.parameter_norm == pytest.approx(float(norm), rel=1e-9)
