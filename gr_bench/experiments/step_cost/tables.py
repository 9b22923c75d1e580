"""From records to the step-cost tables."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from gr_bench import stats
from gr_bench.experiments.block_times import BlockTimes, Times, blocks_of
from gr_bench.experiments.columns import build_table, cell_columns, in_order
from gr_bench.experiments.record import Failure, Record
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.record import Check, Counters
from gr_bench.timing.replicates import is_precise_enough, log_ratio

SGD = "sgd"
"""The units of the cost model's bounds of the extra memory."""

LAUNCH_BOUND = 0.05
"""A step that takes longer by more than this than its kernels do is bound by launching them."""

MEMORY = (
    "parameter_bytes",
    "gradient_bytes",
    "optimizer_state_bytes",
    "method_bytes",
    "rest_bytes",
)
"""The parts that a peak is made of."""

MEASURED = (
    "time_ms",
    "time_ms_low",
    "time_ms_high",
    "device_time_ms",
    "device_time_ratio",
    "launch_bound",
    "launches",
    "energy_j",
    "time_ratio",
    "time_ratio_low",
    "time_ratio_high",
    "flops",
    "uncounted_operators",
    "gradient_evaluations",
    "predicted_flops",
    "flop_ratio",
    "efficiency",
    "flops_per_s",
    "machine_flops_per_s",
    "machine_share",
    "peak_memory_bytes",
    "peak_allocated_bytes",
    "peak_reserved_bytes",
    "extra_parameter_copies",
    "predicted_copies_low",
    "predicted_copies_high",
    *MEMORY,
    "resident_bytes",
    "replicates",
    "rounds",
    "within_spread",
    "between_spread",
    "waiting_share",
    "cpu_share",
    "half_width",
    "target_half_width",
    "more_time_s",
    "control",
    "allocator",
    "stop_reason",
    "status",
)


BLOCK = [
    *("model", "dataset", "batch_size", "device", "dtype", "threads"),
    *("compiled", "variant", "allocator", "optimizer"),
]
"""The columns that the rows of one block, a workload, have in common."""


def uncounted(table: pd.DataFrame) -> pd.Series[bool]:
    """True for rows without a FLOP ratio, since there are FLOPs in their block that cannot be
    counted.
    """
    block = [table[column] for column in BLOCK]
    some = table["uncounted_operators"].notna().groupby(block, dropna=False).transform("any")
    return some & table["flop_ratio"].isna() & table["peak_memory_bytes"].notna()


def step_cost(records: Sequence[Record], times: BlockTimes) -> pd.DataFrame:
    """A row a cell; ``control`` rows are the baseline timed a second time.

    ``time_ms`` is the geometric mean over replicates of their median step time; ``time_ratio`` that
    of the ratio to the baseline (:func:`gr_bench.timing.replicates.log_ratio`), both with 95 %
    t-intervals over replicates; all without the time that a step waited for a processor.
    ``half_width`` is how far the ratio's interval reaches, relative; ``target_half_width`` what was
    asked for; ``more_time_s`` about how much longer the cell's block would take to get there.
    ``device_time_ms`` and ``device_time_ratio`` are of a GPU that does not wait for the host (its
    stream is held until a sample is queued), over the rounds in which that could be read;
    ``launch_bound`` says that a step as trained takes more than 5 % longer than that. ``launches``
    are calls of operators that launch something, ``energy_j`` joules a step of the whole device.
    These are empty on a CPU, as are ``peak_allocated_bytes`` and ``peak_reserved_bytes``, which are
    those of the whole process. ``uncounted_operators`` names operators whose arithmetic cannot be
    counted (:mod:`gr_bench.meters.flops`); where there are any, ``flops`` and what rests on it are
    empty. ``flop_ratio`` is exact; ``efficiency`` = flop_ratio/time_ratio, 1 where a method costs
    just its arithmetic. ``extra_parameter_copies`` = (peak - baseline's
    peak)/P. ``predicted_flops`` and the bounds ``predicted_copies_low`` and ``_high``, over SGD,
    are those of :mod:`~gr_bench.experiments.step_cost.cost_model`. ``gradient_evaluations`` are
    a step's, as the method counts them (empty in older runs). ``flops_per_s`` is achieved,
    ``machine_flops_per_s`` that of a matrix product in the same rounds, ``machine_share`` their
    quotient. ``resident_bytes`` is the process's resident memory after the step. ``waiting_share``
    is the part of the timed wall time in which the process waited for a processor that others had,
    ``cpu_share`` that in which its threads were on one. ``within_spread`` is the typical standard
    error of one replicate's log-ratio by its own rounds, ``between_spread`` the standard deviation
    over replicates. ``status`` is ``ok``, ``wrong`` (the step computes something else than the
    plain one, and was not timed), ``not counted`` (the counters failed, the times are right),
    ``loss is not finite``, ``failed`` or ``unsupported``.
    """
    counters = {r.cell.id: r for r in records if isinstance(r, Counters)}
    failures = {r.cell.id: r for r in records if isinstance(r, Failure) and r.lacks is None}
    uncounted = {r.cell.id for r in records if isinstance(r, Failure) and r.lacks == Counters.kind}
    wrong = {r.cell.id for r in records if isinstance(r, Check) and not r.agrees}
    cells = {r.cell.id: r.cell for r in records if isinstance(r.cell, StepCostCell)}
    by_workload = {
        (*cell.workload, cell.spec): cell.id for cell in cells.values() if not cell.control
    }
    alive = [cell for cell in cells.values() if cell.id not in {*failures, *wrong}]
    more_s: dict[str, float] = {}
    for block in blocks_of(alive):
        more_s |= dict.fromkeys(
            (cell.id for cell in block), times.more_s(block, _target(times, block))
        )
    rows = []
    for cell in cells.values():
        baseline = by_workload.get((*cell.workload, cell.baseline), "")
        sgd = by_workload.get((*cell.workload, SGD), "")
        row = cell_columns(cell) | {"control": cell.control, "allocator": cell.allocator}
        row |= _times(cell, times, more_s.get(cell.id, 0.0))
        row |= _counted(counters.get(cell.id), counters.get(baseline))
        row |= _bounds(counters.get(cell.id), counters.get(sgd))
        if "flop_ratio" in row and "time_ratio" in row:
            row["efficiency"] = row["flop_ratio"] / row["time_ratio"]
        if row.get("flops") and "time_ms" in row:
            row["flops_per_s"] = row["flops"] / (1e-3 * row["time_ms"])
            row["machine_share"] = row["flops_per_s"] / row["machine_flops_per_s"]
        if cell.id in failures:
            row["status"] = failures[cell.id].status
        elif cell.id in wrong:
            row["status"] = "wrong"
        elif cell.id in uncounted:
            row["status"] = "not counted"
        else:
            finite = cell.id not in counters or counters[cell.id].finite
            row["status"] = "ok" if finite else "loss is not finite"
        rows.append(row)
    return in_order(build_table(rows, MEASURED), "control")


def _target(times: BlockTimes, block: Sequence[StepCostCell]) -> float:
    replicates = times.records.get(block[0].id, {})
    return replicates[max(replicates)].options.target if replicates else 1.0


def _times(cell: StepCostCell, times: BlockTimes, more_s: float) -> dict[str, Any]:
    replicates = times.records.get(cell.id)
    if not replicates:
        return {"replicates": 0, "rounds": 0}
    own = list(replicates.values())
    time = stats.ratio_interval([math.log(stats.median(record.step_s)) for record in own])
    elapsed = sum(sum(record.elapsed_s) for record in own)
    row: dict[str, Any] = {
        "time_ms": 1e3 * time.center,
        "time_ms_low": 1e3 * time.low,
        "time_ms_high": 1e3 * time.high,
        "replicates": len(own),
        "rounds": sum(len(record.position) for record in own),
        "machine_flops_per_s": statistics.median(r.machine_flops_per_s for r in own),
        "waiting_share": sum(sum(record.waited_s) for record in own) / elapsed,
        "cpu_share": sum(sum(record.cpu_s) for record in own) / (cell.threads * elapsed),
        "allocator": _allocator(cell, own),
    }
    baselines = {
        r.replicate: base for r in own if (base := times.baseline(cell, r.replicate)) is not None
    }
    row |= _on_device(own, baselines)
    ratio = times.ratio(cell)
    if ratio is not None:
        row |= {
            "time_ratio": ratio.center,
            "time_ratio_low": ratio.low,
            "time_ratio_high": ratio.high,
            "within_spread": stats.within_spread(times.of_rounds(cell)),
            "between_spread": stats.between_spread(list(times.log_ratios[cell.id].values())),
            "half_width": ratio.high / ratio.center - 1,
            "target_half_width": own[-1].options.target,
            "more_time_s": more_s,
            "stop_reason": _stop_reason(ratio, own),
        }
    return row


def _on_device(own: Sequence[Times], baseline: Mapping[int, Times]) -> dict[str, Any]:
    """The columns that a GPU alone has: its own time, and the energy of a step."""
    row: dict[str, Any] = {}
    joules = [record.energy_j for record in own if record.energy_j is not None]
    if joules:
        row["energy_j"] = statistics.median(joules)
    known = [seconds for r in own if (seconds := _known(_device_s(r)))]
    if not known:
        return row
    row["device_time_ms"] = 1e3 * _geometric_mean(stats.median(seconds) for seconds in known)
    excess = _mean_ratio((r.step_s, _device_s(r)) for r in own)
    assert excess is not None
    row["launch_bound"] = excess > 1 + LAUNCH_BOUND
    ratio = _mean_ratio(
        (_device_s(r), _device_s(base))
        for r in own
        if (base := baseline.get(r.replicate)) is not None
    )
    if ratio is not None:
        row["device_time_ratio"] = ratio
    return row


def _mean_ratio(
    pairs: Iterable[tuple[Sequence[float | None], Sequence[float | None]]],
) -> float | None:
    """Geometric mean over replicates of the ratio of two times, from rounds that know both."""
    ratios = []
    for times, others in pairs:
        both = [
            (a, b) for a, b in zip(times, others, strict=True) if a is not None and b is not None
        ]
        if both:
            ratios.append(math.exp(log_ratio([a for a, _ in both], [b for _, b in both])))
    return _geometric_mean(ratios) if ratios else None


def _geometric_mean(values: Iterable[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def _device_s(record: Times) -> tuple[float | None, ...]:
    """(rounds,) the GPU's own seconds a step; None where there is none or it is not known."""
    return record.device_s or (None,) * len(record.position)


def _known(seconds: Sequence[float | None]) -> list[float]:
    return [s for s in seconds if s is not None]


def _allocator(cell: StepCostCell, replicates: Sequence[Times]) -> str:
    """The allocator asked for and, where that was not to be had, the one in fact."""
    found = {record.conditions.allocator for record in replicates if record.conditions}
    if found <= {cell.allocator}:
        return cell.allocator
    return f"{cell.allocator} (in fact {', '.join(sorted(found))})"


def _stop_reason(ratio: stats.Interval, replicates: Sequence[Times]) -> str:
    options = replicates[-1].options
    if is_precise_enough(ratio, options.target):
        return "target"
    if len(replicates) >= options.most_replicates:
        return "replicates"
    return "not finished" if options.left_s is None else "budget"


def _counted(own: Counters | None, base: Counters | None) -> dict[str, Any]:
    if own is None:
        return {}
    row = {
        "flops": own.flops,
        "uncounted_operators": ", ".join(own.uncounted) or None,
        "predicted_flops": own.predicted_flops,
        "launches": own.launches,
        "peak_memory_bytes": own.peak_bytes,
        "peak_allocated_bytes": own.peak_allocated_bytes,
        "peak_reserved_bytes": own.peak_reserved_bytes,
        **{part: getattr(own, part) for part in MEMORY},
        "resident_bytes": own.resident_bytes,
    }
    if own.gradient_evaluations is not None:
        row["gradient_evaluations"] = own.gradient_evaluations
    if base is not None:
        row["extra_parameter_copies"] = (own.peak_bytes - base.peak_bytes) / own.parameter_bytes
        if own.flops and base.flops:
            row["flop_ratio"] = own.flops / base.flops
    return row


def _bounds(own: Counters | None, sgd: Counters | None) -> dict[str, float]:
    """Bounds of the extra memory in parameter copies, as far as the cost model has any."""
    if own is None or sgd is None:
        return {}
    size, found = own.parameter_bytes, {}
    if (low := own.predicted_extra_low_bytes) is not None:
        found["predicted_copies_low"] = low / size
    if (high := own.predicted_extra_high_bytes) is not None:
        found["predicted_copies_high"] = high / size
    if (peak := own.predicted_peak_low_bytes) is not None:
        # not less than 0: until then the method has let go of nothing that SGD holds
        found["predicted_copies_low"] = max(0, peak - sgd.peak_bytes) / size
    return found


SAMPLE = (
    *("replicate", "round", "position", "control", "steps"),
    *("time_ms", "elapsed_ms", "waited_ms", "cpu_ms", "device_ms"),
)


def step_samples(times: BlockTimes) -> pd.DataFrame:
    """A row a sample: its replicate, its round, its place in the round's order, ms a step.

    ``time_ms`` = ``elapsed_ms`` - ``waited_ms``; ``device_ms`` is the GPU's own time, empty where
    there is none or it is not known.
    """
    heads = {
        key: cell_columns(record.cell)
        for key, replicates in times.records.items()
        for record in itertools.islice(replicates.values(), 1)
    }
    rows = [
        {
            **heads[key],
            "replicate": record.replicate,
            "round": number,
            "position": record.position[number],
            "control": record.cell.control,
            "steps": record.steps,
            "time_ms": 1e3 * seconds,
            "elapsed_ms": 1e3 * record.elapsed_s[number],
            "waited_ms": 1e3 * record.waited_s[number],
            "cpu_ms": 1e3 * record.cpu_s[number],
            "device_ms": None if (s := _device_s(record)[number]) is None else 1e3 * s,
        }
        for key, replicates in times.records.items()
        for record in replicates.values()
        if isinstance(record.cell, StepCostCell)
        for number, seconds in enumerate(record.step_s)
    ]
    return in_order(build_table(rows, SAMPLE), "control", "replicate", "round")
