"""Runs of several machines in one folder: nothing lost, nothing mixed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from synthetic import cost, counted, failed, run_of, timed, trained, training

import gr_bench
from gr_bench import load
from gr_bench.cli import app
from gr_bench.errors import RequestError
from gr_bench.experiments.record import Record
from gr_bench.meters.conditions import Conditions
from gr_bench.runs.about import read_about, write_about
from gr_bench.runs.executor import LocalExecutor
from gr_bench.runs.merge import merge
from gr_bench.runs.runner import Unwatched, run_suite
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import build_suite


def on_another_machine(folder: Path) -> Path:
    about = read_about(folder)
    about["environment"]["machine"] |= {"cores": 512, "host": "other"}
    write_about(folder, about)
    return folder


def block(replicate: int, sgd: float, sam: float) -> list[Record]:
    return [
        timed(cost("sgd"), replicate, [sgd] * 9),
        timed(cost("sam"), replicate, [sam] * 9),
    ]


def test_parts_of_a_suite_become_the_whole(tmp_path: Path) -> None:
    seeds = [trained(training(seed=s), train=(0.1, 0.9), test=(0.2, s / 10)) for s in range(4)]
    a, b = run_of(tmp_path / "a", *seeds[:2]), run_of(tmp_path / "b", *seeds[2:])
    found = merge([a, on_another_machine(b)], tmp_path / "ab")
    assert found.records == {"a": 2, "b": 2}
    records = read_journal(tmp_path / "ab")
    assert [replace(r, origin=None) for r in records] == seeds
    assert [r.origin for r in records] == ["a", "a", "b", "b"]
    hosts = [run["environment"]["machine"]["host"] for run in read_about(tmp_path / "ab")["merged"]]
    assert hosts[1] == "other"
    assert len(load(tmp_path / "ab").generalization) == 4


def test_a_ratio_is_never_of_two_machines(tmp_path: Path) -> None:
    """SGD on one and SAM on the other, in replicates of the same number: there is no ratio."""
    a = run_of(tmp_path / "a", *(timed(cost("sgd"), n, [1.0] * 9) for n in range(5)))
    b = run_of(tmp_path / "b", *(timed(cost("sam"), n, [7.0] * 9) for n in range(5)))
    merge([a, on_another_machine(b)], tmp_path / "ab")
    table = load(tmp_path / "ab").step_cost.set_index("method")
    assert table["time_ms"].notna().all()
    assert table.loc["sam", "time_ratio"] != table.loc["sam", "time_ratio"]


def test_one_cell_from_two_equal_machines_has_the_replicates_of_both(tmp_path: Path) -> None:
    a = run_of(tmp_path / "a", *(r for n in range(3) for r in block(n, 1.0, 2.0 + n / 100)))
    b = run_of(tmp_path / "b", *(r for n in range(4) for r in block(n, 3.0, 6.0 + n / 100)))
    assert merge([a, b], tmp_path / "ab").replicated == 2
    row = load(tmp_path / "ab").step_cost.set_index("method").loc["sam"]
    assert row["replicates"] == 7
    assert 2.0 < row["time_ratio"] < 2.03


def test_one_cell_from_two_unequal_machines_is_refused_with_what_is_unequal(
    tmp_path: Path,
) -> None:
    a, b = (run_of(tmp_path / name, *block(0, 1.0, 2.0)) for name in "ab")
    with pytest.raises(RequestError, match=r"different conditions \(machine cores \d+ -> 512"):
        merge([a, on_another_machine(b)], tmp_path / "ab")


def test_two_equal_results_are_kept_once_and_two_different_ones_refused(tmp_path: Path) -> None:
    one = trained(training(), train=(0.1, 0.9), test=(0.2, 0.8))
    a = run_of(tmp_path / "a", one)
    b = run_of(tmp_path / "b", replace(one, training_s=9.0))
    c = run_of(tmp_path / "c", replace(one, test_loss=0.3))
    assert merge([a, b], tmp_path / "ab").alike == 1
    assert len(read_journal(tmp_path / "ab")) == 1
    with pytest.raises(RequestError, match=r"different results \(test_loss\)"):
        merge([a, c], tmp_path / "ac")


def test_a_failure_on_one_machine_gives_way_to_a_result_of_the_other(tmp_path: Path) -> None:
    good = trained(training(), train=(0.1, 0.9), test=(0.2, 0.8))
    a = run_of(tmp_path / "a", good)
    b = run_of(tmp_path / "b", failed(training()), failed(training(seed=1)))
    merge([a, b], tmp_path / "ab")
    assert len(read_journal(tmp_path / "ab")) == 3
    table = load(tmp_path / "ab").generalization.set_index("seed")
    assert dict(table["status"]) == {0: "ok", 1: "failed"}


def on_node(folder: Path, node: str, cores: int, *records: Record) -> Path:
    """A run of a cluster, whose node of that name has so many cores."""
    conditions = Conditions(allocator="held", denormals_flushed=True, node=node)
    run_of(folder, *(replace(record, conditions=conditions) for record in records))
    about = read_about(folder)
    environment = about["environment"]
    there = environment | {"machine": environment["machine"] | {"cores": cores}}
    write_about(folder, about | {"nodes": {node: there}})
    return folder


def test_runs_of_clusters_keep_the_nodes_of_their_records(tmp_path: Path) -> None:
    a = on_node(tmp_path / "a", "node-1", 512, *block(0, 1.0, 2.0))
    b = on_node(tmp_path / "b", "node-2", 256, counted(cost("gnp")))
    merge([a, b], tmp_path / "ab")
    records, nodes = read_journal(tmp_path / "ab"), read_about(tmp_path / "ab")["nodes"]
    assert [r.conditions and r.conditions.node for r in records] == ["node-1"] * 2 + ["node-2"]
    assert {name: own["machine"]["cores"] for name, own in nodes.items()} == {
        "node-1": 512,
        "node-2": 256,
    }


@pytest.mark.parametrize(("node", "cores"), [("node-2", 256), ("node-2", 512)])
def test_times_of_one_cell_from_two_nodes_are_refused(
    tmp_path: Path, node: str, cores: int
) -> None:
    a = on_node(tmp_path / "a", "node-1", 512, *block(0, 1.0, 2.0))
    b = on_node(tmp_path / "b", node, cores, *block(0, 3.0, 6.0))
    why = "machine cores 512 -> 256" if cores == 256 else "node node-1 -> node-2"
    with pytest.raises(RequestError, match=rf"different conditions \({why}\)"):
        merge([a, b], tmp_path / "ab")


def test_times_of_one_cell_from_one_node_are_replicates(tmp_path: Path) -> None:
    a = on_node(tmp_path / "a", "node-1", 512, *block(0, 1.0, 2.0))
    b = on_node(tmp_path / "b", "node-1", 512, *block(0, 3.0, 6.0))
    assert merge([a, b], tmp_path / "ab").replicated == 2


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("one", "two runs or more"),
        ("twice", "same run twice"),
        ("suite", "of different suites"),
        ("full", "is not empty"),
        ("merge", "is a merge itself"),
    ],
)
def test_what_cannot_be_merged_is_said(tmp_path: Path, what: str, why: str) -> None:
    a, b = (run_of(tmp_path / name, counted(cost(name))) for name in ("sgd", "sam"))
    folders, out = [a, b], tmp_path / "out"
    if what == "one":
        folders = [a]
    elif what == "twice":
        folders = [a, tmp_path / "sam" / ".." / "sgd"]
    elif what == "suite":
        write_about(b, read_about(b) | {"suite": {"step_cost": [{"methods": ["sgd"]}]}})
    elif what == "full":
        out = b
    else:
        merge([a, b], tmp_path / "ab")
        folders = [a, tmp_path / "ab"]
    with pytest.raises(RequestError, match=why):
        merge(folders, out)


def test_nothing_is_measured_into_a_merge_and_its_page_names_the_runs(tmp_path: Path) -> None:
    grid = {
        "methods": ["sgd", "sam"],
        "models": ["mlp(depth=1)"],
        "datasets": ["random(shape=(2,), samples=64)"],
        "batch_sizes": [8, 16],
        "replicates": 2,
        "most_replicates": 2,
        "seconds_per_block": 0.02,
        "least_rounds": 3,
    }
    data = {"title": "test", "step_cost": [grid]}
    parts = [tmp_path / "eight", tmp_path / "sixteen"]
    for part, only in zip(parts, ("batch 8 ", "batch 16 "), strict=True):
        run_suite(build_suite("test", data, only=only), part, LocalExecutor, Unwatched())
    whole = tmp_path / "whole"
    done = CliRunner().invoke(app, ["merge", *map(str, parts), "--out", str(whole)])
    assert done.exit_code == 0, done.output
    assert "records from eight" in done.output
    table = load(whole).step_cost
    assert sorted(table["batch_size"].unique()) == [8, 16]
    assert (table["status"] == "ok").all()
    with pytest.raises(RequestError, match="is a merge of runs"):
        run_suite(build_suite("test", data), whole, LocalExecutor, Unwatched())
    (page,) = gr_bench.report(whole, ["md"])
    assert "From sixteen" in page.read_text()
    assert json.dumps(read_about(whole))
