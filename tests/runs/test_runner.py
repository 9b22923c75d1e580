"""Whole runs with real worker processes, on data and models that take no time."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil
import pytest
from processes import is_worker

from gr_bench import load
from gr_bench.errors import RequestError
from gr_bench.runs.executor import Crashed, Event, Finished, LocalExecutor, Started
from gr_bench.runs.outcome import Outcome
from gr_bench.runs.runner import run_suite
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import Suite, build_suite


@dataclass
class Noted:
    """A watcher that remembers."""

    events: list[Event] = field(default_factory=list)
    outlooks: list[dict[str, int]] = field(default_factory=list)

    def remaining_units(self, units: dict[str, int], left_s: float | None) -> None:
        self.outlooks.append(units)

    def event(self, event: Event) -> None:
        self.events.append(event)


def trainings(*methods: str, timeout_minutes: float = 5.0, **grid: object) -> Suite:
    settings = {
        "methods": methods,
        "models": ["mlp(depth=1)"],
        "datasets": ["plugged:blobs"],
        "batch_sizes": [32],
        "epochs": 2,
        "seeds": [0],
        **grid,
    }
    data = {"title": "test", "timeout_minutes": timeout_minutes, "generalization": [settings]}
    return build_suite("test", data)


def execute(suite: Suite, folder: Path, watcher: Noted | None = None) -> Outcome:
    return run_suite(suite, folder, lambda own: LocalExecutor(own, workers=2), watcher or Noted())


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if is_worker(child)]


def by_method(folder: Path) -> pd.DataFrame:
    return load(folder).generalization.set_index("method")


# --- units that end badly


@dataclass
class Accident:
    folder: Path
    suite: Suite
    watcher: Noted
    outcome: Outcome


@pytest.fixture(scope="module")
def accident(tmp_path_factory: pytest.TempPathFactory) -> Accident:
    """A run with a method that raises, one that kills its process, one that prints, and others."""
    folder = tmp_path_factory.mktemp("accident")
    suite = trainings("sgd", "plugged:Killed", "plugged:Chatty", "plugged:Raises", "sam")
    watcher = Noted()
    return Accident(folder, suite, watcher, execute(suite, folder, watcher))


def test_failures_are_counted_and_the_others_go_on(accident: Accident) -> None:
    outcome = accident.outcome
    assert (outcome.cells, outcome.failed) == (5, 2)
    assert outcome.measured_now == 6  # the killed one's failure twice
    table = by_method(accident.folder)
    assert list(table.index[table["status"] == "ok"]) == ["sgd", "sam", "chatty"]


def test_a_failure_tells_why(accident: Accident) -> None:
    reasons = load(accident.folder).failures.set_index("method")["reason"]
    assert dict(reasons) == {
        "killed": "worker killed by signal 9 (SIGKILL)",
        "raises": "RuntimeError: <b>no</b> such | luck",
    }


def test_a_traceback_is_kept_in_the_log(accident: Accident) -> None:
    log = (accident.folder / "workers.log").read_text()
    assert "Traceback" in log
    assert "plugged.py" in log


def test_what_a_method_prints_is_no_message(accident: Accident) -> None:
    log = (accident.folder / "workers.log").read_text()
    assert all(said in log for said in ("printed", "written", "no JSON at all"))
    table = by_method(accident.folder)
    results = ["train_loss", "test_loss", "test_accuracy", "gradient_norm", "steps"]
    assert table.loc["chatty", results].equals(table.loc["sgd", results])


def test_every_unit_is_started_and_ended_once(accident: Accident) -> None:
    events = accident.watcher.events
    for kinds in ((Started,), (Finished, Crashed)):
        units = Counter(event.unit for event in events if isinstance(event, kinds))
        of_cell = Counter(unit.cells[0].spec for unit in units.elements())
        assert of_cell == {cell.spec: 1 for cell in accident.suite.cells} | {"killed": 2}


def test_the_outlook_falls_to_nothing_by_way_of_who_is_tried_once_more(accident: Accident) -> None:
    assert [sum(units.values()) for units in accident.watcher.outlooks] == [5, 1, 0]


def test_no_worker_stays_behind(accident: Accident) -> None:
    assert not workers()


def test_every_table_is_written_as_parquet(accident: Accident) -> None:
    results = load(accident.folder)
    for name, table in results.tables.items():
        stored = pd.read_parquet(accident.folder / f"{name}.parquet")
        pd.testing.assert_frame_equal(stored, table, check_dtype=False)
    assert {"generalization", "training_curves", "failures"} <= set(dir(results))


def test_the_description_says_how_it_ended(accident: Accident) -> None:
    about = json.loads((accident.folder / "run.json").read_text())
    assert about["status"] == "done"
    assert about["started"] <= about["ended"]
    assert about["environment"]["packages"]["torch"]
    assert about["suite"] == accident.suite.resolved


def test_a_unit_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    outcome = execute(trainings("plugged:Hangs", timeout_minutes=0.01), tmp_path)
    assert outcome.failed == 1
    assert list(load(tmp_path).failures["reason"]) == ["made no progress for 0.01 minutes"]
    assert not workers()


# --- several grids


def test_trainings_of_several_grids_are_one_job_and_a_cell_that_two_have_is_trained_once(
    tmp_path: Path,
) -> None:
    """In the plural, as when every grid has a GPU of its own."""
    grids = [trainings("sgd", "sam").resolved, trainings("sam", "f-gr").resolved]
    both = [grid for resolved in grids for grid in resolved["generalization"]]
    suite = build_suite("test", {"title": "test", "generalization": both})
    watcher = Noted()
    assert execute(suite, tmp_path, watcher).measured_now == 3
    assert len(watcher.outlooks) == 2  # before the only job, and when all is done
    assert sorted(load(tmp_path).generalization["method"]) == ["f-gr", "sam", "sgd"]


# --- going on


def test_a_failed_cell_is_tried_again_and_what_is_measured_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    suite = trainings("sgd", f"plugged:RaisesUnless(path={str(file)!r})")
    folder = tmp_path / "run"
    assert execute(suite, folder).failed == 1
    assert list(load(folder).failures["reason"]) == ["RuntimeError: not yet"]

    file.touch()
    again = execute(suite, folder)
    assert (again.failed, again.measured_now) == (0, 1)
    assert len(load(folder).failures) == 0
    assert list(load(folder).generalization["status"]) == ["ok", "ok"]
    assert len(read_journal(folder)) == 3

    log = (folder / "workers.log").read_bytes()
    assert execute(suite, folder).measured_now == 0
    assert (folder / "workers.log").read_bytes() == log

    about = json.loads((folder / "run.json").read_text())
    about["environment"]["python"] = "3.0"
    (folder / "run.json").write_text(json.dumps(about))
    with pytest.raises(RequestError, match=r"started under other conditions \(python 3\.0 -> 3\."):
        execute(suite, folder)


def test_a_device_that_is_not_here_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="device 'cuda:99' is not here"):
        execute(trainings("sgd", device="cuda:99"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
