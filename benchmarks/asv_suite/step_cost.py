"""asv: what a step costs, method by method.

``setup_cache`` measures whole blocks once for every commit, as a suite would: interleaved rounds in
freshly started processes. The ``track_`` functions only read from it. asv takes the smaller value
for the better one and cannot compare values that are not positive: all of these are.
"""

from __future__ import annotations

from .blocks import BATCH_SIZES, METHODS, MODELS, Key, Values, measured, number

SUITE = {
    "title": "Step cost, for asv",
    "step_cost": [
        {
            "methods": list(METHODS),
            "models": list(MODELS),
            "datasets": ["digits"],
            "batch_sizes": list(BATCH_SIZES),
            "replicates": 3,
            "most_replicates": 3,
            "seconds_per_block": 2.0,
        }
    ],
}


class StepCost:
    """Time over SGD's in the same rounds, milliseconds, peak bytes and FLOPs of a step."""

    params = (MODELS, BATCH_SIZES, METHODS)
    param_names = ("model", "batch_size", "method")
    timeout = 900
    version = "1"

    def setup_cache(self) -> Values:
        table = measured(SUITE).step_cost
        rows = table[~table["control"]].to_dict("records")
        return {(row["model"], row["batch_size"], row["method"]): row for row in rows}

    def track_time_ratio(self, values: Values, *key: Key) -> float:
        return number(values, key, "time_ratio")

    def track_step_time_ms(self, values: Values, *key: Key) -> float:
        return number(values, key, "time_ms")

    def track_peak_memory_bytes(self, values: Values, *key: Key) -> float:
        return number(values, key, "peak_memory_bytes")

    def track_flops(self, values: Values, *key: Key) -> float:
        return number(values, key, "flops")

    track_time_ratio.unit = "time / SGD"
    track_step_time_ms.unit = "ms"
    track_peak_memory_bytes.unit = "bytes"
    track_flops.unit = "FLOP"
