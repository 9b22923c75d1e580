"""The blocks of the asv and pytest-benchmark suites, and the measurement of asv's."""

from __future__ import annotations

# asv reads every value in a process of its own: what takes seconds to import is imported where used
import math
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gr_bench.experiments.step_cost.cell import StepCostCell
    from gr_bench.runs.results import Results

METHODS = ("sgd", "sam", "f-gr", "b-gr", "db-gr")
MODELS = ("mlp(depth=4, width=512)", "resnet-8")
BATCH_SIZES = (32, 128)

Key = str | int
Values = dict[tuple[Key, ...], Mapping[str, Any]]
"""By asv's parameters, a row of a table."""


def block(model: str, batch_size: int) -> tuple[StepCostCell, ...]:
    """Every method on one model and batch size, on the digits."""
    from gr_bench.experiments.step_cost.cell import StepCostCell
    from gr_bench.registry import spell_method

    return tuple(
        StepCostCell(
            spec=spell_method(method),
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


def measured(suite: dict[str, Any]) -> Results:
    """The results of a suite, run from beginning to end.

    Raises:
        RuntimeError: a cell failed.
    """
    import gr_bench

    results = gr_bench.run(suite, out=tempfile.mkdtemp(prefix="gr-bench-asv-"))
    if len(results.failures):
        raise RuntimeError(f"{results.failures.iloc[0]['reason']} (and more: {results.folder})")
    return results


def number(values: Values, key: tuple[Key, ...], column: str) -> float:
    """A value that asv can publish and compare.

    Raises:
        ValueError: it is not a finite number > 0: an infinite one would hang ``asv publish``, NaN
            would count as skipped, and two equal negative ones as changed.
    """
    value = float(values[key][column])
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{column} of {key} is no finite number > 0: {value}")
    return value
