"""The one builder of steps: what it builds, and what it spares."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from synthetic import cost
from torch import nn

from gr_bench import registry
from gr_bench.errors import Unsupported
from gr_bench.timing.step import EagerSGD, build_step, build_training, load_data

CELL = cost(
    "sgd",
    model="mlp(depth=2, width=4)",
    dataset="random(shape=(3,), num_classes=2, samples=8)",
    batch_size=4,
)

STEPS = """
import sys
from gr_bench import registry
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.timing.step import build_step

for dataset in ("digits", "random(shape=(1, 8, 8))"):
    for spec in ("sgd", "sam(rho=0.05)", "db-gr(gamma=0.1)"):
        cell = StepCostCell(
            spec=spec, model="resnet-8(width=4)", dataset=dataset, batch_size=8, device="cpu",
            dtype="float32", threads=1, baseline="sgd",
        )
        build_step(cell, registry)()
heavy = {"torch._dynamo", "torch._inductor", "sklearn", "scipy", "pandas", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
"""


def test_a_step_imports_neither_the_compiler_nor_what_it_does_not_need() -> None:
    told = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("model", "dataset", "reason"),
    [
        ("char-transformer", "random(shape=(8,))", "with targets (N, T), and random(.* has floats"),
        ("char-transformer", "digits", "input_shape must be"),
        ("mlp", "random-tokens", "mlp takes floats .* random-tokens has whole numbers"),
        ("resnet-8", "random-tokens", "resnet-8 takes floats"),
        ("vit", "random(shape=(6,))", "patch must divide every side of the 6 input"),
        ("vit(patch=3)", "random(shape=(6,))", None),
        ("plugged:Dropping", "random(shape=(6,))", None),
        ("wrn-16-4", "random(shape=(6,))", None),
    ],
)
def test_a_model_says_which_data_it_does_not_take(
    model: str, dataset: str, reason: str | None
) -> None:
    cell = replace(CELL, model=model, dataset=dataset)
    if reason is None:
        assert build_step(cell, registry)().isfinite()
        return
    with pytest.raises((Unsupported, ValueError), match=re.sub(r"[()]", ".", reason)):
        build_step(cell, registry)


@pytest.mark.parametrize("name", registry.MODELS.built_in)
def test_every_built_in_model_says_what_it_takes(name: str) -> None:
    network = registry.build_model(name, (8,), 3)
    assert network.takes_tokens is (name == "char-transformer")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_the_optimizer_steps_as_pytorchs_does(momentum: float, weight_decay: float) -> None:
    torch.manual_seed(0)
    networks = [nn.Linear(3, 2) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    settings = {"lr": 0.1, "momentum": momentum, "weight_decay": weight_decay}
    optimizers = [
        cls(network.parameters(), **settings)
        for cls, network in zip((EagerSGD, torch.optim.SGD), networks, strict=True)
    ]
    calls = []
    optimizers[0].register_step_pre_hook(lambda *_: calls.append(1))
    for _ in range(5):
        inputs = torch.randn(4, 3)
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            network(inputs).square().sum().backward()
            optimizer.step()
    for p, q in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(p, q)
        assert p.requires_grad
    assert len(calls) == 5
    assert optimizers[0].state_dict().keys() == optimizers[1].state_dict().keys()


def test_a_step_that_is_timed_leaves_the_parameters_where_they_are() -> None:
    step = build_step(replace(CELL, spec="f-gr(gamma=0.1, epsilon=0.05)"), registry)
    before = [p.clone() for p in step.training.model.parameters()]
    assert torch.equal(step(), step())
    for p, value in zip(step.training.model.parameters(), before, strict=True):
        assert torch.equal(p, value)
    assert all(step.training.optimizer.state[p] for p in step.training.model.parameters())


def test_the_batch_is_the_first_of_the_training_part() -> None:
    data = load_data(CELL, registry)
    inputs, targets = build_step(CELL, registry).batch
    assert torch.equal(inputs, data.train.inputs[:4])
    assert torch.equal(targets, data.train.targets[:4])


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="batch size 9 is more than the 8 training examples"):
        load_data(replace(CELL, batch_size=9), registry)


def test_a_seed_decides_the_model() -> None:
    data = load_data(CELL, registry)
    first, again, other = (
        next(build_training(CELL, data, registry, seed=seed).model.parameters())
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_differentiates_twice_cannot_be_compiled() -> None:
    cell = replace(CELL, spec="db-gr(gamma=0.1)", compiled=True)
    with pytest.raises(Unsupported, match="differentiates twice"):
        build_step(cell, registry)
