"""Null studies until a budget is spent, what they found, and the same in words."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr_bench.errors import RequestError
from gr_bench.files import write_whole
from gr_bench.units import duration

if TYPE_CHECKING:
    from gr_bench.experiments.generalization.calibration.power import Spread
    from gr_bench.experiments.generalization.calibration.study import Study
    from gr_bench.runs.suite import Suite

FILE = "generalization.json"
FOLDER = Path("runs/calibrate-generalization")
LEAST_S = 60.0
"""The least budget: in less, hardly a study is done before PyTorch has started."""

GAINS = (0.005, 0.01, 0.02)
SEEDS = (5, 10, 20)
DRAWS = 200
"""Studies drawn for each planted gain and number of seeds."""

Tell = Callable[[float, str], None]


def null_studies(budget_s: float, tell: Tell, most: int | None = None) -> Iterator[Study]:
    """Yield studies as they are done, one a core at a time, until the budget is spent.

    One begins only if the longest so far would still fit.

    Args:
        budget_s: seconds.
        tell: told the seconds that have passed and what has been done.
        most: studies, at most.
    """
    from gr_bench.experiments.generalization.calibration.study import study

    begun, number, longest = time.monotonic(), 0, 0.0
    workers = max(1, len(os.sched_getaffinity(0)))
    running: dict[Future[Study], float] = {}
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _quiet_worker)
    try:
        while True:
            now = time.monotonic()
            enough = most is not None and number >= most
            while len(running) < workers and not enough and now - begun + longest < budget_s:
                running[pool.submit(study, number)] = now
                number += 1
                enough = most is not None and number >= most
            if not running:
                return
            tell(now - begun, f"studies done: {number - len(running)}")
            done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in done:
                longest = max(longest, time.monotonic() - running.pop(future))
                yield future.result()
    finally:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


def _quiet_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is the parent's
    import torch

    torch.set_num_threads(1)


def findings(studies: Sequence[Study]) -> dict[str, Any]:
    """The shares of studies, comparisons and methods over workloads with a verdict, the coverage,
    and the power, as plain data; a share is ``[count, of, low, high]`` with its exact 95 %
    interval.
    """
    import numpy as np

    from gr_bench.experiments.generalization.calibration.power import (
        pairs_of,
        share_found,
        spread_of,
        wrong_share,
    )

    every = [one for study in studies for one in study.comparisons]
    found: dict[str, Any] = {
        "studies": len(studies),
        "studies_with_a_verdict": _share([s.is_called for s in studies]),
        "comparisons_with_a_verdict": _share([c.is_called for c in every]),
        "verdicts_over_workloads": _share(
            [verdict in ("ahead", "behind") for s in studies for verdict in s.over_workloads]
        ),
        "chosen_alike": _share([c.alike for c in every]),
    }
    for name, by_seed in (("coverage_with_splits", True), ("coverage_of_one_split", False)):
        found[name] = _share(
            [c.covers for s in studies if s.by_seed == by_seed for c in s.comparisons]
        )
    found["power"] = []
    random = np.random.default_rng(0)
    for dataset in dict.fromkeys(dataset for study in studies for dataset in study.datasets):
        spread, pairs = spread_of(dataset, studies), pairs_of(dataset, studies)
        if spread is None or not spread.variance:
            continue
        needed = {gain: spread.recommend_seeds(gain) for gain in GAINS}
        found["power"].append(
            {
                "spread": asdict(spread),
                "smallest_gain": {n: spread.smallest_gain(n) for n in SEEDS},
                "seeds_needed": {str(gain): needed[gain] for gain in GAINS},
                "planted": [
                    {
                        "gain": gain,
                        "seeds": seeds,
                        "expected": spread.power(gain, seeds),
                        "found": share_found(pairs, gain, seeds, DRAWS, random),
                        "draws": DRAWS,
                        "of_pairs": len(pairs),
                    }
                    for gain in GAINS
                    for seeds in sorted({*SEEDS, needed[gain]})
                    if seeds <= len(pairs) and gain <= wrong_share(pairs)
                ],
            }
        )
    return found


def _share(flags: Sequence[bool]) -> list[float] | None:
    from scipy import stats

    if not flags:
        return None
    ends = stats.binomtest(sum(flags), len(flags)).proportion_ci(0.95)
    return [sum(flags), len(flags), float(ends.low), float(ends.high)]


def write_findings(studies: Sequence[Study], folder: Path, budget_s: float) -> list[str]:
    """Write the findings into a folder, with the studies that they are from.

    Returns:
        Lines to print.

    Raises:
        RequestError: no study was done, or the folder cannot be written to.
    """
    from gr_bench.runs import environment

    if not studies:
        raise RequestError(
            f"no study was completed in {duration(budget_s)}: use a larger --budget, such as 5m"
        )
    found = findings(studies)
    rows = [
        {"number": s.number, "datasets": s.datasets, "by_seed": s.by_seed}
        | {"comparisons": [asdict(c) for c in s.comparisons], "over_workloads": s.over_workloads}
        for s in studies
    ]
    about = {"environment": environment.describe("cpu"), "budget_s": budget_s}
    text = json.dumps(about | found | {"null_studies": rows}, indent=2)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / FILE, lambda file: file.write(text.encode()))
    except OSError as error:
        raise RequestError(f"cannot write to {folder}: {error.strerror}") from error
    return [*lines(found), f"{folder / FILE}"]


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The findings in words, within 80 columns."""
    yield f"{found['studies']} studies of SGD against SGD under other names"
    for key, words in (
        ("studies_with_a_verdict", "studies with a verdict"),
        ("comparisons_with_a_verdict", "comparisons with a verdict"),
        ("verdicts_over_workloads", "methods ahead or behind over two data sets"),
        ("coverage_with_splits", "95 % intervals containing 0, split by seed"),
        ("coverage_of_one_split", "95 % intervals containing 0, one split"),
        ("chosen_alike", "comparisons at one learning rate"),
    ):
        if found[key] is not None:
            count, of, low, high = found[key]
            yield f"  {words:<43} {_of(count, of):>11} [{low:.1%}, {high:.1%}]"
    for own in found["power"]:
        yield f"A gain in test accuracy on {own['spread']['dataset']}, one split per seed:"
        yield "  gain (points)  seeds  found of planted  expected at least"
        for row in own["planted"]:
            points = 100 * row["gain"]
            yield (
                f"  {points:>13.1f}  {row['seeds']:>5}  {row['found']:>16.0%}"
                f"  {row['expected']:>17.0%}"
            )
        needed = own["seeds_needed"]["0.01"]
        yield f"  seeds for 80 % of studies to find a gain of one point: {needed}"


def _of(count: float, of: float) -> str:
    return f"{count:.0f} of {of:.0f}"


def seeds_note(suite: Suite, folder: Path = FOLDER) -> str | None:
    """A line on the gain that a suite's seeds find, from a calibration; None without one, or where
    nothing is to be trained.
    """
    from gr_bench.experiments.generalization.calibration.power import Spread
    from gr_bench.experiments.generalization.cell import GeneralizationGrid

    grids = [plan.grid for plan in suite.plans if isinstance(plan.grid, GeneralizationGrid)]
    try:
        power = json.loads((folder / FILE).read_text())["power"]
        spreads = [Spread(**own["spread"]) for own in power]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    counts = sorted({len(grid.seeds) for grid in grids})
    if not spreads or not counts:
        return None
    return "; ".join(f"{count} seeds find {_gains(spreads, count)}" for count in counts) + (
        f" in 80 % of studies ({folder / FILE})"
    )


def _gains(spreads: Sequence[Spread], seeds: int) -> str:
    if seeds < 2:
        return "no difference"
    gains = [f"{100 * s.smallest_gain(seeds):.1f} points ({s.dataset})" for s in spreads]
    return f"a difference of {' or '.join(gains)}"
