"""Records of runs whose right answers are known."""

from __future__ import annotations

import math
from collections.abc import Iterator

from synthetic import cost, counted, timed, trained, training

from gr_bench.experiments.record import Record


def block(processes: int = 3, spread: float = 0.001, **fields: object) -> Iterator[Record]:
    """Every method's steps on one workload, by its ratio to the first one's; the logarithms of a
    ratio differ by ``spread`` from one process to the next, the middle one's is exact.
    """
    ratios = fields.pop("ratios")
    assert isinstance(ratios, dict)
    baseline = next(iter(ratios))
    for method, ratio in ratios.items():
        cell = cost(method, **{"baseline": baseline, **fields})
        yield counted(cell)
        for process in range(processes):
            off = 0.0 if method == baseline else spread * (process - processes // 2)
            yield timed(cell, process, [0.01 * ratio * math.exp(off)] * 3)


def learned(
    accuracies: dict[str, float], *, seeds: int = 5, noise: float = 0.001, **fields: object
) -> Iterator[Record]:
    """Trainings whose test accuracies differ from seed to seed, the methods' not alike."""
    for place, (method, accuracy) in enumerate(accuracies.items()):
        for seed in range(seeds):
            found = accuracy + noise * ((seed * (place + 1)) % seeds - (seeds - 1) / 2)
            cell = training(method, seed=seed, **fields)
            yield trained(cell, train=(0.1, 1.0), test=(1 - found, found))
