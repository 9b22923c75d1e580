"""Runs on a user's own files: what is recorded of them, and what happens when they change."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from processes import Warm

import gr_bench
from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.reports.page import about, data_in_words
from gr_bench.runs.suite import build_suite
from gr_bench.timing.step import load_data
from gr_bench.workloads.datasets.content import content_hash

DATA = "csv(path='x.csv', target='label')"
SUITE = f"""
title = "Mine"
[[generalization]]
methods = ["sgd"]
models = ["mlp(depth=1)"]
datasets = ["{DATA}"]
batch_sizes = [8]
epochs = 2
seeds = [0]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a file and a suite."""
    monkeypatch.chdir(tmp_path)
    table().to_csv("x.csv", index=False)
    Path("mine.toml").write_text(SUITE)
    return tmp_path


def table() -> pd.DataFrame:
    labels = np.arange(60) % 2
    values = np.random.default_rng(0).normal(size=(60, 3)) + 3 * labels[:, None]
    return pd.DataFrame(values, columns=list("abc")).assign(label=np.array(["no", "yes"])[labels])


def suite(dataset: str = DATA) -> Any:
    grid = {"methods": ["sgd"], "models": ["mlp"], "datasets": [dataset], "batch_sizes": [8]}
    return build_suite("mine", {"title": "Mine", "step_cost": [grid]})


def cell(data: str, batch_size: int = 8) -> StepCostCell:
    (first, *_) = suite().cells
    return replace(first, data=data, batch_size=batch_size)


@pytest.mark.slow  # four commands
def test_a_run_says_what_its_data_were(here: Path, command: Warm) -> None:
    ended = command("run", "mine.toml", cwd=here)
    assert ended.code == 0, ended.err
    run = gr_bench.load(here / "runs" / "mine")
    assert run.generalization["test_accuracy"].item() > 0.7
    assert {record.cell.data for record in run.records} == {content_hash(DATA)}
    assert run.about["data"] == {
        DATA: {
            "content": content_hash(DATA),
            "source": "x.csv, 60 rows, 3 columns, 3 of numbers",
            "split": "60/20/20 % train/validation/test, stratified, seed 0",
            "samples": [36, 12, 12],
            "classes": {"no": [18, 6, 6], "yes": [18, 6, 6]},
        }
    }
    told = about(run)["facts"]["Data"]
    assert told.startswith(f"{DATA}: x.csv, 60 rows, 3 columns, 3 of numbers (BLAKE2b ")
    assert told.endswith("36/12/12 samples; 2 classes: no 18/6/6, yes 18/6/6")

    again = command("run", "mine.toml", cwd=here)
    assert again.code == 0, again.err
    assert len(gr_bench.load(here / "runs" / "mine").records) == len(run.records)

    changed = table()
    changed.loc[0, "a"] += 1
    changed.to_csv("x.csv", index=False)
    other = command("run", "mine.toml", cwd=here)
    assert other.code == 2
    assert "holds another run (mine, with other data: a file has changed)" in other.err
    (here / "x.csv").unlink()
    gone = command("run", "mine.toml", cwd=here)
    assert (gone.code, gone.err.count("\n")) == (2, 1)
    assert "there is no file x.csv in" in gone.err
    assert len(gr_bench.load(here / "runs" / "mine").records) == len(run.records)


def test_what_is_wrong_inside_a_file_is_told_before_anything_is_measured(here: Path) -> None:
    broken = table()
    broken.loc[3, "b"] = None
    broken.to_csv("x.csv", index=False)
    with pytest.raises(RequestError, match="column 'b' has no value in row 4"):
        gr_bench.run(suite(), here / "run")
    assert not (here / "run").exists()


def test_a_file_that_changes_after_the_check_is_refused(here: Path) -> None:
    chosen = suite()
    table().iloc[:40].to_csv("x.csv", index=False)
    with pytest.raises(RequestError, match="its files have changed since the run was begun"):
        gr_bench.run(chosen, here / "run")


def test_a_worker_measures_on_no_other_file() -> None:
    known = content_hash(DATA) or ""
    assert len(load_data(cell(known), registry).train) == 36
    with pytest.raises(ValueError, match="batch size 37 is more than the 36"):
        load_data(cell(known, 37), registry)
    table().iloc[::-1].to_csv("x.csv", index=False)
    with pytest.raises(RequestError, match="its files have changed"):
        load_data(cell(known), registry)


def test_another_content_is_another_cell() -> None:
    (first, *_) = suite().cells
    other = table()
    other.loc[0, "a"] += 1
    other.to_csv("x.csv", index=False)
    (second, *_) = suite().cells
    assert first.id != second.id and str(first) == str(second)


def test_a_dry_run_looks_at_the_files_without_pytorch(here: Path) -> None:
    probe = (
        "import sys; from gr_bench.cli import main\n"
        "sys.argv = ['gr-bench', 'run', 'mine.toml', '--dry-run']\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules)"
    )

    def dry() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)

    ended = dry()
    assert ended.returncode == 0 and DATA in ended.stdout and ended.stdout.endswith("False\n")
    (here / "x.csv").write_text("a,b\n1,2\n")
    ended = dry()
    assert (ended.returncode, ended.stdout) == (2, "False\n")
    assert ended.stderr.count("\n") == 1 and "x.csv has no column 'label'" in ended.stderr


def test_many_classes_and_several_datasets_are_told_in_short() -> None:
    described = {
        "content": "0" * 32,
        "source": "s",
        "split": "a split",
        "samples": [3000, 1, 1],
        "classes": {str(number): [1, 2, 3] for number in range(30)},
    }
    facts = data_in_words({"one": described, "two": described})
    assert list(facts) == ["Data 1", "Data 2"]
    assert "; a split; 3,000/1/1 samples; 30 classes: 0 1/2/3, 1 1/2/3, " in facts["Data 1"]
    assert facts["Data 2"].endswith("19 1/2/3, ...")
    assert data_in_words({}) == {}
