"""The ways in which optimizers want to be called, and the one that an optimizer takes.

PyTorch's contract has two: ``step()`` after the gradient has been computed, and ``step(closure)``
for optimizers that evaluate the loss themselves, such as LBFGS. Implementations of SAM have a
third: the gradient first, and then ``step(closure)``. No signature tells them apart, so the right
one is found by trying.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum

import torch
from torch import Tensor


class Convention(Enum):
    """An order of gradients and steps."""

    PLAIN = "the gradient, then step()"
    CLOSURE = "step(closure), which computes every gradient"
    GRADIENT_FIRST = "the gradient, then step(closure)"


def take_step(
    optimizer: torch.optim.Optimizer,
    evaluate: Callable[[], Tensor],
    params: Sequence[Tensor],
    convention: Convention,
) -> list[Tensor]:
    """One step in a convention.

    Args:
        optimizer: of ``params``.
        evaluate: puts the gradient at the present parameters into every ``p.grad``, whatever was
            there, and returns the loss.
        params: the parameters.
        convention: the optimizer's.

    Returns:
        The losses of all evaluations, in order.
    """
    losses: list[Tensor] = []

    def closure() -> Tensor:
        with torch.enable_grad():
            losses.append(evaluate())
        return losses[-1]

    if convention is Convention.CLOSURE:
        for p in params:
            p.grad = None  # of an earlier step
    else:
        closure()
    if convention is Convention.PLAIN:
        optimizer.step()
    else:
        optimizer.step(closure)  # type: ignore[arg-type]  # a float, says PyTorch, and takes this
    return losses


def find_convention(
    make: Callable[[list[Tensor]], torch.optim.Optimizer],
) -> tuple[Convention, int]:
    """The first convention in which an optimizer takes a step on a small problem without an error,
    and the evaluations in that step.

    If there is none, it is :attr:`Convention.PLAIN`: the first real step will tell the error.

    Args:
        make: the optimizer of given parameters.
    """
    for convention in Convention:
        with suppress(Exception), torch.random.fork_rng(devices=[]):
            toy = torch.nn.Parameter(torch.eye(2))

            def evaluate(toy: torch.nn.Parameter = toy) -> Tensor:
                toy.grad = None
                loss = toy.square().sum()
                loss.backward()
                return loss.detach()

            losses = take_step(make([toy]), evaluate, [toy], convention)
            return convention, len(losses)
    return Convention.PLAIN, 1
