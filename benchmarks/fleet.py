"""The gain of a fleet over the loop, architecture by architecture.

    python -m benchmarks.fleet OUT [--runs 40]

A round has steps of the fleet and, as many as the fleet has runs, of one run of the loop, in a
random order; the ratio is of times a run. A replicate is a freshly started process, and its ratio
the Hodges-Lehmann estimate over its rounds; the interval is a 95 % t-interval over replicates. A
fleet has as many runs as the memory allows it. The automatic choice takes the fleet where it is the
faster by a tenth.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.answers import write_answers
from gr_bench import registry, stats
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.training.fleet import Fleet
from gr_bench.experiments.generalization.training.fleet_or_loop import GAIN, in_memory
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.meters.conditions import hold_still
from gr_bench.meters.get_device import get_device
from gr_bench.timing.clock import Sample, settle_and_warm_up, take_sample
from gr_bench.timing.replicates import log_ratio
from gr_bench.timing.rounds import collector_at_rest, interleave
from gr_bench.timing.step import load_data

REPLICATES = 5
LEAST_ROUNDS = 5
WARM_UP_S = 1.0
BUDGET_S = 4.0
"""For the rounds of a replicate, unless the least take longer."""

CASES = (
    ("mlp(depth=4, width=64)", "mnist1d", 64),
    ("mlp(depth=4, width=128)", "mnist1d", 64),
    ("mlp(depth=4, width=128)", "digits", 32),
    ("mlp(depth=4, width=512)", "digits", 128),
    ("resnet-8(width=8)", "digits", 128),
    ("resnet-8(width=8)", "mnist1d", 64),
    ("vit(depth=2, width=32)", "digits", 64),
    ("char-transformer(depth=2, width=32)", "random-tokens(samples=512)", 16),
    ("resnet-8", "random", 32),
    ("resnet-20", "random", 32),
    ("vit", "random", 32),
    ("char-transformer", "random-tokens", 16),
    ("resnet-18", "random", 8),
    ("wrn-16-4", "random", 8),
)


def replicate(
    model: str, dataset: str, batch_size: int, spec: str, runs: int, number: int
) -> dict[str, Any]:
    """The time of a run's step, by the loop and by the fleet, in this process."""
    torch.set_num_threads(1)
    hold_still("held")
    first = GeneralizationCell(
        spec=spec,
        model=model,
        dataset=dataset,
        batch_size=batch_size,
        device="cpu",
        dtype="float32",
        threads=1,
        seed=0,
        epochs=1,
        learning_rate=0.01,
        momentum=0.9,
        weight_decay=1e-4,
    )
    device, data = get_device(first.device), load_data(first, registry)
    fleet = in_memory([replace(first, seed=seed) for seed in range(runs)], data, device)[0]
    runs = len(fleet)
    trainers = {"loop": Loop(first, data, device), "fleet": Fleet(fleet, data, device)}
    steps = {
        name: partial(trainer.step, *next(trainer.batches()), rate=0.0)
        for name, trainer in trainers.items()
    }
    counts = {name: settle_and_warm_up(device, step, WARM_UP_S) for name, step in steps.items()}

    def take(name: str, count: int) -> Sample:
        return take_sample(device, steps[name], count)

    with collector_at_rest():
        samples = interleave(
            [list(trainers)],
            take,
            {"loop": runs * counts["fleet"], "fleet": counts["fleet"]},  # as many runs' steps
            until=time.monotonic() + BUDGET_S,
            least_rounds=LEAST_ROUNDS,
            seed=number,
        )
    loop_s, fleet_s = samples["loop"].step_s, [s / runs for s in samples["fleet"].step_s]
    return {
        "runs": runs,
        "rounds": len(loop_s),
        "log_ratio": log_ratio(loop_s, fleet_s),
        "loop_ms": 1e3 * statistics.median(loop_s),
        "fleet_ms": 1e3 * statistics.median(fleet_s),
    }


def compare(model: str, dataset: str, batch_size: int, spec: str, runs: int) -> dict[str, Any]:
    """The loop's time for a run's step over the fleet's, from freshly started processes."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, fresh, max_tasks_per_child=1) as pool:
        case = (model, dataset, batch_size, spec, runs)
        found = [pool.submit(replicate, *case, number).result() for number in range(REPLICATES)]
    gain = stats.ratio_interval([one["log_ratio"] for one in found])
    runs = found[0]["runs"]
    return {
        "model": model,
        "dataset": dataset,
        "batch_size": batch_size,
        "spec": spec,
        "runs": runs,
        "rounds": [one["rounds"] for one in found],
        "log_ratios": [one["log_ratio"] for one in found],
        "loop_ms": statistics.median(one["loop_ms"] for one in found),
        "fleet_ms": statistics.median(one["fleet_ms"] for one in found),
        "gain": gain.center,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "automatic_choice": "fleet" if gain.center > GAIN and runs > 1 else "loop",
    }


def main() -> None:
    """Measure every case with SGD and F-GR and write ``fleet.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=int, default=40)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = []
    for case in CASES:
        for spec in ("sgd", "f-gr(gamma=0.1, epsilon=0.05)"):
            found.append(compare(*case, spec, arguments.runs))
            row = found[-1]
            interval = f"{row['gain']:.2f} [{row['gain_low']:.2f}, {row['gain_high']:.2f}]"
            print(f"{case[0]:36} {spec:30} {interval} {row['runs']} {row['automatic_choice']}")
    write_answers(arguments.out / "fleet.json", {"cases": found})


if __name__ == "__main__":
    main()
