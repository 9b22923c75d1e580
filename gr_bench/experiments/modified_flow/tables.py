"""From records to the modified-flow tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gr_bench import stats
from gr_bench.experiments.columns import build_table, cell_columns, in_order
from gr_bench.experiments.experiment import Summary
from gr_bench.experiments.modified_flow.record import Epoch, Path
from gr_bench.experiments.record import Failure, Record

SETTING = ("seed", "batches", "step")
FLOWS = ("plain", "modified", "full")
"""The flows that an epoch is held to, and their columns of distances."""

ENDS = ("large", "small", "explicit")
END_COLUMNS = [f"{end}_{key}" for end in ENDS for key in ("loss", "gradient_norm", "curvature")]
PATH = [*END_COLUMNS, "small_distance", "explicit_distance", "status"]
ORDER = [f"{flow}_order" for flow in FLOWS]


def epochs(records: Sequence[Record]) -> pd.DataFrame:
    """A row an epoch: ``plain``, ``modified`` and ``full`` are the relative distances of where the
    mean epoch ends from the flows (:class:`~gr_bench.experiments.modified_flow.record.Epoch`).
    """
    rows = []
    for record in records:
        row = cell_columns(record.cell, *SETTING)
        if isinstance(record, Epoch):
            found = {key: getattr(record, key) for key in ("curvature", "length", *FLOWS)}
            rows.append(row | found | {"status": "ok"})
        elif isinstance(record, Failure) and record.cell.part == "epoch":  # type: ignore[attr-defined]
            rows.append(row | {"status": record.status})
    columns = [*SETTING, "curvature", "length", *FLOWS, "status"]
    return in_order(build_table(rows, columns), *SETTING)


def orders(table: pd.DataFrame) -> pd.DataFrame:
    """A row a problem, seed and number of batches: the order of the distance from every flow.

    The distance itself, ‖θ - θ_flow‖, goes as hᵖ; p is the slope of the least-squares line of its
    logarithm on that of the step, over all steps; at least three are needed. It is not corrected
    for higher orders, which bend it by about as much as the largest step is.
    """
    rows = []
    done = table[table["status"] == "ok"]
    for (model, batches, seed), own in done.groupby(["model", "batches", "seed"], sort=False):
        if own["step"].nunique() < 3:
            continue
        row = {"model": model, "batches": batches, "seed": seed, "steps": len(own)}
        for flow in FLOWS:
            distance = own[flow] * own["length"]
            known = (distance > 0).all()
            slope = np.polyfit(np.log(own["step"]), np.log(distance), 1)[0] if known else np.nan
            row[f"{flow}_order"] = float(slope)
        rows.append(row)
    return pd.DataFrame(rows, columns=["model", "batches", "seed", "steps", *ORDER])


def paths(records: Sequence[Record]) -> pd.DataFrame:
    """A row a path: loss, gradient norm and largest curvature where it ended with the ``large``
    step, with one an eighth of it (``small``), and with that and the explicit penalty that makes up
    for it (``explicit``); the distances of the last two ends from the first. ``status`` is ``ok``,
    ``diverged`` (one of the three), ``failed`` or ``unsupported``.
    """
    rows = []
    for record in records:
        row = cell_columns(record.cell, *SETTING)
        if isinstance(record, Path):
            rows.append(row | _ends(record))
        elif isinstance(record, Failure) and record.cell.part == "path":  # type: ignore[attr-defined]
            rows.append(row | {"status": record.status})
    return in_order(build_table(rows, [*SETTING, *PATH]), *SETTING)


def _ends(record: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"status": "ok"}
    for name in ENDS:
        end = getattr(record, name)
        if end is None:
            found["status"] = "diverged"
            continue
        for key in ("loss", "gradient_norm", "curvature"):
            found[f"{name}_{key}"] = getattr(end, key)
    distances = ("small_distance", "explicit_distance")
    return found | {key: getattr(record, key) for key in distances}


def summaries(slopes: pd.DataFrame, ended: pd.DataFrame) -> list[Summary]:
    """Orders by problem and batches; ends of paths by problem and step. Means over seeds."""
    rows: list[dict[str, Any]] = []
    for (model, batches), own in slopes.groupby(["model", "batches"], sort=False):
        row: dict[str, Any] = {"problem": model, "mini-batches": batches}
        for flow in FLOWS:
            row[f"order, {flow}"] = _with_interval(own[f"{flow}_order"].dropna(), "{:.3f}")
        rows.append(row | {"seeds": len(own)})
    of_orders = pd.DataFrame(rows)
    rows = []
    for (model, step), own in ended.groupby(["model", "step"], sort=False):
        done = own[own["status"] == "ok"]
        rows.append(
            {
                "problem": model,
                "step": f"{step:g}",
                "curvature, large over small": _ratio(
                    done["large_curvature"], done["small_curvature"]
                ),
                "curvature, explicit over small": _ratio(
                    done["explicit_curvature"], done["small_curvature"]
                ),
                "distance, explicit over small": _ratio(
                    done["explicit_distance"], done["small_distance"]
                ),
                "seeds": len(done),
                "lost": len(own) - len(done),
            }
        )
    return [
        Summary(
            "modified_flow_orders",
            "Order of the distance from three flows in the step size",
            "Mean over seeds with its 95 % t-interval. One epoch of SGD, the mean over all "
            "orders of its mini-batches, is compared with the flow of the loss C for the same "
            "time (plain), of C + (h/4)(1/m)Σ‖∇C_k‖² (modified) and of C + (h/4)‖∇C‖² (full; of "
            "one mini-batch the same). A distance of order 3 means that the flow is correct to "
            "second order in the step size.",
            of_orders,
        ),
        Summary(
            "modified_flow_paths",
            "End points of descent in a given time, by step size",
            "Geometric means of ratios over seeds with their 95 % t-intervals. Small: a step an "
            "eighth as large; explicit: the same with the penalty ((h - h/8)/4)‖∇L‖². Step: h "
            "times the largest curvature at the start. Lost: one of the three diverged, or failed.",
            pd.DataFrame(rows),
        ),
    ]


def log_ratio(above: pd.Series, below: pd.Series) -> list[float]:
    """log(above/below) where both are above 0."""
    known = (above > 0) & (below > 0)
    return [float(x) for x in np.log(above[known] / below[known])]


def _with_interval(values: pd.Series, number: str) -> str:
    if not len(values):
        return "-"
    center, low, high = stats.t_interval(values)
    return f"{number} [{number}, {number}]".format(center, low, high)


def _ratio(above: pd.Series, below: pd.Series) -> str:
    logs = log_ratio(above, below)
    if not logs:
        return "-"
    return "{:.4f} [{:.4f}, {:.4f}]".format(*stats.ratio_interval(logs))
