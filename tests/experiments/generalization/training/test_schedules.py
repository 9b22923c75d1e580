"""Learning-rate schedules against PyTorch's own."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthetic import training
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    SequentialLR,
)

from gr_bench import registry
from gr_bench.experiments.generalization.cell import TrainerChoice
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.generalization.training.schedules import SCHEDULES, WARMUP
from gr_bench.experiments.generalization.training.train import train_all
from gr_bench.timing.step import load_data

STEPS, WARMUP_STEPS = 20, 2


def of_pytorch(name: str, optimizer: torch.optim.Optimizer) -> LRScheduler:
    if name == "cosine":
        return CosineAnnealingLR(optimizer, STEPS)
    if name == "warmup-cosine":
        rise = LinearLR(optimizer, 1e-12, 1.0, WARMUP_STEPS)
        fall = CosineAnnealingLR(optimizer, STEPS - WARMUP_STEPS)
        return SequentialLR(optimizer, [rise, fall], [WARMUP_STEPS])
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


@given(st.floats(0, 1, exclude_max=True))
def test_a_warm_up_is_a_line_and_then_half_a_cosine(part: float) -> None:
    factor = SCHEDULES["warmup-cosine"](part)
    if part < 0.1:
        assert factor == pytest.approx(10 * part)
    else:
        assert factor == pytest.approx(math.cos(math.pi / 2 * (part - 0.1) / 0.9) ** 2)
    assert 0 <= factor <= 1


def test_a_warm_up_begins_at_zero_and_has_no_jump() -> None:
    factor = SCHEDULES["warmup-cosine"]
    assert [factor(part) for part in (0.0, 0.05, 0.1, 0.55)] == pytest.approx([0, 0.5, 1, 0.5])
    assert factor(math.nextafter(WARMUP, 0)) == pytest.approx(factor(WARMUP), abs=1e-12)
    assert factor(1.0) == pytest.approx(0, abs=1e-12)


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
