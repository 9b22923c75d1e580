"""The step-cost tables that a reader is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gr_bench import registry
from gr_bench.experiments.experiment import Summary
from gr_bench.experiments.step_cost.findings import NOT_COUNTED
from gr_bench.experiments.step_cost.tables import BLOCK, MEMORY, uncounted
from gr_bench.spec import parse
from gr_bench.units import duration

ON_GPU = (
    " On a GPU: device time is measured with the stream held until the whole sample is queued; "
    "a step is launch-bound if it takes more than 5 % longer as trained; launches are calls of "
    "operators that launch something; energy is that of the whole device."
)
"""The columns of a GPU's times, in words."""

NOT_KNOWN = "not known"
"""In place of a closed form of layers that have none, and of its comparison with a count."""


def summaries(table: pd.DataFrame) -> list[Summary]:
    """The times and ratios of every cell, then its memory."""
    cell = table[[c for c in BLOCK if c != "device"]].copy()
    cell = cell.loc[:, [c for c in cell if c in ("model", "dataset") or cell[c].nunique() > 1]]
    cell["method"] = table["spec"] + np.where(table["control"].astype(bool), " (control)", "")
    time = cell.copy()
    time["time (ms)"] = table["time_ms"].map("{:.3g}".format)
    _add(time, table["device_time_ms"], "device time (ms)", "{:.3g}")
    _add(time, table["device_time_ratio"], "device time ratio", "{:.3f}")
    _add(time, table["launch_bound"], "launch-bound", {True: "yes", False: "no"})
    _add(time, table["launches"], "launches", "{:,.0f}")
    _add(time, table["energy_j"], "energy (J)", "{:.3g}")
    time["time ratio"] = [_interval(row) for row in table.to_dict("records")]
    time["known to"] = [_known_to(row) for row in table.to_dict("records")]
    time["FLOP ratio"] = _resting_on_flops(table, "flop_ratio", "{:.3f}")
    time["efficiency"] = _resting_on_flops(table, "efficiency", "{:.2f}")
    _add(time, table["uncounted_operators"], NOT_COUNTED, "{}")
    time["GFLOP/s"] = (table["flops_per_s"] / 1e9).map("{:.1f}".format)
    time["of machine"] = table["machine_share"].map("{:.0%}".format)
    time["replicates"] = table["replicates"]
    time["rounds"] = table["rounds"]
    time["within"] = table["within_spread"].map("{:.2%}".format)
    time["between"] = table["between_spread"].map("{:.2%}".format)
    time["waiting"] = table["waiting_share"].map("{:.1%}".format)
    time["stopped by"] = table["stop_reason"]
    time["status"] = table["status"]
    mb = 1e6
    methods = ~table["control"].astype(bool)
    memory = cell[methods].copy()
    memory["peak (MB)"] = (table["peak_memory_bytes"] / mb).map("{:.2f}".format)
    for key in ("peak_allocated_bytes", "peak_reserved_bytes"):
        title = f"process {key.removeprefix('peak_').removesuffix('_bytes')} (MB)"
        _add(memory, table[key] / mb, title, "{:.2f}")
    memory["extra memory (P)"] = table["extra_parameter_copies"].map("{:+.2f}".format)
    for part in MEMORY:
        title = f"{part.removesuffix('_bytes').replace('_', ' ')} (MB)"
        memory[title] = (table[part] / mb).map("{:.2f}".format)
    memory["process resident (MB)"] = (table["resident_bytes"] / mb).map("{:.0f}".format)
    on_gpu = ON_GPU if table["device"].astype(str).str.startswith("cuda").any() else ""
    return [
        Summary(
            "step_time",
            "Time per step",
            "Ratio to the baseline (SGD unless the suite names another), timed in the same "
            "rounds, with waiting for a processor subtracted: geometric mean over freshly "
            "started processes of the Hodges-Lehmann estimate over rounds, with the 95 % "
            "t-interval over processes. Known to: half-width of the interval; if the target is "
            "not reached, with the approximate time still needed. The control is the baseline "
            "timed a second time: its true ratio is 1. FLOPs count matrix products and "
            "convolutions; if an operator does arithmetic that cannot be counted, they are "
            "omitted, and the operator is named. Efficiency is the FLOP ratio over the time "
            "ratio: 1 means that a method costs only its arithmetic. Of machine: FLOP rate "
            "relative to that of a square matrix product in the same rounds. Within: standard "
            "error of one process's log-ratio from its own rounds; between: standard deviation "
            "over processes. Waiting: share of the timed wall time in which other work occupied "
            "the processor." + on_gpu,
            time,
            (*cell, "time (ms)", "time ratio", "known to", "FLOP ratio", "efficiency", "status"),
        ),
        Summary(
            "step_memory",
            "Peak memory of a step",
            "Bytes allocated by PyTorch's allocator at the peak of a steady-state step, and "
            "their parts. P is the size of the parameters; extra memory is the excess over the "
            "baseline's.",
            memory,
            (*cell, "peak (MB)", "extra memory (P)"),
        ),
        Summary(
            "cost_model",
            "Predicted and measured cost of a step",
            "FLOPs of matrix products from the layers' shapes (closed form), and as counted "
            "from the operators that a step calls. The FLOP ratio tends to the limit as layers "
            "are added: 2 for two gradients, 3 for double backpropagation (the paper's 6L and "
            "9L products against 3L). Efficiency: FLOP ratio over time ratio. Extra memory "
            "relative to SGD, in parameter copies, and its bounds from the tensors that a "
            "method holds at once.",
            _cost_model(table[methods], cell[methods]),
        ),
    ]


def _add(
    shown: pd.DataFrame, values: pd.Series[Any], title: str, form: str | Mapping[Any, str]
) -> None:
    """Add a column that only a GPU has, where any of its values is known."""
    if values.notna().any():
        shown[title] = [
            "-" if pd.isna(v) else form.format(v) if isinstance(form, str) else form[bool(v)]
            for v in values
        ]


def _resting_on_flops(table: pd.DataFrame, column: str, number: str) -> pd.Series[str]:
    """A column as text, with the word for it where it is empty for want of FLOPs."""
    return table[column].map(number.format).mask(uncounted(table), NOT_COUNTED)


def _known_to(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["half_width"]):
        return "-"
    width = f"{row['half_width']:.1%}"
    more = row["more_time_s"]
    if row["half_width"] <= row["target_half_width"] or not np.isfinite(more):
        return width
    return f"{width} ({duration(more)} more)"


def _cost_model(table: pd.DataFrame, cell: pd.DataFrame) -> pd.DataFrame:
    shown = cell.copy()
    read = table["peak_memory_bytes"].notna()
    equal = (table["predicted_flops"] == table["flops"]).map({True: "yes", False: "no"})
    for key, title, unknown in (
        ("predicted_flops", "closed form", NOT_KNOWN),
        ("flops", "counted", NOT_COUNTED),
    ):
        missing = read & table[key].isna()
        mega = (table[key].astype(float) / 1e6).map("{:.3f}".format)
        shown[f"{title} (MFLOP)"] = mega.mask(missing, unknown)
        equal = equal.mask(missing, NOT_KNOWN)
    shown["equal"] = equal.where(read, "-")
    shown["FLOP ratio"] = _resting_on_flops(table, "flop_ratio", "{:.3f}")
    evaluations = table["gradient_evaluations"]
    shown["limit"] = [
        _limit(spec, float(stored)) for spec, stored in zip(table["spec"], evaluations, strict=True)
    ]
    shown["time ratio"] = table["time_ratio"].map("{:.3f}".format)
    shown["efficiency"] = _resting_on_flops(table, "efficiency", "{:.2f}")
    shown["extra memory (P)"] = table["extra_parameter_copies"].map("{:+.2f}".format)
    bounds = table[["predicted_copies_low", "predicted_copies_high"]].itertuples(index=False)
    shown["bounds (P)"] = [_range(*pair) for pair in bounds]
    return shown.replace("nan", "-")


def _limit(spec: str, stored: float) -> str:
    """Gradient evaluations of a step; of a plug-in in an older run they are not known."""
    if math.isnan(stored):
        if registry.METHODS.own(parse(spec).name) is None:
            return "-"
        stored = registry.gradient_evaluations(spec)
    return f"{stored:g}"


def _range(low: float, high: float) -> str:
    if pd.isna(low):
        return "-"
    return f"at least {low:.2f}" if pd.isna(high) else f"{low:.2f} to {high:.2f}"


def _interval(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["time_ratio"]):
        return "-"
    return f"{row['time_ratio']:.3f} [{row['time_ratio_low']:.3f}, {row['time_ratio_high']:.3f}]"
