"""Experiments and meters that stand in a file: admitted, refused, stored and opened without."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import gr_bench
from gr_bench.errors import RequestError
from gr_bench.experiments import EXPERIMENTS
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import build_suite

PAGE = Path(__file__).parent.parent.parent / "docs" / "own-experiment.md"
EXPERIMENT = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
GRID = {
    "methods": ["sgd", "sam"],
    "models": ["mlp(depth=2, width=8)"],
    "datasets": ["random(shape=(4,), samples=64)"],
    "batch_sizes": [8],
}
METERS = """
def size(model, data):
    with __import__("torch").no_grad():
        for p in model.parameters():
            p.zero_()
    return 3

def parts(model, data, n=2):
    return {"a": len(data.test) * n, "b": sum(p.abs().sum() for p in model.parameters())}

def trace(model, data):
    return 7.0

def broken(model, data):
    raise KeyError("no such thing")

def lonely(model):
    return 1.0
"""


def suite(folder: Path, **settings: object) -> gr_bench.runs.suite.Suite:  # type: ignore[name-defined]
    data = {"title": "x", "own.py:Angles": [{**GRID, "seeds": [0], **settings}]}
    return build_suite("suite", data, folder=folder)


def test_its_cells_have_its_name_and_its_source(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(EXPERIMENT)
    found = suite(tmp_path)
    assert {cell.experiment for cell in found.cells} == {"angles"}
    (source,) = {cell.experiment_source for cell in found.cells}
    assert source.startswith("experiment:angles@")
    assert found.resolved["angles"][0]["seeds"] == [0]
    ids = {cell.id for cell in found.cells}
    (tmp_path / "own.py").write_text(EXPERIMENT + "\n# changed\n")
    assert not ids & {cell.id for cell in suite(tmp_path).cells}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("(Experiment[AngleGrid, AngleCell])", "", r"is not a .*Experiment: write class Angles\("),
        ('    name = "angles"\n', "", r'has no name: write name = "Angles"'),
        ("    title = ", "    other = ", r"has no title: write title = "),
        ("def measure", "def weigh", r"has no measure: write def measure\("),
        ("grid, cell, records = AngleGrid", "grid, cell, records = dict", "has no grid: write"),
        ("AngleGrid, AngleCell, (Angle,)", "AngleGrid, Record, (Angle,)", "has no cell: write"),
        ('ClassVar[str] = "angles"', 'ClassVar[str] = "x"', r"another name, \'x\': write exp"),
        ("AngleCell, (Angle,)", "AngleCell, ()", r"has no records: write records = \(MyRecord"),
        ('    kind: ClassVar[str] = "angle"\n', "", r"record Angle without a kind: write kind"),
    ],
    ids=lambda value: value.strip()[:20],
)
def test_what_is_no_experiment_is_refused_with_the_line(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in EXPERIMENT
    (tmp_path / "own.py").write_text(EXPERIMENT.replace(old, new))
    with pytest.raises(RequestError, match=words):
        suite(tmp_path)


def test_a_name_of_ours_and_the_same_experiment_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(EXPERIMENT.replace('"angles"', '"flooding"'))
    with pytest.raises(RequestError, match="'flooding', which is taken"):
        suite(tmp_path)
    for name in ("own.py", "other.py"):
        (tmp_path / name).write_text(EXPERIMENT)
    data = {"title": "x", "own.py:Angles": [GRID], "other.py:Angles": [GRID]}
    with pytest.raises(RequestError, match="angles"):
        build_suite("suite", data, folder=tmp_path)


@pytest.mark.slow
def test_a_run_opens_where_the_experiment_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(EXPERIMENT)
    run = gr_bench.run(suite(tmp_path), tmp_path / "run")
    assert list(run.experiments) == ["angles"]
    assert not run.missing
    assert len(run.angles) == 2
    (tmp_path / "own.py").unlink()
    EXPERIMENTS.admitted.clear()
    gr_bench.experiments._made.cache_clear()  # type: ignore[attr-defined]
    monkeypatch.setattr("gr_bench.registry._LOADED", {})
    there = gr_bench.load(tmp_path / "run")
    assert there.angles.equals(run.angles)
    assert "there is no file" in there.missing["angles"]
    assert "angles as stored" in repr(there)
    assert not EXPERIMENTS.admitted
    assert read_journal(tmp_path / "run") == []
    with pytest.raises(RequestError, match="no results yet but those of angles"):
        gr_bench.report(tmp_path / "run")
    shutil.copy(tmp_path / "run" / "journal.jsonl", tmp_path / "copy")
    with open(tmp_path / "run" / "journal.jsonl", "a") as journal:  # tables older than the journal
        journal.write((tmp_path / "copy").read_text().splitlines()[0] + "\n")
    assert gr_bench.load(tmp_path / "run").angles.equals(run.angles)


@pytest.mark.slow
def test_meters_are_columns_and_one_that_fails_costs_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(METERS)
    grid = {**GRID, "seeds": [0, 1], "epochs": 1}
    grid["meters"] = [f"own.py:{m}" for m in ("size", "parts(n=3)", "trace", "broken")]
    made = build_suite("suite", {"title": "x", "generalization": [grid]}, folder=tmp_path)
    assert {cell.meters for cell in made.cells} == {("size", "parts(n=3)", "trace", "broken")}
    run = gr_bench.run(made, tmp_path / "run")
    table = run.generalization
    assert list(table["status"]) == ["ok"] * 4
    assert list(table["size"]) == [3.0] * 4
    assert table["parts_a"].nunique() == 1
    assert (table["parts_b"] > 0).all()  # what the meter before it did is undone
    assert list(table["meter_trace"]) == [7.0] * 4
    assert table["trace"].isna().all()
    assert set(table["meter_errors"]) == {"broken: KeyError: 'no such thing'"}
    (experiment,) = run.experiments.values()
    (told,) = [line for line in experiment.warnings(run.tables) if "Meters" in line]
    assert told.startswith("Meters returned no value in 4 of 4 trainings: broken: KeyError")
    again = gr_bench.load(tmp_path / "run")
    assert [record.meters for record in again.records] == [r.meters for r in run.records]


def test_what_is_no_meter_is_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(METERS)
    grid = {**GRID, "epochs": 1, "meters": ["own.py:lonely"]}
    with pytest.raises(RequestError, match=r"write def .*\(model, data\): \.\.\. -> float"):
        build_suite("suite", {"title": "x", "generalization": [grid]}, folder=tmp_path)
    grid["meters"] = ["own.py:parts(m=1)"]
    with pytest.raises(RequestError, match="no parameter 'm': it takes n"):
        build_suite("suite", {"title": "x", "generalization": [grid]}, folder=tmp_path)


def test_meters_are_no_part_of_what_is_chosen_by(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(METERS)
    grid = {**GRID, "epochs": 1, "meters": ["own.py:size"], "select": True}
    made = build_suite("suite", {"title": "x", "generalization": [grid]}, folder=tmp_path)
    with_meters = {cell.role for cell in made.cells if cell.meters}  # type: ignore[attr-defined]
    assert with_meters == {"chosen"}
    groups = {cell.selection_group for cell in made.cells}  # type: ignore[attr-defined]
    assert len(groups) == 2


def test_data_are_looked_for_beside_the_suite_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "suites"
    there.mkdir()
    rows = "\n".join(f"{i},{i % 2}" for i in range(40))
    (there / "p.csv").write_text(f"x,y\n{rows}\n")
    (tmp_path / "p.csv").write_text("no table")
    (tmp_path / "q.csv").write_text(f"x,y\n{rows}\n")
    monkeypatch.chdir(tmp_path)
    datasets = ["csv(path='p.csv', target='y')", "csv(path='q.csv', target='y')"]
    data = {"title": "x", "flooding": [{**GRID, "methods": ["flooding"], "datasets": datasets}]}
    made = build_suite("suite", data, folder=there)
    assert {cell.dataset for cell in made.cells} == {
        "csv(path='suites/p.csv', target='y')",
        "csv(path='q.csv', target='y')",
    }
