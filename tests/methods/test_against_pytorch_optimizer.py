"""SAM and ASAM against an independent implementation, step by step over a training run."""

import copy

import pytest
import torch
from torch import nn

from gr_bench.methods import ASAM, SAM, SGD

peers = pytest.importorskip("pytorch_optimizer")

STEPS = 50
MOMENTUM_SGD = {"lr": 0.05, "momentum": 0.9}


@pytest.fixture(params=["mlp", "batch-norm"])
def problem(request, make_problem):
    """Nets without dropout; in training mode batch norm normalises by the batch in both passes."""
    return make_problem(request.param)


def batches(problem):
    generator = torch.Generator().manual_seed(2)
    for _ in range(STEPS):
        rows = torch.randint(10, (6,), generator=generator)
        yield problem.inputs[rows], problem.targets[rows]


def vector(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def train(problem, method):
    """θ after every step with this project's method."""
    model = copy.deepcopy(problem.model)
    optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM_SGD)
    for x, y in batches(problem):
        method.backward(
            lambda x=x, y=y: nn.functional.cross_entropy(model(x), y), model.parameters()
        )
        optimizer.step()
        yield vector(model)


def train_peer(problem, rho, adaptive):
    """θ after every step with the other implementation."""
    model = copy.deepcopy(problem.model)
    optimizer = peers.SAM(
        model.parameters(), torch.optim.SGD, rho=rho, adaptive=adaptive, perturb_eps=0.0,
        **MOMENTUM_SGD,
    )  # fmt: skip
    for x, y in batches(problem):

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            return loss

        closure()
        optimizer.step(closure)
        yield vector(model)


@pytest.mark.parametrize("method", [SAM(rho=0.1), ASAM(rho=0.5)], ids=str)
def test_fifty_steps_agree_with_pytorch_optimizers(problem, method):
    """The same θ after each of 50 steps of momentum SGD; plain SGD ends elsewhere."""
    ours = list(train(problem, method))
    theirs = list(train_peer(problem, method.rho, adaptive=isinstance(method, ASAM)))
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=0, atol=1e-6)
    *_, plain = train(problem, SGD())
    assert (ours[-1] - plain).abs().max() > 1e-3
