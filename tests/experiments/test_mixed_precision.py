"""Mixed precision: float32 parameters, forward passes cast to bfloat16."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from synthetic import cost, training

from gr_bench.experiments.base import Record
from gr_bench.experiments.bench import prepare
from gr_bench.experiments.generalization.measure import train_all
from gr_bench.methods import METHODS

MIXED = {"dtype": "bfloat16-mixed"}
TINY: dict[str, Any] = {"model": "mlp(depth=2, width=16)", "dataset": "digits", "batch_size": 16}


@pytest.mark.parametrize("method", METHODS)
def test_parameters_and_gradients_stay_in_float32_and_products_do_not(method: str) -> None:
    bench = prepare(cost(method, **TINY, **MIXED))
    seen = set()
    for module in bench.training.model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda *call: seen.add(call[-1].dtype))
    loss = bench.step()
    assert seen == {torch.bfloat16}
    assert loss.dtype == torch.float32
    for p in bench.training.model.parameters():
        assert p.dtype == torch.float32
        assert p.grad is not None
        assert p.grad.dtype == torch.float32


@pytest.mark.parametrize("method", ["sgd", "sam", "db-gr"])
def test_gradients_are_float32s_to_bfloat16s_rounding(method: str) -> None:
    benches = [prepare(cost(method, **TINY, **dtype)) for dtype in ({}, MIXED)]
    gradients = []
    for bench in benches:
        bench.step()
        grads = [p.grad.flatten() for p in bench.training.model.parameters() if p.grad is not None]
        gradients.append(torch.cat(grads))
    exact, rounded = gradients
    error = float((exact - rounded).norm() / exact.norm())
    assert 1e-4 < error < 0.05


def curves(**settings: Any) -> dict[str, Any]:
    cell = training("sam", **TINY | {"epochs": 2} | settings)
    (found,) = [r for r in train_all([cell, cell], "auto") if isinstance(r, Record)][:1]
    return found.data


def test_evaluation_is_in_float32() -> None:
    """At a learning rate that moves nothing, both report the same to the bit."""
    still = {"learning_rate": 1e-30}
    assert curves(**still)["curve"] == curves(**still, **MIXED)["curve"]
    assert curves()["curve"] != curves(**MIXED)["curve"]


def test_runs_are_trained_one_by_one() -> None:
    """Together they would round otherwise, by per cents."""
    assert curves(**MIXED)["trainer"] == "loop"
