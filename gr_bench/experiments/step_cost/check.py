"""A variant of a step held to the plain one: compiled, or in another precision.

A kernel that computes something else may well be fast. Before a cell that is not plain eager is
timed, its gradients and running statistics are compared with the plain step's from the same
parameters on the same mini-batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from gr_bench import registry
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.record import Check
from gr_bench.timing.step import MIXED, TimedStep, build_step, parameter_dtype

ROUNDINGS = 200.0
"""Relative error that rounding explains, in units of the coarsest dtype's epsilon: hundreds of
operations follow each other, and kernels add in another order."""

NEGLIGIBLE = 1e-3
"""A tensor whose share of the whole is below this is compared with that share of the whole: before
a batch norm, a bias has no gradient but rounding."""


def check(cell: StepCostCell) -> Check:
    """Compare one step of a variant with the plain one.

    A compiled cell is held to the eager step of its own method and dtype. One in a coarse precision
    is held, with plain gradients, to float32: a finite difference of coarse gradients is mostly
    rounding, whoever computes it.
    """
    if cell.compiled:
        from torch._inductor import config

        config.fallback_random = True  # dropout draws the eager step's masks
        plain, variant = replace(cell, compiled=False), cell
    else:
        variant = replace(cell, spec="sgd")
        plain = replace(variant, dtype="float32")
    tolerance = ROUNDINGS * torch.finfo(_coarsest(cell.dtype)).eps
    found, expected = (dict(_results(build_step(c, registry))) for c in (variant, plain))
    where, error = worst_difference(found, expected)
    agrees = error <= tolerance
    return Check(cell=cell, agrees=agrees, where=where, error=error, tolerance=tolerance)


def _coarsest(dtype: str) -> torch.dtype:
    return torch.bfloat16 if dtype == MIXED else parameter_dtype(dtype)


def _results(step: TimedStep) -> Iterator[tuple[str, Tensor]]:
    """Loss, gradients and buffers after one step."""
    yield "loss", step()
    for name, p in step.training.model.named_parameters():
        yield f"gradient of {name}", torch.zeros_like(p) if p.grad is None else p.grad
    for name, buffer in step.training.model.named_buffers():
        yield name, buffer


def worst_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> tuple[str, float]:
    """The name of the tensor that is furthest off, and by how much, relative to its norm.

    Gradients are also seen as a whole: see :data:`NEGLIGIBLE`. A result that is not finite where
    the expected one is, is infinitely far off.
    """
    of_gradients = [value for name, value in expected.items() if name.startswith("gradient")]
    whole = (
        float(torch.stack([g.double().norm() for g in of_gradients]).norm())
        if of_gradients
        else 0.0
    )
    worst, most = "", -1.0
    for name, value in expected.items():
        floor = NEGLIGIBLE * whole if name.startswith("gradient") else 0.0
        size = max(float(value.double().norm()), floor)
        apart = float((found[name].double() - value.double()).norm())
        error = 0.0 if apart == 0 else apart / size if size > 0 else float("inf")
        if error != error:
            error = float("inf")
        if error > most:
            worst, most = name, error
    return worst, most
