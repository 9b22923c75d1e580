"""Step cost as a paper tells it: tables, and how it was measured."""

from __future__ import annotations

import pandas as pd

from gr_bench.experiments import style
from gr_bench.experiments.experiment import Summary
from gr_bench.experiments.paper_tables import listed, pivot, with_interval
from gr_bench.experiments.step_cost.figures import baseline_words

WORKLOAD = ("model", "dataset", "batch_size", "threads")


def paper_tables(table: pd.DataFrame) -> list[Summary]:
    """The time ratios of every method and workload with their intervals; the peak memory."""
    plain = table[~table["control"].astype(bool)]
    words, found = baseline_words(table), []
    timed = plain[plain["time_ratio"].notna() & (plain["time_ratio_low"] != 1)]
    if len(timed):
        rows = _rows(timed, timed.apply(_ratio, axis=1))
        found.append(
            Summary(
                "step_time_ratio",
                f"Time per step relative to {words}",
                f"Time per step relative to {words}'s{_constant(plain)}: geometric mean over "
                f"{style.value_range(timed['replicates'], '{:.0f}')} freshly started processes "
                "with the 95 % interval. In each process the ratio is the Hodges-Lehmann estimate "
                "over rounds in which all methods are timed in random order.",
                pivot(rows, f"time / {words}'s"),
            )
        )
    measured = plain[plain["peak_memory_bytes"].notna()]
    if len(measured):
        rows = _rows(measured, measured.apply(_memory, axis=1))
        found.append(
            Summary(
                "step_memory",
                "Peak memory of a step",
                f"Peak memory of a step in MB{_constant(plain)}: bytes allocated by PyTorch's "
                "allocator. In brackets, the excess over the baseline in multiples of the size "
                "of the parameters, P.",
                pivot(rows, "peak memory (MB)"),
            )
        )
    return found


def _rows(table: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    names = style.short(table["spec"])
    keys = style.with_differing(table, *WORKLOAD)
    parts = [
        pd.DataFrame(
            {
                "method": part["spec"].map(names),
                "workload": title,
                "value": values[part.index].astype(object),
            }
        )
        for title, part in style.workloads(table, *keys)
    ]
    return pd.concat(parts, ignore_index=True)


def _ratio(row: pd.Series) -> str:
    return with_interval(row["time_ratio"], row["time_ratio_low"], row["time_ratio_high"], "{:.2f}")


def _memory(row: pd.Series) -> str:
    extra = row["extra_parameter_copies"]
    end = f" [{extra:+.2f} P]" if extra == extra else ""
    return f"{row['peak_memory_bytes'] / 1e6:.1f}{end}"


def _constant(table: pd.DataFrame) -> str:
    """The workload's settings that are the same everywhere, for a caption."""
    keys = ("model", "dataset", "batch_size", "threads", "dtype")
    alike = [style.in_words(k, table[k].iloc[0]) for k in keys if table[k].nunique() == 1]
    return f" ({', '.join(alike)})" if alike else ""


def protocol(table: pd.DataFrame) -> list[str]:
    """Sentences for a paper's section on methods, from the table ``step_cost``."""
    plain = table[~table["control"].astype(bool)]
    timed = plain[plain["time_ms"].notna()]
    if not len(timed):
        return []
    words = baseline_words(table)
    threads = style.value_range(timed["threads"], "{:.0f}")
    found = [
        f"Training steps were timed on {listed(timed['model'])} with {listed(timed['dataset'])} "
        f"at batch size {listed(timed['batch_size'])} in {listed(timed['dtype'])} "
        f"({threads} {'thread' if threads == '1' else 'threads'}).",
        "Within a freshly started process every method of a workload was timed once per round, "
        "in random order, on the same batch, after a warm-up and with the garbage collector "
        "off; time in which the thread waited for a processor was subtracted where the system "
        "reports it. Each workload was timed in "
        f"{style.value_range(timed['replicates'], '{:.0f}')} processes and "
        f"{style.value_range(timed['rounds'], '{:.0f}')} rounds.",
        "Each process gives one number, the Hodges-Lehmann estimate [@hodges1963] of the "
        f"logarithm of a method's time over {words}'s in the same round; intervals are 95 % "
        "Student intervals over processes.",
    ]
    if (timed["allocator"] == "held").all():
        found.append(
            "The C library was told to keep freed memory, so that no step allocates new pages."
        )
    controls = table[table["control"].astype(bool) & table["time_ratio"].notna()]
    if len(controls):
        itself = style.value_range(controls["time_ratio"], "{:.3f}")
        found.append(f"As a control, {words} was timed twice; its ratio to itself was {itself}.")
    ratios = timed[timed["time_ratio"].notna() & (timed["time_ratio_low"] != 1)]
    if len(ratios):
        wide = ratios["half_width"].isna() | (ratios["half_width"] > ratios["target_half_width"])
        target = style.value_range(100 * ratios["target_half_width"], "{:.3g}")
        found.append(
            f"{len(ratios) - wide.sum()} of {len(ratios)} ratios are known to within the target of "
            f"{target} %."
        )
    if plain["peak_memory_bytes"].notna().any():
        found.append(
            "Peak memory (bytes allocated by PyTorch's allocator) and FLOPs (matrix products "
            "and convolutions) were measured in a separate pass."
        )
    return found
