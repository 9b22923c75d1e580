"""What timed steps say: how long a method's step takes, and how many times SGD's."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from gr_bench import stats
from gr_bench.experiments.experiment import Cell, Record


class StepTime(NamedTuple):
    """Of one method on one workload."""

    seconds: float
    """Median over replicates of their median over rounds."""

    ratio: stats.Interval
    """Over SGD's in the same rounds, with the interval over replicates."""

    replicates: int


def timed_steps(records: Sequence[Record]) -> dict[Cell, StepTime]:
    """By timed cell. A replicate that was measured anew counts as it was measured last."""
    replicates: dict[Cell, dict[int, Record]] = defaultdict(dict)
    for record in records:
        if record.kind == "step time":
            replicates[record.cell][record.data["replicate"]] = record
    return {
        cell: StepTime(
            statistics.median(statistics.median(r.data["step_s"]) for r in own.values()),
            stats.ratio_interval([stats.median(r.data["log_ratios"]) for r in own.values()]),
            len(own),
        )
        for cell, own in replicates.items()
    }
