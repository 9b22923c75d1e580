"""Coverage of the intervals of a comparison of methods, over seeds, splits and data.

    python -m benchmarks.splits OUT [--tables 2000] [--pools 100] [--seeds 10]

*Synthetic*: tables of runs by samples whose components of variance are known
(:func:`synthetic`), with all runs on one test part, and with a test part a run.

*Trainings*: MNIST-1D is made by a program, so that there are as many data sets as anyone wants. On
each (a *pool* of 1,000 samples), SGD, SGD with other seeds, SAM and SGD with another weight decay
are trained with several seeds, once with a split a seed and once on one split. The truth is the
mean over pools of the mean difference; an interval holds if it contains the truth.

Intervals: ``seeds``, Student's over the seeds, which was used before; ``corrected``, Nadeau and
Bengio's; ``crossed``, over runs and test samples (``gr_bench.crossed``). All of it is in
``OUT/splits.json``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from benchmarks.answers import write_answers
from gr_bench import stats
from gr_bench.crossed import crossed_mean
from gr_bench.experiments.generalization.analysis.paired import paired_comparison
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.record import Training
from gr_bench.stats import Interval

Array = NDArray[np.float64]

TEST_OVER_TRAIN = 1 / 3
MEAN = 0.01
COMPONENTS = {
    "alike": (0.01, 0.0, 0.3),
    "seeds decide": (0.03, 0.1, 0.3),
    "samples decide": (0.01, 0.15, 0.3),
    "samples alone": (0.0, 0.3, 0.3),
}
"""Standard deviations of the parts of runs, of samples and of the rest. ``alike``: two methods that
err on the same samples."""

POOL, TESTED = 1000, 200
RUNS = (3, 5, 10, 20)

ARMS: dict[str, dict[str, Any]] = {
    "sgd, other seeds": {},
    "sam(rho=0.1)": {"spec": "sam(rho=0.1)"},
    "weight decay 0.01": {"weight_decay": 0.01},
}
OTHER_SEEDS = 10**6
CELL = GeneralizationCell(
    spec="sgd",
    model="mlp(depth=3, width=64)",
    dataset="mnist1d(samples=1000)",
    batch_size=32,
    device="cpu",
    dtype="float32",
    threads=1,
    seed=0,
    epochs=10,
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=1e-4,
)


def synthetic(
    random: np.random.Generator, runs: int, spreads: Sequence[float], *, split: bool
) -> Array:
    """A table (runs, samples) μ + a_r + b_i + e_ri; NaN where a run is not tested on a sample.

    Args:
        random: draws it.
        runs: rows.
        spreads: standard deviations of a, b and e.
        split: True if every run has test samples of its own, else all have the same.
    """
    of_runs, of_samples, of_rest = spreads
    samples = random.normal(0, of_samples, POOL)
    first = random.permutation(POOL)[:TESTED]
    table = np.full((runs, POOL), np.nan)
    for row in table:
        part = random.permutation(POOL)[:TESTED] if split else first
        own = MEAN + random.normal(0, of_runs) + samples[part]
        row[part] = own + random.normal(0, of_rest, TESTED)
    return table


def intervals(table: Array) -> dict[str, Interval]:
    """By name, the intervals of the mean of a table."""
    apart = np.nanmean(table, axis=1)
    return {
        "seeds": stats.t_interval(apart),
        "corrected": stats.corrected_resampled_t(apart, TEST_OVER_TRAIN)[0],
        "crossed": crossed_mean(table).interval,
    }


def coverage_of(tables: int, runs: int, spreads: Sequence[float], *, split: bool) -> dict[str, Any]:
    """The coverage of every interval in so many synthetic tables."""
    random = np.random.default_rng([runs, split])
    made = [intervals(synthetic(random, runs, spreads, split=split)) for _ in range(tables)]
    return judged(made, [MEAN] * tables)


def judged(made: Sequence[Mapping[str, Interval]], truths: Sequence[float]) -> dict[str, Any]:
    """By the interval's name, its coverage ``[count, of, low, high]`` and its mean width."""
    found = {}
    for name in made[0]:
        held = [
            own[name].low <= truth <= own[name].high
            for own, truth in zip(made, truths, strict=True)
        ]
        ends = scipy_stats.binomtest(sum(held), len(held)).proportion_ci(0.95)
        width = float(np.mean([2 * own[name].half_width for own in made]))
        found[name] = {
            "coverage": [int(sum(held)), len(held), float(ends.low), float(ends.high)],
            "width": width,
        }
    return found


def pool_records(pool: int, seeds: int) -> dict[str, dict[str, list[Training]]]:
    """By design (``splits``, ``one split``) and arm, the trainings on a pool; ``base`` is SGD."""
    import torch

    from gr_bench.experiments.generalization.training.train import train_all

    torch.set_num_threads(1)
    first = 1 + seeds * pool
    data = replace(CELL, dataset=f"mnist1d(samples={POOL}, seed={pool})")
    found: dict[str, dict[str, list[Training]]] = {}
    for design in ("splits", "one split"):
        base = [
            replace(data, seed=seed, split_seed=seed if design == "splits" else first)
            for seed in range(first, first + seeds)
        ]
        found[design] = {"base": _trained(train_all, base)}
        for arm, fields in ARMS.items():
            # every arm has its own draws, as methods have that visit other points
            away = OTHER_SEEDS * (1 + list(ARMS).index(arm))
            own = [replace(cell, seed=cell.seed + away, **fields) for cell in base]
            found[design][arm] = [
                replace(r, cell=replace(r.cell, seed=r.cell.seed - away))
                for r in _trained(train_all, own)
            ]
    return found


def _trained(train_all: Any, cells: Sequence[GeneralizationCell]) -> list[Training]:
    found = [r for r in train_all(cells, "fleet", evaluate_every=10**6) if isinstance(r, Training)]
    return sorted(found, key=lambda record: record.cell.seed)


def of_pool(pool: int, seeds: int) -> list[dict[str, Any]]:
    """A row a design, arm and number of seeds: the difference on a pool and its intervals."""
    rows = []
    for design, arms in pool_records(pool, seeds).items():
        for arm in ARMS:
            for count in sorted({min(5, seeds), seeds}):
                own, base = arms[arm][:count], arms["base"][:count]
                crossed = paired_comparison(own, base)
                apart = [_accuracy(a) - _accuracy(b) for a, b in zip(own, base, strict=True)]
                ends = {
                    "seeds": stats.t_interval(apart),
                    "corrected": stats.corrected_resampled_t(apart, TEST_OVER_TRAIN)[0],
                    "crossed": Interval(crossed.difference, crossed.low, crossed.high),
                }
                assert crossed.components is not None
                rows.append(
                    {"pool": pool, "design": design, "arm": arm, "seeds": count}
                    | {"difference": crossed.difference, "intervals": ends}
                    | {"components": crossed.components._asdict()}
                )
    return rows


def _accuracy(record: Training) -> float:
    assert record.test_accuracy is not None
    return record.test_accuracy


def of_trainings(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A summary a design, arm and number of seeds, over pools.

    The truth that a pool's interval is held against is the mean over the other pools, of both
    designs, with the most seeds: it has an error of its own, which is given.
    """
    most = max(row["seeds"] for row in rows)
    for arm in ARMS:
        known = [row for row in rows if row["arm"] == arm and row["seeds"] == most]
        pools = {row["pool"] for row in known}
        means = {
            p: np.mean([row["difference"] for row in known if row["pool"] == p]) for p in pools
        }
        total = sum(means.values())
        for design in ("splits", "one split"):
            for count in sorted({row["seeds"] for row in rows}):
                own = [
                    row
                    for row in rows
                    if (row["arm"], row["design"], row["seeds"]) == (arm, design, count)
                ]
                truths = [
                    0.0
                    if arm == "sgd, other seeds"
                    else float((total - means[row["pool"]]) / (len(pools) - 1))
                    for row in own
                ]
                differences = np.array([row["difference"] for row in own])
                components = [row["components"] for row in own]
                yield {
                    "arm": arm,
                    "design": design,
                    "seeds": count,
                    "pools": len(own),
                    "truth": float(np.mean(truths)),
                    "truth_error": float(np.std(list(means.values()), ddof=1) / len(pools) ** 0.5),
                    "spread_over_pools": float(differences.std(ddof=1)),
                    "components": {
                        key: float(np.mean([one[key] for one in components]))
                        for key in components[0]
                    },
                    "intervals": judged([row["intervals"] for row in own], truths),
                }


def everything(tables: int, pools: int, seeds: int, workers: int) -> dict[str, Any]:
    """All that is written."""
    made = [
        {"components": name, "spreads": spreads, "splits": split, "runs": runs}
        | {"intervals": coverage_of(tables, runs, spreads, split=split)}
        for name, spreads in COMPONENTS.items()
        for split in (False, True)
        for runs in RUNS
    ]
    with ProcessPoolExecutor(workers, get_context("spawn")) as executor:
        rows = [row for own in executor.map(of_pool, range(pools), repeat(seeds)) for row in own]
    return {
        "synthetic": {"tables": tables, "samples": POOL, "tested": TESTED, "found": made},
        "trainings": list(of_trainings(rows)),
    }


def main() -> None:
    """Write ``splits.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--pools", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    own = vars(arguments)
    out = own.pop("out")
    with TemporaryDirectory() as cache:  # the pools are of no use to anyone else
        os.environ["XDG_CACHE_HOME"] = cache
        found = everything(**own)
    write_answers(out / "splits.json", found)


if __name__ == "__main__":
    main()
