"""A run that has only so much time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import Ended, Warm

from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import load_suite

SUITE = """
title = "Slow"
budget = "1s"
[[generalization]]
methods = ["plugged:Slow(pause_s=0.2)"]
models = ["mlp(depth=1)"]
datasets = ["random(shape=(2,), samples=8)"]
batch_sizes = [8]
epochs = 5
seeds = [0, 1, 2, 3]
trainer = "loop"
threads = [64]
"""


@dataclass
class Story:
    folder: Path
    ended: Ended
    measured: int
    status: str
    more: Ended


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, command: Warm) -> Story:
    """A run that has a second, the suite's own, for trainings that take one each, one
    by one, since each wants all processors; then an hour."""
    home = tmp_path_factory.mktemp("budget")
    (home / "slow.toml").write_text(SUITE)
    folder = home / "runs" / "slow"
    ended = command("run", "slow.toml", cwd=home)
    status = json.loads((folder / "run.json").read_text())["status"]
    measured = len(read_journal(folder))
    more = command("run", "slow.toml", "--budget", "1h", cwd=home)
    return Story(folder, ended, measured, status, more)


def test_a_run_ends_when_its_budget_is_spent_and_says_what_is_left(story: Story) -> None:
    assert (story.ended.code, story.ended.out) == (0, "runs/slow\n")
    assert story.measured < 4
    assert story.status == "budget spent"
    left = 4 - story.measured
    assert "The time budget ran out" in story.ended.err
    assert f"at least {left} of generalization" in story.ended.err


def test_a_run_goes_on_when_it_is_given_more(story: Story) -> None:
    assert (story.more.code, story.more.out) == (0, "runs/slow\n")
    about = json.loads((story.folder / "run.json").read_text())
    assert (about["status"], about["budget_s"]) == ("done", 3600)
    assert len({record.cell.id for record in read_journal(story.folder)}) == 4
    assert "time budget ran out" not in story.more.err


def test_the_suites_own_budget_is_read_in_seconds(story: Story) -> None:
    suite = str(story.folder.parent.parent / "slow.toml")
    assert load_suite(suite).budget_s == 1.0
    assert load_suite(suite, settings=["budget='2m'"]).budget_s == 120.0


@pytest.mark.parametrize("budget", ["soon", "0s", "-1m", ""])
def test_a_bad_budget_is_exit_code_2(command: Warm, tmp_path: Path, budget: str) -> None:
    for arguments in (["--budget", budget], ["--set", f"budget={budget!r}"]):
        ended = command("run", "smoke", *arguments, cwd=tmp_path)
        assert (ended.code, ended.out) == (2, "")
        assert "write it as 90s, 2m or 1h" in ended.err
        assert not any(tmp_path.iterdir())
