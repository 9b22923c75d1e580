"""The arithmetic of a suite's trainings on CIFAR, counted under fake tensors: no data, no GPU.

``python -m benchmarks.training_flops SUITE`` prints the FLOPs of its steps and of its evaluations,
and the hours that they take at some rates.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from gr_bench import registry
from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.meters.counters import count_flops
from gr_bench.runs.suite import Plan, load_suite
from gr_bench.workloads.loss import cross_entropy

SHAPE = (3, 32, 32)
CLASSES = {"cifar10": 10, "cifar100": 100}
TRAIN, VALIDATION, TEST = 45_000, 5_000, 10_000
RATES = (10e12, 16e12, 27.6e12)
"""FLOPs a second that a GPU may keep up: assumptions, until ``paper-cost`` has found step times.
An A100's peak is 19.5e12 in float32 and 156e12 in TF32."""


@dataclass(frozen=True)
class Arithmetic:
    """FLOPs of trainings, a product-sum as two."""

    steps: float = 0.0
    evaluations: float = 0.0
    """Of the training part with its gradient, of the validation and of the test part."""

    @property
    def total(self) -> float:
        """All of them."""
        return self.steps + self.evaluations

    def __add__(self, other: Arithmetic) -> Arithmetic:
        return Arithmetic(self.steps + other.steps, self.evaluations + other.evaluations)


def step_flops(spec: str, model: str, classes: int, batch: int) -> int:
    """FLOPs of one step of a method; one of first derivatives takes SGD's for every gradient."""
    method = registry.build_method(spec)
    if method.needs_second_derivatives and method.gradient_evaluations > 1:
        return _counted(method.name, model, classes, batch)
    return method.gradient_evaluations * _counted("sgd", model, classes, batch)


@cache
def _counted(method: str, model: str, classes: int, batch: int) -> int:
    rule = registry.build_method(method)
    with FakeTensorMode():
        net = registry.build_model(model, SHAPE, classes)
        inputs, targets = torch.randn(batch, *SHAPE), torch.randint(classes, (batch,))
        return count_flops(
            lambda: rule.backward(lambda: cross_entropy(net(inputs), targets), net.parameters())
        )


@cache
def forward_flops(model: str, classes: int) -> int:
    """FLOPs of one example's forward pass."""
    with FakeTensorMode():
        net = registry.build_model(model, SHAPE, classes)
        return count_flops(lambda: net(torch.randn(2, *SHAPE))) // 2


def training(cell: GeneralizationCell, evaluate_every: int) -> Arithmetic:
    """FLOPs of one training."""
    classes, batch = CLASSES[cell.dataset], cell.batch_size
    steps = cell.epochs * (TRAIN // batch) * step_flops(cell.spec, cell.model, classes, batch)
    with_gradient = TRAIN * step_flops("sgd", cell.model, classes, batch) / batch
    forward = forward_flops(cell.model, classes)
    times = -(-cell.epochs // evaluate_every)
    test = 0 if cell.role == "candidate" else TEST * forward
    return Arithmetic(steps, times * (with_gradient + VALIDATION * forward) + test)


def trained(cells: Iterable[GeneralizationCell]) -> list[GeneralizationCell]:
    """The cells that will be trained: of each choice one setting, whichever that is."""
    return list(
        {
            (cell.selection_group, cell.seed, cell.role) if cell.role == "chosen" else cell.id: cell
            for cell in cells
        }.values()
    )


def arithmetic(plans: Sequence[Plan]) -> Arithmetic:
    """FLOPs of all trainings of a suite, without sharpness and SGD in equal time."""
    total = Arithmetic()
    for plan in plans:
        assert isinstance(plan.grid, GeneralizationGrid)
        cells = [cell for cell in plan.cells if isinstance(cell, GeneralizationCell)]
        for cell in trained(cells):
            total += training(cell, plan.grid.evaluate_every)
    return total


def main(suite: str) -> None:
    """Print a suite's arithmetic."""
    found = arithmetic(load_suite(suite).plans)
    print(f"steps {found.steps / 1e18:.2f} EFLOP, evaluations {found.evaluations / 1e18:.2f} EFLOP")
    for rate in RATES:
        print(f"at {rate / 1e12:g} TFLOP/s: {found.total / rate / 3600:.0f} hours")


if __name__ == "__main__":
    main(*sys.argv[1:])
