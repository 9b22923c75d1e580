"""Training methods that are each wrong in one way, for the rules that name them."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch._dynamo import OptimizedModule
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from gr_bench.methods import FriendlySAM, LossFunction, Method, SingleStepSAM, Step

_CALLS = itertools.count()


@dataclass(frozen=True)
class Right(Method):
    """F-GR with γ = ε as one would plug it in: nothing is wrong with it."""

    rho: float = 0.05
    name: ClassVar[str] = "right"
    passes: ClassVar[int] = 2
    family: ClassVar[str | None] = "unnormalized-sam"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        with Step(loss_fn, params) as step:
            loss = step.first()
            loss.backward()
            moved = step.with_gradient()
            ahead = self.ahead(moved)
            for p in moved:
                p.grad = None
            with step.at(moved, ahead):
                self.second(step)
            for p in moved:
                if p.grad is None:
                    p.grad = torch.zeros_like(p)
            return self.told(loss)

    def ahead(self, params: list[Tensor]) -> list[Tensor]:
        return [(p + self.rho * p.grad).detach() for p in params]

    def second(self, step: Step) -> None:
        step.again().backward()

    def told(self, loss: Tensor) -> Tensor:
        return loss.detach()


@dataclass(frozen=True)
class Elsewhere(Right):
    """One pass, at (1 + ρ)θ: nobody knows the loss at θ, and nothing else is wrong with it."""

    passes: ClassVar[int] = 1
    family: ClassVar[str | None] = None

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        with Step(loss_fn, params) as step:
            ahead = [(p * (1 + self.rho)).detach() for p in step.params]
            with step.at(step.params, ahead):
                loss = step.first()
                loss.backward()
            return self.told(loss)


@dataclass(frozen=True)
class Misreporting(Elsewhere):
    """Reports another loss than that of its only pass."""

    def told(self, loss: Tensor) -> Tensor:
        return 0.9 * loss.detach()


@dataclass(frozen=True)
class Drifting(Right):
    """Comes back by subtracting what it has added."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = [p for p in params if p.requires_grad]
        loss = super().backward(loss_fn, own)
        with torch.no_grad():
            for p in own:
                if p.grad is not None:
                    p.add_(self.rho).sub_(self.rho)
        return loss


@dataclass(frozen=True)
class MovingStatistics(Right):
    """Lets batch norm track the second pass, too."""

    def second(self, step: Step) -> None:
        norms: list[_BatchNorm] = []

        def note(module: nn.Module, _: object) -> None:
            if isinstance(module, _BatchNorm):
                module.track_running_stats = True
                norms.append(module)

        with register_module_forward_pre_hook(note):
            step.again().backward()


@dataclass(frozen=True)
class FreshMask(Right):
    """Draws another dropout mask in the second pass."""

    def second(self, step: Step) -> None:
        step._cpu_random_state = torch.manual_seed(7).get_state()
        super().second(step)


@dataclass(frozen=True)
class Evaluating(Right):
    """Leaves activations in evaluation mode."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        called: list[nn.Module] = []
        with register_module_forward_pre_hook(lambda module, _: called.append(module)):
            loss = super().backward(loss_fn, params)
        for module in called:
            if isinstance(module, nn.ReLU | nn.Flatten):
                module.eval()
        return loss


@dataclass(frozen=True)
class Swallowing(Right):
    """Takes the gradient of the first pass if the second one fails."""

    def second(self, step: Step) -> None:
        with suppress(RuntimeError):
            super().second(step)


@dataclass(frozen=True)
class Perturbed(Right):
    """Leaves the parameters at θ' after an exception."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = list(params)
        values: list[Tensor] = []

        def noting() -> Tensor:
            values[:] = [p.detach().clone() for p in own]
            return loss_fn()

        try:
            return super().backward(noting, own)
        except RuntimeError:
            for p, value in zip(own, values, strict=True):
                p.data = value
            raise


@dataclass(frozen=True)
class TellingTheSecond(Right):
    """Reports the loss at θ'."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        last: list[Tensor] = []

        def noting() -> Tensor:
            last[:] = [loss_fn()]
            return last[0]

        super().backward(noting, params)
        return last[0].detach()


@dataclass(frozen=True)
class Hiding(Right):
    """Reports 0 for a loss of NaN."""

    def told(self, loss: Tensor) -> Tensor:
        return torch.nan_to_num(loss.detach())


@dataclass(frozen=True)
class Dividing(Right):
    """SAM without a thought for a gradient of 0."""

    family: ClassVar[str | None] = "sam"

    def ahead(self, params: list[Tensor]) -> list[Tensor]:
        norm = torch.stack([p.grad.norm() for p in params if p.grad is not None]).norm()
        return [(p + self.rho * p.grad / norm).detach() for p in params]


@dataclass(frozen=True)
class Insisting(Right):
    """Needs a gradient for every parameter."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = [p for p in params if p.requires_grad]
        loss = super().backward(loss_fn, own)
        for p in own:
            p.grad = p.grad + 0
        return loss


@dataclass(frozen=True)
class Adding(Right):
    """Adds to what is in p.grad."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = list({id(p): p for p in params}.values())
        old = [p.grad for p in own]
        loss = super().backward(loss_fn, own)
        for p, before in zip(own, old, strict=True):
            if before is not None:
                p.grad.add_(before)
        return loss


@dataclass(frozen=True)
class Looking(Right):
    """Looks whether the loss is small."""

    def told(self, loss: Tensor) -> Tensor:
        return loss.detach() if loss > 0 else loss.detach().clone()


@dataclass(frozen=True)
class Hoarding(Right):
    """Holds two more copies of the parameters during the second pass."""

    def ahead(self, params: list[Tensor]) -> list[Tensor]:
        object.__setattr__(self, "_held", [[p.clone() for p in params] for _ in range(2)])
        return super().ahead(params)


@dataclass(frozen=True)
class Costly(Right):
    """Runs one pass more than it says."""

    def second(self, step: Step) -> None:
        step.again()
        super().second(step)


@dataclass(frozen=True)
class Drawing(Right):
    """Reports a loss with something in it that no seed governs."""

    def told(self, loss: Tensor) -> Tensor:
        return loss.detach() * (1 + 5e-7 * (next(_CALLS) % 2))


@dataclass(frozen=True)
class Forgetting(Right):
    """Adds momentum to its direction, and keeps it where no checkpoint looks."""

    family: ClassVar[str | None] = None

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = list({id(p): p for p in params}.values())
        loss = super().backward(loss_fn, own)
        kept: dict[int, Tensor] = self.__dict__.setdefault("_kept", {})
        for i, p in enumerate(own):
            if p.grad is not None:
                if i in kept:
                    p.grad.add_(kept[i], alpha=0.5)
                kept[i] = p.grad.clone()
        return loss


@dataclass(frozen=True)
class Halving(Right):
    """Steps half as far as its name says."""

    def ahead(self, params: list[Tensor]) -> list[Tensor]:
        return [(p + 0.5 * self.rho * p.grad).detach() for p in params]


@dataclass(frozen=True)
class Inert(Right):
    """Has a radius that never moves anything."""

    family: ClassVar[str | None] = None

    def ahead(self, params: list[Tensor]) -> list[Tensor]:
        return [p.detach().clone() for p in params]


@dataclass(frozen=True)
class Stale(Right):
    """Moves in place, unknown to autocast's cache of casts."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        right = torch.clear_autocast_cache
        if not torch.is_autocast_enabled("cpu"):
            return super().backward(loss_fn, params)
        torch.clear_autocast_cache = lambda: None
        try:
            return super().backward(loss_fn, params)
        finally:
            torch.clear_autocast_cache = right


@dataclass(frozen=True)
class Aliasing(Right):
    """Takes the p.grad that it has handed out for its own memory of it."""

    family: ClassVar[str | None] = None

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = list({id(p): p for p in params}.values())
        last: list[Tensor | None] = self.state.get("last", [])
        loss = super().backward(loss_fn, own)
        for p, before in zip(own, last, strict=False):
            if p.grad is not None and before is not None:
                p.grad.add_(before, alpha=0.5)
        self.state["last"] = [p.grad for p in own]
        return loss


@dataclass(frozen=True)
class Thawing(Right):
    """Asks every parameter for a gradient."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = list(params)
        for p in own:
            p.requires_grad_(True)
        return super().backward(loss_fn, own)


@dataclass(frozen=True)
class Doubling(Right):
    """Moves a parameter that is listed twice twice."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = list(params)
        often: dict[int, int] = {}
        for p in own:
            often[id(p)] = often.get(id(p), 0) + 1
        object.__setattr__(self, "_often", often)
        return super().backward(loss_fn, own)

    def ahead(self, params: list[Tensor]) -> list[Tensor]:
        often: dict[int, int] = self.__dict__["_often"]
        return [(p + often[id(p)] * self.rho * p.grad).detach() for p in params]


@dataclass(frozen=True)
class Flat(Right):
    """Puts its direction into memory of the usual format, and the parameters, too."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = list(params)
        loss = super().backward(loss_fn, own)
        for p in own:
            p.data = p.data.contiguous()
        return loss


@dataclass(frozen=True)
class Summing(Right):
    """Weights the second pass by the times that a layer is called."""

    def second(self, step: Step) -> None:
        calls: list[nn.Module] = []
        with register_module_forward_pre_hook(lambda module, _: calls.append(module)):
            loss = step.again()
        times = len(calls) / len({*calls}) if calls else 1
        (loss * times).backward()


@dataclass(frozen=True)
class Rounding(Right):
    """Keeps the parameters as precise as the activations are."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own, seen = list(params), set()
        with register_module_forward_hook(lambda *told: seen.add(told[2].dtype)):
            loss = super().backward(loss_fn, own)
        if torch.bfloat16 in seen:
            for p in own:
                p.data = p.data.to(torch.bfloat16).to(p.dtype)
        return loss


_LEVELLING: list[RemovableHandle] = []


@dataclass(frozen=True)
class Levelling(Right):
    """Has the next optimizer step all its groups at the first one's rate."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        def level(optimizer: torch.optim.Optimizer, *_: object) -> None:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.param_groups[0]["lr"]
            _LEVELLING.pop().remove()

        while _LEVELLING:
            _LEVELLING.pop().remove()
        _LEVELLING.append(register_optimizer_step_pre_hook(level))
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class Blinded(Right):
    """Takes a compiled model's loss for half of what it is."""

    def second(self, step: Step) -> None:
        called: list[nn.Module] = []
        with register_module_forward_pre_hook(lambda module, _: called.append(module)):
            loss = step.again()
        compiled = any(isinstance(module, OptimizedModule) for module in called)
        (loss * (0.5 if compiled else 1.0)).backward()


@dataclass(frozen=True)
class Resting(FriendlySAM):
    """Friendly SAM whose average stands still after its first step."""

    family: ClassVar[str] = "friendly-sam"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        kept = self.state.get("average")
        kept = None if kept is None else [t.clone() for t in kept]
        loss = super().backward(loss_fn, params)
        if kept is not None:
            self.state["average"] = kept
        return loss


@dataclass(frozen=True)
class Ahead(SingleStepSAM):
    """Single-step SAM that says it is momentum-SAM, whose ascent has the other sign."""

    mu: float = 0.0
    family: ClassVar[str] = "momentum-sam"


@dataclass(frozen=True)
class Raising(Right):
    """Raises in its first step."""

    def ahead(self, params: list[Tensor]) -> list[Tensor]:
        raise NotImplementedError("no such kernel")  # the line that is to be named


@dataclass(frozen=True)
class Hanging(Right):
    """Waits for every parameter to have a gradient."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = [p for p in params if p.requires_grad]
        loss = super().backward(loss_fn, own)
        while any(p.grad is None for p in own):
            time.sleep(0.01)  # the line that hangs
        return loss


@dataclass(frozen=True)
class Dying(Right):
    """Takes its process down where a parameter has no gradient."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = [p for p in params if p.requires_grad]
        loss = super().backward(loss_fn, own)
        if any(p.grad is None for p in own):
            os.abort()
        return loss


DEFECTS: dict[type[Method], str] = {
    Drifting: "parameters",
    MovingStatistics: "batch norm",
    FreshMask: "dropout",
    Evaluating: "switches",
    Swallowing: "exception",
    Perturbed: "exception",
    TellingTheSecond: "loss",
    Misreporting: "loss",
    Rounding: "autocast",
    Levelling: "groups",
    Blinded: "compile",
    Hiding: "loss not finite",
    Dividing: "zero gradient",
    Insisting: "no gradient",
    Adding: "left-over gradients",
    Looking: "synchronisation",
    Hoarding: "parameter copies",
    Costly: "gradient evaluations",
    Drawing: "determinism",
    Forgetting: "state",
    Halving: "formula",
    Inert: "acts",
    Stale: "autocast around",
    Summing: "accumulation",
    Aliasing: "clipping",
    Thawing: "frozen",
    Doubling: "tied",
    Flat: "channels-last",
}
"""Each method with the one rule that names it."""
