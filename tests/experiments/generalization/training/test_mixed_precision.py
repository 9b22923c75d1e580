"""Mixed precision: float32 parameters, forward passes cast to bfloat16."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from synthetic import cost, training

from gr_bench import registry
from gr_bench.experiments.generalization.cell import TrainerChoice
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.generalization.training.train import train_all
from gr_bench.methods import METHODS
from gr_bench.timing.step import build_step

MIXED = {"dtype": "bfloat16-mixed"}
TINY: dict[str, Any] = {"model": "mlp(depth=2, width=16)", "dataset": "digits", "batch_size": 16}


@pytest.mark.parametrize("method", METHODS)
def test_parameters_and_gradients_stay_in_float32_and_products_do_not(method: str) -> None:
    step = build_step(cost(method, **TINY, **MIXED), registry)
    seen = set()
    for module in step.training.model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda *call: seen.add(call[-1].dtype))
    loss = step()
    assert seen == {torch.bfloat16}
    assert loss.dtype == torch.float32
    for p in step.training.model.parameters():
        assert p.dtype == torch.float32
        assert p.grad is not None
        assert p.grad.dtype == torch.float32


@pytest.mark.parametrize("method", ["sgd", "sam", "db-gr"])
def test_gradients_are_float32s_to_bfloat16s_rounding(method: str) -> None:
    steps = [build_step(cost(method, **TINY, **dtype), registry) for dtype in ({}, MIXED)]
    gradients = []
    for step in steps:
        step()
        grads = [p.grad.flatten() for p in step.training.model.parameters() if p.grad is not None]
        gradients.append(torch.cat(grads))
    exact, rounded = gradients
    error = float((exact - rounded).norm() / exact.norm())
    assert 1e-4 < error < 0.05


def runs(how: TrainerChoice, **settings: Any) -> list[Training]:
    """Two runs that differ in their seed."""
    cells = [training("sam", **TINY | {"epochs": 2, "seed": seed} | settings) for seed in (0, 1)]
    return [r for r in train_all(cells, how) if isinstance(r, Training)]


@pytest.mark.parametrize("how", ["loop", "fleet"])
def test_evaluation_is_in_float32(how: TrainerChoice) -> None:
    """At a learning rate that moves nothing, both report the same to the bit."""
    still = {"learning_rate": 1e-30}
    exact, mixed = runs(how, **still), runs(how, **still, **MIXED)
    assert [run.curve for run in exact] == [run.curve for run in mixed]
    assert [run.curve for run in runs(how)] != [run.curve for run in runs(how, **MIXED)]


def test_auto_trains_runs_one_by_one() -> None:
    """Together they would round otherwise, by per cents."""
    assert {run.trainer for run in runs("auto", **MIXED)} == {"loop"}
