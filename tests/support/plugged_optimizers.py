"""Optimizers as a user would plug them in: ones that evaluate the loss, and ones that wrap."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

Closure = Callable[[], Tensor]


class ClosureSAM(torch.optim.Optimizer):
    """SAM and a plain gradient step in one, by PyTorch's convention: two calls of the closure."""

    def __init__(self, params: Iterable[Tensor], lr: float, rho: float = 0.05) -> None:
        super().__init__(params, {"lr": lr, "rho": rho})

    def ascend(self) -> list[tuple[Tensor, Tensor]]:
        """Move to θ + ρ·g/‖g‖; returns every parameter with its value before."""
        group = self.param_groups[0]
        own = [p for p in group["params"] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in own]).norm()  # type: ignore[union-attr]
        kept = [(p, p.clone()) for p in own]
        for p in own:
            p.add_(p.grad * (group["rho"] / norm))  # type: ignore[operator]
        return kept

    def descend(self, kept: list[tuple[Tensor, Tensor]]) -> None:
        """Go back and step."""
        for p, value in kept:
            p.copy_(value)
            p.sub_(p.grad, alpha=self.param_groups[0]["lr"])  # type: ignore[arg-type]

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        assert closure is not None, "a closure is needed"
        loss = closure()
        kept = self.ascend()
        closure()
        self.descend(kept)
        return loss


class GradientFirstSAM(ClosureSAM):
    """The same by the other convention: the gradient at θ is there before the step."""

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        assert closure is not None, "a closure is needed"
        kept = self.ascend()
        loss = closure()
        self.descend(kept)
        return loss


class WrappingSAM(torch.optim.Optimizer):
    """SAM around a base optimizer, by PyTorch's convention, with a count that lasts.

    It takes the model, and has no running statistics tracked in the second pass.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        model: nn.Module,
        base_optimizer: Any,
        rho: float = 0.05,
        **settings: Any,
    ) -> None:
        super().__init__(params, {"rho": rho, "taken": 0})
        self.model = model
        self.base_optimizer = base_optimizer(self.param_groups, **settings)
        self.param_groups = self.base_optimizer.param_groups

    def track(self, tracks: bool) -> None:
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = tracks

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        assert closure is not None, "a closure is needed"
        loss = closure()
        group = self.param_groups[0]
        group["taken"] += 1
        own = [p for p in group["params"] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in own]).norm()
        for p in own:
            self.state[p]["before"] = p.clone()
            p.add_(p.grad * (group["rho"] / norm))
        self.track(False)
        closure()
        self.track(True)
        for p in own:
            p.copy_(self.state[p]["before"])
        self.base_optimizer.step()
        return loss


class Idle(torch.optim.Optimizer):
    """A wrapper whose base never steps."""

    def __init__(self, params: Iterable[Tensor], optimizer: Any) -> None:
        super().__init__(params, {})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Nothing."""


class Doubling(torch.optim.Optimizer):
    """A wrapper around an instance that doubles the gradient before its base steps, and lets go
    of it afterwards.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, factor: float = 2.0) -> None:
        super().__init__(optimizer.param_groups, {})
        self.optimizer, self.factor = optimizer, factor

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.mul_(self.factor)
        self.optimizer.step()
        self.zero_grad()


class Hoarding(torch.optim.SGD):
    """SGD whose state is in lists inside dictionaries: two copies of every parameter."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, lr)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for p in self.param_groups[0]["params"]:
            self.state[p].setdefault("kept", {"copies": [p.clone(), p.clone()]})


class Remembering(torch.optim.SGD):
    """SGD with an object in its state."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, lr)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        self.state[self.param_groups[0]["params"][0]]["object"] = Thing()


class Thing:
    """Nothing that is plain data."""


def no_rate(params: Iterable[Tensor]) -> torch.optim.Optimizer:
    """An optimizer that takes no learning rate."""
    return torch.optim.SGD(params, 0.1)


def no_optimizer(params: Iterable[Tensor], lr: float) -> int:
    """Something else."""
    return 3


def averaging(params: Iterable[Tensor], lr: float, beta: float = 0.9) -> torch.optim.Optimizer:
    """A function in the place of a class."""
    return torch.optim.SGD(params, lr, momentum=beta)
