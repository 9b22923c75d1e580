"""The way in which an optimizer wants to be called, found by trying."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plugged_optimizers import ClosureSAM, GradientFirstSAM
from torch import Tensor, nn

from gr_bench import registry
from gr_bench.optimizers.convention import Convention, find_convention, take_step

CONVENTIONS = {
    "sgd": (Convention.PLAIN, 1),
    "adamw": (Convention.PLAIN, 1),
    "muon": (Convention.PLAIN, 1),
    "torch.optim:RMSprop": (Convention.PLAIN, 1),
    "torch.optim:LBFGS(max_iter=1)": (Convention.CLOSURE, 1),
    "plugged_optimizers:ClosureSAM": (Convention.CLOSURE, 2),
    "plugged_optimizers:GradientFirstSAM": (Convention.GRADIENT_FIRST, 2),
}


@pytest.mark.parametrize("text", CONVENTIONS)
def test_the_convention_and_its_evaluations_are_found(text: str) -> None:
    found = find_convention(lambda toy: registry.build_optimizer(text, toy, 0.1))
    assert found == CONVENTIONS[text]


def test_an_optimizer_that_never_steps_is_called_as_most_are() -> None:
    class Broken(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            raise RuntimeError("no")

    assert find_convention(lambda toy: Broken(toy, lr=0.1)) == (Convention.PLAIN, 1)


def test_a_closure_convention_begins_without_a_gradient() -> None:
    """What is left of an earlier step must not be taken for the gradient at θ."""

    class Looking(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            assert all(p.grad is None for p in self.param_groups[0]["params"])
            closure()

    p = nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    losses = take_step(Looking([p], lr=0.1), lambda: torch.zeros(()), [p], Convention.CLOSURE)
    assert len(losses) == 1


def test_trying_draws_no_random_number() -> None:
    class Noisy(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            torch.randn(3)
            super().step()

    before = torch.get_rng_state()
    find_convention(lambda toy: Noisy(toy, lr=0.1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("cls", [ClosureSAM, GradientFirstSAM])
def test_both_conventions_are_the_same_sam(cls: Any) -> None:
    """On L = ½θᵀAθ, with what an earlier step left in ``p.grad``: θ - η·A(θ + ρ·Aθ/‖Aθ‖)."""
    matrix = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    p = nn.Parameter(start.clone())
    p.grad = torch.full_like(p, 1e6)

    def evaluate() -> Tensor:
        p.grad = None
        loss = p @ matrix @ p / 2
        loss.backward()
        return loss.detach()

    optimizer = cls([p], lr=0.1, rho=0.5)
    convention, _ = find_convention(lambda toy: cls(toy, lr=0.1))
    losses = take_step(optimizer, evaluate, [p], convention)
    gradient = matrix @ start
    there = start + 0.5 * gradient / gradient.norm()
    torch.testing.assert_close(p.data, start - 0.1 * matrix @ there, rtol=1e-12, atol=1e-12)
    expected = [start @ matrix @ start / 2, there @ matrix @ there / 2]
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)
