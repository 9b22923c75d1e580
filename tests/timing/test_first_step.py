"""A method's first step: what breaks the contract at no cost is seen there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from gr_bench.methods import METHODS, SGD, LossFunction, Method, get
from gr_bench.optimizers.eager import SGD as EagerSGD
from gr_bench.timing.first_step import ContractBroken, FirstStep, first_step
from gr_bench.timing.step import Training


@dataclass(frozen=True)
class Idle(SGD):
    """Computes the loss alone."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        return loss_fn().detach()


@dataclass(frozen=True)
class Drifting(SGD):
    """Leaves one parameter, the last, one rounding away."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        params = list(params)
        loss = super().backward(loss_fn, params)
        with torch.no_grad():
            params[-1][0] = params[-1][0].nextafter(params[-1].new_tensor(9.0))
        return loss


@dataclass(frozen=True)
class Adapted(Drifting):
    """Runs somebody else's code, with which that may happen."""

    exact: ClassVar[bool] = False


@dataclass(frozen=True)
class Perturbed(Adapted):
    """Leaves its ascent behind."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        params = list(params)
        loss = super().backward(loss_fn, params)
        with torch.no_grad():
            for p in params:
                p.add_(torch.zeros_like(p) if p.grad is None else p.grad)
        return loss


@dataclass(frozen=True)
class Hiding(SGD):
    """Remembers its steps beside its state."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        object.__setattr__(self, "_steps", getattr(self, "_steps", 0) + 1)
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class Keeping(Hiding):
    """Remembers them, and says so."""

    def state_dict(self) -> dict[str, int]:
        return {"steps": self._steps}


@dataclass(frozen=True)
class Deriving(SGD):
    """Has an attribute that its numbers decide."""

    @cached_property
    def twice(self) -> float:
        return 2.0

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        assert self.twice
        return super().backward(loss_fn, params)


def a_step(method: Method, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """The parameters after a step of learning rate 0.1, the first of which is looked at."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2).to(dtype)
    optimizer = EagerSGD(model.parameters(), lr=0.1, momentum=0.0, weight_decay=0.0)
    training = Training(model, model, optimizer, method)
    with first_step(training):
        training.step(torch.ones(4, 3, dtype=dtype), torch.tensor([0, 1, 1, 0]))
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_to_it(name: str, dtype: torch.dtype) -> None:
    a_step(get(name), dtype)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (Idle(), "Idle left no gradient"),
        (Drifting(), "Drifting left parameters changed"),
        (Perturbed(), "Perturbed left parameters changed"),
        (Hiding(), r'Hiding keeps _steps .* write self.state\["_steps"\]'),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_breaks_it_is_seen(method: Method, words: str, dtype: torch.dtype) -> None:
    with pytest.raises(ContractBroken, match=words):
        a_step(method, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_a_rounding_is_no_fault_of_an_adapter(dtype: torch.dtype) -> None:
    a_step(Adapted(), dtype)


@pytest.mark.parametrize("method", [Keeping(), Deriving()])
def test_what_a_method_accounts_for_is_its_own_affair(method: Method) -> None:
    a_step(method)


def test_later_steps_are_not_looked_at_and_the_first_is_no_other_for_it() -> None:
    moved = a_step(SGD())
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    training = Training(model, model, optimizer, SGD())
    batch = torch.ones(4, 3), torch.tensor([0, 1, 1, 0])
    training.step(*batch)
    assert all(a.equal(b) for a, b in zip(moved, model.parameters(), strict=True))
    with first_step(training):
        training.step(*batch)
        training.method = Idle()
        optimizer.zero_grad()
        training.step(*batch)


def test_frozen_parameters_need_no_gradient() -> None:
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    FirstStep(SGD(), [frozen]).check()
