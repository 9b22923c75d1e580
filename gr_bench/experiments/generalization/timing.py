"""Timing the steps of a workload's methods, inside a worker process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gr_bench import stats
from gr_bench.experiments.bench import Bench, in_building_order, prepare
from gr_bench.experiments.experiment import Record, failure
from gr_bench.experiments.generalization.cell import BASELINE, GeneralizationCell
from gr_bench.meters.clock import interleave

BUDGET_S = 1.5
"""Seconds for a workload in one replicate, warm-up included."""

LEAST_ROUNDS = 5
MOST_ROUNDS = 1000


def step_times(cells: Sequence[GeneralizationCell], replicate: int) -> Iterator[Record]:
    """One replicate: rounds in which every method's step is read once, one run at a time.

    ``log_ratios`` are log(t/t_sgd) within each round. Nothing is recorded without a baseline.

    Args:
        cells: of one workload, a method each, one of them the baseline.
        replicate: which freshly started process this is; it decides the orders.
    """
    benches: dict[str, Bench] = {}
    baseline = None
    for cell in in_building_order(cells, replicate):
        try:
            bench = prepare(cell)
            bench.step()
        except Exception as error:  # the other methods go on
            yield failure(cell, error)
        else:
            benches[cell.id] = bench
            baseline = cell.id if cell.spec == BASELINE else baseline
    if baseline is None:
        return
    samples = interleave(
        benches[baseline].device,
        {cell_id: bench.step for cell_id, bench in benches.items()},
        budget_s=BUDGET_S,
        least_rounds=LEAST_ROUNDS,
        most_rounds=MOST_ROUNDS,
        seed=replicate,
    )
    for cell in cells:
        if cell.id in benches:
            own = samples[cell.id].step_s
            ratios = stats.log_ratios(own, samples[baseline].step_s)
            data = {"replicate": replicate, "step_s": own, "log_ratios": ratios}
            yield Record(cell, "step time", data)
