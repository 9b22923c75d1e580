"""What timed replicates say so far: ratios, intervals, whether a block is known well enough."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from gr_bench import stats
from gr_bench.experiments.base import Cell, Record
from gr_bench.experiments.step_cost.cell import StepCostCell, StepCostGrid


class Timed:
    """What the replicates so far say, cell by cell.

    A block that is measured anew in a replicate, after a failure or an interruption, is so as a
    whole: only records of the same measurement are compared.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records: dict[str, dict[int, Record]] = defaultdict(dict)
        """Per cell id and replicate, the record of its times."""

        self.log_ratios: dict[str, dict[int, list[float]]] = defaultdict(dict)
        """Per cell id and replicate, log(time/baseline's time) of every round."""

        self._baselines: dict[tuple[Any, ...], Record] = {}
        times = [record for record in records if record.kind == "times"]
        last = {(*r.cell.workload, r.data["replicate"]): r.data["began_unix_s"] for r in times}
        for record in times:
            cell, replicate = record.cell, record.data["replicate"]
            if record.data["began_unix_s"] == last[(*cell.workload, replicate)]:
                self.records[cell.id][replicate] = record
                assert isinstance(cell, StepCostCell)
                if cell.method == cell.baseline and not cell.control:
                    self._baselines[(*cell.workload, replicate)] = record
        for cell_id, replicates in self.records.items():
            for replicate, record in replicates.items():
                baseline = self.baseline(record.cell, replicate)
                if baseline is not None:
                    self.log_ratios[cell_id][replicate] = stats.log_ratios(
                        record.data["step_s"], baseline.data["step_s"]
                    )

    def baseline(self, cell: Cell, replicate: int) -> Record | None:
        """The times of the cell's baseline in the same replicate."""
        return self._baselines.get((*cell.workload, replicate))

    def spent_s(self, ids: Collection[str]) -> float:
        """Seconds that the replicates of these cells took, preparation included."""
        spent = {
            (record.cell.workload, replicate): record.data["spent_s"]
            for cell_id in ids
            for replicate, record in self.records.get(cell_id, {}).items()
        }
        return float(sum(spent.values()))

    def replicates(self, block: Sequence[Cell]) -> int:
        """Replicates in which every cell of the block has been timed."""
        return min(len(self.records.get(cell.id, {})) for cell in block)

    def ratio(self, cell_id: str) -> stats.Interval | None:
        """Time over the baseline's, with the interval over replicates; None without a baseline."""
        rounds = self.log_ratios.get(cell_id)
        if not rounds:
            return None
        return stats.ratio_interval([stats.median(log) for log in rounds.values()])

    def is_done(self, block: Sequence[Cell], grid: StepCostGrid) -> bool:
        """Whether the block needs no further replicate."""
        count = self.replicates(block)
        if count < grid.replicates:
            return False
        if count >= grid.most_replicates:
            return True
        ratios = [ratio for cell in block if (ratio := self.ratio(cell.id)) is not None]
        return all(known_to(ratio, grid.target_half_width) for ratio in ratios)


def known_to(ratio: stats.Interval, target: float) -> bool:
    """Whether a ratio's interval reaches no further than ``target``, relative, to either side."""
    return ratio.high - ratio.center <= target * ratio.center
