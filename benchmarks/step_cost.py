"""asv: step cost of every method, on two models and batch sizes.

``setup_cache`` measures each block once, interleaved; the ``track_`` functions only read from it.
Every value is positive and smaller is better, as asv assumes.
"""

from __future__ import annotations

import math
from typing import Any

from benchmarks.blocks import BATCH_SIZES, METHODS, MODELS, block
from gr_bench.experiments.base import Record, Unit
from gr_bench.experiments.step_cost.experiment import StepCost
from gr_bench.meters.conditions import hold_still

PROTOCOL = {
    "pass": "times",
    "replicate": 0,
    "budget_s": 3.0,
    "least_rounds": 10,
    "most_rounds": 200,
    "most_replicates": 1,
    "target_half_width": 0.01,
    "budget_minutes": None,
    "contrast": False,
}


class StepCostSuite:
    """Ratio to SGD, milliseconds, FLOPs and peak bytes of a step."""

    params = [MODELS, BATCH_SIZES, METHODS]
    param_names = ["model", "batch_size", "method"]
    timeout = 600

    def setup_cache(self) -> dict[tuple[str, int, str], dict[str, float]]:
        import torch

        torch.set_num_threads(1)
        conditions = hold_still("held")
        experiment = StepCost()
        values = {}
        for model in MODELS:
            for batch_size in BATCH_SIZES:
                cells = block(model, batch_size)
                units = [Unit((cell,), {"pass": "counters"}) for cell in cells]
                records = [
                    Record(r.cell, r.kind, {**r.data, "conditions": conditions})
                    for unit in [*units, Unit(cells, PROTOCOL)]
                    for r in experiment.measure(unit)
                    if isinstance(r, Record)
                ]
                table = experiment.tables(records)["step_cost"]
                for row in table.to_dict("records"):
                    values[model, batch_size, row["label"]] = row
        return values

    def track_time_ratio(self, values: Any, *key: Any) -> float:
        return _finite(values[key]["time_ratio"])

    def track_step_time_ms(self, values: Any, *key: Any) -> float:
        return _finite(values[key]["time_ms"])

    def track_flops(self, values: Any, *key: Any) -> float:
        return _finite(values[key]["flops"])

    def track_peak_memory_bytes(self, values: Any, *key: Any) -> float:
        return _finite(values[key]["peak_memory_bytes"])

    track_time_ratio.unit = "time / SGD"
    track_step_time_ms.unit = "ms"
    track_flops.unit = "FLOP"
    track_peak_memory_bytes.unit = "bytes"


def _finite(value: float) -> float:
    """A value that asv can publish: an infinite one would hang it, NaN would count as skipped."""
    if not math.isfinite(value):
        raise ValueError(f"not a finite number: {value}")
    return float(value)
