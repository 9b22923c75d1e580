"""Optimizers that wrap another one, as most implementations of SAM do, as methods.

Such an optimizer computes a gradient of its own and lets its base optimizer step with it. Here the
base optimizer is a :class:`Recorder`: it notes that gradient, and the caller's own optimizer steps
afterwards, as after every method.

The package's code runs as it is. Of a method's contract it keeps what it keeps: an implementation
that brings parameters back by subtracting, moves running statistics in every pass or draws a second
dropout mask does so here too, and nothing is put right. That is for a check of the contract to
tell. One that leaves parameters perturbed, by more than a rounding, is not measured.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, make_dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from gr_bench.methods import LossFunction, Method
from gr_bench.methods.spelling import is_number
from gr_bench.optimizers.convention import Convention, find_convention, take_step
from gr_bench.peers import BASE_OPTIMIZER


class Recorder(torch.optim.Optimizer):
    """A base optimizer that leaves the parameters alone, and notes the gradient at its step.

    Some optimizers take an instance and some a class. This is an instance that can be called as its
    class would be.
    """

    def __init__(self, params: Iterable[Any]) -> None:
        super().__init__(params, {})
        self.noted: dict[Tensor, Tensor | None] | None = None
        """Every parameter's gradient at the last step; None before it."""

    def __call__(self, params: Iterable[Any], **_: Any) -> Recorder:
        """Itself, with these parameters or groups of parameters."""
        super().__init__(params, {})
        return self

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Note the gradient; nothing is copied."""
        self.noted = {p: p.grad for group in self.param_groups for p in group["params"]}


@dataclass
class _Made:
    """A wrapped optimizer, once its parameters are known."""

    optimizer: Any
    base: Recorder
    model: nn.Module
    """It holds the modules that the loss function was seen to call."""


@dataclass(frozen=True)
class WrappedOptimizer(Method):
    """The direction that a wrapped optimizer hands to its base optimizer.

    One with ``first_step`` and ``second_step`` gets a pass before each, as tutorials have it. One
    without, and one that asks for the model to switch its running statistics, has its ``step``
    called by the convention that it follows (:mod:`gr_bench.optimizers.convention`).

    Its numbers are those of the optimizer, spelled in full. The state of the optimizer is the
    method's.
    """

    build: ClassVar[Callable[..., Any]]
    """The class, or a function that makes the optimizer."""

    roles: ClassVar[Mapping[str, str]]
    """The names by which it takes its ``base`` and, perhaps, ``params`` and ``model``."""

    passes: ClassVar[int] = 2
    exact: ClassVar[bool] = False

    _made: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False, kw_only=True
    )

    def __post_init__(self) -> None:
        for key, default in _numbers(self.build, self.roles).items():
            value = getattr(self, key)
            if isinstance(default, float) and is_number(value):
                object.__setattr__(self, key, float(value))

    def begin(self, params: Mapping[str, Tensor], steps: int) -> None:
        """See :meth:`Method.begin`."""
        self._of(list(params.values()))

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """Run the optimizer's step and put what its base was given into every ``p.grad``.

        Raises:
            RuntimeError: the base optimizer was not asked to step.
        """
        params = list(params)
        made = self._of(params)
        made.base.noted = None

        def evaluate() -> Tensor:
            for p in params:
                p.grad = None
            loss = loss_fn()
            loss.backward()
            return loss.detach()

        unseen = "model" in self.roles and not made.model._modules
        with register_module_forward_pre_hook(_adder(made.model)) if unseen else nullcontext():
            losses = self._step(made.optimizer, evaluate, params)
        if made.base.noted is None:
            raise RuntimeError(f"{self.name} took a step without its base optimizer's")
        for p in params:
            p.grad = made.base.noted.get(p)
        self.state["steps"] = self.state.get("steps", 0) + 1
        self.state["evaluations"] = self.state.get("evaluations", 0) + len(losses)
        return losses[0]

    @property
    def gradient_evaluations(self) -> float:
        """Calls of the loss function in a step: the mean so far; before the first one, those of a
        step on a small problem.
        """
        if not self.state.get("steps"):
            return 2 if self._in_two_steps else self._calls[1]
        mean: float = self.state["evaluations"] / self.state["steps"]
        return int(mean) if mean.is_integer() else mean

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`Method.state_dict`; the optimizer's is in it."""
        if "optimizer" not in self._made:
            return dict(self.state)
        return {**self.state, "wrapped": self._made["optimizer"].optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`Method.load_state_dict`; its parameters must be known (:meth:`begin`)."""
        own = dict(state)
        wrapped = own.pop("wrapped", None)
        super().load_state_dict(own)
        if wrapped is not None:
            self._made["optimizer"].optimizer.load_state_dict(wrapped)

    @property
    def _in_two_steps(self) -> bool:
        both = hasattr(self.build, "first_step") and hasattr(self.build, "second_step")
        return both and "model" not in self.roles

    @property
    def _calls(self) -> tuple[Convention, int]:
        if "calls" not in self._made:
            self._made["calls"] = find_convention(lambda toy: self._make(toy).optimizer)
        calls: tuple[Convention, int] = self._made["calls"]
        return calls

    def _step(
        self, optimizer: Any, evaluate: Callable[[], Tensor], params: list[Tensor]
    ) -> list[Tensor]:
        """One step of the optimizer; the losses of its passes."""
        if not self._in_two_steps:
            return take_step(optimizer, evaluate, params, self._calls[0])
        losses = [evaluate()]
        optimizer.first_step(zero_grad=True)
        losses.append(evaluate())
        optimizer.second_step(zero_grad=False)
        return losses

    def _of(self, params: list[Tensor]) -> _Made:
        """The optimizer of these parameters, made once."""
        if "optimizer" not in self._made:
            self._made["optimizer"] = self._make(params)
        made: _Made = self._made["optimizer"]
        return made

    def _make(self, params: list[Tensor]) -> _Made:
        base, model = Recorder(params), nn.Module()
        given = {"params": params, "base": base, "model": model}
        own = {name: given[role] for role, name in self.roles.items()}
        return _Made(type(self).build(**own, **self.parameters), base, model)


def _adder(model: nn.Module) -> Callable[[nn.Module, Any], None]:
    """A hook that makes every module that is called a part of ``model``."""

    def add(called: nn.Module, _: Any) -> None:
        if not any(called is there for there in model.modules()):
            model.add_module(str(len(model._modules)), called)

    return add


@cache
def as_method(build: Callable[..., Any]) -> type[WrappedOptimizer]:
    """The method that runs an optimizer with a base optimizer.

    Args:
        build: its class, or a function that makes it. It takes the base optimizer by the name
            ``base_optimizer`` or ``optimizer``, as an instance or as a class, and perhaps
            ``params`` and ``model``; all else are the method's numbers.
    """
    roles = _roles(build)
    numbers = _numbers(build, roles)
    fields: list[Any] = [
        (name, Any) if default is inspect.Parameter.empty else (name, Any, field(default=default))
        for name, default in numbers.items()
    ]
    package = build.__module__.partition(".")[0]
    name = getattr(build, "__name__", "wrapped")
    return make_dataclass(
        name,
        fields,
        bases=(WrappedOptimizer,),
        frozen=True,
        kw_only=True,
        namespace={
            # two packages have a SAM; a file's module has no name that anybody knows
            "name": name if package.startswith("gr_bench_plugin_") else f"{package}.{name}",
            "build": staticmethod(build),
            "roles": roles,
            "__doc__": inspect.getdoc(build),
        },
    )


def _roles(build: Callable[..., Any]) -> dict[str, str]:
    found = {}
    for name in inspect.signature(build).parameters:
        if name in BASE_OPTIMIZER:
            found["base"] = name
        elif name in ("params", "model"):
            found[name] = name
    return found


_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _numbers(build: Callable[..., Any], roles: Mapping[str, str]) -> dict[str, Any]:
    """The other parameters with their defaults; without those whose default cannot be spelled."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(build).parameters.items()
        if name not in roles.values()
        and parameter.kind not in _OPEN
        and (parameter.default is parameter.empty or _can_be_spelled(parameter.default))
    }


def _can_be_spelled(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_can_be_spelled, value))
    return value is None or isinstance(value, bool | int | float | str)
