"""A model, a batch and an optimizer put together as a cell says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gr_bench import registry
from gr_bench.errors import Unsupported
from gr_bench.methods import Method
from gr_bench.workloads.loss import cross_entropy


@dataclass
class Training:
    """Everything that one training step touches."""

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    """The model as training calls it: itself, or compiled."""

    optimizer: torch.optim.Optimizer
    method: Method

    def step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """One step on one mini-batch; returns the detached loss before it."""
        loss = self.method.backward(self.loss_on(inputs, targets), self.model.parameters())
        self.optimizer.step()
        return loss

    def loss_on(self, inputs: Tensor, targets: Tensor) -> Callable[[], Tensor]:
        """The loss function of one mini-batch."""
        return lambda: cross_entropy(self.forward(inputs), targets)


def build_training(
    *,
    method: str,
    model: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    device: torch.device,
    dtype: torch.dtype,
    seed: int,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    compiled: bool,
) -> Training:
    """A fresh model (initialised from ``seed``) with momentum SGD and a method.

    Raises:
        RequestError: a name or value that the registry refuses.
        Unsupported: a method that differentiates twice, with ``compiled``.
    """
    rule = registry.build_method(method)
    if compiled and rule.needs_second_derivatives:
        raise Unsupported(f"{rule.name} differentiates twice, which torch.compile does not allow")
    torch.manual_seed(seed)
    network = registry.build_model(model, input_shape, num_classes).to(device, dtype)
    forward = torch.compile(network) if compiled else network
    optimizer = torch.optim.SGD(
        network.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay
    )
    return Training(network, forward, optimizer, rule)
