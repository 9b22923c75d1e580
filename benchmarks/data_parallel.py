"""Step time of every method under ``DistributedDataParallel``, and what reducing gradients adds.

    python -m benchmarks.data_parallel OUT [--processes 2] [--backend gloo] [--replicates 5]

A replicate is a fresh set of processes, started by torchrun on this machine; one more call adds
replicates to those in OUT. Its rounds read every step once in a random order, and all processes
begin a sample together. A step's time is that of the slowest process, by the clock on the wall:
waiting for a processor is not taken off, since nobody knows who waited for whom. Each process has
the whole batch size for itself, so that more processes are a larger batch.

A method is stepped

- *alone*: without the wrapper, in every process;
- *per worker*: perturbed by the process's own gradient, the last pass reduced;
- *synchronised*: perturbed by the mean gradient, every pass reduced.

Ratios are over *synchronised* SGD (the row of SGD itself: over the same a second time), and over
the same method *alone*, which is the price of the reduction. A replicate's ratio is the
Hodges-Lehmann estimate over its rounds; the interval is a 95 % t-interval over replicates.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.answers import write_answers
from benchmarks.data_parallel_worker import ALONE, CONTROL, SYNCHRONISED, names
from gr_bench import stats
from gr_bench.timing.replicates import log_ratio

BASELINE = f"sgd {SYNCHRONISED}"
TIMEOUT_S = 600.0


def start(out: Path, arguments: argparse.Namespace, replicate: int) -> None:
    """One replicate, from the start of its processes to its line in ``out``.

    Raises:
        subprocess.CalledProcessError: a process failed.
        subprocess.TimeoutExpired: they did not end.
    """
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    program = ["-m", "benchmarks.data_parallel_worker", str(out)]
    settings = {
        "--backend": arguments.backend,
        "--rounds": arguments.rounds,
        "--replicate": replicate,
    }
    subprocess.run(
        [
            *torchrun,
            f"--nproc-per-node={arguments.processes}",
            *program,
            *(str(word) for pair in settings.items() for word in pair),
        ],
        check=True,
        timeout=TIMEOUT_S,
    )


def ratio(seconds: Sequence[dict[str, list[float]]], one: str, other: str) -> dict[str, float]:
    """Time of the one over the other's: centre and ends of the interval over replicates."""
    logs = [log_ratio(own[one], own[other]) for own in seconds]
    return dict(stats.ratio_interval(logs)._asdict())


def summary(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every problem's rows, one a method and mode.

    Args:
        lines: one a replicate, as the worker writes them.
    """
    found = []
    for own in zip(*(line["problems"] for line in lines), strict=True):
        seconds = [problem["seconds"] for problem in own]
        rows = []
        for name in names():
            spec, mode = name.split()
            if mode == CONTROL:
                continue
            over = f"sgd {CONTROL}" if name == BASELINE else BASELINE
            rows.append(
                {
                    "spec": spec,
                    "mode": mode,
                    "time_ms": 1e3 * stats.median([stats.median(one[name]) for one in seconds]),
                    "over_sgd": ratio(seconds, name, over),
                    "over_alone": None
                    if mode == ALONE
                    else ratio(seconds, name, f"{spec} {ALONE}"),
                }
            )
        found.append({key: own[0][key] for key in ("model", "dataset", "batch_size")})
        found[-1] |= {"replicates": len(own), "rows": rows}
    return found


def _spelt(interval: dict[str, float] | None) -> str:
    if interval is None:
        return ""
    return f"{interval['center']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def table(problem: dict[str, Any]) -> str:
    """A problem's rows in Markdown."""
    lines = [
        f"`{problem['model']}`, {problem['dataset']}, {problem['batch_size']} examples a process, "
        f"{problem['replicates']} replicates",
        "",
        "| method | perturbation | ms | over SGD, synchronised | over the same alone |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['spec']} | {row['mode']} | {row['time_ms']:.1f} | {_spelt(row['over_sgd'])} "
        f"| {_spelt(row['over_alone'])} |"
        for row in problem["rows"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write ``replicates.jsonl``, ``data_parallel.json`` and ``data_parallel.md``; print that."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--backend", choices=("gloo", "nccl"), default="gloo")
    parser.add_argument("--replicates", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "replicates.jsonl"
    have = len(file.read_text().splitlines()) if file.exists() else 0
    for replicate in range(have, have + arguments.replicates):
        start(file, arguments, replicate)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    if len({(line["processes"], line["backend"]) for line in lines}) > 1:
        parser.error(f"{file} has replicates of other processes: take another folder")
    problems = summary(lines)
    found = {
        "processes": arguments.processes,
        "backend": arguments.backend,
        "problems": problems,
    }
    device = "cpu" if arguments.backend == "gloo" else "cuda"
    write_answers(arguments.out / "data_parallel.json", found, device)
    text = "\n".join(map(table, problems))
    (arguments.out / "data_parallel.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
