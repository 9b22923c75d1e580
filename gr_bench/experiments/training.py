"""A model, a batch and an optimizer put together as a cell says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gr_bench import registry
from gr_bench.errors import Unsupported
from gr_bench.experiments.base import Cell
from gr_bench.meters.device import Device, get_device
from gr_bench.methods import Method
from gr_bench.workloads.datasets import Dataset
from gr_bench.workloads.loss import cross_entropy

MIXED = "bfloat16-mixed"
"""The dtype of a cell with float32 parameters whose forward pass is cast to bfloat16."""


@dataclass
class Training:
    """Everything that one training step touches."""

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    """The model as training calls it: itself, or compiled."""

    optimizer: torch.optim.Optimizer
    method: Method
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    """What the forward pass runs under (see :func:`autocast`)."""

    def step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """One step on one mini-batch; returns the detached loss before it."""
        loss = self.method.backward(self.loss_on(inputs, targets), self.model.parameters())
        self.optimizer.step()
        return loss

    def loss_on(self, inputs: Tensor, targets: Tensor) -> Callable[[], Tensor]:
        """The loss function of one mini-batch."""

        def loss() -> Tensor:
            with self.autocast():
                return cross_entropy(self.forward(inputs), targets)

        return loss


def parameter_dtype(dtype: str) -> torch.dtype:
    """Of parameters and data: under mixed precision, float32."""
    found: torch.dtype = torch.float32 if dtype == MIXED else getattr(torch, dtype)
    return found


def autocast(dtype: str, device: Device) -> Callable[[], AbstractContextManager[object]]:
    """What training's forward passes run under: ``torch.autocast`` to bfloat16, or nothing.

    Parameters, gradients and optimizer state stay in float32. Evaluation, the gradient norm and the
    Hessian are those of the float32 network.
    """
    if dtype == MIXED:
        return lambda: torch.autocast(device.torch_device.type, torch.bfloat16)
    return nullcontext


def load_data(cell: Cell) -> tuple[Device, Dataset]:
    """The cell's device, and its dataset there.

    Raises:
        RequestError: no such device or dataset here.
        ValueError: the training part is smaller than one batch.
    """
    device = get_device(cell.device)
    data = registry.build_dataset(cell.dataset)
    count = len(data.train)
    if cell.batch_size > count:
        raise ValueError(f"batch size {cell.batch_size} is more than the {count} training examples")
    return device, data.to(device.torch_device, parameter_dtype(cell.dtype))


def build_training(
    cell: Cell,
    data: Dataset,
    device: Device,
    *,
    seed: int,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> Training:
    """A fresh model (initialised from ``seed``) with momentum SGD and the cell's method.

    Raises:
        RequestError: a name or value that the registry refuses.
        Unsupported: a method that differentiates twice, in a compiled cell.
    """
    method = registry.build_method(cell.method)
    if cell.compiled and method.needs_second_derivatives:
        raise Unsupported(f"{method.name} differentiates twice, which torch.compile does not allow")
    torch.manual_seed(seed)
    network = registry.build_model(cell.model, data.input_shape, data.num_classes)
    network = network.to(device.torch_device, parameter_dtype(cell.dtype))
    optimizer = torch.optim.SGD(
        network.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay
    )
    forward = torch.compile(network) if cell.compiled else network
    return Training(network, forward, optimizer, method, autocast(cell.dtype, device))
