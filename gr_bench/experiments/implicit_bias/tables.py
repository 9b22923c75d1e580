"""From records to the implicit-bias tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from gr_bench import stats
from gr_bench.experiments.columns import build_table, cell_columns, in_order
from gr_bench.experiments.experiment import Summary
from gr_bench.experiments.implicit_bias.record import Endpoint, Solution
from gr_bench.experiments.record import Failure, Record

SETTING = ("alpha", "seed", "step", "tolerance", "most_steps")
RESULT = (
    "feature_mean",
    "alpha_ratio",
    "alpha_ratio_found",
    "discretisation_error",
    "beta_error",
    "optimality_residual",
    "direction_error",
    "l1_norm",
    "l2_norm",
    "kernel_share",
    "test_error",
    "least_l1_norm",
    "least_l1_test_error",
    "least_l2_norm",
    "least_l2_l1_norm",
    "least_l2_test_error",
    "loss",
    "residual",
    "steps",
    "time",
    "status",
)
COORDINATE = ("coordinate", "beta", "predicted_beta", "alpha_found", "predicted_alpha")
ORDER = ("feature_mean", "steps_down", "steps_of_epsilon", "forward", "backward", "between")
GROUP = ["dataset", "step", "alpha", "spec"]
BASELINE = "sgd"

LIMIT = 1e-3
"""Relative error below which theory and descent agree."""


def implicit_bias(records: Sequence[Record]) -> pd.DataFrame:
    """A row a solution, α and α̃ vectors of d entries.

    ``alpha_ratio`` is the mean of α̃/α with the α̃ of theory, α·exp(-∫q dt), from the accumulated
    integral; ``alpha_ratio_found`` that with √(w₊w₋) at the end. ``discretisation_error`` is the
    largest relative difference of the two α̃. ``beta_error`` = ‖β - β̃‖/‖β̃‖, where β̃ = argmin φ_α̃
    under Xβ = y is solved for independently. ``optimality_residual`` is the part of
    ∇φ_α̃(β) outside the row space of X. ``direction_error`` is the largest relative difference
    on the way between the direction followed and the method's own ``backward``.
    ``kernel_share`` = (‖β‖₁ - ‖β₁‖₁)/(‖β₂‖₁ - ‖β₁‖₁), with β₁ and β₂ the interpolants of least L1
    and L2 norm: 0 is the rich end, 1 the kernel end. ``test_error`` is the expected squared error
    on new inputs, ``time`` is Σ η. ``status`` is ``ok``, ``not converged`` (the data are not fitted
    to the tolerance after ``most_steps``), ``flooded`` (kept from fitting them), ``diverged``,
    ``failed`` or ``unsupported``.
    """
    rows = []
    for record in records:
        row = cell_columns(record.cell, *SETTING)
        if isinstance(record, Failure):
            row["status"] = record.status
        elif isinstance(record, Solution):
            row |= {
                "feature_mean": record.feature_mean,
                "steps": record.steps,
                "direction_error": record.direction_error,
                "status": record.status,
            }
            if record.endpoint is not None:
                row |= _compared(record.endpoint, record.cell.alpha)
        rows.append(row)
    return in_order(build_table(rows, [*SETTING, *RESULT]), "alpha", "epsilon", "seed")


def _compared(end: Endpoint, start: float) -> dict[str, float]:
    beta, found, predicted = map(np.array, (end.beta, end.alpha, end.predicted_alpha))
    rich, kernel = end.least_l1, end.least_l2
    l1 = float(np.abs(beta).sum())
    row = {
        "alpha_ratio": float(predicted.mean()) / start,
        "alpha_ratio_found": float(found.mean()) / start,
        "discretisation_error": float(np.abs(predicted / found - 1).max()),
        "l1_norm": l1,
        "l2_norm": float(np.linalg.norm(beta)),
        "test_error": end.test_error,
        "least_l1_norm": rich.l1_norm,
        "least_l1_test_error": rich.test_error,
        "least_l2_norm": kernel.l2_norm,
        "least_l2_l1_norm": kernel.l1_norm,
        "least_l2_test_error": kernel.test_error,
        "loss": end.loss,
        "residual": end.residual,
        "time": end.flow_time,
    }
    if end.predicted_fit is not None:
        theory = np.array(end.predicted_fit.beta)
        row["kernel_share"] = (l1 - rich.l1_norm) / (kernel.l1_norm - rich.l1_norm)
        row["beta_error"] = float(np.linalg.norm(beta - theory) / np.linalg.norm(theory))
        row["optimality_residual"] = end.predicted_fit.optimality_residual
    return row


def coordinates(records: Sequence[Record]) -> pd.DataFrame:
    """A row an entry of a solution: β and √(w₊w₋) as found, and as theory predicts them."""
    rows = []
    for record in records:
        if not isinstance(record, Solution) or record.endpoint is None:
            continue
        end = record.endpoint
        size = len(end.beta)
        theory = [None] * size if end.predicted_fit is None else end.predicted_fit.beta
        parts = (range(size), end.beta, theory, end.alpha, end.predicted_alpha)
        head = cell_columns(record.cell, *SETTING)
        rows += [
            head | dict(zip(COORDINATE, values, strict=True)) for values in zip(*parts, strict=True)
        ]
    table = build_table(rows, [*SETTING, *COORDINATE])
    table["predicted_beta"] = table["predicted_beta"].astype(float)
    return in_order(table, "alpha", "epsilon", "seed", "coordinate")


def with_signed_epsilon(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of F-GR, DB-GR and B-GR, with ``signed_epsilon``: ε, 0 and -ε.

    The three are one family, ∇L(θ + s·∇L) with s of either sign, and DB-GR is its limit.
    """
    sign = table["method"].map({"f-gr": 1.0, "db-gr": 0.0, "b-gr": -1.0})
    signed = sign.astype(float) * table["epsilon"].astype(float).fillna(0.0)
    return table.assign(signed_epsilon=signed)[sign.notna()]


def order(table: pd.DataFrame) -> pd.DataFrame:
    """A row a problem, α and γ: whether α̃ falls as ε grows for F-GR and rises for B-GR.

    ``forward`` and ``backward`` say so of all neighbouring ε of either, ``between`` whether DB-GR's
    α̃ is above F-GR's at the smallest ε and below B-GR's; ``None`` where there is nothing to
    compare. ``steps_down`` of ``steps_of_epsilon`` steps along the signed ε (B-GR, DB-GR, F-GR) go
    down.
    """
    done = with_signed_epsilon(table[table["status"] == "ok"])
    keys = ["dataset", "step", "alpha", "gamma", "seed"]
    rows = []
    for values, group in done.groupby(keys, sort=False):
        by_epsilon = group.sort_values("signed_epsilon")
        ratio = dict(zip(by_epsilon["signed_epsilon"], by_epsilon["alpha_ratio"], strict=True))
        falls = [ratio[a] > ratio[b] for a, b in pairwise(ratio)]
        forward = [fall for fall, low in zip(falls, ratio, strict=False) if low > 0]
        backward = [
            fall for fall, (_, high) in zip(falls, pairwise(ratio), strict=True) if high < 0
        ]
        around = [fall for fall, ends in zip(falls, pairwise(ratio), strict=True) if 0.0 in ends]
        rows.append(
            dict(zip(keys, values, strict=True))
            | {
                "feature_mean": group["feature_mean"].iloc[0],
                "steps_down": sum(falls),
                "steps_of_epsilon": len(falls),
                "forward": all(forward) if forward else None,
                "backward": all(backward) if backward else None,
                "between": all(around) if len(around) == 2 else None,
            }
        )
    return pd.DataFrame(rows, columns=[*keys, *ORDER]).astype(
        {key: object for key in ("forward", "backward", "between")}
    )


def summaries(table: pd.DataFrame, orders: pd.DataFrame) -> list[Summary]:
    """A row for every method on every sort of problem, over problems; and the order of α̃."""
    rows = []
    for (dataset, _, alpha, spec), group in table.groupby(GROUP, sort=False):
        done = group[group["status"].isin(["ok", "flooded"])]
        row: dict[str, Any] = {"problem": dataset, "α": alpha, "method": spec}
        row["α̃/α"] = _interval(done["alpha_ratio"], "{:.4f}")
        row["α̃ off by"] = _largest(done["discretisation_error"])
        row["β off by"] = _largest(done["beta_error"])
        row["outside rows of X"] = _largest(done["optimality_residual"])
        row["kernel share"] = _interval(done["kernel_share"], "{:.3f}")
        row["test error"] = _interval(done["test_error"], "{:.4f}")
        apart = paired_test_errors(table, done)
        row["minus SGD"] = _interval(apart, "{:+.4f}") if spec != BASELINE else "-"
        row["steps"] = _largest(done["steps"], "{:.0f}")
        row["problems"] = len(done)
        for status in ("not converged", "diverged", "failed"):
            row[status] = int((group["status"] == status).sum())
        rows.append(row)
    found = [
        Summary(
            "implicit_bias",
            "Solutions of the diagonal linear network",
            "Means over problems, with 95 % t-intervals; errors (off by) are the largest over "
            "problems. α̃/α: mean over the weights, computed from the integral in the theory. "
            "α̃ off by: relative to √(w₊w₋) at the end, the error of finite steps. β off by: ‖β "
            "- β̃‖/‖β̃‖, where β̃ minimises the potential φ_α̃ under Xβ = y, computed "
            "independently. Outside rows of X: the component of ∇φ_α̃(β) outside the row space, "
            "where theory predicts none. Kernel share: the L1 norm, from its minimum (0, rich) "
            "to that of the minimum-L2-norm fit (1, kernel). Test error: expected squared error "
            "on new inputs; minus SGD: paired by problem. Runs unfinished after the maximum "
            "number of steps are excluded from means.",
            pd.DataFrame(rows),
        )
    ]
    return [*found, _orders(orders)] if len(orders) else found


def paired_test_errors(table: pd.DataFrame, own: pd.DataFrame) -> pd.Series:
    """``own``'s test errors minus SGD's on the same problem with the same α."""
    base = table[(table["spec"] == BASELINE) & (table["status"] == "ok")]
    keys = ["dataset", "step", "alpha", "seed"]
    joined = own.merge(base, on=keys, suffixes=("", "_base"))
    return joined["test_error"] - joined["test_error_base"]


def _orders(orders: pd.DataFrame) -> Summary:
    rows = []
    for (dataset, alpha, gamma), group in orders.groupby(["dataset", "alpha", "gamma"], sort=False):
        row: dict[str, Any] = {"problem": dataset, "α": alpha, "γ": gamma}
        for key, title in (
            ("forward", "falls with ε for F-GR"),
            ("backward", "rises with ε for B-GR"),
            ("between", "DB-GR between"),
        ):
            known = group[key].dropna()
            row[title] = f"{int(known.sum())} of {len(known)}" if len(known) else "-"
        rows.append(row)
    return Summary(
        "implicit_bias_order",
        "Dependence of α̃ on ε",
        "Number of problems. A problem counts only if all steps between neighbouring ε go in "
        "that direction.",
        pd.DataFrame(rows),
    )


def _interval(values: pd.Series, number: str) -> str:
    values = values.dropna()
    if not len(values):
        return "-"
    mean = stats.t_interval(values)
    if len(values) == 1:
        return number.format(mean.center)
    return f"{number} [{number}, {number}]".format(*mean)


def _largest(values: pd.Series, number: str = "{:.1e}") -> str:
    values = values.dropna()
    return number.format(values.max()) if len(values) else "-"
