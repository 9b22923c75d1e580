"""The second line of a report: how well its numbers are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from gr_bench.experiments import style
from gr_bench.runs.costs_and_gains import is_baseline


def how_sure(tables: Mapping[str, pd.DataFrame]) -> str:
    """Half-widths of the intervals, what they are over, and the noise floor, in a sentence."""
    found = []
    table = tables.get("step_cost")
    if table is not None and len(table):
        own = table[~table["control"].astype(bool) & ~is_baseline(table)]
        half = own["half_width"].astype(float)
        half = half[np.isfinite(half)]
        if len(half):
            processes = style.value_range(own.loc[half.index, "replicates"], "{:.0f}")
            found.append(f"time ratios ±{half.median():.1%} ({processes} processes)")
        if (floor := noise_floor(tables)) is not None:
            found.append(f"the baseline timed against itself ±{floor:.1%} (the noise floor)")
    against = tables.get("comparison")
    if against is not None and len(against):
        half = 50 * (against["high"] - against["low"]).astype(float)
        half = half[np.isfinite(half)]
        if len(half):
            seeds = style.value_range(against.loc[half.index, "seeds"], "{:.0f}")
            found.append(
                f"differences in test accuracy ±{style.plain(half.median())} points ({seeds} seeds)"
            )
    if not found:
        return "These records give no interval."
    return f"Typical margins (medians of 95 % intervals): {'; '.join(found)}."


def noise_floor(tables: Mapping[str, pd.DataFrame]) -> float | None:
    """The half-width of the baseline's interval against itself, its median over workloads.

    Returns:
        None without a control that was timed in two processes.
    """
    table = tables.get("step_cost")
    if table is None or not len(table):
        return None
    half = table.loc[table["control"].astype(bool), "half_width"].astype(float)
    half = half[np.isfinite(half)]
    return float(half.median()) if len(half) else None
