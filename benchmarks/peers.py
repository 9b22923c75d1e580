"""Our SAM and F-GR over each other implementation, from a run of the suite ``peers``.

    gr-bench run peers
    python -m benchmarks.peers runs/peers

A ratio is the mean over processes, paired by process, with its 95 % t-interval.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from gr_bench import stats
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.timed import Timed
from gr_bench.runs.store import read_journal

OURS = ("sam", "f-gr")


def main() -> None:
    """Print a row for every model, batch size and pair."""
    timed = Timed(read_journal(Path(sys.argv[1])))
    blocks: dict[tuple[Any, ...], dict[str, dict[int, float]]] = defaultdict(dict)
    for cell_id, rounds in timed.log_ratios.items():
        cell = next(iter(timed.records[cell_id].values())).cell
        assert isinstance(cell, StepCostCell)
        if not cell.control:
            logs = {replicate: stats.median(log) for replicate, log in rounds.items()}
            blocks[cell.model, cell.batch_size][cell.spec] = logs
    print("| model, batch | ours | time / SGD | other | ours / other |")
    print("|---|---|---|---|---|")
    for (model, batch_size), methods in blocks.items():
        for ours in (method for method in methods if method.startswith(OURS)):
            for other in (method for method in methods if ":" in method):
                both = methods[ours].keys() & methods[other].keys()
                apart = [methods[ours][k] - methods[other][k] for k in sorted(both)]
                own = stats.ratio_interval(list(methods[ours].values())).center
                ratio = stats.ratio_interval(apart)
                print(
                    f"| `{model}`, {batch_size} | {ours} | {own:.3f} | {other.rpartition(':')[2]} "
                    f"| {ratio.center:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] |"
                )


if __name__ == "__main__":
    main()
