"""Methods, models and datasets as a user would plug them in, most of them ill-behaved."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gr_bench.methods import SGD, LossFunction
from gr_bench.workloads.datasets import Dataset, Part
from gr_bench.workloads.datasets.random import random_images

NOT_A_METHOD = 3


@dataclass(frozen=True)
class Plain(SGD):
    """SGD under another name, with a number that changes nothing."""

    gamma: float = 0.5
    name: ClassVar[str] = "plain"


@dataclass(frozen=True)
class Clashing(SGD):
    """SGD with a parameter that has the name of a column of every step-cost table."""

    rounds: float = 1.0
    name: ClassVar[str] = "clashing"


@dataclass(frozen=True)
class Scheduled(SGD):
    """SGD with a parameter of a known name that is no number."""

    gamma: str = "cosine"
    name: ClassVar[str] = "scheduled"


@dataclass(frozen=True)
class Tuned(SGD):
    """SGD with a parameter of every kind; ``harm`` times its direction is what it does."""

    harm: float = 0.0
    mode: str | float = "cosine"
    fast: bool = False
    layers: tuple[int, ...] = (1, 2)
    momentum: float = 0.5
    method_momentum: float = 0.25
    name: ClassVar[str] = "tuned"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        params = list(params)
        loss = super().backward(loss_fn, params)
        for p in params:
            p.grad = None if p.grad is None else (1 - self.harm) * p.grad
        return loss


@dataclass(frozen=True)
class Raises(SGD):
    """Fails in its first step."""

    name: ClassVar[str] = "raises"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        raise RuntimeError("<b>no</b> such\n| luck")


@dataclass(frozen=True)
class Counting(SGD):
    """SGD that counts its steps, from 1 in every process, whatever checkpoints say; ``at`` is one
    of them.
    """

    at: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_count", [0])

    def state_dict(self) -> dict[str, Any]:
        return {}

    def count(self) -> int:
        """The number of the step that begins."""
        self._count[0] += 1
        return self._count[0]


@dataclass(frozen=True)
class RaisesLater(Counting):
    """Fails in step ``at``, and in those that follow."""

    name: ClassVar[str] = "raises-later"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        step = self.count()
        if step >= self.at:
            raise RuntimeError(f"step {step}")
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class RaisesUnless(SGD):
    """Fails for as long as the file is not there."""

    path: str = ""
    name: ClassVar[str] = "raises-unless"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        if not os.path.exists(self.path):
            raise RuntimeError("not yet")
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class Killed(SGD):
    """Takes its whole process down, as the kernel does when memory runs out."""

    name: ClassVar[str] = "killed"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


@dataclass(frozen=True)
class DiesOnce(Counting):
    """Takes its process down at step ``at``, if the file is not there; makes it, and then writes
    how many steps another process makes.
    """

    at: int = 1
    path: str = os.devnull
    name: ClassVar[str] = "dies-once"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        file, step = Path(self.path), self.count()
        if not file.exists() and step == self.at:
            file.write_text(json.dumps({"died_at": self.at}))
            os.kill(os.getpid(), signal.SIGKILL)
        if file.exists():
            told = json.loads(file.read_text()) | {"went_on_with": step}
            file.write_text(json.dumps(told))
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class Hangs(SGD):
    """Never comes back; makes a file when it begins."""

    path: str = os.devnull
    name: ClassVar[str] = "hangs"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        Path(self.path).touch()
        time.sleep(3600)
        raise AssertionError("an hour")


@dataclass(frozen=True)
class Slow(SGD):
    """SGD with a pause, so that there is time to interrupt it."""

    pause_s: float = 0.1
    name: ClassVar[str] = "slow"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        time.sleep(self.pause_s)
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class Chatty(SGD):
    """Prints what looks like a message of the worker's, by every road to its standard output."""

    name: ClassVar[str] = "chatty"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        print('{"error": "printed"}', flush=True)
        os.write(1, b'{"error": "written"}\n')
        sys.__stdout__.write("no JSON at all\n")
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class Drawing(SGD):
    """SGD that draws random numbers of its own, to no purpose."""

    name: ClassVar[str] = "drawing"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        torch.rand(3)
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class Exploding(Counting):
    """Makes the loss of step ``at`` infinite, and those that follow."""

    name: ClassVar[str] = "exploding"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        loss = super().backward(loss_fn, params)
        return loss + float("inf") if self.count() >= self.at else loss


@dataclass(frozen=True)
class Overflowing(SGD):
    """The loss that it sees is finite, the step that it asks for is not."""

    name: ClassVar[str] = "overflowing"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        params = list(params)
        loss = super().backward(loss_fn, params)
        for p in params:
            p.grad.fill_(float("inf"))
        return loss


@dataclass(frozen=True)
class Hoarding(SGD):
    """SGD that keeps a copy of the parameters in its workspace."""

    name: ClassVar[str] = "hoarding"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        params = list(params)
        self.workspace.like(params)
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class Remembering(SGD):
    """The gradient averaged over steps, and turned round in every third."""

    beta: float = 0.9
    name: ClassVar[str] = "remembering"
    stackable: ClassVar[bool] = True

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        params = list(params)
        loss = super().backward(loss_fn, params)
        means = self.state.setdefault("means", [torch.zeros_like(p) for p in params])
        step = self.state["step"] = self.state.get("step", 0) + 1
        for p, mean in zip(params, means, strict=True):
            mean.mul_(self.beta).add_(p.grad, alpha=1 - self.beta)
            p.grad.copy_(mean if step % 3 else -mean)
        return loss


class Bare(nn.Module):
    """A model without parameters."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1)[:, : self.num_classes]


class Dropping(nn.Module):
    """A linear layer under dropout, with a buffer that its state dict leaves out."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(math.prod(input_shape), num_classes)
        self.register_buffer("passes", torch.zeros(()), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.passes.add_(1.0)
        scale = 1 / (1 + 0.01 * self.passes)
        logits: Tensor = self.linear(self.dropout(inputs.flatten(1))) * scale
        return logits


class Chain(nn.Module):
    """``depth`` square linear layers without biases: every product is as large as the others."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, *, depth: int) -> None:
        super().__init__()
        (features,) = input_shape
        assert features == num_classes
        self.layers = nn.Sequential(
            *(nn.Linear(features, features, bias=False) for _ in range(depth))
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


class Recurrent(nn.Module):
    """An LSTM in one kernel, and a linear layer on its last output."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, *, width: int = 6) -> None:
        super().__init__()
        _, features = input_shape
        self.layer = nn.LSTM(features, width, batch_first=True)
        self.head = nn.Linear(width, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.layer(inputs)[0][:, -1])


class Fourier(nn.Module):
    """A linear layer on the spectrum, which is made of no product that is counted."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        (features,) = input_shape
        self.layer = nn.Linear(features // 2 + 1, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(torch.fft.rfft(inputs).abs())


class _Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


class Once(nn.Module):
    """Can be differentiated once."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(math.prod(input_shape), num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        cubes: Tensor = _Cube.apply(0.1 * self.linear(inputs.flatten(1)))
        return cubes


def one_row() -> Dataset:
    """A single example in every part."""
    return random_images(shape=(2,), num_classes=3, samples=1)


def drawn(shape: tuple[int, ...] = (2,), samples: int = 150) -> Dataset:
    """Three overlapping classes, whose parts are drawn: there are other splits."""
    generator = torch.Generator().manual_seed(4)
    targets = torch.arange(samples) % 3
    inputs = torch.randn(samples, *shape, generator=generator) + targets.view(-1, *[1] * len(shape))
    return Dataset.from_arrays(inputs, targets, name="drawn")


def blobs(test_seed: int = 0, endless: str = "") -> Dataset:
    """Three well separated classes in the plane.

    ``test_seed`` changes the test part alone; the part called ``endless`` has infinite inputs.
    """

    def part(count: int, seed: int) -> Part:
        generator = torch.Generator().manual_seed(seed)
        targets = torch.arange(count) % 3
        centers = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 3.0]])
        return Part(centers[targets] + torch.randn(count, 2, generator=generator), targets)

    parts = {"train": part(96, 1), "validation": part(30, 2), "test": part(30, test_seed + 3)}
    if endless:
        parts[endless].inputs.fill_(float("inf"))
    return replace(one_row(), name="blobs", **parts)
