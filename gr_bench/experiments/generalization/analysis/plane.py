"""The (γ, ε) plane of F-GR and B-GR as heat maps, with DB-GR as the limit ε → 0."""

from __future__ import annotations

from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gr_bench.experiments import style
from gr_bench.experiments.facets import Panel, draw_panels, figure, quantities
from gr_bench.experiments.generalization.analysis.figure_tables import WORKLOAD, side_by_side

MAPS = {
    "test_accuracy": ("test accuracy (%)", 100.0),
    "test_loss": ("test loss (nats)", 1.0),
    "gap_accuracy": ("accuracy gap (points)", 100.0),
    "gradient_norm": ("‖∇L‖ on the training part", 1.0),
    "largest_eigenvalue": ("largest Hessian eigenvalue", 1.0),
}
"""Columns that are mapped, with the title and the factor of their numbers."""

MOST_LINES = 4
"""Of panels; in more, one quantity is shown unless another is asked for."""

METHODS = ("f-gr", "b-gr")
LIMIT = "db-gr"


def has_plane(table: pd.DataFrame) -> bool:
    """True if some method has several γ and several ε, none of them chosen among others."""
    own = table[table["method"].isin(METHODS) & (table["role"] == "run")]
    counts = own.groupby("method")[["gamma", "epsilon"]].nunique()
    return bool((counts > 1).all(axis=1).any())


@figure
def gamma_epsilon_plane(
    table: pd.DataFrame, ax: Axes | None = None, *, quantity: str | None = None
) -> Axes | Figure:
    """Results over the (γ, ε) plane of F-GR and B-GR, as heat maps.

    Args:
        table: ``generalization`` of a run; a line of panels a method and workload, a panel a
            quantity. DB-GR is the limit ε = 0, SGD's mean stands in the title.
        ax: where to draw a single panel.
        quantity: one of :data:`MAPS`; by default all that there are, and the first alone where
            there are more than :data:`MOST_LINES` lines.
    """
    table = side_by_side(table)
    table = table[table["role"] == "run"]
    shown = quantities({k: m for k, m in MAPS.items() if table[k].notna().any()}, quantity)
    groups = [
        (style.SEPARATOR.join(filter(None, (method, title))), part, method)
        for title, part in style.workloads(table, *WORKLOAD)
        for method in METHODS
        if (part["method"] == method).any()
    ]
    if quantity is None and len(groups) > MOST_LINES:
        shown = shown[:1]
    panels = [
        Panel(title, partial(_panel, part=part, method=method, column=column), 20.0)
        for title, part, method in groups
        for column in shown
    ]
    return draw_panels(panels, ax, each=len(shown))


def _panel(ax: Axes, part: pd.DataFrame, method: str, column: str) -> None:
    title, factor = MAPS[column]
    means = factor * part[column].astype(float).groupby(part["spec"]).mean()
    _map(ax, part, method, column, factor, limits=(means.min(), means.max()))
    reference = factor * part.loc[part["method"] == "sgd", column].astype(float).mean()
    sgd = f" (SGD: {reference:.3g})" if np.isfinite(reference) else ""
    ax.set_xlabel(f"ε\n{title}{sgd}")


def _map(
    ax: Axes,
    part: pd.DataFrame,
    method: str,
    column: str,
    factor: float,
    limits: tuple[float, float],
) -> None:
    """Means over the seeds that ended; what did not is written into the cell."""
    rows = part[part["method"].isin((method, LIMIT))].copy()
    rows["epsilon"] = rows["epsilon"].where(rows["method"] != LIMIT, 0.0).astype(float)
    rows = rows[rows["gamma"].isin(rows.loc[rows["method"] == method, "gamma"])]
    rows[column] = factor * rows[column].astype(float)
    cells = rows.groupby(["gamma", "epsilon"])
    means = cells[column].mean().unstack()
    lost = cells["status"].agg(lambda status: (status != "ok").sum()).unstack()
    counts = cells["status"].count().unstack()
    notes = means.map(lambda value: "" if pd.isna(value) else f"{value:.3g}")
    for gamma in means.index:
        for epsilon in means.columns:
            if lost.loc[gamma, epsilon] > 0:
                one = f"{lost.loc[gamma, epsilon]:.0f}/{counts.loc[gamma, epsilon]:.0f} lost"
                notes.loc[gamma, epsilon] = f"{notes.loc[gamma, epsilon]}\n{one}".strip()
    sns.heatmap(
        means,
        ax=ax,
        annot=notes,
        fmt="",
        annot_kws={"size": 0.75 * mpl.rcParams["font.size"]},
        cmap="viridis",
        vmin=limits[0],
        vmax=limits[1],
        cbar=False,
        linewidths=0.5,
    )
    for y, gamma in enumerate(means.index):
        for x, epsilon in enumerate(means.columns):
            if pd.isna(means.loc[gamma, epsilon]) and notes.loc[gamma, epsilon]:
                ax.text(x + 0.5, y + 0.5, notes.loc[gamma, epsilon], ha="center", va="center")
                ax.add_patch(Rectangle((x, y), 1, 1, fill=False, hatch="///", linewidth=0))
            if gamma == epsilon and method == METHODS[0]:
                ax.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor="red", linewidth=2))
    names = ["DB-GR" if not float(e) else f"{float(e):g}" for e in means.columns]
    ax.set_xticklabels(names, rotation=0)
    ax.set_yticklabels([f"{gamma:g}" for gamma in means.index], rotation=0)
    ax.set(ylabel="γ")
    ax.grid(visible=False)
    ax.invert_yaxis()
