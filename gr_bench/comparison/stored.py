"""``gr-bench compare RUN_A RUN_B``: two stored runs, as far as they can be compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gr_bench import stats
from gr_bench.comparison.findings import Change, Comparison, Finding, changes, judged
from gr_bench.errors import RequestError
from gr_bench.experiments.block_times import BlockTimes
from gr_bench.experiments.cell import without_sources
from gr_bench.experiments.record import Failure
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.record import Counters
from gr_bench.runs import environment
from gr_bench.runs.about import read_about, sources, suite_by_names
from gr_bench.runs.store import current, read_journal

BUSY = 0.05
"""The share of a run's time that something else may have the processor without a note."""

MILLISECONDS = "ms a step"
"""The quantity that is a time, and not a ratio to the baseline's."""

HOW = (
    "Stored step-cost results. The ratio of a quantity in the two runs comes with Welch's 95 % "
    "interval over their processes. Nothing is called different that noise covers: the range of "
    "SGD timed twice in either run, or of the spread between processes where a run has no such "
    "control. Milliseconds are shown and not judged: from run to run the machine changes them by "
    "more than either run can tell. `gr-bench compare git:` judges them."
)


class Stored:
    """The step-cost part of a run's folder; a plug-in that was changed is still the same cell's.

    Raises:
        RequestError: the folder is not a run's, or has no step costs.
    """

    def __init__(self, folder: Path) -> None:
        self.about = read_about(folder)
        self.sources = sources(self.about)
        records = [
            replace(record, cell=without_sources(record.cell))
            for record in current(read_journal(folder), self.sources)
            if isinstance(record.cell, StepCostCell)
        ]
        if not records:
            raise RequestError(f"{folder} has no step costs to compare")
        self.folder = folder
        self.times = BlockTimes(records)
        self.counters = {r.cell.id: r for r in records if isinstance(r, Counters)}
        self.cells = {r.cell.id: r.cell for r in records if isinstance(r.cell, StepCostCell)}
        self.failures = {
            r.cell.id: r.reason
            for r in records
            if isinstance(r, Failure) and r.cell.id not in self.times.records
        }

    def __str__(self) -> str:
        git = self.about["environment"].get("git")
        commit = f", commit {git['commit'][:10]}{' with changes' * git['dirty']}" if git else ""
        return f"{self.folder} ({self.about['started']}{commit})"

    def log_ratios(self, cell: StepCostCell) -> list[float]:
        """By replicate, log(time/baseline's time)."""
        found = self.times.log_ratios.get(cell.id, {})
        return [found[replicate] for replicate in sorted(found)]

    def log_times(self, cell: StepCostCell) -> list[float]:
        """By replicate, log(seconds a step)."""
        records = self.times.records.get(cell.id, {})
        return [math.log(stats.median(records[k].step_s)) for k in sorted(records)]

    def log_products(self, cell: StepCostCell) -> list[float]:
        """By replicate, log(seconds a step · FLOP rate of a matrix product in the same rounds).

        It is the logarithm of the FLOPs that a matrix product does in the time of a step, so that
        what the machine does to both cancels. NaN where no product was timed.
        """
        records = self.times.records.get(cell.id, {})
        return [
            log + math.log(rate) if (rate := records[k].machine_flops_per_s) > 0 else math.nan
            for k, log in zip(sorted(records), self.log_times(cell), strict=True)
        ]

    def counted(self, cell: StepCostCell) -> dict[str, int]:
        """The cell's counters that can be compared."""
        record = self.counters.get(cell.id)
        if record is None:
            return {}
        found = {"flops": record.flops, "peak_bytes": record.peak_bytes}
        return {counter: value for counter, value in found.items() if value is not None}

    def noise_floor(self, cell: StepCostCell) -> float:
        """The distance from 0 that the log-ratio of equal things may have, in the cell's block."""
        controls = [
            self.log_ratios(other)
            for other in self.cells.values()
            if other.is_control and other.block == cell.block
        ]
        logs = next(filter(None, controls), None)
        if logs is None:  # centred, the spread between processes says as much
            own = self.log_times(cell) if cell.is_baseline else self.log_ratios(cell)
            logs = [log - sum(own) / len(own) for log in own]
        interval = stats.t_interval(logs)
        return max(abs(interval.low), abs(interval.high))

    def waiting_share(self) -> float:
        """Part of the timed wall time in which the processes waited for a processor."""
        elapsed = waited = 0.0
        for replicates in self.times.records.values():
            for record in replicates.values():
                elapsed += sum(record.elapsed_s)
                waited += sum(record.waited_s)
        return waited / elapsed if elapsed else 0.0


def compare_runs(
    base: Path, head: Path, threshold: float, keep: Callable[[dict[str, Any]], None]
) -> Comparison:
    """Compare what two runs have in common.

    Ratios to the baseline are judged; times are shown.

    Args:
        base: a run's folder.
        head: another's.
        threshold: relative, the smallest difference that matters.
        keep: gets everything as plain data.

    Raises:
        RequestError: a folder is no run's, or the two have no cell in common.
    """
    a, b = Stored(base), Stored(head)
    common = [
        cell
        for key, cell in a.cells.items()
        if not cell.control and key in b.cells and key not in {**a.failures, **b.failures}
    ]
    notes = list(_notes(a, b))
    if not common:
        raise RequestError(f"{base} and {head} have no step cost in common: {'; '.join(notes)}")
    findings = [finding for cell in common for finding in _findings(cell, a, b, threshold)]
    comparison = Comparison(
        str(a), str(b), threshold, judged(findings, threshold), tuple(notes), HOW
    )
    keep({"environments": [run.about["environment"] for run in (a, b)]} | comparison.plain())
    return comparison


def _findings(cell: StepCostCell, a: Stored, b: Stored, threshold: float) -> Iterator[Finding]:
    """The cell's ratio to the baseline, which is judged, and its time, which is not."""
    counted = changes(a.counted(cell), b.counted(cell), threshold)
    if not cell.is_baseline:
        name = f"time over {cell.baseline}'s"
        yield _ratio(name, cell, a, b, counted)
        counted = ()
    times = a.log_times(cell), b.log_times(cell)
    base, head = (1e3 * math.exp(sum(of) / len(of)) if of else None for of in times)
    yield Finding(
        name=cell.name,
        cell=cell,
        quantity=MILLISECONDS,
        base=base,
        head=head,
        changes=counted,
    )


def _ratio(
    name: str, cell: StepCostCell, a: Stored, b: Stored, changed: tuple[Change, ...]
) -> Finding:
    old, new = a.log_ratios(cell), b.log_ratios(cell)
    if not old or not new:
        return Finding(name=cell.name, cell=cell, quantity=name, changes=changed)
    shift, p_value = stats.welch(old, new)
    return Finding(
        name=cell.name,
        cell=cell,
        quantity=name,
        base=math.exp(sum(old) / len(old)),
        head=math.exp(sum(new) / len(new)),
        ratio=stats.Interval(*(_exp(x) for x in shift)),
        p_value=p_value,
        floor=_exp(math.hypot(a.noise_floor(cell), b.noise_floor(cell))) - 1,
        changes=changed,
    )


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def _machine(a: Stored, b: Stored) -> list[str]:
    """Differences of the hardware, in words."""
    found = environment.differences(a.about["environment"], b.about["environment"])
    return [text for text in found if text.startswith(("machine ", "device "))]


def _notes(a: Stored, b: Stored) -> Iterator[str]:
    """Differences between the runs, and the cells that cannot be compared."""
    one, two = a.about["environment"], b.about["environment"]
    machine = _machine(a, b)
    if machine:
        yield f"other hardware ({'; '.join(machine)}): times say nothing, ratios to the baseline do"
    rest = [text for text in environment.differences(one, two) if text not in machine]
    if rest:
        yield f"other software ({'; '.join(rest)}): a difference may be its doing"
    for key in ("governor", "turbo_off", "variables"):
        if one.get(key) != two.get(key):
            yield f"{key}: {one.get(key)} -> {two.get(key)}"
    for named, source in a.sources.items():
        if b.sources.get(named, source) != source:
            yield f"other source of {' '.join(named)} ({source}, {b.sources[named]})"
    if suite_by_names(a.about) != suite_by_names(b.about):
        yield f"other suites or settings ({a.about['name']}, {b.about['name']})"
    for run in (a, b):
        if run.waiting_share() > BUSY:
            yield (
                f"{run.folder}: something else had the processor for {run.waiting_share():.0%} of "
                "the timed time, which is taken off"
            )
        for key, reason in run.failures.items():
            yield f"failed in {run.folder}: {run.cells[key].name}: {reason}"
    for own, other in ((a, b), (b, a)):
        for key, cell in own.cells.items():
            if key not in other.cells and not cell.control:
                yield f"only in {own.folder}: {cell.name}{_nearest(cell, other.cells)}"


def _nearest(cell: StepCostCell, others: Mapping[str, StepCostCell]) -> str:
    """In what the other run's most similar cell differs, where that is one thing."""
    for other in others.values():
        pairs = zip(asdict(cell).items(), asdict(other).values(), strict=True)
        apart = [(key, old, new) for (key, old), new in pairs if old != new]
        if len(apart) == 1 and apart[0][0] in (
            "threads",
            "dtype",
            "device",
            "compiled",
            "variant",
            "allocator",
            "optimizer",
        ):
            key, old, new = apart[0]
            return f" ({key} {old} here, {new} there: not compared)"
    return ""
