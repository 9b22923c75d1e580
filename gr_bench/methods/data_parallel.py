"""Methods on a model in ``DistributedDataParallel``: of the whole batch, or worker by worker.

K workers hold the same θ and a part of the batch each; worker k's loss is L_k, the batch's is their
mean L. The wrapper replaces ``p.grad`` by its mean over workers whenever a backward pass has
accumulated into it. So every method is that of L as it stands: the perturbation is the same on all
workers, and each pass is reduced. :class:`PerWorker` keeps the perturbation to the worker and
reduces the last pass alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from .base import Method


class PerWorker:
    """A loss function for one step of the method on every worker's own part of the batch.

    The direction is d = mean over k of d_k, with d_k what the method makes of L_k alone. For SAM it
    is m-sharpness: d = mean of ∇L_k(θ + ρ·g_k/‖g_k‖). Passes before the last are not reduced, so
    that a step of two passes sends as much as one of SGD. A direction that is not linear in its
    last gradient, as GSAM's and LookSAM's, is averaged after the step instead. A method whose only
    pass is where past directions lead perturbs alike on all workers, with this or without.

        method.backward(PerWorker(loss_fn, model, method), model.parameters())

    Args:
        loss_fn: runs a forward pass of ``model`` on this worker's part and returns its mean loss.
        model: the wrapped model.
        method: whose step it is; its :attr:`~gr_bench.methods.Method.forward_passes` say which pass
            is the last.

    Raises:
        ValueError: the wrapper has a static graph, which allows no pass without a reduction; or the
            method's steps differ in their passes.

    Source: Foret et al., ICLR 2021 (arXiv 2010.01412), section 4.1 (m-sharpness).
    """

    per_worker = True
    """The mark by which a step knows it, also inside another loss function."""

    def __init__(
        self, loss_fn: Callable[[], Tensor], model: DistributedDataParallel, method: Method
    ) -> None:
        if method.cycle > 1 and method.period is None:  # LookSAM averages its own directions
            raise ValueError(f"a perturbation per worker needs steps that are alike: {method}")
        if model.static_graph and method.forward_passes > 1:
            raise ValueError("a perturbation per worker needs static_graph=False")
        self._loss_fn = loss_fn
        self.model = model
        self._passes_to_come = math.ceil(method.forward_passes)  # of the longest step of a cycle

    def __call__(self) -> Tensor:
        """The loss of the next pass; its forward pass decides whether gradients are reduced.

        Raises:
            RuntimeError: the method has had its passes.
        """
        if not self._passes_to_come:
            raise RuntimeError(
                "more passes than the method's forward_passes say: one object a step"
            )
        self._passes_to_come -= 1
        with self.model.no_sync() if self._passes_to_come else nullcontext():
            return self._loss_fn()


@torch.no_grad()
def mean_over_workers(tensors: Sequence[Tensor], model: DistributedDataParallel) -> list[Tensor]:
    """The mean of every tensor over the workers of ``model``, in one message a dtype and device."""
    alike: dict[tuple[torch.dtype, torch.device], list[int]] = defaultdict(list)
    for i, tensor in enumerate(tensors):
        alike[tensor.dtype, tensor.device].append(i)
    means = list(tensors)
    for places in alike.values():
        flat = torch.cat([tensors[i].reshape(-1) for i in places])
        distributed.all_reduce(flat, group=model.process_group)
        flat /= distributed.get_world_size(model.process_group)
        parts = flat.split([tensors[i].numel() for i in places])
        for i, part in zip(places, parts, strict=True):
            means[i] = part.view_as(tensors[i])
    return means


def mean_gradients(params: Sequence[Tensor], model: DistributedDataParallel) -> list[Tensor | None]:
    """The mean of every ``p.grad`` over the workers of ``model``, in memory of its own.

    A worker without a gradient counts as 0; where none has one, in a model that looks for unused
    parameters (and then waits for the device, as it does itself), the mean is None.
    """
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
    means = mean_over_workers(gradients, model)
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.detach().copy_(mean)
    if not model.find_unused_parameters or not params:
        return list(gradients)
    have = torch.tensor([float(p.grad is not None) for p in params], device=params[0].device)
    (shares,) = mean_over_workers([have], model)
    return [g if share else None for g, share in zip(gradients, shares.tolist(), strict=True)]
