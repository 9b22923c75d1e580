"""From records to the step-cost tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gr_bench import registry, stats
from gr_bench.experiments.base import COLUMNS, Record, Summary, columns, failure_status, in_order
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.timed import Timed, known_to

SGD = "sgd"
"""What the cost model's bounds of the extra memory are over."""

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
    "time_ratio",
    "time_ratio_low",
    "time_ratio_high",
    "flops",
    "predicted_flops",
    "flop_ratio",
    "efficiency",
    "flops_per_s",
    "machine_flops_per_s",
    "machine_share",
    "peak_memory_bytes",
    "extra_parameter_copies",
    "predicted_copies_low",
    "predicted_copies_high",
    *MEMORY,
    "resident_bytes",
    "replicates",
    "rounds",
    "within_spread",
    "between_spread",
    "cpu_share",
    "control",
    "allocator",
    "stop_reason",
    "status",
)


def step_cost(records: Sequence[Record]) -> pd.DataFrame:
    """A row a cell; ``control`` rows are the baseline timed a second time.

    ``time_ms`` is the geometric mean over replicates of their median step time; ``time_ratio`` that
    of the median over rounds of the ratio to the baseline, both with 95 % t-intervals over
    replicates. ``flop_ratio`` is exact; ``efficiency`` = flop_ratio/time_ratio, 1 where a method
    costs just its arithmetic. ``extra_parameter_copies`` = (peak - baseline's peak)/P.
    ``predicted_flops`` and the bounds ``predicted_copies_low`` and ``_high``, over SGD, are those
    of :mod:`~gr_bench.experiments.step_cost.cost_model`.
    ``flops_per_s`` is achieved, ``machine_flops_per_s`` that of a matrix product in the same
    rounds, ``machine_share`` their quotient. ``resident_bytes`` is the process's resident memory
    after the step. ``cpu_share`` is the part of the timed wall time that the process's threads were
    on a processor; the rest went to something else on the machine.
    ``within_spread`` is the typical standard error of one replicate's log-ratio by its own rounds,
    ``between_spread`` the standard deviation over replicates.
    """
    timed = Timed(records)
    counters = {r.cell.id: r.data for r in records if r.kind == "counters"}
    failures = {r.cell.id: r.data for r in records if r.kind == "failure"}
    cells = {r.cell.id: r.cell for r in records}
    by_workload = {
        (*cell.workload, cell.method): cell.id
        for cell in cells.values()
        if isinstance(cell, StepCostCell) and not cell.control
    }
    spent_s = timed.spent_s(cells)
    rows = []
    for cell in cells.values():
        assert isinstance(cell, StepCostCell)
        baseline = by_workload.get((*cell.workload, cell.baseline), "")
        row = columns(cell) | {"control": cell.control, "allocator": cell.allocator}
        row |= _times(cell, timed, spent_s) | _counted(counters, cell.id, baseline)
        row |= _bounds(
            counters.get(cell.id), counters.get(by_workload.get((*cell.workload, SGD), ""))
        )
        if "flop_ratio" in row and "time_ratio" in row:
            row["efficiency"] = row["flop_ratio"] / row["time_ratio"]
        if row.get("flops") and "time_ms" in row:
            row["flops_per_s"] = row["flops"] / (1e-3 * row["time_ms"])
            row["machine_share"] = row["flops_per_s"] / row["machine_flops_per_s"]
        if cell.id in failures:
            row["status"] = failure_status(failures[cell.id])
        else:
            finite = counters.get(cell.id, {}).get("finite", True)
            row["status"] = "ok" if finite else "loss is not finite"
        rows.append(row)
    return in_order(pd.DataFrame(rows, columns=[*COLUMNS, *MEASURED]), "control")


def _times(cell: StepCostCell, timed: Timed, spent_s: float) -> dict[str, Any]:
    replicates = timed.records.get(cell.id)
    if not replicates:
        return {"replicates": 0, "rounds": 0}
    data = [record.data for record in replicates.values()]
    time = stats.ratio_interval([math.log(stats.median(d["step_s"])) for d in data])
    row: dict[str, Any] = {
        "time_ms": 1e3 * time.center,
        "time_ms_low": 1e3 * time.low,
        "time_ms_high": 1e3 * time.high,
        "replicates": len(data),
        "rounds": sum(len(d["step_s"]) for d in data),
        "machine_flops_per_s": statistics.median(d["machine_flops_per_s"] for d in data),
        "cpu_share": sum(sum(d["cpu_s"]) for d in data)
        / (cell.threads * sum(sum(d["wall_s"]) for d in data)),
        "allocator": _allocator(cell, data),
    }
    ratio = timed.ratio(cell.id)
    if ratio is not None:
        logs = list(timed.log_ratios[cell.id].values())
        row |= {
            "time_ratio": ratio.center,
            "time_ratio_low": ratio.low,
            "time_ratio_high": ratio.high,
            "within_spread": stats.within_spread(logs),
            "between_spread": stats.between_spread([stats.median(log) for log in logs]),
            "stop_reason": _stop_reason(ratio, data, spent_s),
        }
    return row


def _allocator(cell: StepCostCell, replicates: list[dict[str, Any]]) -> str:
    """What was asked for and, where that was not to be had, what it was in fact."""
    found = {data["conditions"]["allocator"] for data in replicates}
    if found == {cell.allocator}:
        return cell.allocator
    return f"{cell.allocator} (in fact {', '.join(sorted(found))})"


def _stop_reason(ratio: stats.Interval, replicates: list[dict[str, Any]], spent_s: float) -> str:
    protocol = replicates[-1]
    if known_to(ratio, protocol["target_half_width"]):
        return "target"
    if len(replicates) >= protocol["most_replicates"]:
        return "replicates"
    if protocol["budget_minutes"] is not None and spent_s >= 60 * protocol["budget_minutes"]:
        return "budget"
    return "not finished"


def _counted(counters: dict[str, dict[str, Any]], cell_id: str, baseline_id: str) -> dict[str, Any]:
    own, base = counters.get(cell_id), counters.get(baseline_id)
    if own is None:
        return {}
    row = {
        "flops": own["flops"],
        "predicted_flops": own.get("predicted_flops"),
        "peak_memory_bytes": own["peak_bytes"],
        **{part: own[part] for part in MEMORY},
        "resident_bytes": own["resident_bytes"],
    }
    if base is not None:
        extra = own["peak_bytes"] - base["peak_bytes"]
        row["extra_parameter_copies"] = extra / own["parameter_bytes"]
        if own["flops"] and base["flops"]:
            row["flop_ratio"] = own["flops"] / base["flops"]
    return row


def _bounds(own: dict[str, Any] | None, sgd: dict[str, Any] | None) -> dict[str, float]:
    """Bounds of the extra memory in parameter copies, as far as the cost model has any."""
    if own is None or sgd is None:
        return {}
    size, found = own["parameter_bytes"], {}
    if (low := own.get("predicted_extra_low_bytes")) is not None:
        found["predicted_copies_low"] = low / size
    if (high := own.get("predicted_extra_high_bytes")) is not None:
        found["predicted_copies_high"] = high / size
    if (peak := own.get("predicted_peak_low_bytes")) is not None:
        # not less than 0: until then the method has let go of nothing that SGD holds
        found["predicted_copies_low"] = max(0, peak - sgd["peak_bytes"]) / size
    return found


def step_samples(records: Sequence[Record]) -> pd.DataFrame:
    """A row a sample: its replicate, its round, its place in the round's order, ms a step."""
    rows = [
        {
            **columns(record.cell),
            "replicate": record.data["replicate"],
            "round": number,
            "position": position,
            "control": record.cell.control,
            "steps": record.data["steps"],
            "time_ms": 1e3 * seconds,
            "wall_ms": 1e3 * record.data["wall_s"][number],
            "cpu_ms": 1e3 * record.data["cpu_s"][number],
        }
        for replicates in Timed(records).records.values()
        for record in replicates.values()
        if isinstance(record.cell, StepCostCell)
        for number, (seconds, position) in enumerate(
            zip(record.data["step_s"], record.data["position"], strict=True)
        )
    ]
    extra = ("replicate", "round", "position", "control", "steps", "time_ms", "wall_ms", "cpu_ms")
    table = pd.DataFrame(rows, columns=[*COLUMNS, *extra])
    return in_order(table, "control", "replicate", "round")


def summaries(table: pd.DataFrame) -> list[Summary]:
    """The times and ratios of every cell, then its memory."""
    cell = table[["model", "dataset", "batch_size", "threads", "compiled", "allocator"]].copy()
    cell = cell.loc[:, [c for c in cell if c in ("model", "dataset") or cell[c].nunique() > 1]]
    cell["method"] = table["label"] + table["control"].map({True: " (control)", False: ""})
    time = cell.copy()
    time["time (ms)"] = table["time_ms"].map("{:.3g}".format)
    time["time ratio"] = [_interval(row) for row in table.to_dict("records")]
    time["FLOP ratio"] = table["flop_ratio"].map("{:.3f}".format)
    time["efficiency"] = table["efficiency"].map("{:.2f}".format)
    time["GFLOP/s"] = (table["flops_per_s"] / 1e9).map("{:.1f}".format)
    time["of machine"] = table["machine_share"].map("{:.0%}".format)
    time["replicates"] = table["replicates"]
    time["rounds"] = table["rounds"]
    time["within"] = table["within_spread"].map("{:.2%}".format)
    time["between"] = table["between_spread"].map("{:.2%}".format)
    time["on CPU"] = table["cpu_share"].map("{:.1%}".format)
    time["stopped by"] = table["stop_reason"]
    time["status"] = table["status"]
    mb = 1e6
    methods = ~table["control"]
    memory = cell[methods].copy()
    memory["peak (MB)"] = (table["peak_memory_bytes"] / mb).map("{:.2f}".format)
    memory["extra memory (P)"] = table["extra_parameter_copies"].map("{:+.2f}".format)
    for part in MEMORY:
        title = f"{part.removesuffix('_bytes').replace('_', ' ')} (MB)"
        memory[title] = (table[part] / mb).map("{:.2f}".format)
    memory["process resident (MB)"] = (table["resident_bytes"] / mb).map("{:.0f}".format)
    return [
        Summary(
            "step_time",
            "Time per step",
            "Ratio to the baseline (SGD unless the suite names another), timed in the same rounds: "
            "geometric mean over freshly started processes of each one's median, with the 95 % "
            "t-interval over processes. The control is the baseline a second time: its ratio is 1 "
            "but for the noise. FLOPs count matrix products and "
            "convolutions. Efficiency is the FLOP ratio over the time ratio: 1 means that a "
            "method costs just its arithmetic. Of machine: FLOP rate over that of a square matrix "
            "product in the same rounds. Within: standard error of one process's log-ratio by its "
            "own rounds; between: standard deviation over processes. On CPU: part of the timed "
            "wall time in which the process had a processor; less than about 99 % means that "
            "something else was running.",
            time,
        ),
        Summary(
            "step_memory",
            "Peak memory of a step",
            "Bytes that PyTorch's allocator had given out at the peak of a steady-state step, and "
            "its parts. P is the bytes of the parameters; extra memory is over the baseline's.",
            memory,
        ),
        Summary(
            "cost_model",
            "What a step must cost, and what it does",
            "FLOPs of matrix products by the layers' shapes (closed form), and as counted from the "
            "operators that a step calls. The FLOP ratio tends to the limit as layers are added: 2 "
            "for two gradients, 3 for double backpropagation (the paper's 6L and 9L products "
            "against 3L). Efficiency: FLOP ratio over time ratio. Extra memory over SGD, in "
            "parameter copies, and the bounds that follow from what a method holds at once.",
            _cost_model(table[methods], cell[methods]),
        ),
    ]


def _cost_model(table: pd.DataFrame, cell: pd.DataFrame) -> pd.DataFrame:
    shown = cell.copy()
    for key, title in (("predicted_flops", "closed form"), ("flops", "counted")):
        shown[f"{title} (MFLOP)"] = (table[key].astype(float) / 1e6).map("{:.3f}".format)
    shown["equal"] = [
        "-" if pd.isna(a) or pd.isna(b) else "yes" if a == b else "no"
        for a, b in zip(table["predicted_flops"], table["flops"], strict=True)
    ]
    shown["FLOP ratio"] = table["flop_ratio"].map("{:.3f}".format)
    shown["limit"] = [
        str(registry.build_method(label).gradient_evaluations) for label in table["label"]
    ]
    shown["time ratio"] = table["time_ratio"].map("{:.3f}".format)
    shown["efficiency"] = table["efficiency"].map("{:.2f}".format)
    shown["extra memory (P)"] = table["extra_parameter_copies"].map("{:+.2f}".format)
    bounds = table[["predicted_copies_low", "predicted_copies_high"]].itertuples(index=False)
    shown["bounds (P)"] = [_range(*pair) for pair in bounds]
    return shown.replace("nan", "-")


def _range(low: float, high: float) -> str:
    if pd.isna(low):
        return "-"
    return f"at least {low:.2f}" if pd.isna(high) else f"{low:.2f} to {high:.2f}"


def _interval(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["time_ratio"]):
        return "-"
    return f"{row['time_ratio']:.3f} [{row['time_ratio_low']:.3f}, {row['time_ratio_high']:.3f}]"
