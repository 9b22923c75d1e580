"""A process that dies in the middle of a unit: what it had said by then stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from gr_bench import load
from gr_bench.experiments.record import Failure, Record
from gr_bench.runs.executor import LocalExecutor
from gr_bench.runs.outcome import Outcome
from gr_bench.runs.runner import Unwatched, run_suite
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import build_suite

pytestmark = pytest.mark.usefixtures("numbers_installed")


def execute(folder: Path, *, noted: bool) -> Outcome:
    grid = {"numbers": [1, 2, -1, 3, 4], "noted": noted}
    suite = build_suite("test", {"title": "test", "numbers": [grid]})
    return run_suite(suite, folder, LocalExecutor, Unwatched())


def squares(records: list[Record]) -> list[tuple[int, int]]:
    return [(r.cell.number, r.square) for r in records if r.kind == "square"]


def failures(records: list[Record]) -> dict[int, str]:
    return {r.cell.number: r.reason for r in records if isinstance(r, Failure)}


def test_who_was_at_work_has_failed_and_the_rest_of_the_unit_is_measured_without_it(
    tmp_path: Path,
) -> None:
    outcome = execute(tmp_path / "run", noted=True)
    assert (outcome.cells, outcome.failed, outcome.measured_now) == (5, 1, 5)
    records = read_journal(tmp_path / "run")
    assert squares(records) == [(1, 1), (2, 4), (3, 9), (4, 16)]
    assert failures(records) == {-1: "worker exited with code 7"}
    processes = [record.process for record in records if record.kind == "square"]
    assert processes[0] == processes[1] != processes[2] == processes[3]
    assert list(load(tmp_path / "run").numbers["square"]) == [1, 4, 9, 16]


def test_without_a_culprit_all_that_had_no_record_have_failed_and_are_tried_again_alone(
    tmp_path: Path,
) -> None:
    first = execute(tmp_path / "run", noted=False)
    assert (first.cells, first.failed, first.measured_now) == (5, 3, 5)
    again = execute(tmp_path / "run", noted=False)
    assert (again.cells, again.failed, again.measured_now) == (5, 3, 3)
    records = read_journal(tmp_path / "run")
    assert squares(records) == [(1, 1), (2, 4)]
    assert failures(records) == dict.fromkeys((-1, 3, 4), "worker exited with code 7")
