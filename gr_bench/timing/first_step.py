"""The first step of a method, held to the part of its contract that costs nothing to see."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..methods.base import Method
from ..optimizers.convention import Convention

if TYPE_CHECKING:
    from .step import Training

BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""A whole number's type by its bytes."""

ROUNDINGS = 4
"""Units in the last place by which an entry may come back changed, of an adapter."""


class ContractBroken(Exception):
    """A method that did not do what every method must (:mod:`gr_bench.methods.base`)."""


class FirstStep:
    """A method's first step on some parameters; nothing is copied for it.

    Args:
        method: that is to make the step.
        params: as they are before it.
    """

    def __init__(self, method: Method, params: Iterable[Tensor]) -> None:
        self._method = method
        self._params = [p for p in params if p.requires_grad]
        self._before = self._fingerprint()

    def _fingerprint(self) -> list[int] | list[tuple[float, float]] | None:
        exact = getattr(type(self._method), "exact", True)  # a revision of before has no such word
        return _bits(self._params) if exact else _squares(self._params)

    def check(self) -> None:
        """Look at gradients and parameters, after ``backward`` and before the optimizer's step.

        Raises:
            ContractBroken: no parameter has a gradient, one is not as it was, or the method keeps
                something where no checkpoint finds it.
        """
        name = type(self._method).__name__
        if self._params and all(p.grad is None for p in self._params):
            raise ContractBroken(
                f"{name} left no gradient: backward must put one into every p.grad"
            )
        after = self._fingerprint()
        if self._before is not None and (
            after is None or not all(map(_alike, self._before, after))
        ):
            raise ContractBroken(
                f"{name} left parameters changed: after backward they must be as before, bit for "
                "bit; gr_bench.methods.Step moves them and back"
            )
        if lost := _unkept(self._method):
            raise ContractBroken(
                f"{name} keeps {lost} beside its state, where it is lost when a training is "
                f'interrupted: write self.state["{lost}"], or state_dict and load_state_dict'
            )


class StillParameters:
    """Parameters of a training whose learning rate is 0, under SGD: no later step moves them.

    A method that is not exact to the bit is not held to it, nor are parameters that are no longer
    finite.
    """

    def __init__(self, training: Training) -> None:
        self._name = type(training.method).__name__
        exact = getattr(type(training.method), "exact", True)
        self._params = [p for p in training.model.parameters() if p.requires_grad and exact]
        self._before = self._fingerprint()

    @torch.no_grad()
    def _fingerprint(self) -> list[int] | None:
        return _bits([p + 0.0 for p in self._params])  # -0 and 0 are the same

    def check(self) -> None:
        """Compare them with those of before, between samples.

        Raises:
            ContractBroken: they differ.
        """
        if self._before is None or self._fingerprint() == self._before:
            return
        if all(bool(p.isfinite().all()) for p in self._params):
            raise ContractBroken(
                f"{self._name} left parameters changed in a later step: after backward they must "
                "be as before, bit for bit; gr_bench.methods.Step moves them and back"
            )


@contextmanager
def first_step(training: Training) -> Iterator[None]:
    """Hold the first optimizer step inside to :class:`FirstStep`.

    Raises:
        ContractBroken: as in :meth:`FirstStep.check`, from inside the step.
    """
    if training.convention is Convention.CLOSURE:  # its gradients come inside its step
        yield
        return
    first = FirstStep(training.method, training.model.parameters())

    def check(*_: Any) -> None:
        handle.remove()
        first.check()

    handle = training.optimizer.register_step_pre_hook(check)
    try:
        yield
    finally:
        handle.remove()


def _unkept(method: Method) -> str | None:
    """An attribute that the method has given itself, unless it says itself what its state is."""
    cls = type(method)
    if cls.state_dict is not Method.state_dict:
        return None
    known = {own.name for own in fields(method)} | {"runs"}
    derived = {key for key in vars(method) if hasattr(getattr(cls, key, None), "attrname")}
    return next((key for key in vars(method) if key not in known | derived), None)


def _alike(before: int | tuple[float, float], after: int | tuple[float, float]) -> bool:
    if isinstance(before, int) or isinstance(after, int):
        return before == after
    if not math.isfinite(before[0]):
        return True  # of a training that has diverged: nothing can be told
    return abs(after[0] - before[0]) <= before[1]


@torch.no_grad()
def _bits(params: list[Tensor]) -> list[int] | None:
    """The sum of every parameter's bits; None where they have none, as of pretended tensors."""
    sums = [
        p.detach().reshape(-1).view(BITS[p.element_size()]).sum(dtype=torch.int64)
        for p in params
        if p.element_size() in BITS
    ]
    try:
        return [int(value) for value in torch.stack([s.cpu() for s in sums])] if sums else []
    except RuntimeError:  # without data
        return None


@torch.no_grad()
def _squares(params: list[Tensor]) -> list[tuple[float, float]] | None:
    """The sum of squares of every parameter, and how far off it may be by rounding each entry a few
    times; None as in :func:`_bits`.

    A sum would not see a gradient of softmax, which adds up to nothing over classes.
    """
    own = [p.detach() for p in params if p.is_floating_point()]
    norms = [torch.linalg.vector_norm(p, dtype=torch.float64) for p in own]
    try:
        return [
            (float(n) ** 2, 2 * ROUNDINGS * torch.finfo(p.dtype).eps * float(n) ** 2)
            for p, n in zip(own, norms, strict=True)
        ]
    except RuntimeError:  # without data
        return None
