"""The method that is asked, and the small training problems on which it steps."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.methods import LossFunction, Method
from gr_bench.optimizers.eager import SGD as EagerSGD
from gr_bench.workloads.loss import cross_entropy

SEED = 1
"""Of data, models and masks."""

BATCH, CLASSES = 8, 10
IMAGES = (3, 8, 8)

WITH_BATCH_NORM = "resnet-8(width=4)"
WITH_DROPOUT = "mlp(depth=3, width=64, dropout=0.5)"
PLAIN = "mlp(depth=2, width=32)"

MOST_STEPS = 12
"""Steps that a rule takes at most, for a method whose steps differ."""

LEARNING_RATE = 0.05


@dataclass
class Problem:
    """A model with a mini-batch and an optimizer.

    Args:
        model: with a float input.
        inputs: (B, ...) in the model's dtype.
        targets: (B,) classes.
    """

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = EagerSGD(
            self.model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=0.0
        )

    def loss(self) -> Tensor:
        """A forward pass."""
        return cross_entropy(self.model(self.inputs), self.targets)

    def backward(
        self,
        method: Method,
        loss_fn: LossFunction | None = None,
        seed: int = SEED,
        params: Iterable[Tensor] | None = None,
    ) -> Tensor:
        """The method's part of a step, from a fixed random state; returns what it returns."""
        torch.manual_seed(seed)
        loss = _InParts(self, loss_fn or self.loss)
        return method.backward(loss, self.model.parameters() if params is None else params)

    def advance(self) -> None:
        """The optimizer's part of a step; afterwards there is no gradient."""
        self.optimizer.step()
        self.optimizer.zero_grad()

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """By name."""
        return dict(self.model.named_parameters())

    def direction(self) -> Tensor:
        """The ``p.grad`` of all parameters as one vector; zeros where there is none."""
        return torch.cat(
            [
                (torch.zeros_like(p) if p.grad is None else p.grad).detach().flatten()
                for p in self.model.parameters()
            ]
        )

    def twin(self) -> Problem:
        """A problem of its own in the same state, with a new optimizer."""
        return Problem(copy.deepcopy(self.model), self.inputs, self.targets)


class _InParts:
    """A problem's loss that a method may also take of micro-batches (see
    :class:`gr_bench.methods.DivisibleLoss`), whatever is noted around it.
    """

    def __init__(self, problem: Problem, loss_fn: LossFunction) -> None:
        self._problem = problem
        self._loss_fn = loss_fn

    def __call__(self) -> Tensor:
        return self._loss_fn()

    def parts(self, count: int) -> list[LossFunction]:
        problem = self._problem
        if len(problem.inputs) % count:
            raise ValueError(f"a mini-batch of {len(problem.inputs)} has no {count} equal parts")
        pieces = zip(problem.inputs.chunk(count), problem.targets.chunk(count), strict=True)
        return [partial(self._of, *piece) for piece in pieces]

    def _of(self, inputs: Tensor, targets: Tensor) -> Tensor:
        problem, whole = self._problem, (self._problem.inputs, self._problem.targets)
        problem.inputs, problem.targets = inputs, targets
        try:
            return self._loss_fn()
        finally:
            problem.inputs, problem.targets = whole


@dataclass(frozen=True)
class Subject:
    """A method to be asked.

    Args:
        spec: the method, as in suites.
        model: in the place of the usual models; None for these.
        compiled: True to ask what needs PyTorch's compiler, too.
    """

    spec: str
    model: str | None = None
    compiled: bool = False

    def method(self, problem: Problem, steps: int | None = None) -> Method:
        """A fresh one, told of a training on the problem of so many steps."""
        method = registry.build_method(self.spec)
        method.begin(problem.parameters, steps or method.cycle)
        return method

    @property
    def span(self) -> int:
        """Steps after which a method has done all that it does: a cycle and one, two at least."""
        return min(MOST_STEPS, 1 + max(1, registry.build_method(self.spec).cycle))

    def general(self, *usual: str) -> list[Problem]:
        """Problems for a rule that takes any model."""
        return [image_problem(model) for model in ([self.model] if self.model else usual)]

    def steps(self, problem: Problem) -> Iterator[Method]:
        """The method before each step of a short training, which goes on as it is asked for."""
        method = self.method(problem, self.span)
        for _ in range(self.span):
            yield method
            problem.advance()


def image_problem(model: str, dtype: torch.dtype = torch.float32) -> Problem:
    """A registered model on a few random images.

    Raises:
        RequestError: no such model, or none for images.
    """
    torch.manual_seed(SEED)
    built = registry.build_model(model, IMAGES, CLASSES).to(dtype)
    problem = problem_of(built)
    try:
        copy.deepcopy(built)(problem.inputs)
    except Exception as error:
        shape = " x ".join(map(str, IMAGES))
        raise RequestError(
            f"model {model!r} takes no images of {shape}, which methods are checked on: {error}"
        ) from error
    return problem


def problem_of(model: nn.Module) -> Problem:
    """A model for images with a mini-batch in its dtype."""
    generator = torch.Generator().manual_seed(SEED)
    dtype = next(model.parameters()).dtype
    inputs = torch.randn(BATCH, *IMAGES, generator=generator).to(dtype)
    return Problem(model, inputs, torch.arange(BATCH) % CLASSES)


def same_bits(a: Tensor, b: Tensor) -> bool:
    """True if two tensors of one shape and dtype are equal bit for bit, NaN and -0 included."""
    a, b = (t.detach().contiguous().view(-1).view(torch.uint8) for t in (a, b))
    return torch.equal(a, b)


def relative_error(a: Tensor, b: Tensor) -> float:
    """‖a - b‖/‖b‖; 0 where both are 0."""
    error, norm = float((a - b).norm()), float(b.norm())
    return error / norm if norm else error
