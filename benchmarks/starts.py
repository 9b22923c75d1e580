"""The time that gr-bench takes to start, beside that of Python and PyTorch.

    python -m benchmarks.starts OUT [--rounds 10]

Every round starts a fresh process of each sort once, in a random order; each has been started once
before, so that files are compiled and in the system's cache. A ratio is that of the two in the same
round: its geometric mean over rounds with the 95 % t-interval.

- *pass*: ``python -c pass``;
- *import torch*: ``python -c "import torch"``, without the tidying up at its end;
- *first step*: a worker of a run, until the first timed step of a small MLP on the digits begins;
- *list*: ``gr-bench list``;
- *wrong request*: ``gr-bench run nosuch``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.answers import write_answers
from gr_bench import stats
from gr_bench.experiments.block_times import TimesOptions
from gr_bench.experiments.experiment import Job, Unit
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.runs.executor import LocalExecutor
from gr_bench.timing.clock import Sample, Samples
from gr_bench.timing.rounds import interleave

SPEC = "benchmarks.first_step:Telling"
CELL = StepCostCell(
    spec=SPEC,
    model="mlp(depth=2, width=64)",
    dataset="digits",
    batch_size=32,
    device="cpu",
    dtype="float32",
    threads=1,
    baseline=SPEC,
)
OPTIONS = TimesOptions(replicate=0, budget_s=0.0, least_rounds=1, target=1.0, most_replicates=1)
TIMEOUT_S = 60.0

RATIOS = (
    ("import torch", "pass"),
    ("list", "pass"),
    ("wrong request", "pass"),
    ("first step", "import torch"),
)


def command_s(*arguments: str, exit_code: int = 0) -> float:
    """Seconds that a Python process with these arguments takes from its start to its end.

    Raises:
        RuntimeError: it ended with another exit code.
    """
    begin = time.monotonic()
    ended = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    spent_s = time.monotonic() - begin
    if ended.returncode != exit_code:
        said = f"{ended.stdout}{ended.stderr}"
        raise RuntimeError(f"{arguments} ended with {ended.returncode}, not {exit_code}: {said}")
    return spent_s


def first_step_s() -> float:
    """Seconds from the start of a run's worker process until its first timed step begins.

    Raises:
        RuntimeError: it did not come to that.
    """
    with tempfile.TemporaryDirectory(prefix="gr-bench-starts-") as home:
        begin = time.monotonic()
        job = Job((Unit((CELL,), OPTIONS),), exclusive=True)
        events = list(LocalExecutor(Path(home)).run(job, TIMEOUT_S))
        log = Path(home, "workers.log").read_text()
    try:
        return float(log) - begin
    except ValueError as error:
        raise RuntimeError(f"no first step: {events[-1]}; {log}") from error


STARTS = {
    "pass": partial(command_s, "-c", "pass"),
    "import torch": partial(command_s, "-c", "import os, torch; os._exit(0)"),
    "first step": first_step_s,
    "list": partial(command_s, "-m", "gr_bench", "list"),
    "wrong request": partial(command_s, "-m", "gr_bench", "run", "nosuch", exit_code=2),
}


def measure(rounds: int) -> dict[str, Samples]:
    """The seconds of every start in every round."""

    def take(name: str, starts: int) -> Sample:
        # of another process the waiting and the processor time are not known
        return Sample(STARTS[name](), waited_s=0.0, cpu_s=float("nan"))

    for start in STARTS.values():
        start()
    return interleave(
        [list(STARTS)],
        take,
        dict.fromkeys(STARTS, 1),
        until=time.monotonic(),
        least_rounds=rounds,
        seed=0,
    )


def summary(seconds: Mapping[str, list[float]]) -> dict[str, Any]:
    """Medians and ratios of the starts, with what they are from.

    Args:
        seconds: by name of the start, (rounds,).
    """
    return {
        "median_s": {name: stats.median(own) for name, own in seconds.items()},
        "ratios": {
            f"{one} / {other}": stats.ratio_interval(
                stats.log_ratios(seconds[one], seconds[other])
            )._asdict()
            for one, other in RATIOS
        },
        "seconds": dict(seconds),
    }


def main() -> None:
    """Write ``starts.json`` and print it as tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or gr-bench is compiled anew at every start
    samples = measure(arguments.rounds)
    found = summary({name: own.elapsed_s for name, own in samples.items()})
    write_answers(arguments.out / "starts.json", found)
    print("| start | median (ms) |\n|---|---|")
    for name, median_s in found["median_s"].items():
        print(f"| {name} | {1e3 * median_s:.0f} |")
    print("\n| ratio | mean over rounds, 95 % interval |\n|---|---|")
    for name, ratio in found["ratios"].items():
        print(f"| {name} | {ratio['center']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}] |")


if __name__ == "__main__":
    main()
