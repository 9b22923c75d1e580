"""Accidents in counters, times and trainings, each of which costs its own cell alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from synthetic import cost

from gr_bench import load
from gr_bench.experiments.experiment import Unit
from gr_bench.experiments.record import Failure
from gr_bench.runs.executor import Crashed, LocalExecutor
from gr_bench.runs.outcome import Outcome
from gr_bench.runs.results import Results
from gr_bench.runs.runner import Unwatched, run_suite, to_blame
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import build_suite

NEVER = 1000
"""A step that no training of these comes to."""

LATER = 12
"""A step behind the counters, in the warm-up of a block or its rounds."""

NO_MEMORY = "OutOfMemoryError: CUDA out of memory"
TRAININGS = ("OutOfMemoryLater", "ExitsLater", "BreaksContext")


@dataclass
class Accidents:
    folder: Path
    outcome: Outcome

    @property
    def results(self) -> Results:
        return load(self.folder)


@pytest.fixture(scope="module")
def accidents(tmp_path_factory: pytest.TempPathFactory) -> Accidents:
    """A run with all of them; the trainings of a method, of which the second fails, are a unit."""
    folder = tmp_path_factory.mktemp("accidents")
    counted = {
        "methods": [
            "sgd",
            "breaking:OutOfMemoryCounted",
            f"breaking:OutOfMemoryLater(at={LATER})",
            f"breaking:BreaksContext(at={LATER})",
            "sam",
        ],
        "models": ["mlp(depth=1)"],
        "datasets": ["random(shape=(2,), samples=8)"],
        "batch_sizes": [8],
        "replicates": 2,
        "most_replicates": 2,
        "seconds_per_block": 0.02,
        "least_rounds": 3,
    }
    trained = {
        "methods": [f"breaking:{name}(at=[{NEVER}, 5, {NEVER + 1}])" for name in TRAININGS],
        "models": ["mlp(depth=1)"],
        "datasets": ["plugged:blobs"],
        "batch_sizes": [32],
        "epochs": 2,
        "seeds": [0],
    }
    suite = build_suite(
        "test", {"title": "test", "step_cost": [counted], "generalization": [trained]}
    )
    outcome = run_suite(suite, folder, lambda own: LocalExecutor(own, workers=1), Unwatched())
    return Accidents(folder, outcome)


def test_out_of_memory_in_the_counters_is_recorded_and_the_cell_is_timed(
    accidents: Accidents,
) -> None:
    row = accidents.results.step_cost.set_index("method").loc["out-of-memory-counted"]
    assert row["status"] == "not counted"
    assert row["replicates"] == 2
    assert row[["flops", "peak_memory_bytes"]].isna().all()
    failures = accidents.results.failures.set_index("method")["reason"]
    assert failures["out-of-memory-counted"] == NO_MEMORY


def test_an_accident_in_times_is_recorded_and_the_others_of_the_block_are_timed(
    accidents: Accidents,
) -> None:
    table = accidents.results.step_cost
    table = table[~table["control"].astype(bool)].set_index("method")
    assert dict(table["status"]) == {
        "sgd": "ok",
        "sam": "ok",
        "out-of-memory-counted": "not counted",
        "out-of-memory-later": "failed",
        "breaks-context": "failed",
    }
    assert (table.loc[["sgd", "sam"], "replicates"] == 2).all()


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("out-of-memory-later", NO_MEMORY),
        ("exits-later", "worker exited with code 7"),
        ("breaks-context", "RuntimeError: CUDA error: device-side assert triggered"),
    ],
)
def test_of_a_unit_the_training_with_the_accident_is_lost_and_no_other(
    accidents: Accidents, method: str, reason: str
) -> None:
    own = accidents.results.generalization
    own = own[own["method"] == method].set_index("spec")["status"]
    assert dict(own) == {
        f"{method}(at={at})": "failed" if at == 5 else "ok" for at in (NEVER, 5, NEVER + 1)
    }
    failed = [r for r in read_journal(accidents.folder) if isinstance(r, Failure)]
    (lost,) = [r for r in failed if r.cell.spec == f"{method}(at=5)"]
    assert lost.reason == reason


def test_every_accident_is_counted_once(accidents: Accidents) -> None:
    assert accidents.outcome.failed == 6
    assert len(accidents.results.failures) == 6


def test_a_crash_of_a_cell_that_has_its_record_is_nobody_elses() -> None:
    """As where a GPU's context breaks: the failure is told first, and others were not at work."""
    cells = (cost("sgd"), cost("sam"), cost("f-gr"))
    unit = Unit(cells)
    at_work = Crashed(unit, "RuntimeError: CUDA error", cells[1:2])
    assert to_blame(at_work, {cells[1].id}) == []
    assert to_blame(at_work, set()) == [cells[1]]
    assert to_blame(Crashed(unit, "worker killed"), {cells[0].id}) == list(cells[1:])
