"""How much faster a fleet trains than the loop, architecture by architecture.

    python -m benchmarks.fleet OUT [--runs 40]

Steps of the fleet and of one run of the loop alternate; the ratio is of times a run, with a
bootstrap interval of the median over rounds, in this one process. A fleet has as many runs as the
memory allows it. The automatic choice takes the fleet where it is the faster by a tenth.
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

from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.training.fleet import Fleet
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.experiments.generalization.training.train import GAIN, in_memory
from gr_bench.experiments.training import load_data
from gr_bench.meters.conditions import hold_still

ROUNDS = 15
LEAST_ROUNDS = 5
BUDGET_S = 30.0
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


def compare(model: str, dataset: str, batch_size: int, method: str, runs: int) -> dict[str, Any]:
    """Loop time over fleet time for a run's step."""
    first = GeneralizationCell(
        method=method,
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
    device, data = load_data(first)
    fleet = in_memory([replace(first, seed=seed) for seed in range(runs)], data, device)[0]
    runs = len(fleet)
    trainers = {"loop": Loop(first, data, device), "fleet": Fleet(fleet, data, device)}
    batches = {name: next(trainer.batches()) for name, trainer in trainers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    begin = time.monotonic()
    for turn in range(ROUNDS + 2):
        if turn >= LEAST_ROUNDS + 2 and time.monotonic() - begin > BUDGET_S:
            break
        for name in sorted(trainers, reverse=bool(turn % 2)):
            # as many runs by either, so that a round is as long for both
            times = runs if name == "loop" else 1
            step = partial(trainers[name].step, *batches[name], rate=0.0)
            spent = device.time(lambda step=step, times=times: [step() for _ in range(times)])
            if turn > 1:
                seconds[name].append(spent.seconds / runs)
    ratios = np.array(seconds["loop"]) / np.array(seconds["fleet"])
    interval = bootstrap((ratios,), np.median, random_state=0).confidence_interval
    gain = float(np.median(ratios))
    return {
        "model": model,
        "dataset": dataset,
        "batch_size": batch_size,
        "method": method,
        "runs": runs,
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
        for method in ("sgd", "f-gr(gamma=0.1, epsilon=0.05)"):
            found.append(compare(*case, method, arguments.runs))
            row = found[-1]
            interval = f"{row['gain']:.2f} [{row['gain_low']:.2f}, {row['gain_high']:.2f}]"
            print(f"{case[0]:36} {method:30} {interval} {row['runs']} {row['automatic_choice']}")
    (arguments.out / "fleet.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
