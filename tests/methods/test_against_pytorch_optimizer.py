"""SAM and its family against independent implementations, step by step over a training run."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gr_bench.methods import ASAM, GSAM, SAM, SGD, FriendlySAM, LookSAM

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


def train_peer(problem, cls, **numbers):
    """θ after every step with the other implementation."""
    model = copy.deepcopy(problem.model)
    optimizer = cls(model.parameters(), torch.optim.SGD, **MOMENTUM_SGD, **numbers)
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
    adaptive = isinstance(method, ASAM)
    theirs = list(
        train_peer(problem, peers.SAM, rho=method.rho, adaptive=adaptive, perturb_eps=0.0)
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=0, atol=1e-6)
    *_, plain = train(problem, SGD())
    assert (ours[-1] - plain).abs().max() > 1e-3


def check(problem, method, cls, **numbers):
    """The same θ after each step, which plain SGD and SAM do not reach."""
    ours, theirs = list(train(problem, method)), list(train_peer(problem, cls, **numbers))
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=0, atol=1e-6)
    for another in (SGD(), SAM(rho=method.rho)):
        *_, elsewhere = train(problem, another)
        assert (ours[-1] - elsewhere).abs().max() > 1e-3


def test_friendly_sam_goes_on_as_pytorch_optimizers(problem):
    """From the end of its first step on, and the first gradient, with which its average begins."""
    method = FriendlySAM(rho=0.1, sigma=1, decay=0.8)
    model = copy.deepcopy(problem.model)
    numbers = {"rho": 0.1, "sigma": 1, "lmbda": 0.8, "perturb_eps": 0.0}
    optimizer = peers.FriendlySAM(model.parameters(), torch.optim.SGD, **numbers, **MOMENTUM_SGD)
    for number, (x, y) in enumerate(batches(problem)):

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            return loss

        closure()
        first = [p.grad.clone() for p in model.parameters()]
        optimizer.step(closure)
        if number == 0:
            method.state["average"] = first
            twin = copy.deepcopy(model)
            own = torch.optim.SGD(twin.parameters(), **MOMENTUM_SGD)
            own.load_state_dict(copy.deepcopy(optimizer.base_optimizer.state_dict()))
            continue
        method.backward(
            lambda x=x, y=y, net=twin: nn.functional.cross_entropy(net(x), y), twin.parameters()
        )
        own.step()
        assert torch.allclose(vector(twin), vector(model), rtol=0, atol=1e-6), number


def test_gsam_agrees_with_pytorch_optimizers(problem):
    """With a ρ that stays as it is."""
    method = GSAM(rho=0.1, alpha=0.3)
    model = copy.deepcopy(problem.model)
    plain = torch.optim.SGD(model.parameters(), **MOMENTUM_SGD)
    schedule = SimpleNamespace(step=lambda: 0.1)
    optimizer = peers.GSAM(model.parameters(), plain, model, schedule, alpha=0.3, perturb_eps=0.0)
    for (x, y), mine in zip(batches(problem), train(problem, method), strict=True):
        optimizer.set_closure(nn.functional.cross_entropy, x, y)
        optimizer.step()
        assert torch.allclose(mine, vector(model), rtol=0, atol=1e-6)


def test_looksam_of_a_single_parameter_agrees_with_pytorch_optimizers(make_problem):
    """Theirs projects each parameter by itself; where there is but one, that is the paper's."""
    torch.manual_seed(0)
    problem = make_problem(nn.Sequential(nn.Flatten(), nn.Linear(36, 3, bias=False), nn.Tanh()))
    check(
        problem, LookSAM(rho=0.5, alpha=0.7, k=3), peers.LookSAM,
        rho=0.5, alpha=0.7, k=3, perturb_eps=0.0,
    )  # fmt: skip


def test_looksam_of_several_parameters_does_not(problem):
    """Norms and products are those of all parameters in the paper."""
    theirs = train_peer(problem, peers.LookSAM, rho=0.1, alpha=0.7, k=3, perturb_eps=0.0)
    pairs = list(zip(train(problem, LookSAM(rho=0.1, alpha=0.7, k=3)), theirs, strict=True))
    assert torch.allclose(*pairs[0], rtol=0, atol=1e-6)
    assert not torch.allclose(*pairs[1], rtol=0, atol=1e-4)
