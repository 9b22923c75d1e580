"""Runs with plug-ins: from one file to the tables, changed, moved, broken, and gone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import Ended, Warm

import gr_bench
from gr_bench.runs.store import read_journal

METHOD = '''\
"""A method that averages the gradient over steps."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from gr_bench.methods import Method


@dataclass(frozen=True)
class Averaged(Method):
    beta: float = 0.5
    passes: ClassVar[int] = 1

    def backward(self, loss_fn, params):
        params = list(params)
        loss = loss_fn()
        gradients = torch.autograd.grad(loss, params)
        means = self.state.setdefault("means", [torch.zeros_like(p) for p in params])
        for p, mean, g in zip(params, means, gradients):
            p.grad = mean.lerp_(g, 1 - self.beta).clone()
        return loss.detach()
'''
SUITE = """
title = "Mine"

[[step_cost]]
methods = ["sgd", "mine.py:Averaged(beta=[0.5, 0.9])"]
models = ["mlp(depth=2, width=8)"]
datasets = ["random(shape=(4,), samples=64)"]
batch_sizes = [8]
replicates = 2
most_replicates = 2
seconds_per_block = 0.02
least_rounds = 2

[[generalization]]
methods = ["sgd", "mine.py:Averaged"]
models = ["mlp(depth=2, width=8)"]
datasets = ["random(shape=(4,), samples=64)"]
batch_sizes = [8]
epochs = 2
seeds = [0, 1]
"""


@dataclass(frozen=True)
class Project:
    """A user's folder, with a suite that has been run once; do not change it."""

    folder: Path
    ended: Ended

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.folder / "runs" / "suite"

    def copy(self, to: Path) -> Project:
        """The folder elsewhere, to be changed."""
        shutil.copytree(self.folder, to)
        return Project(to, self.ended)


@pytest.fixture(scope="module")
def project(command: Warm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("user") / "project"
    folder.mkdir()
    (folder / "mine.py").write_text(METHOD)
    (folder / "suite.toml").write_text(SUITE)
    return Project(folder, command("run", "suite.toml", cwd=folder))


def lines(project: Project) -> int:
    return len((project.run / "journal.jsonl").read_text().splitlines())


def results(folder: Path) -> list[dict[str, Any]]:
    """Of the trainings, all but for how long they took."""
    table = gr_bench.load(folder).generalization
    return json.loads(table.drop(columns="training_s").to_json(orient="records"))


# --- from nothing


def test_a_method_in_one_short_file_is_in_every_table_and_figure(project: Project) -> None:
    assert len(METHOD.splitlines()) <= 25
    assert project.ended.code == 0, project.ended.err
    run = gr_bench.load(project.run)
    assert dict(run.step_cost.groupby("method").size()) == {"sgd": 2, "Averaged": 2}
    assert set(run.step_cost["status"]) == {"ok"}
    assert set(run.step_cost["beta"].dropna()) == {0.5, 0.9}
    assert (run.step_cost.set_index("spec").loc["Averaged(beta=0.9)", "method_bytes"] > 0).all()
    assert dict(run.generalization.groupby("spec").size()) == {"sgd": 2, "Averaged(beta=0.5)": 2}
    gr_bench.report(project.run)
    page = (project.run / "report" / "report.md").read_text()
    assert page.count("Averaged(beta=0.5)") >= 6
    drawn = [file.read_text() for file in (project.run / "report" / "figures").glob("*.svg")]
    assert len(drawn) > 4
    assert "mine.py" not in page


def test_the_state_is_that_of_the_training(project: Project) -> None:
    one, other = (
        gr_bench.load(project.run).generalization.query(f"spec == {s!r}")
        for s in ("sgd", "Averaged(beta=0.5)")
    )
    assert (one["train_loss"].to_numpy() != other["train_loss"].to_numpy()).all()


# --- gone


PROBE = """
import sys
import gr_bench
run = gr_bench.load(sys.argv[1])
print(len(run.step_cost), len(run.generalization))
gr_bench.report(sys.argv[1])
print(gr_bench.compare(sys.argv[1], sys.argv[1]).regressed)
print(any(name.endswith("_mine") for name in sys.modules))
"""


@pytest.mark.parametrize("of", ["tables", "journal"])
def test_a_run_is_read_where_the_plug_in_is_not(project: Project, tmp_path: Path, of: str) -> None:
    """As by a co-author, who has the folder alone."""
    folder = tmp_path / "sent"
    shutil.copytree(project.run, folder)
    if of == "journal":
        about = json.loads((folder / "run.json").read_text())
        del about["tables"]
        (folder / "run.json").write_text(json.dumps(about))
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, str(folder)], capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.stdout.splitlines() == ["4 4", "False", "False"], ended.stderr
    assert "Averaged(beta=0.5)" in (folder / "report" / "report.md").read_text()


# --- moved


def test_a_run_goes_on_from_another_folder_and_when_the_project_has_moved(
    command: Warm, project: Project, tmp_path: Path
) -> None:
    moved = project.copy(tmp_path / "moved")
    before = lines(moved)
    ended = command("run", moved.folder / "suite.toml", "--out", moved.run, cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert "everything is already measured" in ended.err
    assert lines(moved) == before
    about = json.loads((moved.run / "run.json").read_text())
    place = f"{moved.folder}/mine.py:Averaged"
    assert about["suite"]["generalization"][0]["methods"] == ["sgd", f"{place}(beta=0.5)"]
    assert [own["where"] for own in about["plugins"]] == [place]


# --- changed


def test_a_changed_source_is_measured_anew_and_the_old_results_are_in_no_table(
    command: Warm, project: Project, tmp_path: Path
) -> None:
    changed = project.copy(tmp_path / "changed")
    before, old = lines(changed), results(changed.run)
    mine = changed.folder / "mine.py"
    mine.write_text(METHOD.replace("1 - self.beta", "(1 - self.beta) / 3"))
    ended = command("run", "suite.toml", cwd=changed.folder)
    assert ended.code == 0, ended.err
    assert f"source of {mine}:Averaged changed since: measured anew" in ended.err
    now = results(changed.run)
    plain = [row for row in old if row["method"] == "sgd"]
    assert [row for row in now if row["method"] == "sgd"] == plain
    own = [[row for row in rows if row["method"] != "sgd"] for rows in (old, now)]
    assert [row["seed"] for row in own[0]] == [row["seed"] for row in own[1]] == [0, 1]
    assert all(a["train_loss"] != b["train_loss"] for a, b in zip(*own, strict=True))
    run = gr_bench.load(changed.run)
    assert list(run.step_cost["spec"]) == ["sgd", "sgd", "Averaged(beta=0.5)", "Averaged(beta=0.9)"]
    assert set(run.step_cost["replicates"]) == {2}
    assert run.about["cells"] == 8
    trained = [r for r in read_journal(changed.run) if r.kind == "training"]
    assert len(trained) == 6
    assert lines(changed) > before

    mine.write_text(METHOD)  # and back: trainings are there, a block is timed as a whole
    command("run", "suite.toml", cwd=changed.folder)
    assert results(changed.run) == old
    assert len([r for r in read_journal(changed.run) if r.kind == "training"]) == 6


# --- broken


BROKEN = """
import os
import sys
from dataclasses import dataclass

import torch
from torch import nn

from gr_bench.methods import SGD
from gr_bench.workloads.datasets.random import random_images


@dataclass(frozen=True)
class Idle(SGD):
    def backward(self, loss_fn, params):
        return loss_fn().detach()


@dataclass(frozen=True)
class Drifting(SGD):
    def backward(self, loss_fn, params):
        params = list(params)
        loss = super().backward(loss_fn, params)
        with torch.no_grad():
            params[0].mul_(1.0001)
        return loss


@dataclass(frozen=True)
class Leaving(SGD):
    def backward(self, loss_fn, params):
        sys.exit(3)


@dataclass(frozen=True)
class Reading(SGD):
    def backward(self, loss_fn, params):
        print('{"done": true}', flush=True)
        assert not sys.stdin.readline()
        return super().backward(loss_fn, params)


def exiting(input_shape, num_classes):
    sys.exit(4)


def unshaped(input_shape, num_classes):
    return nn.Linear(3, 2)


if os.environ.get("AT_WORK"):  # in worker processes alone
    sys.exit(5)
"""
REASONS = {
    "Idle": "ContractBroken: Idle left no gradient",
    "Drifting": "ContractBroken: Drifting left parameters changed",
    "Leaving": "worker exited with code 3",
}


@pytest.fixture(scope="module")
def broken(command: Warm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run whose plug-ins break down, each in its way, beside some that do not."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "broken.py").write_text(BROKEN)
    methods = ", ".join(f'"broken.py:{name}"' for name in [*REASONS, "Reading"])
    timed, trained = SUITE.split("[[generalization]]")
    timed = timed.replace("mine.py:Averaged(beta=[0.5, 0.9])", "broken.py:Idle")
    trained = "[[generalization]]" + trained.replace("[0, 1]", "[0]")
    of_methods = trained.replace('"mine.py:Averaged"', methods)
    models = '"broken.py:exiting", "broken.py:unshaped"'
    of_models = trained.replace('"mlp(depth=2, width=8)"', models)
    of_models = of_models.replace(', "mine.py:Averaged"', "")
    (folder / "suite.toml").write_text(timed + of_methods + of_models)
    return Project(folder, command("run", "suite.toml", cwd=folder))


def test_a_broken_method_fails_its_own_cells_with_a_reason(broken: Project) -> None:
    assert broken.ended.code == 1, broken.ended.err
    run = gr_bench.load(broken.run)
    assert list(run.step_cost["status"]) == ["ok", "ok", "failed"]
    trained = run.generalization.set_index(["model", "method"])["status"]
    expected = dict.fromkeys(REASONS, "failed") | {"sgd": "ok", "Reading": "ok"}
    assert dict(trained["mlp(depth=2, width=8)"]) == expected
    reasons = run.failures[run.failures["model"] == "mlp(depth=2, width=8)"]
    assert len(reasons) == 1 + len(REASONS)
    for row in reasons.to_dict("records"):
        assert row["reason"].startswith(REASONS[row["method"]])


def test_a_broken_model_fails_its_own_cells_with_a_reason(broken: Project) -> None:
    failures = gr_bench.load(broken.run).failures.set_index("model")["reason"]
    assert failures["exiting"] == "worker exited with code 4"
    assert failures["unshaped"].startswith("RuntimeError: mat1 and mat2 shapes")


def test_a_file_that_breaks_in_the_workers_alone_is_a_reason(
    command: Warm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = {
        "title": "Away",
        "generalization": [
            {
                "methods": ["sgd", "broken.py:Reading"],
                "models": ["mlp(depth=1)"],
                "datasets": ["random(shape=(4,), samples=64)"],
                "batch_sizes": [8],
                "epochs": 1,
                "seeds": [0],
            }
        ],
    }
    from gr_bench.runs.suite import build_suite

    (tmp_path / "broken.py").write_text(BROKEN)
    built = build_suite("away", suite, folder=tmp_path)
    monkeypatch.setenv("AT_WORK", "yes")
    run = gr_bench.run(built, tmp_path / "run")
    assert dict(run.generalization.set_index("method")["status"]) == {
        "sgd": "ok",
        "Reading": "failed",
    }
    (reason,) = run.failures["reason"]
    assert "broken.py:Reading' cannot be imported: it ends the program" in reason
