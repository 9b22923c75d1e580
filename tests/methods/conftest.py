"""Small smooth nets in float64, a plug-in method, and what the tests read off them."""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from gr_bench.methods import (
    METHODS,
    Clipped,
    Combinator,
    Every,
    Late,
    LossFunction,
    Method,
    Ramp,
    Step,
    TwoPoint,
    Warmup,
    get,
)

CLASSES = 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These nets are too small for two: threads only get in each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# --- nets


class ResidualBlock(nn.Module):
    """x + bn(conv(silu(bn(conv(x)))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Attention(nn.Module):
    """Self-attention by explicit products and softmax, which have second derivatives."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        weights = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), dim=-1)
        return self.out(weights @ v)


class AttentionNet(nn.Module):
    """Image rows as tokens, a learned position, one pre-norm block, mean over tokens."""

    def __init__(self, tokens: int, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Linear(tokens, width)
        self.position = nn.Parameter(torch.randn(tokens, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = Attention(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.squeeze(1)) + self.position
        x = x + self.attention(self.norms[0](x))
        x = x + self.feed_forward(self.norms[1](x))
        return self.head(x.mean(dim=1))


def mlp(dropout: float = 0.0) -> nn.Module:
    drop = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(
        nn.Flatten(), nn.Linear(36, 12), nn.Tanh(), *drop, nn.Linear(12, 12), nn.Tanh(), *drop,
        nn.Linear(12, CLASSES),
    )  # fmt: skip


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), ResidualBlock(4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES),
    )  # fmt: skip


NETS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "batch-norm": convolutional,
    "attention": lambda: AttentionNet(tokens=6),
    "dropout": lambda: mlp(dropout=0.3),
}


@dataclass(eq=False)
class Problem:
    """A model with a mini-batch."""

    model: nn.Module
    inputs: Tensor = field(init=False)
    targets: Tensor = field(init=False)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        dtype = next(self.model.parameters()).dtype
        self.inputs = torch.randn(10, 1, 6, 6, generator=generator, dtype=dtype)
        self.targets = torch.randint(CLASSES, (10,), generator=generator)

    @property
    def params(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    def loss(self) -> Tensor:
        return nn.functional.cross_entropy(self.model(self.inputs), self.targets)

    def step(self, method: Method) -> Tensor:
        """A training's first step, from a fixed random state; returns the loss."""
        torch.manual_seed(1)
        begin_again(method)
        return method.backward(self.loss, self.params)

    def direction(self, method: Method) -> Tensor:
        """d as one long vector."""
        self.step(method)
        return torch.cat([p.grad.flatten() for p in self.params])

    def state(self) -> dict[str, Tensor]:
        """A copy of all parameters and buffers."""
        return {key: value.clone() for key, value in self.model.state_dict().items()}


def make_problem(model: nn.Module | str) -> Problem:
    if isinstance(model, str):
        torch.manual_seed(0)
        model = NETS[model]()
    return Problem(model.double())


@pytest.fixture(params=NETS)
def problem(request: pytest.FixtureRequest) -> Problem:
    """Each net in turn."""
    return make_problem(request.param)


@pytest.fixture(name="make_problem")
def _make_problem() -> Callable[[nn.Module | str], Problem]:
    """Builds a problem from a model, or from the name of a net."""
    return make_problem


# --- methods


def begin_again(method: Method) -> None:
    """Let the method forget its steps, so that the next one is a training's first.

    One that is made of others does the same in every step here, and stays in its training.
    """
    if not isinstance(method, Combinator):
        method.load_state_dict({})


def first_passes(method: Method) -> int:
    """Calls of the loss function in a training's first step, the longest of a cycle."""
    return math.ceil(method.forward_passes)


@dataclass(frozen=True)
class Extragradient(Method):
    """A plug-in, as short as they come: d = ∇L(θ - rate·g)."""

    rate: float = 0.1
    name: ClassVar[str] = "extragradient"
    passes: ClassVar[int] = 2

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        with Step(loss_fn, params) as step:
            loss = step.first()
            loss.backward()
            moved = step.with_gradient()
            ahead = [(p - self.rate * p.grad).detach() for p in moved]
            for p in moved:
                p.grad = None
            with step.at(moved, ahead):
                step.again().backward()
            return loss.detach()


@pytest.fixture
def plug_in() -> type[Method]:
    return Extragradient


def begun(method: Method, steps: int = 1) -> Method:
    """The method at the beginning of a training that it need not know the parameters of."""
    method.begin({}, steps)
    return method


COMBINED = {
    "warmup": lambda: begun(Warmup(get("gnp"), share=0)),
    "late, in time": lambda: begun(Late(get("sam"), share=1)),
    "late, too early": lambda: begun(Late(get("sam"), share=0)),
    "every": lambda: Every(get("c-gr"), k=1),
    "ramp": lambda: begun(Ramp(get("f-gr"))),
    "clipped": lambda: Clipped(get("b-gr"), norm=1e9),
    "nested": lambda: begun(Clipped(Late(Ramp(Every(get("c-gr"), k=1)), share=1), norm=1e9)),
}
"""Methods made of others that do the same in every step, and so keep a method's contract."""


@pytest.fixture(
    params=[*METHODS.values(), Extragradient, *COMBINED.values()],
    ids=[*METHODS, Extragradient.name, *COMBINED],
)
def method(request: pytest.FixtureRequest) -> Method:
    """Each built-in method and the plug-in, with default parameters; and some made of others."""
    return request.param()


@pytest.fixture(
    params=[cls for cls in METHODS.values() if issubclass(cls, TwoPoint)], ids=lambda cls: cls.name
)
def two_point(request: pytest.FixtureRequest) -> TwoPoint:
    """Each method of the two-point family, with default parameters."""
    return request.param()


# --- what is read off


def assert_same_state(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert actual.keys() == expected.keys()
    moved = [key for key in expected if not torch.equal(actual[key], expected[key])]
    assert not moved


@pytest.fixture(scope="session")
def contract() -> dict[str, Any]:
    """The tests of ``test_contract.py`` by name, for methods that the fixture does not make."""
    return runpy.run_path(str(Path(__file__).with_name("test_contract.py")))


@pytest.fixture(name="assert_same_state")
def _assert_same_state() -> Callable[[dict[str, Tensor], dict[str, Tensor]], None]:
    """Asserts that two state dicts are equal bit for bit; the failure names what differs."""
    return assert_same_state


@pytest.fixture
def relative_error() -> Callable[[Tensor, Tensor], float]:
    """‖a - b‖/‖b‖."""
    return lambda a, b: float((a - b).norm() / b.norm())


@pytest.fixture(name="begin_again")
def _begin_again() -> Callable[[Method], None]:
    return begin_again


@pytest.fixture(name="first_passes")
def _first_passes() -> Callable[[Method], int]:
    return first_passes


@pytest.fixture
def guarded(method):
    """Every method but SGD, which is the plain loop and undoes nothing after an exception."""
    if method.name == "sgd":
        pytest.skip("SGD is the plain loop")
    return method
