"""The picture on a report's first screen: every method's cost, and its gain beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gr_bench.experiments import style
from gr_bench.experiments.experiment import Picture
from gr_bench.runs.costs_and_gains import AT_COST, baseline_in_words, gains, step_times
from gr_bench.spec import parse
from gr_bench.stats import Interval

NAME = "cost_and_gain"
AT = "epochs"
"""The cost at which gains are drawn, too: time is in the other panel."""


def first_picture(tables: Mapping[str, pd.DataFrame]) -> Picture | None:
    """Time per step over the baseline's, and the gain at the hardest cost at which methods were
    compared and at equal epochs: a row a method, each with its 95 % interval. None where there is
    nothing of it.
    """
    times, hardest = step_times(tables), gains(tables)
    at = [hardest, gains(tables, AT)] if hardest and hardest.cost != AT else [hardest]
    found = [own for own in at if own is not None]
    by_kind = bool(found) and found[0].chosen
    of = {spec: parse(spec).kind if by_kind else spec for spec in times}
    rows = style.in_order(times or [own.method for own in found[0].methods] if found else times)
    if not rows:
        return None
    base = baseline_in_words(found[0].baseline) if found else "SGD"
    style.set_methods(rows)
    order = rows[::-1]
    count = bool(times) + len(found)
    figure, all_axes = plt.subplots(
        1,
        count,
        figsize=(max(4.2, min(10.5, 4.2 * count)), 1.1 + 0.3 * (len(order) + 1)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    axes = list(all_axes[0])
    gained: dict[str, dict[str, Interval]] = {}
    if times:
        _panel(axes[0], order, times, 1.0, base)
        axes[0].set_title("Cost")
        axes[0].set_xlabel(f"time per step over {base}'s (left: cheaper)")
    for panel, own in zip(axes[bool(times) :], found, strict=True):
        values = {one.method: one.value for one in own.methods}
        by_row = {
            spec: values[of.get(spec, spec)] for spec in order if of.get(spec, spec) in values
        }
        gained[own.cost] = by_row
        _panel(panel, order, by_row, 0.0, base)
        what = "test errors removed" if own.of_errors else f"test accuracy over {base}'s"
        panel.set_title(f"Gain {AT_COST[own.cost]}")
        panel.set_xlabel(f"{what} (right: better)")
        panel.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        panel.xaxis.set_major_formatter(PercentFormatter(1.0))
    names = style.short(order)
    axes[0].set_yticks(range(len(order) + 1), [*(names[spec] for spec in order), base])
    title = "Cost and gain" if times and found else "Cost" if times else "Gain"
    return Picture(NAME, title, CAPTION, figure, _data(order, times, gained))


def _data(
    order: Sequence[str],
    times: Mapping[str, Interval],
    gained: Mapping[str, Mapping[str, Interval]],
) -> pd.DataFrame:
    """A row a method, the baseline left out."""
    columns = {"time_ratio": times}
    columns |= {f"gain_{AT_COST[cost].replace(' ', '_')}": own for cost, own in gained.items()}
    return pd.DataFrame(
        {
            "spec": spec,
            **{
                f"{name}{end}": getattr(values[spec], part)
                for name, values in columns.items()
                if spec in values
                for end, part in (("", "center"), ("_low", "low"), ("_high", "high"))
            },
        }
        for spec in order[::-1]
    )


CAPTION = (
    "Points: means over workloads. Bars: 95 % intervals; where one crosses the baseline's grey "
    "line, the data do not tell the method from the baseline."
)


def _panel(
    axes: Axes, order: Sequence[str], values: Mapping[str, Interval], nothing: float, base: str
) -> None:
    """A point and an interval a row, and the baseline at ``nothing`` above them."""
    axes.axvline(nothing, color="0.6", linewidth=0.8)
    axes.plot([nothing], [len(order)], "o", color=style.color("sgd" if base == "SGD" else base))
    for place, spec in enumerate(order):
        if spec not in values or not math.isfinite(values[spec].center):
            axes.annotate("not known", (nothing, place), fontsize=8, color="0.4", va="center")
            continue
        value = values[spec]
        arms = [[value.center - value.low], [value.high - value.center]]
        known = all(math.isfinite(arm) for (arm,) in arms)
        axes.errorbar(
            [value.center],
            [place],
            xerr=arms if known else None,
            fmt="o",
            color=style.color(spec),
            elinewidth=1.6,
        )
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.08)
    axes.set_ylim(-0.6, len(order) + 0.6)
