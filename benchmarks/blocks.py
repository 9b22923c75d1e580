"""The blocks that both suites measure."""

from __future__ import annotations

from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.methods import get

METHODS = tuple(str(get(name)) for name in ("sgd", "sam", "f-gr", "b-gr", "db-gr"))
MODELS = ("mlp(depth=4, width=512)", "resnet-8")
BATCH_SIZES = (32, 128)


def block(model: str, batch_size: int) -> tuple[StepCostCell, ...]:
    """Every method on one model and batch size, on the digits."""
    return tuple(
        StepCostCell(
            method=method,
            model=model,
            dataset="digits",
            batch_size=batch_size,
            device="cpu",
            dtype="float32",
            threads=1,
            baseline="sgd",
        )
        for method in METHODS
    )
