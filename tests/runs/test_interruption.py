"""A run that is interrupted by Ctrl-C, goes on, is killed, and goes on."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest
from processes import Background, Ended, Warm, lines_in, wait_until

from gr_bench import load
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import load_suite

SUITE = """
title = "Slow"
[[generalization]]
methods = ["sgd", "plugged:Slow(pause_s=0.5)"]
models = ["mlp(depth=1)"]
datasets = ["random(shape=(2,), samples=8)"]
batch_sizes = [8]
epochs = 2
seeds = [0, 1, 2, 3, 4, 5, 6, 7]
"""
HANGING = SUITE.replace('"sgd", "plugged:Slow(pause_s=0.5)"', "\"plugged:Hangs(path='at work')\"")
ARGUMENTS = ("run", "slow.toml", "--out", "my run")


@dataclass
class Stopped:
    """A run that was stopped on its way, and what it left."""

    ended: Ended
    lines: int
    status: str
    tables: set[str]


@dataclass
class Story:
    folder: Path
    interrupted: Stopped
    killed: Stopped
    second_at_once: Ended
    finished: Ended
    workers: list[psutil.Process]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, command: Warm) -> Story:
    home = tmp_path_factory.mktemp("story")
    (home / "slow.toml").write_text(SUITE)
    folder = home / "my run"
    journal = folder / "journal.jsonl"
    workers = []

    def background(arguments: Sequence[str], lines: int) -> Background:
        """A run that has written so many lines."""
        started = Background(*arguments, cwd=home)
        wait_until(lambda: lines_in(journal) >= lines)
        workers.extend(started.workers())
        return started

    def left(ended: Ended) -> Stopped:
        status = json.loads((folder / "run.json").read_text())["status"]
        tables = {path.stem for path in folder.glob("*.parquet")}
        return Stopped(ended, lines_in(journal), status, tables)

    interrupted = left(background([*ARGUMENTS, "--fresh"], 3).ctrl_c())
    (line,) = [line for line in interrupted.ended.err.splitlines() if "to continue: " in line]
    again = shlex.split(line.partition("to continue: gr-bench ")[2])
    run = background(again, interrupted.lines + 2)
    second_at_once = command(*ARGUMENTS, cwd=home)
    killed = left(run.kill())
    finished = command(*again, cwd=home)
    return Story(folder, interrupted, killed, second_at_once, finished, workers)


def test_ctrl_c_ends_with_130_tables_and_the_command_that_goes_on(story: Story) -> None:
    interrupted = story.interrupted
    assert (interrupted.ended.code, interrupted.ended.out) == (130, "")
    assert interrupted.ended.err.endswith(
        "interrupted; to continue: gr-bench run slow.toml --out 'my run'\n"
    )
    assert "Traceback" not in interrupted.ended.err
    assert "Traceback" not in (story.folder / "workers.log").read_text()
    assert 3 <= interrupted.lines < 16
    assert interrupted.status == "interrupted"
    assert {"generalization", "training_curves", "failures"} <= interrupted.tables


def test_a_killed_run_keeps_what_it_has_measured(story: Story) -> None:
    assert story.killed.ended.code == -signal.SIGKILL
    assert story.interrupted.lines + 2 <= story.killed.lines < 16
    assert story.killed.status == "running"


def test_two_runs_do_not_share_a_folder(story: Story) -> None:
    assert (story.second_at_once.code, story.second_at_once.out) == (2, "")
    *_, said = story.second_at_once.err.splitlines()
    assert said.startswith("gr-bench: my run is in use by another run")


def test_the_run_ends_with_every_cell_once(story: Story) -> None:
    assert (story.finished.code, story.finished.out) == (0, "my run\n")
    measured = [record.cell.id for record in read_journal(story.folder)]
    wanted = [cell.id for cell in load_suite(str(story.folder.parent / "slow.toml")).cells]
    assert sorted(measured) == sorted(wanted)
    stored = pd.read_parquet(story.folder / "generalization.parquet")
    pd.testing.assert_frame_equal(stored, load(story.folder).generalization, check_dtype=False)
    assert list(stored["status"]) == ["ok"] * 16


def test_no_worker_stays_behind_a_run_that_ended(story: Story) -> None:
    assert story.workers
    wait_until(lambda: not any(worker.is_running() for worker in story.workers), seconds=30)


@pytest.mark.parametrize("at_work", [False, True])
def test_a_worker_does_not_outlive_its_run(tmp_path: Path, at_work: bool) -> None:
    """Whether it is still starting or at work: its unit would take an hour."""
    (tmp_path / "hanging.toml").write_text(HANGING)
    run = Background("run", "hanging.toml", cwd=tmp_path)
    wait_until((tmp_path / "at work").exists if at_work else run.workers)
    workers = run.workers()
    run.kill()
    wait_until(lambda: not any(worker.is_running() for worker in workers), seconds=60)


def test_a_run_on_a_full_disk_keeps_what_it_has_and_goes_on_later(
    tmp_path: Path, command: Warm
) -> None:
    """No file can grow beyond what about three of six trainings take in the journal."""
    suite = SUITE.replace(", 3, 4, 5, 6, 7", "").replace("0.5", "0").replace("= 2", "= 60")
    (tmp_path / "slow.toml").write_text(suite)
    full = command(*ARGUMENTS, cwd=tmp_path, file_bytes=40_000)
    assert (full.code, full.out) == (2, "")
    assert full.err.endswith("File too large\n")
    assert "Traceback" not in full.err
    measured = read_journal(tmp_path / "my run")
    assert 0 < len(measured) < 6
    finished = command(*ARGUMENTS, cwd=tmp_path)
    assert finished.code == 0
    again = read_journal(tmp_path / "my run")
    assert again[: len(measured)] == measured
    assert len({record.cell.id for record in again}) == len(again) == 6
