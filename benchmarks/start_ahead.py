"""Pairs whose processes are started ahead, beside the pair before, and pairs that are not.

    python -m benchmarks.start_ahead OUT [--times 4] [--budget 60s] [--step training.py]

One commit is compared with itself (a comment apart), in turn with and without starting the next
pair's processes on another processor while a pair is measured. No comparison stops before its time
is spent. For both: the spread of the log-ratio between pairs, its mean, and the correlation of each
pair with the next, which an always-valid interval takes to be nil.

What has been measured is in ``OUT/start_ahead.json`` after every comparison.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.answers import write_answers
from benchmarks.calls import FILES, repository
from gr_bench.comparison.paired import Measured, measure
from gr_bench.comparison.revisions import SIDES
from gr_bench.comparison.sides import look_up, made_ready, placed
from gr_bench.comparison.subject import read_calls
from gr_bench.units import parse_duration

TIMEOUT_S = 600.0


def pairs(root: Path, file: str, budget_s: float, *, ahead: bool) -> list[float]:
    """The log-ratios of the pairs that fit into the time."""
    pythons = dict.fromkeys(SIDES, sys.executable)
    with chdir(root):
        asked = look_up({"base": "git:start", "head": "git:unchanged"})
        (call,) = read_calls([f"{file}:prepare"], device="cpu", threads=1)
        subject, _ = placed(call, asked)
        measured = Measured([subject])
        with made_ready(asked, pythons, None) as sides:
            measure(
                measured,
                sides,
                open_subjects=lambda so_far: so_far.subjects,
                budget_s=budget_s,
                timeout_s=TIMEOUT_S,
                progress=lambda *_, **__: None,
                start_ahead=ahead,
            )
    return list(measured.log_ratios(subject))


def summary(found: list[list[float]]) -> dict[str, Any]:
    """The spread within comparisons, the mean, and the correlation of neighbours."""
    centred = [np.array(logs) - np.mean(logs) for logs in found]
    count = sum(map(len, found))
    squares = sum(float(logs @ logs) for logs in centred)
    products = sum(float(logs[:-1] @ logs[1:]) for logs in centred)
    neighbours = sum(len(logs) - 1 for logs in found)
    spread = math.sqrt(squares / (count - len(found)))
    mean = float(np.mean(np.concatenate(found)))
    return {
        "pairs": count,
        "spread": spread,
        "spread_standard_error": spread / math.sqrt(2 * (count - len(found))),
        "mean": mean,
        "mean_standard_error": spread / math.sqrt(count),
        "correlation_of_neighbours": products / squares * count / neighbours,
        "its_expectation_if_independent": -len(found) / count,
        "its_standard_error": 1 / math.sqrt(neighbours),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--step", default="training.py", choices=FILES)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[list[float]]] = {"ahead": [], "not ahead": []}
    out = arguments.out.resolve() / "start_ahead.json"
    budget_s = parse_duration(arguments.budget)
    with repository() as root:
        for _ in range(arguments.times):
            for name, all_ in found.items():
                all_.append(pairs(root, arguments.step, budget_s, ahead=name == "ahead"))
                print(name, json.dumps(all_[-1]), flush=True)
                answers = {key: summary(logs) for key, logs in found.items() if logs}
                step = {"step": arguments.step, "budget": arguments.budget}
                write_answers(out, {**step, "summary": answers, "log_ratios": found})


if __name__ == "__main__":
    main()
