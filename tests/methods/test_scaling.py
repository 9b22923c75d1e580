"""Methods under torch.amp.GradScaler: the same directions, and overflows that leave no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten_with_path

from gr_bench.methods import (
    METHODS,
    ForwardGR,
    Method,
    ScaledLoss,
    UnnormalizedSAM,
    scaled_step,
)

EXACT = 2.0**10
"""A scale that rounds nothing."""

ALL = pytest.mark.parametrize("method", METHODS, indirect=True)

STEPS = 3
"""Of a training, whose later steps depend on the state that earlier ones left."""


@pytest.fixture
def method(request: pytest.FixtureRequest) -> Method:
    """The built-in method of that name, with default parameters."""
    return METHODS[request.param]()


def scaler(scale: float = EXACT, **settings: float) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=scale, **settings)


class Overflow(torch.autograd.Function):
    """The identity; where it is armed, an infinity in its gradient."""

    @staticmethod
    def forward(x: Tensor, armed: bool) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.armed = inputs[1]

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        if not ctx.armed:
            return grad, None
        grad = grad.clone()
        grad.view(-1)[0] = torch.inf
        return grad, None


class Net(nn.Module):
    """Batch norm, and saturated units: infinite weights give finite gradients in what follows."""

    def __init__(self, overflow_in: int = 0) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 3)
        self.overflow_in = overflow_in
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = Overflow.apply(torch.tanh(self.first(x)), self.calls == self.overflow_in)
        return self.last(self.norm(x))


class Problem:
    """A net with a mini-batch and momentum SGD."""

    def __init__(self, dtype: torch.dtype = torch.float64, **settings) -> None:
        torch.manual_seed(0)
        self.model = Net(**settings).to(dtype)
        self.inputs = torch.randn(12, 6, dtype=dtype)
        self.targets = torch.randint(3, (12,))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)

    def loss(self) -> Tensor:
        return nn.functional.cross_entropy(self.model(self.inputs), self.targets)

    def autocast_loss(self) -> Tensor:
        with torch.autocast("cpu", torch.float16):
            return self.loss()

    def gradients(self) -> list[Tensor]:
        return [p.grad.clone() for p in self.model.parameters()]

    def state(self) -> dict[str, Tensor]:
        """Parameters, buffers and the optimizer's tensors."""
        found = {key: value.clone() for key, value in self.model.state_dict().items()}
        for number, of_one in self.optimizer.state_dict()["state"].items():
            found |= {f"{number} {key}": value.clone() for key, value in of_one.items()}
        return found


def kept(method: Method) -> dict[str, Tensor]:
    """A copy of the tensors in a method's state."""
    leaves, _ = tree_flatten_with_path(method.state_dict())
    return {str(path): leaf.clone() for path, leaf in leaves if isinstance(leaf, Tensor)}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_power_of_two_as_scale_changes_nothing_to_the_bit(
    method: Method, dtype: torch.dtype
) -> None:
    plain, scaled = Problem(dtype), Problem(dtype)
    twin, own = copy.deepcopy(method), scaler()
    for _ in range(STEPS):
        expected = twin.backward(plain.loss, plain.model.parameters())
        found = method.backward(ScaledLoss(scaled.loss, own), scaled.model.parameters())
        assert torch.equal(found, expected)
        for g, h in zip(scaled.gradients(), plain.gradients(), strict=True):
            assert torch.equal(g, EXACT * h)
        assert same(kept(method), kept(twin))
        own.step(scaled.optimizer)
        own.update()
        plain.optimizer.step()
        assert same(scaled.state(), plain.state())


@ALL
def test_any_other_scale_changes_nothing_but_rounding(method: Method) -> None:
    plain, scaled = Problem(), Problem()
    twin = copy.deepcopy(method)
    scale = float(scaler(1000 / 3).scale(torch.ones(())))
    for _ in range(STEPS):
        twin.backward(plain.loss, plain.model.parameters())
        method.backward(ScaledLoss(scaled.loss, scaler(1000 / 3)), scaled.model.parameters())
        for g, h in zip(scaled.gradients(), plain.gradients(), strict=True):
            torch.testing.assert_close(g / scale, h, rtol=1e-6, atol=1e-9)  # 1/S is a float32


@ALL
def test_a_disabled_scaler_does_nothing(method: Method) -> None:
    plain, scaled, twin = Problem(), Problem(), copy.deepcopy(method)
    for problem, step in (
        (plain, lambda p: (twin.backward(p.loss, p.model.parameters()), p.optimizer.step())),
        (
            scaled,
            lambda p: scaled_step(
                method, p.loss, p.model, p.optimizer, torch.amp.GradScaler("cpu", enabled=False)
            ),
        ),
    ):
        step(problem)
    assert same(scaled.state(), plain.state())


@ALL
def test_float16_gives_float32s_direction(method: Method) -> None:
    """Of a loss so small that its gradients in float16 would be zero without a scaler."""
    tiny = 1e-7

    def small(loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
        return lambda: tiny * loss()

    if method.name == "flooding":
        method = type(method)(level=0.0)
    plain, lost, kept = (Problem(torch.float32) for _ in range(3))
    method.backward(small(plain.loss), plain.model.parameters())
    method.load_state_dict({})
    method.backward(small(lost.autocast_loss), lost.model.parameters())
    own = scaler(2.0**22)
    method.load_state_dict({})
    method.backward(ScaledLoss(small(kept.autocast_loss), own), kept.model.parameters())
    own.unscale_(kept.optimizer)
    errors = [
        float((torch.cat([g.flatten() for g in p.gradients()]) - exact).norm() / exact.norm())
        for exact in [torch.cat([g.flatten() for g in plain.gradients()])]
        for p in (kept, lost)
    ]
    assert errors[0] < 0.02
    assert errors[1] > 0.1


@pytest.mark.parametrize("fused", [False, True])
@ALL
def test_an_overflow_in_any_pass_leaves_everything_as_it_was(method: Method, fused: bool) -> None:
    problem = Problem(torch.float32)
    problem.optimizer = torch.optim.SGD(
        problem.model.parameters(), lr=0.1, momentum=0.9, fused=fused
    )
    own = scaler(growth_interval=1000)

    def step() -> Tensor:
        return scaled_step(method, problem.loss, problem.model, problem.optimizer, own)

    clean = step()  # there is momentum to be left alone, and the method's state
    assert own.get_scale() == EXACT
    problem.model.calls = 0
    step()
    passes = problem.model.calls
    assert passes == (1 if method.cycle > 1 else method.forward_passes)
    for number in range(1, passes + 1):
        before, memory = problem.state(), kept(method)
        problem.model.calls, problem.model.overflow_in = 0, number
        loss = step()
        assert loss.isfinite()
        assert loss < clean  # of this step, whose pass at θ has no overflow in its forward part
        assert same(problem.state(), before), f"pass {number}"
        assert same(kept(method), memory), f"pass {number}"
        assert own.get_scale() == EXACT / 2**number
    problem.model.overflow_in = 0
    step()
    assert not same(problem.state(), before)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("fused", [False, True])
def test_an_overflow_in_the_first_step_is_none_of_the_second(
    optimizer: type[torch.optim.Optimizer], fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that an optimizer asks for and does not fill may hold anything."""
    plain = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: plain(*a, **k).fill_(torch.nan))
    states = []
    for overflow_in in (0, 1):
        problem = Problem(torch.float32, overflow_in=overflow_in)
        more = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
        problem.optimizer = optimizer(problem.model.parameters(), lr=0.1, fused=fused, **more)
        own = scaler(2 * EXACT if overflow_in else EXACT)
        for _ in range(2 if overflow_in else 1):
            loss = scaled_step(
                METHODS["sgd"](), problem.loss, problem.model, problem.optimizer, own
            )
        assert loss.isfinite()
        states.append(problem.state())
    assert all(value.isfinite().all() for value in states[0].values())
    assert same(*states)


class Shifted(nn.Module):
    """A parameter that saturates where it is infinite, and an overflow in its gradient alone."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(6))
        self.last = nn.Linear(6, 3)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.last(torch.tanh(x + Overflow.apply(self.shift, self.calls == 1)))


@pytest.mark.parametrize(
    "method", [UnnormalizedSAM(rho=0.1), ForwardGR(gamma=0.1, epsilon=0.1)], ids=str
)
def test_an_overflow_that_the_second_pass_does_not_see_is_known_of(method: Method) -> None:
    """θ' is infinite in a saturated unit, and the gradients there are finite."""
    problem = Problem(torch.float32)
    problem.model = Shifted()
    problem.optimizer = torch.optim.SGD(problem.model.parameters(), lr=0.1)
    own = scaler()
    before = problem.state()
    scaled_step(method, problem.loss, problem.model, problem.optimizer, own)
    assert problem.model.calls == 2
    assert same(problem.state(), before)
    assert own.get_scale() == EXACT / 2


@ALL
def test_infinite_activations_do_not_stay_in_running_statistics(method: Method) -> None:
    problem = Problem(torch.float32)
    with torch.no_grad():
        problem.model.first.weight.mul_(1e30)
    problem.inputs[0, 0] = torch.inf
    before = problem.state()
    scaled_step(method, problem.loss, problem.model, problem.optimizer, scaler())
    assert same(problem.state(), before)


class HostReads(TorchDispatchMode):
    """Counts reads of a number that the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ in ("_local_scalar_dense", "is_nonzero")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("fused", "reads"), [(False, 1), (True, 0)])
@ALL
def test_the_host_waits_where_pytorchs_scaler_does(method: Method, fused: bool, reads: int) -> None:
    problem = Problem(torch.float32)
    problem.optimizer = torch.optim.SGD(problem.model.parameters(), lr=0.1, fused=fused)
    own = scaler()

    def step() -> None:
        scaled_step(method, problem.loss, problem.model, problem.optimizer, own)

    step()
    with HostReads() as found:
        step()
    assert found.count == reads
    plain = copy.deepcopy(problem)
    plain.optimizer = torch.optim.SGD(plain.model.parameters(), lr=0.1, fused=fused)
    with HostReads() as pytorchs:
        own.scale(plain.loss()).backward()
        own.step(plain.optimizer)
        own.update()
    assert pytorchs.count == reads


def test_a_growing_scale_is_pytorchs() -> None:
    problem = Problem(torch.float32)
    own = scaler(growth_interval=2)
    for expected in (EXACT, 2 * EXACT, 2 * EXACT, 4 * EXACT):
        scaled_step(UnnormalizedSAM(), problem.loss, problem.model, problem.optimizer, own)
        assert own.get_scale() == expected
