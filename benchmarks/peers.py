"""Our SAM and F-GR over each other implementation, from a run of the suite ``peers``.

    gr-bench run peers
    python -m benchmarks.peers runs/peers

A ratio is the geometric mean over processes, with its 95 % t-interval; each process gives one
number, from the rounds in which it read both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import gr_bench
from gr_bench import stats
from gr_bench.experiments.block_times import BlockTimes, Times, blocks_of
from gr_bench.experiments.record import Record
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.timing.replicates import log_ratio

OURS = ("sam", "f-gr")

Row = tuple[StepCostCell, float, StepCostCell, stats.Interval]
"""One of ours, its time over SGD's, another implementation, and ours over that."""


def pairs(records: Sequence[Record]) -> Iterator[Row]:
    """A row for every model, batch size and pair."""
    times = BlockTimes(records)
    cells = {r.cell.id: r.cell for r in records if isinstance(r, Times)}
    for block in blocks_of([cell for cell in cells.values() if isinstance(cell, StepCostCell)]):
        for ours in (cell for cell in block if cell.spec.startswith(OURS)):
            over_sgd = times.ratio(ours)
            if over_sgd is None:
                continue
            for other in (cell for cell in block if ":" in cell.spec):
                one, two = times.records[ours.id], times.records[other.id]
                both = sorted(one.keys() & two.keys())
                if both:
                    logs = [log_ratio(one[k].step_s, two[k].step_s) for k in both]
                    yield ours, over_sgd.center, other, stats.ratio_interval(logs)


def main() -> None:
    """Print the rows as a table."""
    print("| model, batch | ours | time / SGD | other | ours / other |")
    print("|---|---|---|---|---|")
    for ours, over_sgd, other, ratio in pairs(gr_bench.load(sys.argv[1]).records):
        print(
            f"| `{ours.model}`, {ours.batch_size} | {ours.spec} | {over_sgd:.3f} "
            f"| {other.spec.rpartition(':')[2]} "
            f"| {ratio.center:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] |"
        )


if __name__ == "__main__":
    main()
