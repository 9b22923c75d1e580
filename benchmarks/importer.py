"""Turn stored gr-bench runs into asv's result files, so that a history needs no second measurement.

    asv run --bench just-discover --python=same   # asv's own list of benchmarks, once
    python -m benchmarks.importer RUN... [--results .asv/results]
    asv publish && asv preview

A run counts for the commit that it was measured at, on the machine that it was measured on; one of
a checkout with changes is refused. Of its cells, those become values that the suite ``step_cost``
has too; the others of the suite are marked as skipped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asv.machine import Machine
from asv.results import Results as AsvResults
from asv.runner import BenchmarkResult
from asv.util import write_json

import gr_bench
from benchmarks.asv_suite.blocks import BATCH_SIZES, METHODS, MODELS, block, number
from gr_bench.errors import RequestError
from gr_bench.runs.results import Results

COLUMNS = {
    "track_time_ratio": "time_ratio",
    "track_step_time_ms": "time_ms",
    "track_peak_memory_bytes": "peak_memory_bytes",
    "track_flops": "flops",
}
"""The tracked values of ``step_cost.StepCost``, and where they stand in a run's table."""

KEYS = tuple(itertools.product(MODELS, BATCH_SIZES, METHODS))
"""asv's parameters, in asv's order."""


def imported(run: Path, results: Path) -> Path:
    """Write one run's file, and return where it is.

    Raises:
        RequestError: asv's list of benchmarks is not there, the run is of no known commit, or it
            has nothing that the suite has.
    """
    listed = results / "benchmarks.json"
    if not listed.exists():
        raise RequestError(
            f"{listed} is not there: `asv run --bench just-discover --python=same` makes it"
        )
    found = gr_bench.load(run)
    about = found.about["environment"]
    if about["git"] is None or about["git"]["dirty"]:
        raise RequestError(f"{run} was not measured at a commit: its checkout had changes, or none")
    values = _values(found)
    if not values:
        raise RequestError(f"{run} has no cell of the suite: {', '.join(MODELS)} on digits")
    commit = about["git"]["commit"]
    machine = _machine(about)
    made = AsvResults(
        machine, {}, commit, _committed_ms(commit), about["python"], "gr-bench", env_vars={}
    )
    started = datetime.fromisoformat(found.about["started"])
    for name, benchmark in json.loads(listed.read_text()).items():
        column = COLUMNS.get(name.removeprefix("step_cost.StepCost."))
        if column is not None:
            own = [number(values, key, column) if key in values else math.nan for key in KEYS]
            made.add_result(benchmark, _result(own), started.astimezone(UTC))
    folder = results / machine["machine"]
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "machine.json").exists():
        write_json(str(folder / "machine.json"), machine, Machine.api_version)
    made.save(str(results))
    return folder / f"{commit[:8]}-gr-bench.json"


def _values(found: Results) -> dict[tuple[str | int, ...], dict[str, Any]]:
    """The rows of the suite's cells, by asv's parameters."""
    rows: dict[str, dict[str, Any]] = {}
    if "step_cost" in found.tables:
        table = found.step_cost
        timed = table[~table["control"] & (table["status"] == "ok")]
        same = (timed["threads"] == 1) & (timed["dtype"] == "float32") & ~timed["compiled"]
        same &= (timed["allocator"] == "held") & (timed["device"] == "cpu")
        for row in timed[same & (timed["dataset"] == "digits")].to_dict("records"):
            rows[str((row["model"], row["batch_size"], row["spec"]))] = row
    values: dict[tuple[str | int, ...], dict[str, Any]] = {}
    for model, batch_size in itertools.product(MODELS, BATCH_SIZES):
        for method, cell in zip(METHODS, block(model, batch_size), strict=True):
            row = rows.get(str((model, batch_size, cell.spec)))
            if row is not None:
                values[model, batch_size, method] = row
    return values


def _machine(about: dict[str, Any]) -> dict[str, str]:
    machine = about["machine"]
    return {
        "machine": machine["host"],
        "os": f"{machine['system']} {about['kernel']}",
        "arch": machine["architecture"],
        "cpu": about["device"]["name"],
        "num_cpu": str(machine["hardware_threads"]),
        "ram": str(machine["memory_bytes"]),
    }


def _committed_ms(commit: str) -> int:
    """The time at which a commit was made, in milliseconds since 1970, as asv has it."""
    told = subprocess.run(
        ["git", "show", "--no-patch", "--format=%ct", commit], capture_output=True, text=True
    )
    if told.returncode:
        raise RequestError(f"commit {commit[:8]} is not in this repository")
    return 1000 * int(told.stdout)


def _result(values: list[float]) -> BenchmarkResult:
    nothing = [None] * len(values)
    return BenchmarkResult(
        result=values, samples=nothing, number=nothing, errcode=0, stderr="", profile=None
    )


def main() -> None:
    """Import every run that is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--results", type=Path, default=Path(".asv/results"))
    arguments = parser.parse_args()
    try:
        for run in arguments.runs:
            print(imported(run, arguments.results))
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
