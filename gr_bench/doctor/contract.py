"""The contract of the methods, kept on the device: parameters, batch norm, dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gr_bench import registry
from gr_bench.checks.side_effects import (
    RANDOM_STATE,
    Masks,
    batch_norm_counts,
    moved,
    statistics_fault,
)
from gr_bench.checks.subject import SEED, WITH_BATCH_NORM, WITH_DROPOUT
from gr_bench.doctor.check import Check, Tell
from gr_bench.doctor.steps import step_on
from gr_bench.meters.device import Device
from gr_bench.timing.step import TimedStep

BATCH = 8
DATA = f"random(shape=(3, 8, 8), samples={BATCH})"
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
        f"do not use times or results of {', '.join(broken)} from this device: the method "
        "computes something else here",
    )


def _parameters(device: Device, spec: str) -> str | None:
    """Compare every parameter's bits."""
    for model in (WITH_BATCH_NORM, WITH_DROPOUT):
        step = step_on(device, spec, model, DATA, BATCH)
        before = {name: p.detach().clone() for name, p in step.training.model.named_parameters()}
        backward(step)
        if fault := moved(step.training.model, before):
            return fault
    return None


def _batch_norm(device: Device, spec: str) -> str | None:
    """Compare running statistics with those that one forward pass leaves."""
    step, plain = (step_on(device, spec, WITH_BATCH_NORM, DATA, BATCH) for _ in range(2))
    before = batch_norm_counts(step.training.model)
    backward(step)
    plain.training.forward(plain.batch[0])
    return statistics_fault(step.training.model, plain.training.model, before)


def _dropout(device: Device, spec: str) -> str | None:
    """Compare the masks of the passes of a step, and the random state after it."""
    step, plain = (step_on(device, spec, WITH_DROPOUT, DATA, BATCH) for _ in range(2))
    masks = Masks(step.training.model)
    torch.manual_seed(SEED)
    backward(step)
    if fault := masks.fault():
        return fault
    after = _random_state(device)
    torch.manual_seed(SEED)
    plain.training.forward(plain.batch[0])
    return None if torch.equal(after, _random_state(device)) else RANDOM_STATE


def backward(step: TimedStep) -> Tensor:
    """The method's part of a step, without the optimizer's."""
    training = step.training
    return training.method.backward(training.loss_on(*step.batch), training.model.parameters())


def _random_state(device: Device) -> Tensor:
    if device.torch_device.type == "cuda":
        return torch.cuda.get_rng_state(device.torch_device)
    return torch.get_rng_state()
