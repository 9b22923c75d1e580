"""Stacked methods: every run of a fleet gets what its own method gives it alone."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gr_bench.methods import METHODS, Method, get, stack

NUMBERS = st.floats(0.01, 0.5)


class Problem:
    """R independent problems with a curvature that depends on where they are."""

    def __init__(self, runs: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
        self.inputs = draw(runs, 7, 3)
        self.targets = draw(runs, 7, 2)
        self.params = [draw(runs, 3, 4), draw(runs, 4), draw(runs, 4, 2)]

    def losses(self, params: list[Tensor]) -> Tensor:
        w, b, v = params
        hidden = torch.tanh(self.inputs @ w + b.unsqueeze(1))
        return ((hidden @ v - self.targets) ** 2).mean((1, 2))

    def alone(self, run: int, method: Method, params: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        own = copy.copy(self)
        own.inputs, own.targets = self.inputs[run : run + 1], self.targets[run : run + 1]
        params = [p[run : run + 1].detach().clone().requires_grad_() for p in params]
        loss = method.backward(lambda: own.losses(params)[0], params)
        return loss, [p.grad[0] for p in params if p.grad is not None]


STEPS = 3
"""Of a training, whose later steps depend on the state that earlier ones left."""


def check(methods: list[Method], seed: int = 0) -> None:
    problem = Problem(len(methods), seed)
    params = [p.clone().requires_grad_() for p in problem.params]
    fleet, single = stack(methods), [copy.deepcopy(method) for method in methods]
    for _ in range(STEPS):
        before = [p.detach().clone() for p in params]
        losses = fleet.backward(lambda: problem.losses(params), params)
        assert all(torch.equal(p, value) for p, value in zip(params, before, strict=True))
        for run, method in enumerate(single):
            loss, gradients = problem.alone(run, method, before)
            torch.testing.assert_close(losses[run], loss, rtol=1e-10, atol=0)
            for p, g in zip(params, gradients, strict=True):
                assert p.grad is not None
                torch.testing.assert_close(p.grad[run], g, rtol=1e-9, atol=1e-11)
        with torch.no_grad():
            for p in params:
                p -= 0.1 * p.grad


@pytest.mark.parametrize("name", METHODS)
@given(data=st.data())
@settings(max_examples=10)
def test_a_run_of_a_fleet_gets_what_it_gets_alone(name: str, data: st.DataObject) -> None:
    keys = list(get(name).parameters)
    runs = data.draw(st.integers(1, 4))
    period = METHODS[name].period
    shared = {} if period is None else {period: data.draw(st.integers(1, 3))}
    drawn = [{key: data.draw(NUMBERS) for key in keys} | shared for _ in range(runs)]
    methods = [get(name, **numbers) for numbers in drawn]
    check(methods, seed=data.draw(st.integers(0, 99)))


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("name", METHODS)
def test_runs_with_the_same_numbers_get_what_they_get_alone(name: str, runs: int) -> None:
    check(runs * [get(name)])


def test_a_number_that_is_the_same_for_all_runs_stays_a_number() -> None:
    stacked = stack([get("f-gr", gamma=0.1), get("f-gr", gamma=0.2)])
    assert isinstance(stacked.gamma, Tensor)
    assert stacked.epsilon == get("f-gr").epsilon


@pytest.mark.parametrize("name", ["f-gr", "b-gr", "c-gr", "db-gr"])
def test_a_run_without_regularization_gets_its_gradient(name: str) -> None:
    check([get(name, gamma=0.0), get(name, gamma=0.2)])


def test_a_zero_gradient_gives_a_zero_perturbation_to_that_run_alone() -> None:
    p = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    stack([get("sam"), get("sam")]).backward(lambda: (p**2).sum(1), [p])
    assert p.grad is not None
    assert torch.equal(p.grad[0], torch.zeros(2, dtype=torch.float64))
    radius = 0.05 / 5**0.5
    torch.testing.assert_close(p.grad[1], 2 * p.detach()[1] * (1 + radius))


def test_single_precision_stays_single() -> None:
    p = torch.ones(2, 3, requires_grad=True)
    losses = stack([get("f-gr"), get("f-gr", gamma=0.3)]).backward(lambda: (p**2).sum(1), [p])
    assert p.grad is not None
    assert losses.dtype == p.grad.dtype == torch.float32


def test_a_further_pass_is_asked_of_a_loss_that_knows_its_buffers() -> None:
    """And no module is looked at on the way."""
    passes: list[str] = []

    class Loss:
        def __call__(self) -> Tensor:
            passes.append("first")
            return (p**2).sum()

        def again(self) -> Tensor:
            passes.append("again")
            return (p**2).sum()

    p = torch.ones(3, requires_grad=True)
    get("c-gr").backward(Loss(), [p])
    assert passes == ["first", "again", "again"]


def test_methods_of_different_classes_are_no_fleet() -> None:
    with pytest.raises(ValueError, match="of one class"):
        stack([get("sam"), get("f-gr")])
    with pytest.raises(ValueError, match="at least one"):
        stack([])


def test_runs_whose_cycles_differ_are_no_fleet() -> None:
    """One branch is taken for all runs."""
    with pytest.raises(ValueError, match="runs differ in k"):
        stack([get("looksam", k=2), get("looksam", k=3)])
