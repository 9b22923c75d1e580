"""How much faster a fleet trains than the loop, architecture by architecture.

    python -m benchmarks.fleet OUT [--runs 40]

A round has steps of the fleet and, as many as the fleet has runs, of one run of the loop, in a
random order; the ratio is of times a run, with a bootstrap interval of the median over rounds, in
this one process. A fleet has as many runs as the memory allows it. The automatic choice takes the
fleet where it is the faster by a tenth.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import bootstrap

from gr_bench import registry
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.training.fleet import Fleet
from gr_bench.experiments.generalization.training.fleet_or_loop import GAIN, in_memory
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.meters.conditions import hold_still
from gr_bench.meters.device import get_device
from gr_bench.timing.clock import Sample, steps_in_a_sample, take_sample, warm_up
from gr_bench.timing.rounds import collector_at_rest, interleave
from gr_bench.timing.step import load_data

LEAST_ROUNDS = 5
WARM_UP_S = 1.0
BUDGET_S = 10.0
"""For the rounds of a case, unless the least take longer."""

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


def compare(model: str, dataset: str, batch_size: int, spec: str, runs: int) -> dict[str, Any]:
    """Loop time over fleet time for a run's step."""
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
    spent_s = {name: warm_up(device, step, WARM_UP_S) for name, step in steps.items()}
    in_a_sample = steps_in_a_sample(device, spent_s["fleet"])

    def take(name: str, count: int) -> Sample:
        return take_sample(device, steps[name], count)

    with collector_at_rest():
        samples = interleave(
            [list(trainers)],
            take,
            {"loop": runs * in_a_sample, "fleet": in_a_sample},  # as many runs' steps by either
            until=time.monotonic() + BUDGET_S,
            least_rounds=LEAST_ROUNDS,
            seed=0,
        )
    seconds = {
        "loop": np.array(samples["loop"].step_s),
        "fleet": np.array(samples["fleet"].step_s) / runs,
    }
    ratios = seconds["loop"] / seconds["fleet"]
    interval = bootstrap((ratios,), np.median, random_state=0).confidence_interval
    gain = float(np.median(ratios))
    return {
        "model": model,
        "dataset": dataset,
        "batch_size": batch_size,
        "spec": spec,
        "runs": runs,
        "rounds": len(ratios),
        "loop_ms": 1e3 * float(np.median(seconds["loop"])),
        "fleet_ms": 1e3 * float(np.median(seconds["fleet"])),
        "gain": gain,
        "gain_low": float(interval.low),
        "gain_high": float(interval.high),
        "automatic_choice": "fleet" if gain > GAIN and runs > 1 else "loop",
    }


def main() -> None:
    """Measure every case with SGD and F-GR and write ``fleet.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    hold_still("held")
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = []
    for case in CASES:
        for spec in ("sgd", "f-gr(gamma=0.1, epsilon=0.05)"):
            found.append(compare(*case, spec, arguments.runs))
            row = found[-1]
            interval = f"{row['gain']:.2f} [{row['gain_low']:.2f}, {row['gain_high']:.2f}]"
            print(f"{case[0]:36} {spec:30} {interval} {row['runs']} {row['automatic_choice']}")
    (arguments.out / "fleet.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
