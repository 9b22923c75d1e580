"""The verdicts of asv and pytest-benchmark on the commits of ``benchmarks.revisions``.

    python -m benchmarks.ordinary_revisions OUT [--runs 10] [--only asv|pytest-benchmark]

A team would watch the five methods on the 4x512 MLP with either: ``asv continuous`` times them by
``plain.Step.time_step``, pytest-benchmark by ``test_step_cost``. Defaults everywhere but for the
threshold, which is that of ``gr-bench compare``. Every other run is beside a busy loop.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.answers import read_answers, write_answers
from benchmarks.revisions import busy_loop, clone_with_commits, git

THRESHOLD = 0.02
COMMITS = ("slow", "same")

Said = tuple[dict[str, float], list[str]]
"""head/base of every method's step, and the methods that the tool calls slower."""


def asv_continuous(clone: Path, name: str) -> Said:
    """By asv's own test, beside the threshold."""
    asv = (sys.executable, "-m", "asv")
    if not (clone / "asv-machine").exists():
        run(clone, *asv, "machine", "--yes", "--machine", "here")
        (clone / "asv-machine").touch()
    bench = ("--machine", "here", "--bench", "plain.Step.time_step")
    told = run(clone, *asv, "continuous", *bench, "--factor", str(1 + THRESHOLD), "start", name)
    # the table of `continuous` leaves out what has not changed, and rounds; its files do neither
    seconds = []
    for commit in git(clone, "rev-parse", "start", name).split():
        files = list((clone / ".asv" / "results" / "here").glob(f"{commit[:8]}-*.json"))
        if len(files) != 1:
            raise SystemExit(told)
        seconds.append(_stored(files[0]))
        files[0].unlink()
    before, after = seconds
    slower = re.findall(r"^\|\s*\+.*time_step\('([^']+)'\)", told, re.MULTILINE)
    return {method: after[method] / before[method] for method in before}, slower


def _stored(file: Path) -> dict[str, float]:
    """Seconds a step by method, from a result file of asv's."""
    stored = json.loads(file.read_text())
    row = dict(
        zip(stored["result_columns"], stored["results"]["plain.Step.time_step"], strict=False)
    )
    methods = [method.strip("'") for method in row["params"][0]]
    return dict(zip(methods, row["result"], strict=True))


def pytest_benchmark(clone: Path, name: str) -> Said:
    """By the median, as with ``--benchmark-compare-fail=median:2%``."""
    medians = []
    for which in ("start", name):
        git(clone, "checkout", "--quiet", which)
        file = clone.parent / f"{which}.json"
        run(
            clone,
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("benchmarks/test_step_cost.py", "--benchmark-only", "-k", "mlp and 128"),
            f"--benchmark-json={file}",
        )
        found = json.loads(file.read_text())["benchmarks"]
        medians.append({b["params"]["method"]: b["stats"]["median"] for b in found})
    before, after = medians
    ratios = {method: after[method] / before[method] for method in before}
    return ratios, [method for method, ratio in ratios.items() if ratio > 1 + THRESHOLD]


def run(clone: Path, *command: str) -> str:
    """The output of a command in the clone, on the clone's code.

    asv exits with 1 where it sees a change, and where it fails.
    """
    home, own = Path.home(), clone.parent  # asv keeps its list of machines in the home folder
    changes = {"PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1", "HOME": str(own)}
    changes |= {"XDG_CONFIG_HOME": str(home / ".config"), "XDG_CACHE_HOME": str(home / ".cache")}
    ended = subprocess.run(
        command, cwd=clone, env=os.environ | changes, capture_output=True, text=True
    )
    told = f"{' '.join(command)}\n{ended.stdout}{ended.stderr}"
    if ended.returncode not in (0, 1):
        raise SystemExit(told)
    return told


HARNESSES = {"pytest-benchmark": pytest_benchmark, "asv": asv_continuous}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", choices=HARNESSES)
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    file = out / "ordinary-revisions.json"
    found: dict[str, dict[str, list[dict[str, Any]]]] = read_answers(file)  # of the other tool
    with clone_with_commits() as clone:
        for harness in [arguments.only] if arguments.only else HARNESSES:
            of = found[harness] = {name: [] for name in COMMITS}
            for number in range(arguments.runs):
                for name in COMMITS:
                    busy = number % 2 == 1
                    begin = time.monotonic()
                    with busy_loop(busy):
                        ratios, slower = HARNESSES[harness](clone, name)
                    took = time.monotonic() - begin
                    entry = {"busy": busy, "took_s": took, "ratios": ratios, "slower": slower}
                    of[name].append(entry)
                    print(harness, name, json.dumps(entry), flush=True)
                    write_answers(file, found)


if __name__ == "__main__":
    main()
