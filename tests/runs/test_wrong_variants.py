"""Compiled code that computes something else, or takes its process down, in a whole run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gr_bench.experiments.record import Failure
from gr_bench.experiments.step_cost.record import Check
from gr_bench.runs.executor import LocalExecutor
from gr_bench.runs.runner import Unwatched, run_suite
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import build_suite

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="no C++ compiler"
    ),
]


def test_a_wrong_variant_is_recorded_and_not_timed_and_so_is_one_that_dies(tmp_path: Path) -> None:
    grid = {
        "methods": ["sgd"],
        "models": ["mlp(depth=1)", "breaking:OffWhenCompiled", "breaking:DiesWhenCompiled"],
        "datasets": ["random(shape=(2,), samples=8)"],
        "batch_sizes": [8],
        "compiled": [False, True],
        "replicates": 2,
        "most_replicates": 2,
        "seconds_per_block": 0.02,
    }
    suite = build_suite("test", {"title": "test", "step_cost": [grid]})
    run_suite(suite, tmp_path, LocalExecutor, Unwatched())
    records = read_journal(tmp_path)
    checks = {r.cell.model: r for r in records if isinstance(r, Check) and r.cell.compiled}
    assert checks["mlp(depth=1)"].agrees
    assert not checks["breaking:OffWhenCompiled"].agrees
    timed = {(r.cell.model, r.cell.compiled) for r in records if r.kind == "times"}
    assert ("mlp(depth=1)", True) in timed
    for model in ("breaking:OffWhenCompiled", "breaking:DiesWhenCompiled"):
        assert (model, False) in timed
        assert (model, True) not in timed
    dead = "breaking:DiesWhenCompiled"
    (lost,) = [
        r
        for r in records
        if r.cell.model == dead and r.cell.compiled and isinstance(r, Check | Failure)
    ]
    assert "exited with code 7" in (lost.reason if isinstance(lost, Failure) else str(lost))
