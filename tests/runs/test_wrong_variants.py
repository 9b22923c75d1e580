"""Compiled code that computes something else, or takes its process down, in a whole run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gr_bench import load
from gr_bench.experiments.block_times import Times
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


def test_a_variant_that_computes_something_else_or_dies_is_wrong_and_not_timed(
    tmp_path: Path,
) -> None:
    off, dying = "OffWhenCompiled", "DiesWhenCompiled"
    grid = {
        "methods": ["sgd"],
        "models": ["mlp(depth=1)", f"breaking:{off}", f"breaking:{dying}"],
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

    checks = {r.cell.model: r for r in records if isinstance(r, Check)}
    assert {model: check.agrees for model, check in checks.items()} == {
        "mlp(depth=1)": True,
        off: False,
        dying: False,
    }
    assert checks[off].error > checks[off].tolerance
    assert checks[dying].where == "worker exited with code 7"

    timed = {(r.cell.model, r.cell.compiled) for r in records if isinstance(r, Times)}
    plain = {(model, False) for model in checks}
    assert timed == {*plain, ("mlp(depth=1)", True)}
    table = load(tmp_path).step_cost.set_index(["model", "compiled"])["status"]
    wrong = {key for key, status in table.items() if status == "wrong"}
    assert wrong == {(off, True), (dying, True)}
