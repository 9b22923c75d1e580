"""``gr-bench bisect``, whole: real repositories, real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import Background, Ended, Warm, wait_until

STEP = """
# comment {number}
def prepare():
    def step():
        total = 0
        for i in range({work}):
            total += i * i
        return total
    return step
"""
LAST, CULPRIT, BROKEN = 8, 6, 4
CALL = ("--call", "bench.py:prepare", "--threshold", "10%")


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=b", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout


def make(root: Path, commits: list[Mapping[str, str]]) -> Path:
    """A repository with so many commits, each with these files, and a tag ``c0``, ``c1``, ..."""
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch", "main")
    (root / ".gitignore").write_text("__pycache__/\n*.json\n")
    for number, files in enumerate(commits):
        for name, text in files.items():
            (root / name).write_text(text)
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--allow-empty", "--message", f"Change number {number}")
        git(root, "tag", f"c{number}")
    return root


def step(number: int, work: int) -> dict[str, str]:
    return {"bench.py": STEP.format(number=number, work=work)}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A step whose work grows by 30 % in one commit; another cannot be imported."""
    commits = [step(n, 13_000 if n >= CULPRIT else 10_000) for n in range(LAST + 1)]
    commits[BROKEN]["bench.py"] += "def (:\n"
    root = make(tmp_path_factory.mktemp("steps") / "repository", commits)
    (root / "bench.py").write_text("# not committed\n" + (root / "bench.py").read_text())
    (root / "untracked").write_text("x")
    git(root, "branch", "mine", "c3")
    return root


@pytest.fixture
def untouched(repository: Path) -> Any:
    """The repository is afterwards as it was."""

    def state() -> list[str]:
        asked = (
            ("status", "--porcelain"),
            ("branch", "--all", "--verbose"),
            ("worktree", "list", "--porcelain"),
            ("diff",),
            ("stash", "list"),
            ("for-each-ref",),
            ("rev-parse", "HEAD"),
        )
        return [git(repository, *arguments) for arguments in asked]

    before = state()
    yield repository
    assert state() == before
    assert not (repository / ".git" / "worktrees").exists()


def worktrees(repository: Path) -> list[Path]:
    listed = git(repository, "worktree", "list", "--porcelain").splitlines()
    return [Path(line.split()[1]) for line in listed if line.startswith("worktree ")]


@pytest.mark.slow
def test_the_commit_is_named_and_confirmed(untouched: Path, command: Warm) -> None:
    file = untouched / "found.json"
    ended = command("bisect", "c0", "git:main", *CALL, "--json", file, cwd=untouched)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    short = git(untouched, "rev-parse", "--short", f"c{CULPRIT}").strip()
    date = git(untouched, "log", "-1", "--format=%as", f"c{CULPRIT}").strip()
    assert f"{short} {date} Change number {CULPRIT}" in lines
    assert "Confirmed." in lines
    assert lines[-1] == f"next: git show {short}"
    broken = git(untouched, "rev-parse", "--short", f"c{BROKEN}").strip()
    assert any(line.startswith(f"{broken}  cannot be measured: SyntaxError") for line in lines)
    assert "Traceback" not in ended.err
    assert "step 1 of about 5: " in ended.err

    about = json.loads(file.read_text())
    assert about["status"] == "done"
    assert about["outcome"] == "culprit"
    assert about["culprit"]["subject"] == f"Change number {CULPRIT}"
    answers = {one["position"]: one["answer"] for one in about["tested"]}
    assert answers[BROKEN] == "skipped"
    assert {answers[p] for p in answers if p >= CULPRIT} == {"slower"}
    assert {answers[p] for p in answers if p < CULPRIT and p != BROKEN} == {"as before"}
    (alone,) = about["alone"]["findings"]
    assert alone["verdict"] == "slower"
    for one in about["tested"]:
        pairs = about["measured"]["steps"].get(str(one["position"]), {"pairs": []})["pairs"]
        assert len(pairs) == len(one["log_ratios"])
    assert about["environment"]["packages"]["torch"]


@pytest.mark.slow
def test_a_clean_history_names_nothing(untouched: Path, command: Warm) -> None:
    arguments = ("--call", "bench.py:prepare", "--threshold", "20%")
    ended = command("bisect", "c0", "c3", *arguments, "--budget", "2m", cwd=untouched)
    assert ended.code == 0, ended.err
    first, *_ = ended.out.splitlines()
    assert first.startswith("c3, ")
    assert "is not slower or larger than c0, " in first


@pytest.mark.slow
def test_too_little_time_is_told_and_names_nothing(untouched: Path, command: Warm) -> None:
    ended = command("bisect", "c0", "main", *CALL, "--budget", "1s", cwd=untouched)
    assert ended.code == 3
    assert ended.out.startswith("It is not known whether main, ")


@pytest.mark.slow
def test_an_end_that_cannot_be_measured_is_a_wrong_request(untouched: Path, command: Warm) -> None:
    ended = command("bisect", "c0", f"c{BROKEN}", *CALL, cwd=untouched)
    assert (ended.code, ended.out) == (2, "")
    *_, line = ended.err.splitlines()
    assert line.startswith(f"gr-bench: head (c{BROKEN}, ")
    assert "SyntaxError" in line


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["main", "c0", *CALL], "main is no ancestor of c0, it comes after it: give the older"),
        (["c0", "nowhere", *CALL], "no revision 'git:nowhere'"),
        (["git:nowhere", "main", *CALL], "no revision 'git:nowhere'"),
        (["c8", "main", *CALL], "the same commit"),
        (["pip:a", "main", *CALL], "give git revisions"),
        (["c0", "main", "--call", "nowhere.py:f"], "there is no file"),
        (["c0", "main", *CALL, "--suite", "compare"], "give --call or --suite"),
        (["c0", "main", *CALL, "--python", "/none"], "--python /none: there is no such program"),
        (["c0", "main", *CALL, "--budget", "soon"], "write it as 90s"),
        (["c0", "main", *CALL, "--threshold", "2"], "write it as 2% or 0.02"),
        (["c0", "main", *CALL, "--json", "no/where.json"], "cannot write to"),
        (["c0"], "Missing argument 'BAD'"),
    ],
)
def test_a_wrong_request(untouched: Path, command: Warm, arguments: list[str], reason: str) -> None:
    ended = command("bisect", *arguments, cwd=untouched)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("gr-bench: ")
    assert reason in ended.err
    assert ended.err.count("\n") == 1


def test_outside_of_any_repository(command: Warm) -> None:
    ended = command("bisect", "a", "b", "--call", "os:getcwd")
    assert ended.code == 2
    assert "in no git repository" in ended.err


# --- whatever ends it


def begun(repository: Path, *more: str) -> Background:
    """A bisection that tests its first commit in the middle: it has three worktrees."""
    run = Background("bisect", "c0", "main", *CALL, *more, cwd=repository)
    wait_until(lambda: len(worktrees(repository)) >= 4)
    return run


def interrupt(run: Background) -> Ended:
    return run.ctrl_c()


def terminate(run: Background) -> Ended:
    run.process.terminate()
    out, err = run.process.communicate(timeout=60)
    return Ended(run.process.returncode, out, err)


@pytest.mark.slow
@pytest.mark.parametrize("end", [interrupt, terminate])
def test_an_interruption_prints_what_is_known(
    untouched: Path, end: Callable[[Background], Ended]
) -> None:
    run = begun(untouched, "--json", "stopped.json")
    children = psutil.Process(run.process.pid).children(recursive=True)
    ended = end(run)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert "Interrupted: it is not known which one of " in ended.out
    assert "next: gr-bench bisect " in ended.out
    about = json.loads((untouched / "stopped.json").read_text())
    (untouched / "stopped.json").unlink()
    assert (about["status"], about["outcome"]) == ("interrupted", "interrupted")
    assert about["whole"]["regression"] is True
    assert len(about["candidates"]) > 1
    wait_until(lambda: not any(child.is_running() for child in children))


@pytest.mark.slow
def test_an_interruption_of_the_first_comparison(untouched: Path) -> None:
    run = Background("bisect", "c0", "main", *CALL, cwd=untouched)
    wait_until(lambda: len(worktrees(untouched)) >= 3)
    ended = run.ctrl_c()
    assert ended.code == 130
    assert ended.out.startswith("Interrupted before it was known whether main, ")


@pytest.mark.slow
def test_what_a_killed_one_leaves_is_removed_by_the_next(untouched: Path, command: Warm) -> None:
    run = begun(untouched)
    homes = {tree.parents[1] for tree in worktrees(untouched)[1:]}
    assert len(homes) == 1
    assert run.kill().code == -signal.SIGKILL
    assert len(worktrees(untouched)) >= 4
    assert command("bisect", "c0", "c1", *CALL, "--budget", "1s", cwd=untouched).code == 3
    assert not any(home.exists() for home in homes)


# --- other histories


TENSORS = """
import torch

def prepare():
    weight = torch.zeros(256, 1024)
    batch = torch.zeros(16, 256)

    def step():
        kept = [torch.zeros({size}) for _ in range(2)]
        return (batch @ weight).sum() + len(kept)

    return step
"""


@pytest.mark.slow
def test_memory_is_followed_exactly(tmp_path: Path, command: Warm) -> None:
    sizes = [50_000] * 3 + [100_000] * 2
    commits = [{"bench.py": TENSORS.format(size=size) + f"# {n}\n"} for n, size in enumerate(sizes)]
    root = make(tmp_path / "repository", commits)
    ended = command("bisect", "c0", "main", *CALL, "--budget", "60s", "--json", "a.json", cwd=root)
    about = json.loads((root / "a.json").read_text())
    assert ended.code == 0, ended.out + ended.err
    assert about["target"]["counter"] == "peak_bytes"
    assert about["culprit"]["subject"] == "Change number 3"
    assert {one["position"]: one["answer"] for one in about["tested"]} == {
        2: "as before",
        3: "slower",
    }
    (change,) = about["alone"]["findings"][0]["changes"]
    assert change["head"] - change["base"] == 2 * 4 * 50_000
    assert "more peak bytes" in ended.out
    assert "Confirmed." in ended.out


@pytest.mark.slow
def test_commits_that_cannot_be_built_are_passed_over(tmp_path: Path, command: Warm) -> None:
    commits = [step(n, 10_000 if n < 4 else 13_000) for n in range(5)]
    for n, files in enumerate(commits):
        files["build.sh"] = "touch built\n" if n != 2 else "echo error: no compiler; exit 1\n"
    root = make(tmp_path / "repository", commits)
    build = ("--build", "sh build.sh")
    ended = command("bisect", "c0", "main", *CALL, *build, "--budget", "60s", cwd=root)
    assert ended.code == 0, ended.out + ended.err
    assert "cannot be measured: sh build.sh: error: no compiler (Change number 2)" in ended.out
    assert "Change number 4" in ended.out
    assert "Confirmed." in ended.out
    assert len(worktrees(root)) == 1


@pytest.mark.slow
def test_a_benchmark_that_no_commit_has_is_the_working_trees(tmp_path: Path, command: Warm) -> None:
    commits = [{"steps.py": step(n, 10_000 if n < 2 else 13_000)["bench.py"]} for n in range(3)]
    root = make(tmp_path / "repository", commits)
    (root / "own.py").write_text("import steps\n\ndef prepare():\n    return steps.prepare()\n")
    call = ("--call", "own.py:prepare", "--threshold", "10%")
    ended = command("bisect", "c0", "main", *call, "--budget", "60s", cwd=root)
    assert ended.code == 0, ended.out + ended.err
    assert "own.py is the working tree's on both sides" in " ".join(ended.out.split())
    assert "Change number 2" in ended.out


@pytest.mark.slow
def test_git_bisect_run_does_it_with_compare(repository: Path, tmp_path: Path) -> None:
    """The recipe of docs/regressions.md."""
    clone = tmp_path / "clone"
    git(repository, "clone", "--quiet", str(repository), str(clone))
    git(clone, "bisect", "start", "main", "c0")
    compare = ("compare", "git:c0", "git:HEAD", *CALL, "--budget", "1m", "--git-bisect")
    ended = subprocess.run(
        ["git", "bisect", "run", sys.executable, "-m", "gr_bench", *compare],
        cwd=clone,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    culprit = git(clone, "rev-parse", f"c{CULPRIT}").strip()
    assert f"{culprit} is the first bad commit" in ended.stdout
    log = git(clone, "bisect", "log")
    assert f"git bisect skip {git(clone, 'rev-parse', f'c{BROKEN}').strip()}" in log
    assert len(worktrees(clone)) == 1
