"""The step-cost results in headlines and sentences, each made by a rule.

A sentence on a method says how much longer its step takes than the baseline's, how sure that is and
over how many workloads; or that nothing can be said, and why.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gr_bench.experiments import style
from gr_bench.experiments.step_cost.tables import BLOCK, uncounted
from gr_bench.units import duration

BUSY = 0.05
"""A larger part of the timed wall time than this spent waiting is worth a warning."""

FEW = 3
"""Things that a warning names."""

MOST_METHODS = 8
"""Methods that have a sentence each; of more, one has the ranges."""

NOT_COUNTED = "not counted"
"""In place of a number that rests on FLOPs which cannot be counted."""

HEADLINES = (
    ("time_ratio", "time ratio", "{:.2f}"),
    ("flop_ratio", "FLOP ratio", "{:.2f}"),
    ("extra_parameter_copies", "extra memory (P)", "{:+.2f}"),
)


def headlines(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Per method, the range over workloads; ``-`` where there is no result."""
    methods = table[~table["control"].astype(bool)]
    found = {
        title: {
            str(spec): style.value_range(own[column], number)
            for spec, own in methods.groupby("spec", sort=False)
        }
        for column, title, number in HEADLINES
    }
    for spec, own in methods[uncounted(methods)].groupby("spec", sort=False):
        ratios = found["FLOP ratio"]
        known = ratios[str(spec)]
        ratios[str(spec)] = NOT_COUNTED if known == "-" else f"{known} ({len(own)} {NOT_COUNTED})"
    return found


def findings(table: pd.DataFrame) -> list[str]:
    """A sentence a method, and one on how many ratios are known to their target."""
    methods = table[~table["control"].astype(bool)]
    baseline, own = _baseline(table), methods[methods["spec"] != _baseline(table)]
    name = "SGD" if baseline == "sgd" else baseline
    others = _ratios(table)
    if not len(own):
        return []
    found = []
    by_spec = own.groupby("spec", sort=False)
    if len(by_spec) <= MOST_METHODS:
        names = style.short(own["spec"])
        found = [
            _sentence(names[str(spec)], name, part, methods[methods["spec"] == baseline])
            for spec, part in by_spec
        ]
    elif len(others):
        names = style.short(others["spec"])
        ranges = [
            f"{names[str(spec)]} {style.value_range(part['time_ratio'], '{:.2f}')}"
            for spec, part in others.groupby("spec", sort=False)
        ]
        found = [f"Time per step, in multiples of {name}'s{_over(others)}: {'; '.join(ranges)}."]
    widths = others["half_width"].astype(float)
    widths = widths[np.isfinite(widths)]
    if len(widths):
        good = int((others["half_width"] <= others["target_half_width"]).sum())
        found.append(
            f"{good} of {len(others)} ratios are known to {others['target_half_width'].max():.1%} "
            f"(half-width of the 95 % interval: median {widths.median():.1%}, "
            f"largest {widths.max():.1%})."
        )
    return found


def _sentence(name: str, baseline: str, own: pd.DataFrame, base: pd.DataFrame) -> str:
    """The sentence on a method over its workloads."""
    head = f"A step of {name}"
    known = own[own["time_ratio"].notna()]
    if not len(known):
        lost = own.loc[own["time_ms"].isna(), "status"].value_counts()
        if len(lost) and lost.sum() == len(own):
            why = f"{_workloads(own)}: {', '.join(f'{n} {status}' for status, n in lost.items())}"
        elif not base["time_ms"].notna().any():
            why = f"{baseline} was not timed"
        else:
            why = "they were not timed together"
        return f"{head}: nothing can be said relative to {baseline}'s, since {why}."
    takes = f"{head} takes {style.value_range(known['time_ratio'], '{:.2f}')} times as long as"
    low, high = known["time_ratio_low"].astype(float), known["time_ratio_high"].astype(float)
    sure = np.isfinite(high) & (low > 0)
    counts = {
        "slower": int((sure & (low > 1)).sum()),
        "faster": int((sure & (high < 1)).sum()),
    }
    counts["not distinguishable"] = len(known) - sum(counts.values())
    told = ", ".join(f"{word} on {count}" for word, count in counts.items())
    missing = f"; no ratio on {len(own) - len(known)}" if len(known) < len(own) else ""
    single = int((~sure).sum())
    alone = f"; {single} from a single process, which gives no interval" if single else ""
    return f"{takes} one of {baseline}'s{_over(own)}: {told} (95 % intervals{alone}){missing}."


def _workloads(table: pd.DataFrame) -> str:
    count = len(table.groupby(BLOCK, dropna=False))
    return f"on {count} workloads" if count > 1 else "on one workload"


def _over(table: pd.DataFrame) -> str:
    return f", {_workloads(table)}"


def _ratios(table: pd.DataFrame) -> pd.DataFrame:
    """The timed rows whose ratio is asked for: not the baseline's, and not its control's."""
    asked = ~table["control"].astype(bool) & (table["spec"] != _baseline(table))
    return table[asked & table["time_ratio"].notna()]


def _baseline(table: pd.DataFrame) -> str:
    """The spelling of the baseline: the method that controls repeat, or that is 1 to itself."""
    controls = table.loc[table["control"].astype(bool), "spec"]
    if len(controls):
        return str(controls.iloc[0])
    itself = table.loc[(table["time_ratio"] == 1) & (table["half_width"] == 0), "spec"]
    return str(itself.iloc[0]) if len(itself) else "sgd"


def warnings(table: pd.DataFrame) -> list[str]:
    """Ratios that are not known to their target and about how long that would take; steps that
    compute something else; FLOPs that are not counted; waiting; controls whose interval leaves 1
    out.
    """
    found = []
    timed, others = table[table["time_ratio"].notna()], _ratios(table)
    wide = others[others["half_width"] > others["target_half_width"]]
    if len(wide):
        more = wide.drop_duplicates(BLOCK)["more_time_s"].sum()
        worst = wide["half_width"].astype(float)
        widest = (
            f"the least precise to {worst.max():.1%}"
            if np.isfinite(worst.max())
            else "some not at all"
        )
        how_long = (
            f"; about {duration(more)} more would be enough" if np.isfinite(more) and more else ""
        )
        found.append(
            f"{len(wide)} of {len(others)} ratios are not known to their target of "
            f"{wide['target_half_width'].max():.1%}, {widest}{how_long}."
        )
    wrong = table[table["status"] == "wrong"]
    if len(wrong):
        found.append(
            f"{len(wrong)} cells compute a different result from the plain step and were not "
            f"timed: {_named(wrong)}."
        )
    uncounted = table[table["uncounted_operators"].notna() & ~table["control"].astype(bool)]
    if len(uncounted):
        named = uncounted["uncounted_operators"].str.split(", ").explode().unique()
        found.append(
            f"FLOPs of {len(uncounted)} cells are not counted, and no FLOP ratio or efficiency "
            f"is given: the arithmetic is not known for {', '.join(sorted(named))}."
        )
    waited = float(timed["waiting_share"].astype(float).mean()) if len(timed) else 0.0
    if waited > BUSY:
        found.append(
            f"Other work occupied the processor for {waited:.0%} of the timed time, which is "
            "subtracted."
        )
    controls = timed[timed["control"].astype(bool)]
    apart = controls[(controls["time_ratio_low"] > 1) | (controls["time_ratio_high"] < 1)]
    if len(apart):
        found.append(
            f"{len(apart)} of {len(controls)} controls (the baseline timed a second time) have "
            "an interval that excludes 1; one in twenty does so by chance."
        )
    return found


def _named(rows: pd.DataFrame) -> str:
    names = [
        f"{row['spec']} on {row['model']}, batch {row['batch_size']}"
        for row in rows.head(FEW).to_dict("records")
    ]
    return ", ".join([*names, *(["..."] if len(rows) > FEW else [])])
