"""The built-in optimizers against PyTorch's own, by hand and in float64."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from gr_bench import registry
from gr_bench.optimizers import BUILT_IN
from gr_bench.optimizers.eager import SGD, Adam, AdamW
from gr_bench.optimizers.muon import Muon

STEPS = 12
Make = Callable[[nn.Module], torch.optim.Optimizer]


def net() -> nn.Module:
    """One with parameters of one, two and four dimensions."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 2)
    return nn.Sequential(*layers).double()


def walk(model: nn.Module, steppers: list[torch.optim.Optimizer], steps: int = STEPS) -> nn.Module:
    torch.manual_seed(1)
    for _ in range(steps):
        model.zero_grad()
        model(torch.randn(5, 1, 4, 4, dtype=torch.float64)).square().sum().backward()
        for each in steppers:
            each.step()
    return model


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (SGD, torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        (AdamW, torch.optim.AdamW, {"weight_decay": 0.3}),
        (AdamW, torch.optim.AdamW, {"betas": (0.5, 0.7), "eps": 1e-3, "amsgrad": True}),
        (AdamW, torch.optim.AdamW, {"foreach": True}),
        (Adam, torch.optim.Adam, {"weight_decay": 0.3}),
    ],
)
def test_an_eager_optimizer_is_pytorchs_to_the_bit(
    ours: Any, theirs: Any, settings: dict[str, Any]
) -> None:
    one, other = net(), net()
    walk(one, [ours(one.parameters(), lr=0.01, **settings)])
    walk(other, [theirs(other.parameters(), lr=0.01, **settings)])
    assert same(one, other)
    assert not same(one, net())


def test_numbers_are_pytorchs_where_they_are_not_given() -> None:
    for ours, theirs in ((AdamW, torch.optim.AdamW), (Adam, torch.optim.Adam)):
        model = net()
        assert ours(model.parameters(), lr=0.1).defaults == (
            theirs(model.parameters(), lr=0.1).defaults
        )


def by_hand(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices alone, AdamW for all else."""
    matrices = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    return [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.2, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=0.02, weight_decay=0.2),
    ]


def test_muon_moves_matrices_and_adamw_the_rest() -> None:
    one, other = net(), net()
    walk(one, [Muon(one.parameters(), lr=0.02, weight_decay=0.2)])
    walk(other, by_hand(other))
    assert same(one, other)


def test_muon_is_one_optimizer() -> None:
    """A rate that is set in its groups is that of both parts; its state is theirs."""
    model = net()
    optimizer = Muon(model.parameters(), lr=0.02, weight_decay=0.2)
    walk(model, [optimizer], 2)
    assert all(optimizer.state[p] for p in model.parameters())
    before = copy.deepcopy(model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    assert same(walk(model, [optimizer], 2), before)


@pytest.mark.parametrize("only", [(12,), (3, 4)], ids=["no matrix", "nothing but matrices"])
def test_muon_needs_neither_sort_of_parameters(only: tuple[int, ...]) -> None:
    p = nn.Parameter(torch.ones(only))
    optimizer = Muon([p], lr=0.1)
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert (p < 1).all()


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_optimizer_goes_on_from_its_state_bit_for_bit(name: str) -> None:
    whole = net()
    walk(whole, [registry.build_optimizer(name, whole.parameters(), 0.01)], 2 * STEPS)
    first = net()
    optimizer = registry.build_optimizer(name, first.parameters(), 0.01)
    torch.manual_seed(1)
    inputs = [torch.randn(5, 1, 4, 4, dtype=torch.float64) for _ in range(2 * STEPS)]
    for place, given in enumerate(inputs):
        if place == STEPS:
            kept = copy.deepcopy(optimizer.state_dict())
            optimizer = registry.build_optimizer(name, first.parameters(), 0.01)
            optimizer.load_state_dict(kept)
        first.zero_grad()
        first(given).square().sum().backward()
        optimizer.step()
    assert same(first, whole)


COMPILER = """
import sys, torch
from gr_bench import registry
for name in registry.OPTIMIZERS.built_in:
    p = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = registry.build_optimizer(name, [p, torch.nn.Parameter(torch.ones(2))], 0.1)
    p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_no_built_in_optimizer_imports_the_compiler() -> None:
    told = subprocess.run(
        [sys.executable, "-c", COMPILER], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "False"


def test_muon_without_pytorchs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(registry.RequestError, match="has no Muon"):
        registry.build_optimizer("muon", [nn.Parameter(torch.ones(2, 2))], 0.1)
