"""A method whose extra cost is known: what a harness that can tell 1 % must find."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gr_bench import registry
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.methods import SGD, LossFunction, Method
from gr_bench.timing.step import TimedStep, build_step

WIDTH = 128

BURDENS = {"about 2 %": 160, "about 1 %": 32}
"""Rows of the burden, by what it adds to SGD's step."""


@dataclass(frozen=True)
class Burdened(Method):
    """SGD and, before it, a matrix product of ``rows`` x 128 with 128 x 128: work, not sleep.

    Args:
        rows: more rows, more work; 0 is SGD through this class.
    """

    rows: float = 128
    name: ClassVar[str] = "Burdened"
    passes: ClassVar[int] = 1

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """d = g."""
        if self.rows:
            thin, square = torch.empty(int(self.rows), WIDTH), torch.empty(WIDTH, WIDTH)
            a, b, out = self.workspace.like([thin, square, thin])
            torch.mm(a, b, out=out)
        return SGD().backward(loss_fn, params)


def step(rows: int) -> TimedStep:
    """A training step of the 4x512 MLP on the digits, batch 128, with that burden."""
    torch.set_num_threads(1)
    cell = StepCostCell(
        spec=f"benchmarks.known_cost:Burdened(rows={rows})" if rows else "sgd",
        model="mlp(depth=4, width=512)",
        dataset="digits",
        batch_size=128,
        device="cpu",
        dtype="float32",
        threads=1,
        baseline="sgd",
    )
    return build_step(cell, registry)
