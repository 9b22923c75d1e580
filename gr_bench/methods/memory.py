"""The memory of earlier steps: tensors like the parameters, in :attr:`Method.state`.

They belong to the parameters given, one for each in their order, and are those parameters' own
units: never scaled by a gradient scaler. A parameter without a gradient in a step keeps what it
has, as in PyTorch's optimizers. They are written at the end of a step, in place, and all at once:
the step before them may fail, and captured graphs know their addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .base import Number
from .fleet import per_run_each
from .step import Step


@contextmanager
def unchanged_by_errors(state: dict[str, Any]) -> Iterator[None]:
    """Let ``state`` have the entries that it had before, if the ``with`` ends by an exception."""
    before = dict(state)
    try:
        yield
    except BaseException:
        state.clear()
        state.update(before)
        raise


def remembered(
    state: dict[str, Any], name: str, step: Step, params: Sequence[Tensor]
) -> list[Tensor]:
    """The tensors that ``state`` has under ``name`` for ``params``; 0 for one that is new to it.

    Args:
        state: of the method; its entry has None for a parameter that was never trained.
        name: of the entry.
        step: the present one.
        params: some of the step's.
    """
    own: list[Tensor | None] = list(state.get(name, ()))
    if len(own) != len(step.given):
        own = [None] * len(step.given)
    state[name] = own
    places = {id(p): i for i, p in enumerate(step.given)}
    found = []
    for p in params:
        place = places[id(p)]
        value = own[place]
        if value is None or not _fits(value, p):
            own[place] = value = torch.zeros_like(p, requires_grad=False)
        found.append(value)
    return found


def _fits(value: Tensor, p: Tensor) -> bool:
    return value.shape == p.shape and value.dtype == p.dtype and value.device == p.device


@torch.no_grad()
def remember(
    memory: list[Tensor],
    values: list[Tensor],
    weight: Number = 1.0,
    *,
    where: Tensor | None = None,
) -> None:
    """memory <- (1 - weight)·memory + weight·values, in place.

    Args:
        memory: see :func:`remembered`.
        values: of the same shapes.
        weight: in [0, 1]; in a fleet perhaps one for each run, (R,).
        where: one truth value on the device; where it is false nothing changes. See
            :meth:`LossScale.is_finite`.
    """
    if where is not None:
        values = [torch.where(where, v, m) for v, m in zip(values, memory, strict=True)]
    if isinstance(weight, Tensor):
        for m, v, own in zip(memory, values, per_run_each(weight, memory), strict=True):
            m.lerp_(v, own)
    elif weight == 1:
        torch._foreach_copy_(memory, values)
    else:
        torch._foreach_lerp_(memory, values, weight)
