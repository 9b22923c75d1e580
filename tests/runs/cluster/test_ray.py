"""Runs on a real cluster of two nodes: what they have is what a local run has."""

from __future__ import annotations

import dataclasses
import shlex
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from processes import Background, lines_in, wait_until

import gr_bench
from gr_bench.errors import RequestError
from gr_bench.experiments.block_times import Times
from gr_bench.experiments.experiment import Unit
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.record import Failure, Progress, Record
from gr_bench.runs.about import read_about
from gr_bench.runs.cluster import executor
from gr_bench.runs.cluster.nodes import alive
from gr_bench.runs.executor import Event, Measured, Started
from gr_bench.runs.merge import OWN
from gr_bench.runs.runner import Unwatched
from gr_bench.runs.store import read_journal

pytestmark = pytest.mark.slow

STEP_COST = {
    "methods": ["sgd", "sam"],
    "models": ["mlp(depth=2, width=32)"],
    "datasets": ["random(shape=(16,), samples=64)"],
    "batch_sizes": [8, 16],
    "replicates": 3,
    "most_replicates": 3,
    "seconds_per_block": 0.2,
    "least_rounds": 5,
}
TRAININGS = {
    "methods": ["sgd", "plugged:Slow(pause_s=0.05)"],
    "models": ["mlp(depth=1, width=8)"],
    "datasets": ["random(shape=(4,), samples=64)"],
    "batch_sizes": [8],
    "epochs": 16,
    "seeds": [0, 1],
    "trainer": "loop",
    "checkpoint_seconds": 0,
}
SUITE = {"title": "Two nodes", "step_cost": [STEP_COST], "generalization": [TRAININGS]}


def by_cell(records: list[Record], kind: type[Record]) -> dict[str, dict[str, Any]]:
    """The fields of records that do not depend on who measured them; no cell has two."""
    own = [record for record in records if isinstance(record, kind)]
    assert max(Counter(record.cell.id for record in own).values()) == 1
    fields = [f.name for f in dataclasses.fields(own[0]) if f.name not in OWN]
    return {record.cell.id: {name: getattr(record, name) for name in fields} for record in own}


def nodes_of(records: list[Record]) -> dict[str, set[str | None]]:
    """By a timed cell's id, the nodes that its times are from."""
    found: dict[str, set[str | None]] = {}
    for record in records:
        if isinstance(record, Times):
            assert record.conditions is not None
            found.setdefault(record.cell.id, set()).add(record.conditions.node)
    return found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "local"
    gr_bench.run(SUITE, folder)
    return folder


def test_a_run_on_two_nodes_is_that_of_one_machine(
    two_nodes: Any, local: Path, tmp_path: Path
) -> None:
    run = gr_bench.run(SUITE, tmp_path / "run", executor="ray", address=two_nodes.address)
    assert run.outcome is not None
    assert (run.outcome.failed, run.outcome.left) == (0, {})
    ours, theirs = read_journal(local), read_journal(tmp_path / "run")
    assert {r.cell.id for r in ours} == {r.cell.id for r in theirs}
    assert by_cell(ours, Training) == by_cell(theirs, Training)
    assert {len(nodes) for nodes in nodes_of(theirs).values()} == {1}
    used = {record.conditions.node for record in theirs if record.conditions}
    nodes = read_about(tmp_path / "run")["nodes"]
    assert used <= nodes.keys()
    assert len(nodes) == 2
    assert {len(own["machine"]["host"]) for own in nodes.values()} == {8}
    both = [
        gr_bench.load(f).step_cost.set_index(["spec", "batch_size"]) for f in (local, run.folder)
    ]
    columns = ["time_ratio_low", "time_ratio_high"]
    for (_, a), (_, b) in zip(*(t[~t["control"]][columns].iterrows() for t in both), strict=True):
        assert a["time_ratio_low"] <= b["time_ratio_high"]
        assert b["time_ratio_low"] <= a["time_ratio_high"]
    (page,) = gr_bench.report(tmp_path / "run", ["md"])
    assert all(f"On {name}" in page.read_text() for name in nodes)


def test_a_node_of_one_core_measures_one_thing_at_a_time(two_nodes: Any, tmp_path: Path) -> None:
    """Though its task waits for an answer at every word, when Ray would lend its core."""
    seen: list[int] = []
    done = threading.Event()

    def count() -> None:
        while not done.wait(0.05):
            seen.append(max(len(two_nodes.workers(node)) for node in two_nodes.nodes))

    counting = threading.Thread(target=count)
    counting.start()
    grid = TRAININGS | {"seeds": [0, 1, 2, 3], "epochs": 8}
    suite = {"title": "One at a time", "generalization": [grid]}
    gr_bench.run(suite, tmp_path / "run", executor="ray", address=two_nodes.address)
    done.set()
    counting.join()
    assert max(seen) == 1


class Killer(Unwatched):
    """Kills a node after the first times and one in the middle of a training."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._wanted = {"times", "progress"}
        self.parts: dict[Unit[Any], list[float]] = {}
        self.at_kill: dict[Unit[Any], int] = {}
        self.started: Counter[Unit[Any]] = Counter()

    def event(self, event: Event) -> None:
        match event:
            case Started(unit):
                self.started[unit] += 1
            case Measured(unit, Progress(part)):
                self.parts.setdefault(unit, []).append(part)
                if part > 0.4 and "slow" in unit.cells[0].spec.lower():
                    self._kill("progress")
            case Measured(_, Times()):
                self._kill("times")

    def _kill(self, when: str) -> None:
        if when in self._wanted:
            self._wanted.remove(when)
            if when == "progress":
                self.at_kill = {unit: len(parts) for unit, parts in self.parts.items()}
            self._cluster.kill_one_that_measures()


def test_lost_nodes_lose_nothing_and_nothing_is_there_twice(
    two_nodes: Any, local: Path, tmp_path: Path
) -> None:
    killer = Killer(two_nodes)
    run = gr_bench.run(
        SUITE, tmp_path / "run", executor="ray", address=two_nodes.address, watcher=killer
    )
    assert killer._wanted == set()
    assert run.outcome is not None
    assert (run.outcome.failed, run.outcome.left) == (0, {})
    assert set(killer.started.values()) == {1}
    ours, theirs = read_journal(local), read_journal(tmp_path / "run")
    assert by_cell(ours, Training) == by_cell(theirs, Training)
    assert not [
        r for r in theirs if isinstance(r, Failure) and isinstance(r.cell, GeneralizationCell)
    ]
    again = [parts[killer.at_kill.get(unit, 0) :] for unit, parts in killer.parts.items()]
    resumed = [parts[0] for parts in again if parts]
    assert max(resumed) > 0.2  # from the checkpoint, and not from the start
    table = run.step_cost
    assert list(table["replicates"]) == [3] * len(table)
    assert table["time_ratio"].notna().all()


def test_a_lost_node_that_ray_still_lists_costs_no_cell(
    two_nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: dict[str, Any] = {}

    def with_lost_ones() -> dict[str, Any]:
        listed.update(alive())
        return dict(listed)

    monkeypatch.setattr(executor, "alive", with_lost_ones)
    killer = Killer(two_nodes)
    grid = STEP_COST | {"batch_sizes": [2, 4, 8, 16]}
    suite = {"title": "Listed", "step_cost": [grid]}
    run = gr_bench.run(
        suite, tmp_path / "run", executor="ray", address=two_nodes.address, watcher=killer
    )
    assert killer._wanted == {"progress"}
    assert len(listed) == 3
    assert run.outcome is not None
    assert (run.outcome.failed, run.outcome.left) == (0, {})


def test_ctrl_c_leaves_nothing_running_and_the_run_goes_on_locally(
    two_nodes: Any, tmp_path: Path
) -> None:
    suite = tmp_path / "slow.toml"
    suite.write_text(
        """
title = "Slow"
[[generalization]]
methods = ["sgd", "plugged:Slow(pause_s=0.5)"]
models = ["mlp(depth=1)"]
datasets = ["random(shape=(2,), samples=8)"]
batch_sizes = [8]
epochs = 6
seeds = [0, 1, 2]
trainer = "loop"
"""
    )
    arguments = ["run", "slow.toml", "--out", "run", "--executor", "ray"]
    started = Background(*arguments, "--address", two_nodes.address, cwd=tmp_path)
    wait_until(lambda: lines_in(tmp_path / "run/journal.jsonl") >= 1 and two_nodes.workers())
    ended = started.ctrl_c()
    assert ended.code == 130, ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err
    again = ended.err.splitlines()[-1].partition("to continue: gr-bench ")[2]
    assert shlex.split(again)[:6] == arguments
    wait_until(lambda: not two_nodes.workers(), seconds=10)
    had = lines_in(tmp_path / "run/journal.jsonl")
    run = gr_bench.run(str(suite), tmp_path / "run")
    assert run.outcome is not None
    assert (run.outcome.cells, run.outcome.measured_now) == (6, 6 - had)
    by_cell(read_journal(tmp_path / "run"), Training)


def test_what_no_node_has_is_said_before_anything_is_measured(
    two_nodes: Any, tmp_path: Path
) -> None:
    grid = TRAININGS | {"threads": [7]}
    with pytest.raises(RequestError, match=r"no node of the cluster has 7 cores.*1 and 0, 1 and 0"):
        gr_bench.run(
            {"title": "T", "generalization": [grid]},
            tmp_path / "run",
            executor="ray",
            address=two_nodes.address,
        )
    assert read_journal(tmp_path / "run") == []
