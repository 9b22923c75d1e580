"""The noise of a machine, from pairs of equal things: SGD timed twice in one block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gr_bench import stats
from gr_bench.experiments.block_times import BlockTimes, Times
from gr_bench.experiments.record import Record
from gr_bench.experiments.step_cost.cell import StepCostCell


@dataclass(frozen=True)
class Calibration:
    """The noise that equal pairs showed. Spreads and floors are relative (0.01 is 1 %)."""

    pairs: int
    """A/A pairs, each with an interval over its replicates."""

    replicates: int
    """Replicates of a pair, at least."""

    excluding_one: int
    """Pairs whose 95 % interval does not contain 1: false positives, about 5 % by construction."""

    called_different: int
    """Pairs with the verdict slower or faster at ``margin``, by their 99 % intervals."""

    margin: float
    between_spread: float
    """Median over pairs of the standard deviation of log-ratios over replicates."""

    within_spread: float
    """Median over pairs of what one process's own rounds claim as the standard error."""

    noise_floor: float
    """The smallest difference that as many replicates would tell from none, at that spread."""

    one_process: float
    """Median deviation from 1 of what a single process says when it interleaves."""

    sequential: float | None
    """The same for timing one after the other, as ordinary harnesses do."""

    sequential_worst: float | None
    """The 90th percentile of that."""

    waiting_share: float
    """Part of the timed wall time in which the process waited for a processor that others had."""

    @property
    def coverage(self) -> float:
        """Part of the pairs whose interval contains 1."""
        return 1 - self.excluding_one / self.pairs


def calibrate(records: Sequence[Record], margin: float = 0.01) -> Calibration | None:
    """Summarise the controls among a step-cost run's records; None if no pair is complete.

    Args:
        records: of the experiment ``step_cost``.
        margin: relative difference below which two times count as the same.
    """
    times = BlockTimes(records)
    logs: list[list[float]] = []
    within, intervals = [], []
    sequential: list[float] = []
    elapsed = waited = 0.0
    for cell_id, replicates in times.records.items():
        first = next(iter(replicates.values())).cell
        assert isinstance(first, StepCostCell)
        for record in replicates.values():
            elapsed += sum(record.elapsed_s)
            waited += sum(record.waited_s)
        found = list(times.log_ratios.get(cell_id, {}).values())
        if not first.control or len(found) < 2:
            continue
        logs.append(found)
        within.append(stats.within_spread(times.of_rounds(first)))
        intervals.append(stats.ratio_interval(found))
        sequential += _sequential(times, replicates)
    if not logs:
        return None
    wide = (stats.ratio_interval(log, stats.CALLING_CONFIDENCE) for log in logs)
    verdicts = [stats.verdict(interval, margin) for interval in wide]
    between = float(np.median([stats.between_spread(log) for log in logs]))
    replicates_each = min(map(len, logs))
    apart = np.abs(np.expm1(sequential)) if sequential else None
    return Calibration(
        pairs=len(logs),
        replicates=replicates_each,
        excluding_one=sum(not i.low <= 1 <= i.high for i in intervals),
        called_different=sum(verdict in ("slower", "faster") for verdict in verdicts),
        margin=margin,
        between_spread=between,
        within_spread=float(np.median(within)),
        noise_floor=stats.smallest_called(between, replicates_each),
        one_process=float(np.median(np.abs(np.expm1(np.concatenate(logs))))),
        sequential=None if apart is None else float(np.median(apart)),
        sequential_worst=None if apart is None else float(np.quantile(apart, 0.9)),
        waiting_share=waited / elapsed,
    )


def _sequential(times: BlockTimes, replicates: dict[int, Times]) -> list[float]:
    """Log-ratio of medians, per replicate, of the control to the baseline timed one by one."""
    ratios = []
    for replicate, record in replicates.items():
        assert isinstance(record.cell, StepCostCell)
        baseline = times.baseline(record.cell, replicate)
        if baseline is not None and record.sequential_step_s:
            medians = [stats.median(r.sequential_step_s) for r in (record, baseline)]
            ratios.append(float(np.log(medians[0] / medians[1])))
    return ratios


def advice(environment: dict[str, Any], calibration: Calibration) -> list[str]:
    """Advice on what makes times less certain on this machine."""
    found = []
    governor = environment.get("governor")
    if governor not in (None, "performance"):
        found.append(
            f"the CPU governor is {governor!r}, so clocks follow the load; set it to performance "
            "(cpupower frequency-set -g performance)"
        )
    if environment.get("turbo_off") == "0":
        found.append(
            "turbo is on, so clocks depend on temperature; turn it off (echo 1 > "
            "/sys/devices/system/cpu/intel_pstate/no_turbo, or echo 0 > "
            "/sys/devices/system/cpu/cpufreq/boost)"
        )
    machine = environment["machine"]
    if machine["cores"] and machine["hardware_threads"] > machine["cores"]:
        found.append(
            "hardware threads share cores: keep the sibling of a timed core idle, or disable them"
        )
    load = environment["load_average"][0]
    if load > 0.5:
        found.append(f"the load average was {load:.2f} at the start: stop other processes")
    if calibration.waiting_share > 0.02:
        found.append(
            f"timed processes waited for a processor for {calibration.waiting_share:.1%} of the "
            "time: stop other processes, or use a quieter machine"
        )
    return found
