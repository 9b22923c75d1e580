"""Peak memory of a step, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from .device import Device, Work

if TYPE_CHECKING:
    from ..methods import Method


@dataclass(frozen=True)
class Memory:
    """Bytes allocated at the peak of a steady-state step, in parts that add up to the peak."""

    peak_bytes: int
    parameter_bytes: int
    gradient_bytes: int
    optimizer_state_bytes: int
    method_bytes: int
    """The method's between steps: its state, and such as the memory of θ'."""

    rest_bytes: int
    """Batch, buffers, activations and whatever else was alive at the peak."""

    peak_allocated_bytes: int | None = None
    """Of the whole process on a GPU, data set included; None where it is not counted."""

    peak_reserved_bytes: int | None = None
    """The same, with what the allocator holds of the GPU and has not given out."""


def measure_memory(
    step: Work,
    device: Device,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    method: Method,
    batch: Iterable[Tensor],
) -> Memory:
    """Read the peak of one step. Run two steps before, so that all lasting state is there.

    The step begins without gradients, as every method's does: what the step before left in
    ``p.grad`` is let go here, since the CPU's profiler cannot see older memory being freed.
    """
    parameters = list(model.parameters())
    state = optimizer_tensors(optimizer)
    if device.release_memory():
        step()  # so that what is reserved is what a steady step needs
    optimizer.zero_grad(set_to_none=True)
    method_bytes = method.workspace.nbytes + nbytes(
        leaf for leaf in tree_leaves(method.state_dict()) if isinstance(leaf, Tensor)
    )
    lasting = nbytes([*parameters, *state, *model.buffers(), *batch]) + method_bytes
    peak = lasting + device.peak_growth(step)
    gradient_bytes = nbytes(p.grad for p in parameters if p.grad is not None)
    parts = (nbytes(parameters), gradient_bytes, nbytes(state), method_bytes)
    return Memory(peak, *parts, peak - sum(parts), *device.peaks())


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The tensors of an optimizer's state, in lists and dictionaries too."""
    return [leaf for leaf in tree_leaves(optimizer.state_dict()) if isinstance(leaf, Tensor)]


def nbytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the distinct storages behind ``tensors``."""
    storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def saved_bytes(forward: Work) -> int:
    """Bytes that autograd keeps of a forward pass for the backward pass, parameters included."""
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return nbytes(saved)
