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
from gr_bench.runs.costs_and_gains import gains, step_times
from gr_bench.spec import parse
from gr_bench.stats import Interval

NAME = "cost_and_gain"
AT = "epochs"
"""The cost at which gains are drawn: time is in the other panel."""


def first_picture(tables: Mapping[str, pd.DataFrame]) -> Picture | None:
    """Time per step over the baseline's and the gain at equal epochs, a row a method, each with its
    95 % interval; one of the two where there is no other, None where there is neither.
    """
    times, found = step_times(tables), gains(tables, AT)
    values = {own.method: own.value for own in found.methods} if found else {}
    by_kind = found is not None and found.chosen
    of = {spec: parse(spec).kind if by_kind else spec for spec in times} if times else {}
    rows = list(times) or list(values)
    if not rows:
        return None
    base = found.baseline if found else "sgd"
    name = "SGD" if base == "sgd" else base
    style.set_methods(rows)
    order = sorted(rows, key=lambda spec: -times[spec].center) if times else rows[::-1]
    panels = [bool(times), bool(values)]
    figure, all_axes = plt.subplots(
        1,
        sum(panels),
        figsize=(4.2 * sum(panels), 0.9 + 0.3 * (len(order) + 1)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    axes = list(all_axes[0])
    if times:
        _panel(axes[0], order, times, 1.0, base)
        axes[0].set_xlabel(f"time per step over {name}'s")
    if values and found:
        by_row = {
            spec: values[of.get(spec, spec)] for spec in order if of.get(spec, spec) in values
        }
        _panel(axes[-1], order, by_row, 0.0, base)
        what = "test errors removed" if found.of_errors else f"test accuracy over {name}'s"
        axes[-1].set_xlabel(f"{what} at equal epochs")
        axes[-1].xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes[-1].xaxis.set_major_formatter(PercentFormatter(1.0))
    names = style.short(order)
    axes[0].set_yticks(range(len(order) + 1), [*(names[spec] for spec in order), name])
    title = "Cost and gain" if all(panels) else "Cost" if times else "Gain"
    gained = {spec: values[name] for spec, name in of.items() if name in values} or values
    caption = " ".join(
        [*(text for text, shown in zip(READING, panels, strict=True) if shown), ENDS]
    )
    return Picture(NAME, title, caption, figure, _data(order, times, gained))


def _data(
    order: Sequence[str], times: Mapping[str, Interval], gained: Mapping[str, Interval]
) -> pd.DataFrame:
    """A row a method, the baseline left out."""
    columns = {"time_ratio": times, "gain": gained}
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


READING = ("Cost: further left is cheaper.", "Gain: further right is better.")
ENDS = (
    "Points: means over workloads. Bars: 95 % intervals; where one crosses the grey line, the data "
    "do not tell the method from the baseline."
)


def _panel(
    axes: Axes, order: Sequence[str], values: Mapping[str, Interval], nothing: float, base: str
) -> None:
    """A point and an interval a row, and the baseline at ``nothing`` above them."""
    axes.axvline(nothing, color="0.6", linewidth=0.8)
    axes.plot([nothing], [len(order)], "o", color=style.color(base))
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
