"""The contract of the methods, kept on the device: parameters, batch norm, dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gr_bench import registry
from gr_bench.doctor.check import Check, Tell
from gr_bench.doctor.steps import step_on
from gr_bench.meters.device import Device
from gr_bench.timing.step import TimedStep

M = TypeVar("M", bound=nn.Module)

BATCH = 8
DATA = f"random(shape=(3, 8, 8), samples={BATCH})"
WITH_BATCH_NORM = "resnet-8(width=4)"
WITH_DROPOUT = "mlp(depth=3, width=64, dropout=0.5)"

SEED = 1
"""Of the masks."""

ROUNDINGS = 1e-4
"""Relative error of running statistics that another kernel's rounding explains; a second move is
a thousand times that."""

Judge = Callable[[Device, str], str | None]
"""From a method's spec to what it breaks, in words; None if nothing."""


def check_contract(device: Device, seconds: float, tell: Tell) -> Iterator[Check]:
    """Every built-in method on a net with batch norm and on one with dropout."""
    yield judge_methods(device, "parameters", "bit-exact after a step", _parameters, tell)
    yield judge_methods(device, "batch norm", "moves once a step", _batch_norm, tell)
    yield judge_methods(device, "dropout", "one mask a step", _dropout, tell)


def judge_methods(device: Device, name: str, kept: str, judge: Judge, tell: Tell) -> Check:
    """One rule, asked of every built-in method with its default numbers."""
    broken = {}
    for spec in registry.METHODS.built_in:
        tell()
        try:
            words = judge(device, spec)
        except Exception as error:  # a method that raises keeps no contract
            words = f"{type(error).__name__}: {error}"
        if words is not None:
            broken[spec] = words
    measured = {"methods": len(registry.METHODS.built_in), "broken": ", ".join(broken) or None}
    if not broken:
        return Check(name, "pass", f"{kept}: {measured['methods']} methods", measured)
    spec, words = next(iter(broken.items()))
    others = f" (and {', '.join([*broken][1:])})" if len(broken) > 1 else ""
    return Check(
        name,
        "fail",
        f"{spec}{others}: {words}",
        measured,
        f"use neither times nor results of {', '.join(broken)} from this device: the method "
        "computes something else here",
    )


def _parameters(device: Device, spec: str) -> str | None:
    """Compare every parameter's bits."""
    for model in (WITH_BATCH_NORM, WITH_DROPOUT):
        step = step_on(device, spec, model, DATA, BATCH)
        before = {name: p.detach().clone() for name, p in step.training.model.named_parameters()}
        backward(step)
        for name, p in step.training.model.named_parameters():
            if not _same_bits(p.detach(), before[name]):
                changed = int((p.detach() != before[name]).sum())
                return f"{changed} entries of {name} are not what they were"
    return None


def _batch_norm(device: Device, spec: str) -> str | None:
    """Compare running statistics with those that one forward pass leaves."""
    step, plain = (step_on(device, spec, WITH_BATCH_NORM, DATA, BATCH) for _ in range(2))
    backward(step)
    plain.training.forward(plain.batch[0])
    norms = zip(_of_type(step, _BatchNorm), _of_type(plain, _BatchNorm), strict=True)
    for own, once in norms:
        moves = int(_number(own.num_batches_tracked))
        if moves != 1:
            return f"statistics moved {moves} times"
        for found, expected in (
            (own.running_mean, once.running_mean),
            (own.running_var, once.running_var),
        ):
            assert found is not None
            assert expected is not None
            if float((found - expected).norm()) > ROUNDINGS * float(expected.norm()):
                return "running statistics are not those of one pass"
    return None


def _dropout(device: Device, spec: str) -> str | None:
    """Compare the masks of the passes of a step, and the random state after it."""
    step, plain = (step_on(device, spec, WITH_DROPOUT, DATA, BATCH) for _ in range(2))
    passes: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}
    for module in _of_type(step, nn.Dropout):
        passes[module] = []
        module.register_forward_hook(partial(_note_mask, passes))
    torch.manual_seed(SEED)
    backward(step)
    for masks in passes.values():
        first_dropped, first_live = masks[0]
        for dropped, live in masks[1:]:
            if bool(((dropped != first_dropped) & live & first_live).any()):
                return "a later pass draws another mask"
    after = _random_state(device)
    torch.manual_seed(SEED)
    plain.training.forward(plain.batch[0])
    if not torch.equal(after, _random_state(device)):
        return "the random state after a step is not that after one pass"
    return None


def backward(step: TimedStep) -> Tensor:
    """The method's part of a step, without the optimizer's."""
    training = step.training
    return training.method.backward(training.loss_on(*step.batch), training.model.parameters())


def _note_mask(
    passes: dict[nn.Module, list[tuple[Tensor, Tensor]]],
    module: nn.Module,
    inputs: tuple[Tensor],
    output: Tensor,
) -> None:
    """Note where the output is 0, and where that is the mask's doing."""
    passes[module].append((output.detach() == 0, inputs[0].detach() != 0))


def _of_type(step: TimedStep, kind: type[M]) -> Iterable[M]:
    return (module for module in step.training.model.modules() if isinstance(module, kind))


def _number(tensor: Tensor | None) -> float:
    assert tensor is not None
    return float(tensor)


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(*(t.contiguous().view(-1).view(torch.uint8) for t in (a, b)))


def _random_state(device: Device) -> Tensor:
    if device.torch_device.type == "cuda":
        return torch.cuda.get_rng_state(device.torch_device)
    return torch.get_rng_state()
