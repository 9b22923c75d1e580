"""The trust that step times deserve: questions with known answers, put to step cost.

    python -m benchmarks.trust OUT [--only noise|coverage|known] [--blocks 60] [--processes 200]

- *noise*: blocks of equal things under four conditions (quiet, a busy loop, memory traffic, two
  busy loops beside). Of the first half of every condition's blocks, the spread between processes by
  estimator and clock (which is to be used?); of the other half, by the estimator that is used, how
  many equal pairs are called different.
- *coverage*: many fresh processes of one block; every five in a row as an experiment whose interval
  should hold the mean of all the others.
- *known*: SGD with about 1 % and 2 % of real extra work, short runs: who calls it slower?
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats as scipy_stats

import gr_bench
from benchmarks.answers import read_answers, write_answers
from benchmarks.beside import CONDITIONS, beside
from benchmarks.known_cost import BURDENS
from gr_bench import stats
from gr_bench.experiments.block_times import BlockTimes, Times
from gr_bench.experiments.record import Record
from gr_bench.timing.replicates import log_ratio

MLP, RESNET = "mlp(depth=4, width=512)", "resnet-8"
SHORT = 5
"""Replicates of a block, or of a short run."""

MARGIN = 0.01
KNOWN_MARGIN = 0.005
REPLICATES = {"about 2 %": SHORT, "about 1 %": 2 * SHORT}
"""Of a short run, by extra cost (:data:`benchmarks.known_cost.BURDENS`)."""

Row = Sequence[float]


def _low_quantile(a: Row, b: Row) -> float:
    return float(np.log(np.quantile(a, 0.05) / np.quantile(b, 0.05)))


def _trimmed_mean(a: Row, b: Row) -> float:
    return float(scipy_stats.trim_mean(stats.log_ratios(a, b), 0.2))


ESTIMATORS: dict[str, Callable[[Row, Row], float]] = {
    "median of paired ratios": lambda a, b: stats.median(stats.log_ratios(a, b)),
    "Hodges-Lehmann of paired ratios": log_ratio,
    "trimmed mean (20 %) of paired ratios": _trimmed_mean,
    "5 % quantile over 5 % quantile": _low_quantile,
    "ratio of medians": lambda a, b: math.log(stats.median(a) / stats.median(b)),
}
CLOCKS: dict[str, Callable[[Times], Row]] = {
    "elapsed": lambda record: record.elapsed_s,
    "without waiting": lambda record: record.step_s,
    "on the processor": lambda record: record.cpu_s,
}


def block(**changes: Any) -> dict[str, Any]:
    """The settings of a grid on the digits at batch 128."""
    return {
        "methods": ["sgd"],
        "models": [MLP],
        "datasets": ["digits"],
        "batch_sizes": [128],
        "replicates": SHORT,
        "most_replicates": SHORT,
    } | changes


def measure(out: Path, name: str, grid: Mapping[str, Any]) -> list[Record]:
    """Run a step-cost grid into ``out/name``, or go on with it; returns the records."""
    suite = {"title": name, "timeout_minutes": 600, "step_cost": [grid]}
    return gr_bench.run(suite, out / name.replace(" ", "-")).records


# --- noise


def noise(out: Path, blocks: int, seconds: float) -> dict[str, Any]:
    """A/A blocks under every condition, half of them on either model."""
    by_condition = {}
    for condition in CONDITIONS:
        grid = block(
            models=[MLP, RESNET],
            batch_sizes=[16 + 2 * k for k in range(blocks)],
            seconds_per_block=seconds,
        )
        with beside(condition):
            by_condition[condition] = measure(out, f"noise {condition}", grid)
    return {
        "blocks_per_condition": 2 * blocks,
        "seconds_per_block_and_process": seconds,
        "spread": {c: spreads(_controls(r)[0::2]) for c, r in by_condition.items()},
        "equal_pairs": {c: equal_pairs(_controls(r)[1::2]) for c, r in by_condition.items()},
        "all_equal_pairs": {c: equal_pairs(_controls(r)) for c, r in by_condition.items()},
    }


Pair = list[tuple[Times, Times]]
"""The control's times and the baseline's, replicate by replicate."""


def _controls(records: Sequence[Record]) -> list[Pair]:
    times = BlockTimes(records)
    pairs = []
    for replicates in times.records.values():
        cell = next(iter(replicates.values())).cell
        both = [(r, times.baseline(cell, k)) for k, r in sorted(replicates.items())]
        if cell.is_control:
            pairs.append([(a, b) for a, b in both if b is not None])
    return pairs


def spreads(pairs: Sequence[Pair]) -> dict[str, dict[str, float]]:
    """By estimator and clock: the standard deviation between processes of the log-ratio of equal
    things, pooled over blocks.
    """
    return {
        estimator: {
            clock: math.sqrt(
                float(
                    np.mean(
                        [np.var([of(read(a), read(b)) for a, b in pair], ddof=1) for pair in pairs]
                    )
                )
            )
            for clock, read in CLOCKS.items()
        }
        for estimator, of in ESTIMATORS.items()
    }


def equal_pairs(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The verdicts on equal things, by the estimator and clock that are used."""
    logs = [[log_ratio(a.step_s, b.step_s) for a, b in pair] for pair in pairs]
    intervals = [stats.ratio_interval(own) for own in logs]
    off = np.array([abs(i.center - 1) for i in intervals])
    elapsed = sum(sum(r.elapsed_s) for pair in pairs for both in pair for r in both)
    waited = sum(sum(r.waited_s) for pair in pairs for both in pair for r in both)
    verdicts = [
        stats.verdict(stats.ratio_interval(own, stats.CALLING_CONFIDENCE), MARGIN) for own in logs
    ]
    return {
        "pairs": len(intervals),
        "called_different": sum(v in ("slower", "faster") for v in verdicts),
        "same": verdicts.count("same"),
        "undecided": verdicts.count("undecided"),
        "intervals_without_1": sum(not i.low <= 1 <= i.high for i in intervals),
        "median_off": float(np.median(off)),
        "90th_percentile_off": float(np.quantile(off, 0.9)),
        "waiting_share": waited / elapsed,
    }


# --- coverage


def coverage(out: Path, processes: int, seconds: float) -> dict[str, Any]:
    """Every five processes in a row as an experiment, against the mean of all the others."""
    records = measure(
        out,
        "coverage",
        block(
            models=[MLP, RESNET],
            batch_sizes=[32],
            methods=["sgd", "f-gr"],
            seconds_per_block=seconds,
            replicates=processes,
            most_replicates=processes,
        ),
    )
    times = BlockTimes(records)
    found = {}
    for replicates in times.records.values():
        cell = next(iter(replicates.values())).cell
        if cell.is_baseline:
            continue
        logs = np.array([times.log_ratios[cell.id][k] for k in sorted(replicates)])
        name = f"{cell.model}, {'control' if cell.is_control else cell.spec}"
        found[name] = windows(logs)
    return found


def windows(logs: np.ndarray) -> dict[str, Any]:
    """The share of windows of :data:`SHORT` whose interval holds the mean of the others."""
    held = []
    for first in range(len(logs) - SHORT + 1):
        rest = np.delete(logs, np.s_[first : first + SHORT])
        low, high = stats.t_interval(logs[first : first + SHORT])[1:]
        held.append(low <= rest.mean() <= high)
    apart = held[::SHORT]
    whole = stats.ratio_interval(logs)
    return {
        "processes": len(logs),
        "windows": len(held),
        "coverage": float(np.mean(held)),
        "windows_without_overlap": len(apart),
        "coverage_without_overlap": float(np.mean(apart)),
        "ratio": whole._asdict(),
        "between_spread": stats.between_spread(logs),
        "skewness": float(scipy_stats.skew(logs)),
        "autocorrelation": float(np.corrcoef(logs[:-1], logs[1:])[0, 1]),
        "log_ratios": logs.tolist(),
    }


# --- known extra work


def known(out: Path) -> dict[str, Any]:
    """20 short runs of SGD against SGD with extra work."""
    found = {}
    for name, rows in BURDENS.items():
        replicates = REPLICATES[name]
        method = f"benchmarks.known_cost:Burdened(rows={rows})"
        count = 20 * replicates
        grid = block(
            methods=["sgd", method], replicates=count, most_replicates=count, control=False
        )
        records = measure(out, f"known {rows}", grid)
        times = BlockTimes(records)
        (cell,) = {r.cell for r in records if isinstance(r, Times) and not r.cell.is_baseline}
        logs = [times.log_ratios[cell.id][k] for k in sorted(times.log_ratios[cell.id])]
        runs = [logs[i : i + replicates] for i in range(0, len(logs), replicates)]
        verdicts = [
            stats.verdict(stats.ratio_interval(own, stats.CALLING_CONFIDENCE), KNOWN_MARGIN)
            for own in runs
        ]
        found[name] = {
            "rows": rows,
            "replicates": replicates,
            "all_replicates": stats.ratio_interval(logs)._asdict(),
            "runs": len(verdicts),
            "verdicts": {v: verdicts.count(v) for v in sorted(set(verdicts))},
            "margin": KNOWN_MARGIN,
            "confidence": stats.CALLING_CONFIDENCE,
            "log_ratios": logs,
        }
    return found


# --- tables


def in_words(answers: Mapping[str, Any]) -> str:
    """The answers as Markdown tables."""
    parts = []
    if "noise" in answers:
        spread = answers["noise"]["spread"]
        parts += ["Standard deviation between processes of the log-ratio of equal things:", ""]
        parts += ["| estimator | clock | " + " | ".join(spread) + " |"]
        parts += ["|---|---|" + "---|" * len(spread)]
        for estimator in ESTIMATORS:
            for clock in CLOCKS:
                cells = (f"{by[estimator][clock]:.2%}" for by in spread.values())
                parts.append(f"| {estimator} | {clock} | " + " | ".join(cells) + " |")
        for title, key in (
            ("the other half of the blocks", "equal_pairs"),
            ("all blocks", "all_equal_pairs"),
        ):
            parts += [
                "",
                f"Equal pairs, called different at a margin of {MARGIN:.0%} and 99 %, {title}:",
                "",
            ]
            parts += [
                "| condition | pairs | called different | same | undecided | "
                "intervals without 1 | median off | 90th percentile off | waiting |"
            ]
            parts += ["|---" * 9 + "|"]
            for condition, own in answers["noise"][key].items():
                parts.append(
                    f"| {condition} | {own['pairs']} | {own['called_different']} | {own['same']} | "
                    f"{own['undecided']} | {own['intervals_without_1']} | "
                    f"{own['median_off']:.2%} | {own['90th_percentile_off']:.2%} | "
                    f"{own['waiting_share']:.1%} |"
                )
    if "coverage" in answers:
        parts += ["", "Coverage of a 95 % interval over five processes:", ""]
        parts += [
            "| block, method | processes | windows | coverage | without overlap | "
            "ratio | spread between processes |",
            "|---" * 7 + "|",
        ]
        for name, own in answers["coverage"].items():
            parts.append(
                f"| {name} | {own['processes']} | {own['windows']} | {own['coverage']:.1%} | "
                f"{own['coverage_without_overlap']:.1%} of {own['windows_without_overlap']} | "
                f"{own['ratio']['center']:.4f} [{own['ratio']['low']:.4f}, "
                f"{own['ratio']['high']:.4f}] | {own['between_spread']:.2%} |"
            )
    return "\n".join(parts) + "\n"


def main() -> None:
    """Answer the questions; write ``trust.json`` and ``trust.md``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=["noise", "coverage", "known"])
    parser.add_argument("--blocks", type=int, default=60, help="for noise: per condition and model")
    parser.add_argument("--processes", type=int, default=200, help="for coverage")
    parser.add_argument("--seconds", type=float, default=1.0, help="for a block in a process")
    arguments = parser.parse_args()
    questions: dict[str, Callable[[Path], dict[str, Any]]] = {
        "noise": partial(noise, blocks=arguments.blocks, seconds=arguments.seconds),
        "coverage": partial(coverage, processes=arguments.processes, seconds=arguments.seconds),
        "known": known,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "trust.json"
    answers = read_answers(file)
    for name, ask in questions.items():
        if arguments.only in (None, name):
            answers[name] = ask(arguments.out)
            write_answers(file, answers)
            (arguments.out / "trust.md").write_text(in_words(answers))
    print(in_words(answers))


if __name__ == "__main__":
    main()
