"""The implicit-bias results in words: one column of the overview, and a few sentences."""

from __future__ import annotations

import pandas as pd

from gr_bench.experiments import style
from gr_bench.experiments.implicit_bias.tables import LIMIT


def headlines(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """``α̃/α`` of every spec: the range over sorts of problem of its mean over problems."""
    shown = {}
    for spec, own in table.groupby("spec", sort=False):
        done = own[own["status"] != "not converged"]
        means = done.groupby(["dataset", "alpha"])["alpha_ratio"].mean()
        shown[str(spec)] = style.value_range(means, "{:.3f}")
    return {"α̃/α": shown}


def findings(table: pd.DataFrame, orders: pd.DataFrame) -> list[str]:
    """Sentences on α̃ against ε, on theory's prediction, and on what was lost."""
    return [*_order(orders), *_theory(table), *_lost(table)]


def _order(orders: pd.DataFrame) -> list[str]:
    if not len(orders):
        return []
    parts = []
    for column, words in (
        ("forward", "falls as ε grows for F-GR"),
        ("backward", "rises as ε grows for B-GR"),
        ("between", "lies between the two for DB-GR"),
    ):
        known = orders[column].dropna()
        if len(known):
            parts.append(f"it {words} in {int(known.sum())} of {len(known)}")
    several = len(orders[["step", "alpha", "gamma"]].drop_duplicates()) > 1
    each = "problem, α and γ" if several else "problem"
    if not parts:
        return [
            "Nothing can be said about the order of α̃ in ε: this requires F-GR or B-GR at two "
            f"ε on one {each}."
        ]
    return [f"The order of α̃ predicted by theory, by {each}: {', '.join(parts)}."]


def _theory(table: pd.DataFrame) -> list[str]:
    done = table[table["status"] == "ok"]
    if not len(done):
        nothing = "Nothing can be said about theory's prediction: no run reached a solution."
        return [nothing] if len(table) else []
    beta, alpha = done["beta_error"].max(), done["discretisation_error"].max()
    return [
        f"The relative error of theory's prediction is at most {beta:.1e} in β and at most "
        f"{alpha:.1e} in α̃, over {len(done)} solution{'s' if len(done) > 1 else ''}."
    ]


def _lost(table: pd.DataFrame) -> list[str]:
    counts = table["status"].value_counts()
    words = ("not converged", "diverged", "failed", "unsupported")
    lost = [f"{counts[status]} {status}" for status in words if status in counts]
    return (
        [
            f"Of {len(table)} runs, the following reached no solution and are excluded from means: "
            f"{', '.join(lost)}."
        ]
        if lost
        else []
    )


def warnings(table: pd.DataFrame) -> list[str]:
    """Steps that are too large for descent to be its flow."""
    done = table[table["status"] == "ok"]
    off = done[done["discretisation_error"] > LIMIT]
    if not len(off):
        return []
    return [
        f"In {len(off)} of {len(done)} solutions theory's α̃ differs from √(w₊w₋) by more than "
        f"{LIMIT:g}, up to {off['discretisation_error'].max():.1e}: theory describes a flow, "
        "which smaller steps approximate better."
    ]
