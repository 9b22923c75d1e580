"""The arithmetic of a suite's trainings, counted under fake tensors: no data, no GPU.

``python -m benchmarks.training_flops SUITE`` prints the FLOPs of its steps and of its evaluations,
and the hours that they take at some rates.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.planning.trainings import Arithmetic, shares, training
from gr_bench.runs.suite import Plan, load_suite

RATES = (10e12, 16e12, 27.6e12)
"""FLOPs a second that a GPU may keep up: assumptions, until ``paper-cost`` has found step times.
An A100's peak is 19.5e12 in float32 and 156e12 in TF32."""


def arithmetic(plans: Sequence[Plan]) -> Arithmetic:
    """FLOPs of all trainings of a suite, without sharpness and SGD in equal time."""
    total = Arithmetic()
    for plan in plans:
        assert isinstance(plan.grid, GeneralizationGrid)
        cells = [cell for cell in plan.cells if isinstance(cell, GeneralizationCell)]
        share = shares(cells)
        for cell in cells:
            total += training(cell, plan.grid.evaluate_every) * share[cell.id]
    return total


def main(suite: str) -> None:
    """Print a suite's arithmetic."""
    found = arithmetic(load_suite(suite).plans)
    print(f"steps {found.steps / 1e18:.2f} EFLOP, evaluations {found.evaluations / 1e18:.2f} EFLOP")
    for rate in RATES:
        print(f"at {rate / 1e12:g} TFLOP/s: {found.total / rate / 3600:.0f} hours")


if __name__ == "__main__":
    main(*sys.argv[1:])
