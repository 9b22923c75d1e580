"""A variant of a step held to the plain one: compiled, in another precision, with other switches.

A kernel that computes something else may well be fast. Before a cell that is not plain eager is
timed, its gradients and running statistics are compared with the plain step's from the same
parameters on the same mini-batch.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gr_bench import registry
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.record import Check
from gr_bench.timing.step import build_step, parameter_dtype, product_dtype
from gr_bench.timing.variant import (
    NO_TF32,
    PLAIN,
    REDUCE_OVERHEAD,
    TF32,
    in_force,
    switches,
)

ROUNDINGS = 200.0
"""Relative error that rounding explains, in units of the coarsest dtype's epsilon: hundreds of
operations follow each other, and kernels add in another order."""

NEGLIGIBLE = 1e-3
"""A tensor whose share of the whole is below this is compared with that share of the whole: before
a batch norm, a bias has no gradient but rounding."""

STEPS = 4
"""Steps before the comparison: graphs are captured in the first ones, and replayed in the last."""

TF32_EPS = 2.0**-10
"""Relative spacing of TF32's numbers, which have float16's mantissa."""


def check(cell: StepCostCell) -> Check:
    """Compare a variant's step with the plain one, when both have been taken a few times.

    A compiled cell, and one with further switches, is held to the plain eager step of its own
    method and dtype. One in a coarse precision is held, with plain gradients, to float32, and one
    that sets the precision of products to PyTorch's own: a finite difference of coarse gradients is
    mostly rounding, whoever computes it.
    """
    on = switches(cell.variant)
    if cell.compiled or REDUCE_OVERHEAD in on:
        from torch._inductor import config

        config.fallback_random = True  # dropout draws the eager step's masks
    variant = cell
    if cell.compiled or on:
        if on & {TF32, NO_TF32}:
            variant = replace(cell, spec="sgd")
        plain = replace(variant, compiled=False, variant=PLAIN)
    else:
        variant = replace(cell, spec="sgd")
        plain = replace(variant, dtype="float32")
    tolerance = ROUNDINGS * _coarsest(cell)
    found, expected = (_results(c) for c in (variant, plain))
    where, error = worst_difference(found, expected)
    agrees = error <= tolerance
    return Check(cell=cell, agrees=agrees, where=where, error=error, tolerance=tolerance)


def _coarsest(cell: StepCostCell) -> float:
    """The epsilon of the coarsest products in a step or in the one that it is held to."""
    eps = torch.finfo(product_dtype(cell.dtype)).eps
    in_tf32 = cell.device.startswith("cuda") and parameter_dtype(cell.dtype) == torch.float32
    return max(eps, TF32_EPS) if in_tf32 else eps


def _results(cell: StepCostCell) -> dict[str, Tensor]:
    """Loss, gradients and buffers after :data:`STEPS` steps on the same mini-batch.

    Parameters do not move, and every step draws the same random numbers. Where steps differ, losses
    and gradients are those of a whole cycle.
    """
    found = {}
    with in_force(cell.variant):
        step = build_step(cell, registry)
        for _ in range(STEPS - 1):
            step.settle()
        for place in range(step.cycle):
            where = f" in step {STEPS + place}" if step.cycle > 1 else ""
            found[f"loss{where}"] = step.settle()
            for name, p in step.training.model.named_parameters():
                # a copy: memory of a graph that is replayed ends with it
                gradient = torch.zeros_like(p) if p.grad is None else p.grad.clone()
                found[f"gradient of {name}{where}"] = gradient
    return found | dict(step.training.model.named_buffers())


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
