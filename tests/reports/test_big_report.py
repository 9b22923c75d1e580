"""The report of a run with 5,000 cells and 100,000 samples: it stays small, and can be opened."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic import cost, counted, run_of, timed, trained, training

from gr_bench import registry
from gr_bench.experiments.record import Record
from gr_bench.runs.results import Results

METHODS = ("sgd", *[name for name in registry.METHODS.built_in if name != "sgd"])[:10]
MODELS = [f"mlp(depth={depth})" for depth in range(2, 22)]
GB = 1 << 30


def steps() -> Iterator[Record]:
    """1,000 cells of 100 samples."""
    draw = random.Random(0)
    for model in MODELS:
        for batch in (16, 32, 64, 128, 256):
            for place, method in enumerate(METHODS):
                cell = cost(method, model=model, batch_size=batch)
                yield counted(cell)
                for process in range(4):
                    times = [0.01 * (1 + place * 0.3) * draw.gauss(1, 0.02) for _ in range(25)]
                    yield timed(cell, process, times)


def trainings() -> Iterator[Record]:
    """4,000 cells."""
    draw = random.Random(0)
    for model in MODELS:
        for method in METHODS:
            for seed in range(20):
                accuracy = draw.gauss(0.8, 0.02)
                cell = training(method, model=model, seed=seed)
                yield trained(cell, train=(0.1, 1.0), test=(0.5, accuracy))


@pytest.mark.slow
def test_a_big_run_has_a_page_that_can_be_opened(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", *steps(), *trainings())
    Results(run).write_parquet()  # as the end of a run does
    began = time.monotonic()
    command = [sys.executable, "-m", "gr_bench", "report", str(run)]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    seconds = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (ended.returncode, ended.stderr) == (0, "")
    page = run / "report" / "report.html"
    print(
        f"{seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor time, "
        f"{used.ru_maxrss / 1e6:.2f} GB, page {page.stat().st_size / 1e6:.2f} MB"
    )
    assert used.ru_maxrss * 1024 < GB
    assert page.stat().st_size < 5e6
    assert (run / "report" / "tables" / "step_samples.csv").read_text().count("\n") == 100_001
