"""Many training runs in one step: each method's numbers as vectors, a loss for every run.

In a fleet of R runs every parameter is stacked along a first axis, (R, ...), ``loss_fn`` returns R
losses, (R,), and run r's loss depends on slice r of the parameters alone. The gradient of their sum
is then every run's own gradient, and the methods' formulas hold run by run once numbers that differ
are vectors too: that is what :func:`stack` makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from .base import Method, Number, Workspace
from .combinators.combinator import INSIDE, Combinator

M = TypeVar("M", bound=Method)


def stack(methods: Sequence[M], device: torch.device | str = "cpu") -> M:
    """One method for a fleet: of the same class, each number a float64 tensor (R,) on ``device``.

    The numbers stay in float64, as Python's are, until they meet a tensor (:func:`per_run`). One
    that is the same for all runs stays the number that it is: a GPU multiplies many tensors by it
    in a few launches, and by a vector in one launch each.

    Args:
        methods: one for each run, all of one class; so are the methods inside them.

    Raises:
        ValueError: none, different classes, one that is not stackable, or parameters that differ
            and are no floats, or that runs must have alike, as :attr:`Method.period`.
    """
    classes = {type(method) for method in methods}
    if len(classes) != 1:
        raise ValueError("a fleet needs methods of one class, at least one")
    (cls,) = classes
    if not vars(cls).get("stackable"):
        raise ValueError(f"{cls.name} is not stackable")
    stacked = object.__new__(cls)
    object.__setattr__(stacked, "workspace", Workspace())
    object.__setattr__(stacked, "state", {})
    object.__setattr__(stacked, "runs", len(methods))
    if isinstance(stacked, Combinator):
        stacked.put_inside(stack([getattr(method, INSIDE) for method in methods], device))
    for name in methods[0].parameters:
        values = [getattr(method, name) for method in methods]
        if len({*values}) == 1:
            object.__setattr__(stacked, name, values[0])
        elif name == cls.period or (isinstance(stacked, Combinator) and name in stacked.common):
            raise ValueError(f"{cls.name} cannot be stacked: runs differ in {name}")
        elif not all(isinstance(value, float) for value in values):
            raise ValueError(f"{cls.name} cannot be stacked: {name} is not a number")
        else:
            numbers = torch.tensor(values, dtype=torch.float64, device=device)
            object.__setattr__(stacked, name, numbers)
    return stacked


def is_stacked(method: Method) -> bool:
    """True of a method for a fleet, of one run, too."""
    return "runs" in vars(method)


def per_run(value: Tensor, like: Tensor) -> Tensor:
    """``value``, a number for every run (R,) or for all (), so that it broadcasts over ``like``."""
    return value.to(like).view(value.shape + (1,) * (like.ndim - 1) if value.ndim else ())


def per_run_each(value: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """:func:`per_run` for many tensors, with one conversion for each dtype and device."""
    of = {(t.dtype, t.device): t for t in like}
    converted = {key: value.to(t) for key, t in of.items()}
    return [per_run(converted[t.dtype, t.device], t) for t in like]


def root_gradient(method: Method, loss: Tensor, weight: Number = 1.0) -> Tensor | None:
    """The gradient at which autograd begins, for weight·loss summed over the runs; None for 1, and
    for a loss that should be a scalar and is not, which autograd then refuses.
    """
    if loss.ndim and not is_stacked(method):
        return None
    if isinstance(weight, Tensor):
        return per_run(weight, loss).expand_as(loss)
    if weight != 1 or method.runs > 1:
        return torch.full_like(loss, weight)
    return None


def differentiate(method: Method, loss: Tensor, weight: Number = 1.0) -> None:
    """Accumulate the gradient of weight·loss, summed over the method's runs, into ``p.grad``.

    Raises:
        RuntimeError: from autograd, if the loss of a method that is not stacked is no scalar.
    """
    loss.backward(root_gradient(method, loss, weight))
