"""A timed method that breaks down on its way takes nobody else along."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from processes import is_worker, wait_until

from gr_bench import load
from gr_bench.experiments.record import Failure, Record
from gr_bench.runs.executor import LocalExecutor
from gr_bench.runs.runner import Unwatched, run_suite
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import Suite, build_suite

LATER = 12
"""A step after the check and the counters of its cell, in the warm-up of its block or behind it."""


def block(*methods: str, timeout_minutes: float = 5.0, **grid: object) -> Suite:
    settings = {
        "methods": ["sgd", *methods],
        "models": ["mlp(depth=1)"],
        "datasets": ["random(shape=(2,), samples=8)"],
        "batch_sizes": [8],
        "replicates": 2,
        "most_replicates": 2,
        "seconds_per_block": 0.02,
        "least_rounds": 3,
        **grid,
    }
    data = {"title": "test", "timeout_minutes": timeout_minutes, "step_cost": [settings]}
    return build_suite("test", data)


def execute(suite: Suite, folder: Path) -> list[Record]:
    run_suite(suite, folder, LocalExecutor, Unwatched())
    return read_journal(folder)


def failures(records: list[Record]) -> dict[str, str]:
    return {r.cell.spec.partition("(")[0]: r.reason for r in records if isinstance(r, Failure)}


def timed(records: list[Record]) -> set[str]:
    return {r.cell.spec.partition("(")[0] for r in records if r.kind == "times"}


@dataclass
class Accidents:
    records: list[Record]
    folder: Path


@pytest.fixture(scope="module")
def accidents(tmp_path_factory: pytest.TempPathFactory) -> Accidents:
    """A block in which one raises, one exits, one is killed and one writes into the channel, each
    after some steps.
    """
    folder = tmp_path_factory.mktemp("accidents")
    suite = block(
        f"plugged:RaisesLater(at={LATER})",
        f"breaking:ExitsLater(at={LATER})",
        f"breaking:KilledLater(at={LATER})",
        f"breaking:Babbles(at={LATER})",
        "sam",
    )
    return Accidents(execute(suite, folder), folder)


def test_who_breaks_down_in_a_later_step_is_a_failure_with_its_reason(accidents: Accidents) -> None:
    found = failures(accidents.records)
    assert set(found) == {"raises-later", "exits-later", "killed-later", "babbles"}
    assert found["raises-later"] == f"RuntimeError: step {LATER}"
    assert found["exits-later"] == "worker exited with code 7"
    assert found["killed-later"] == "worker killed by signal 9 (SIGKILL)"
    assert found["babbles"].startswith("worker could not be understood: it wrote b'")


def test_the_others_of_the_block_are_timed(accidents: Accidents) -> None:
    assert timed(accidents.records) == {"sgd", "sam"}
    table = load(accidents.folder).step_cost.set_index("method")
    assert (table.loc[["sgd", "sam"], "status"] == "ok").all()


@pytest.mark.slow
def test_who_hangs_in_a_later_step_is_a_failure_and_the_others_are_timed(tmp_path: Path) -> None:
    suite = block(f"breaking:HangsLater(at={LATER})", timeout_minutes=0.25)
    records = execute(suite, tmp_path)
    assert failures(records) == {"hangs-later": "made no progress for 0.25 minutes"}
    assert timed(records) == {"sgd"}


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two processors and Linux",
)
def test_the_coordinator_keeps_off_the_processor_of_a_timed_step(tmp_path: Path) -> None:
    """While a method is timed that waits for a file, which is what shows it at work."""
    at_work, go_on = tmp_path / "at work", tmp_path / "go on"
    before = psutil.Process().cpu_affinity()
    suite = block(f"breaking:WaitsLater(at={LATER}, path={str(tmp_path)!r})")
    run = threading.Thread(target=execute, args=(suite, tmp_path / "run"))
    run.start()
    try:
        wait_until(at_work.exists)
        (worker,) = [child for child in psutil.Process().children() if is_worker(child)]
        (own,) = worker.cpu_affinity()
        coordinator = psutil.Process().cpu_affinity()
    finally:
        go_on.touch()
        run.join()
    assert own in before
    assert own not in coordinator
    assert psutil.Process().cpu_affinity() == before


CHANGED = {
    "gradients": "torch.set_grad_enabled",
    "threads": "torch.set_num_threads",
    "dtype": "torch.set_default_dtype",
    "patch": "torch.autograd.grad",
    "hidden": "torch.Tensor.add",
}


def test_a_change_fails_its_own_cell_and_the_others_are_timed(tmp_path: Path) -> None:
    at = LATER
    changes = [f"breaking:ChangesShared(at={at}, what='{what}')" for what in CHANGED]
    records = execute(block(*changes, f"breaking:MovesLater(at={at})", "f-gr"), tmp_path)
    reasons = {r.cell.spec: r.reason for r in records if r.kind == "failure"}
    assert timed(records) == {"sgd", "f-gr"}
    for what, name in CHANGED.items():
        (reason,) = [why for spec, why in reasons.items() if f"'{what}'" in spec]
        assert f"changed {name}, which all in the process share" in reason
    assert "parameters changed in a later step" in failures(records)["moves-later"]


def test_a_training_that_changes_it_fails_alone(tmp_path: Path) -> None:
    grid = {
        "methods": [
            "breaking:ChangesShared(at=3, what='threads')",
            "breaking:ChangesShared(at=3, what='gradients')",
            "breaking:MovesLater(at=9)",
            "sgd",
        ],
        "baseline": "sgd",
        "models": ["mlp(depth=1)"],
        "datasets": ["random(shape=(2,), samples=32)"],
        "batch_sizes": [8],
        "seeds": [0],
        "epochs": 4,
    }
    records = execute(build_suite("test", {"title": "test", "generalization": [grid]}), tmp_path)
    found = {r.cell.spec: r.reason for r in records if isinstance(r, Failure)}
    words = ["torch.set_num_threads", "torch.set_grad_enabled", "left parameters changed"]
    assert len(found) == len(words)
    for word in words:
        assert sum(word in reason for reason in found.values()) == 1
