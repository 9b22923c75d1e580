"""``gr-bench compare git:BASE git:HEAD``, whole: real repositories, real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import Background, Ended, Warm, wait_until

import gr_bench
from gr_bench import registry
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.meters.get_device import get_device
from gr_bench.meters.memory import measure_memory, nbytes
from gr_bench.timing.step import build_step

F_GR = "f-gr(gamma=0.1, epsilon=0.05)"
SUITE = """
title = "Tiny"
[[step_cost]]
methods = ["sgd", "f-gr", "planted:Added"]
models = ["mlp(depth=2, width=64)"]
datasets = ["random(shape=(4,), samples=64)"]
batch_sizes = [16]
"""
PLANTED = """
import os
import pathlib
from dataclasses import dataclass
import psutil
from gr_bench.methods import SGD

@dataclass(frozen=True)
class Added(SGD):
    name = "added"

@dataclass(frozen=True)
class KillsTheOther(SGD):
    name = "kills-the-other"

    def backward(self, loss, params):
        if pathlib.Path.cwd().name == "base":
            for worker in psutil.Process(os.getppid()).children():
                if worker.pid != os.getpid():
                    worker.kill()
                    while worker.status() != psutil.STATUS_ZOMBIE:
                        pass
        return super().backward(loss, params)
"""
F_GR_LINE = '    "f-gr": ".two_point:ForwardGR",\n'
PLACE = "    sign: ClassVar[int] = 1\n"
"""Of :class:`gr_bench.methods.ForwardGR`, where a commit adds a method."""

RAISES = "\n    def scale(self, gradients):\n        raise KeyError(7)\n"
HIDDEN = (
    PLACE
    + """
    def perturbed(self, params):
        if "_kept" not in self.__dict__:
            object.__setattr__(self, "_kept", [p.clone() for p in params])
        return super().perturbed(params)
"""
)


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=b", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gr-bench as it is, and branches in which it is something else."""
    root = tmp_path_factory.mktemp("repository")
    source = Path(gr_bench.__file__).parent
    shutil.copytree(source, root / "gr_bench", ignore=shutil.ignore_patterns("__pycache__"))
    methods = root / "gr_bench" / "methods"
    git(root, "init", "--quiet")
    (root / ".gitignore").write_text("__pycache__/\n")

    def commit(name: str, change: Callable[[], object]) -> None:
        change()
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--allow-empty", "--message", name)
        git(root, "branch", name)

    def back() -> None:
        git(root, "checkout", "--quiet", "--detach", "start")

    (root / "killing.toml").write_text(SUITE.replace("Added", "KillsTheOther"))
    (root / "negative.toml").write_text(SUITE.replace('"f-gr"', '"f-gr(gamma=-1)"'))
    commit("start", lambda: (root / "tiny.toml").write_text(SUITE))
    commit("broken", lambda: edit(methods / "two_point.py", "import torch\n", "import torhc\n"))
    back()
    commit("without", lambda: edit(methods / "__init__.py", F_GR_LINE, ""))
    back()
    commit("raises", lambda: edit(methods / "two_point.py", PLACE, PLACE + RAISES))
    back()
    (root / "planted.py").write_text(PLANTED)
    commit("hidden", lambda: edit(methods / "two_point.py", PLACE, HIDDEN))
    return root


def worktrees(repository: Path) -> list[str]:
    return git(repository, "worktree", "list").splitlines()


@dataclass
class Compared:
    ended: Ended
    json: dict[str, Any]
    markdown: str

    def finding(self, method: str) -> dict[str, Any]:
        (found,) = (f for f in self.json["findings"] if f["cell"]["spec"] == method)
        return found


@pytest.fixture(scope="module")
def compared(repository: Path, command: Warm) -> Compared:
    """A commit that keeps a hidden copy of the parameters and adds a method."""
    files = [repository / "out.json", repository / "out.md"]
    ended = command(
        *("compare", "git:start", "git:hidden", "--suite", "tiny.toml", "--budget", "10s"),
        *("--json", files[0], "--markdown", files[1]),
        cwd=repository,
    )
    return Compared(ended, json.loads(files[0].read_text()), files[1].read_text())


def test_a_hidden_parameter_copy_is_found_to_the_byte(compared: Compared) -> None:
    (change,) = (c for c in compared.finding(F_GR)["changes"] if c["counter"] == "peak_bytes")
    parameters = 64 * 4 + 64 + 10 * 64 + 10
    assert change["head"] - change["base"] == 4 * parameters
    assert change["regression"]
    assert compared.ended.code == 1
    assert compared.json["regression"] is True
    assert compared.finding("sgd")["changes"] == []


def test_the_peak_is_that_of_the_step_cost_experiment(compared: Compared) -> None:
    """Counted over the cell's whole life there, and put together from its parts here."""
    cell = StepCostCell(**compared.finding(F_GR)["cell"])
    step = build_step(cell, registry)
    for _ in range(2):
        step()
    t = step.training
    device = get_device("cpu")
    memory = measure_memory(step, device, t.model, t.optimizer, t.method, step.batch)
    counted, *again = compared.json["measured"]["counters"]["base"][cell.id]
    assert all(other == counted for other in again)
    assert counted["peak_bytes"] == memory.peak_bytes
    assert nbytes(t.model.parameters()) == memory.parameter_bytes


def test_flops_are_the_closed_form_and_do_not_change(compared: Compared) -> None:
    """Products of two FLOPs each: forward, for the weights, and for all inputs but the first."""
    first, second = 2 * 16 * 4 * 64, 2 * 16 * 64 * 10
    once = 2 * first + 3 * second
    measured = compared.json["measured"]["counters"]
    for method, passes in (("sgd", 1), (F_GR, 2)):
        cell = compared.finding(method)["cell"]
        key = next(k for k, c in compared.json["measured"]["subjects"].items() if c == cell)
        for side in ("base", "head"):
            assert {c["flops"] for c in measured[side][key]} == {passes * once}


def test_a_method_that_only_the_head_has_is_added_and_no_error(compared: Compared) -> None:
    (note,) = (note for note in compared.json["notes"] if note.startswith("added: "))
    assert "planted:Added" in note
    assert len(compared.json["findings"]) == 2
    assert "added: " in compared.markdown
    assert "added: " in compared.ended.out


def test_pairs_are_fresh_processes_in_changing_order(compared: Compared) -> None:
    measured = compared.json["measured"]
    pairs = measured["pairs"]
    assert [pair["first"] for pair in pairs] == [("base", "head")[n % 2] for n in range(len(pairs))]
    for pair in pairs:
        for of in pair["samples"].values():
            base, head = (of[side]["elapsed_s"] for side in ("base", "head"))
            assert len(base) == len(head) >= 5
            assert min(base + head) > 0
    folders = [Path(measured["processes"][side]["folder"]) for side in ("base", "head")]
    assert [folder.name for folder in folders] == ["base", "head"]
    assert len({len(str(folder)) for folder in folders}) == 1
    assert not any(folder.exists() for folder in folders)


def test_json_says_how_it_was_measured(compared: Compared) -> None:
    about = compared.json
    assert about["status"] == "done"
    assert about["environment"]["packages"]["torch"]
    assert about["revisions"]["head"]["name"] == "hidden"
    assert about["measured"]["processes"]["base"]["conditions"]["denormals_flushed"] is True
    processors = {
        side: about["measured"]["processes"][side]["conditions"]["processors"]
        for side in ("base", "head")
    }
    assert processors["base"] == processors["head"]
    assert len(processors["base"]) == 1
    assert about["suite"]["step_cost"][0]["batch_sizes"] == [16]


def test_the_comment_begins_with_the_verdict_and_what_is_worse(compared: Compared) -> None:
    """In a second too little was measured to know how SGD stands, so that is said below."""
    lines = compared.markdown.splitlines()
    assert "Regression" in lines[0]
    assert "peak bytes" in lines[0]
    shown, _, _ = compared.markdown.partition("<details>")
    assert shown.index(F_GR) < shown.index("/ sgd")
    assert compared.markdown.count("<details>") == compared.markdown.count("</details>")


def test_nothing_is_left_behind(repository: Path, compared: Compared) -> None:
    assert len(worktrees(repository)) == 1
    assert git(repository, "status", "--porcelain").split() == ["??", "out.json", "??", "out.md"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "head", "words"),
    [
        ("broken", "start", ["base (broken, ", "No module named 'torhc'", "two_point.py, line"]),
        ("start", "raises", ["head (raises, ", "KeyError: 7", "two_point.py, line", "f-gr"]),
        ("start", "without", ["head (without, ", "no method 'f-gr'"]),
        ("start", "start", ["head (start, ", "planted", "if it is gone for good"]),
    ],
)
def test_a_revision_that_cannot_be_measured_is_named(
    repository: Path, command: Warm, base: str, head: str, words: list[str]
) -> None:
    ended = command(
        *("compare", f"git:{base}", f"git:{head}", "--suite", "tiny.toml", "--budget", "1s"),
        cwd=repository,
    )
    assert ended.code == 2
    assert ended.out == ""
    *_, line = ended.err.splitlines()
    assert line.startswith("gr-bench: ")
    assert all(word in line for word in words), line
    assert "Traceback" not in ended.err
    assert len(worktrees(repository)) == 1


@pytest.mark.slow
def test_a_base_that_has_nothing_of_the_suite_is_named(repository: Path, command: Warm) -> None:
    ended = command(
        *("compare", "git:without", "git:start", "--suite", "tiny.toml", "--only", "*f-gr*"),
        cwd=repository,
    )
    assert (ended.code, ended.out) == (2, "")
    assert "base (without, " in ended.err
    assert "no method 'f-gr'" in ended.err


def started(repository: Path) -> tuple[Background, list[psutil.Process]]:
    """A comparison whose two workers are there."""
    arguments = ("compare", "git:start", "git:hidden", "--suite", "tiny.toml")
    run = Background(*arguments, "--json", "stopped.json", cwd=repository)

    def workers() -> list[psutil.Process]:
        found = []
        for child in psutil.Process(run.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if any("workers/side_worker.py" in word for word in child.cmdline()):
                    found.append(child)
        return found

    wait_until(lambda: len(workers()) == 2)
    return run, workers()


def left(repository: Path, workers: list[psutil.Process]) -> str:
    """The status on record, once it is clear that nothing else is left."""
    assert len(worktrees(repository)) == 1
    assert not any(worker.is_running() for worker in workers)
    file = repository / "stopped.json"
    status: str = json.loads(file.read_text())["status"]
    file.unlink()
    return status


@pytest.mark.slow
def test_ctrl_c_ends_it_with_130_and_removes_everything(repository: Path) -> None:
    run, workers = started(repository)
    assert len(worktrees(repository)) == 3
    ended = run.ctrl_c()
    assert (ended.code, ended.out) == (130, "")
    assert "Traceback" not in ended.err
    assert left(repository, workers) == "interrupted"


@pytest.mark.slow
def test_a_killed_worker_ends_it_with_a_message_and_removes_everything(repository: Path) -> None:
    run, workers = started(repository)
    os.kill(workers[-1].pid, signal.SIGKILL)
    out, err = run.process.communicate(timeout=60)
    assert (run.process.returncode, out) == (2, "")
    assert "killed by signal 9 (SIGKILL)" in err
    assert "Traceback" not in err
    assert left(repository, workers) == "interrupted"


@pytest.mark.slow
def test_a_worker_that_is_dead_before_it_is_asked(repository: Path, command: Warm) -> None:
    """A write into its closed pipe must not end the coordinator."""
    ended = command(
        *("compare", "git:hidden", "git:hidden", "--suite", "killing.toml", "--only", "*Kills*"),
        cwd=repository,
    )
    assert (ended.code, ended.out) == (2, "")
    assert "head (hidden, " in ended.err
    assert "killed by signal 9 (SIGKILL)" in ended.err
    assert len(worktrees(repository)) == 1


@pytest.mark.slow
def test_what_a_killed_comparison_leaves_is_removed_by_the_next(
    repository: Path, command: Warm
) -> None:
    run, workers = started(repository)
    run.process.kill()
    run.process.wait()
    wait_until(lambda: not any(worker.is_running() for worker in workers))
    (other, _) = started(repository)
    assert len(worktrees(repository)) == 3  # its own: the dead one's are gone
    (second, second_workers) = started(repository)
    assert len(worktrees(repository)) == 5  # nobody takes a living one's away
    assert (other.ctrl_c().code, second.ctrl_c().code) == (130, 130)
    assert left(repository, second_workers) == "interrupted"


# --- wrong requests: nothing is started


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["git:start", "git:nowhere"], "no revision 'git:nowhere'"),
        (["git:", "git:start"], "no revision 'git:'"),
        (["git:start", "runs/a"], "git:REVISION or pip:REQUIREMENT"),
        (["git:start", "git:start", "--threshold", "2"], "write it as 2% or 0.02"),
        (["git:start", "git:start", "--budget", "soon"], "write it as 90s"),
        (["git:start", "git:start", "--suite", "smok"], "did you mean 'smoke'?"),
        (["git:start", "git:start", "--suite", "implicit-bias"], "no step_cost cell"),
        (["git:start", "git:start", "--suite", "negative.toml"], "gamma"),
        (["git:start", "git:start", "--json", "no/where.json"], "cannot write to"),
        (["git:start", "git:start", "--head-python", "/none"], "--head-python /none: there is no"),
        (["nowhere", "elsewhere"], "not a run's folder"),
    ],
)
def test_a_wrong_request(
    repository: Path, command: Warm, arguments: list[str], reason: str
) -> None:
    ended = command("compare", *arguments, cwd=repository)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1].startswith("gr-bench: ")
    assert reason in ended.err
    assert len(worktrees(repository)) == 1


def test_outside_of_any_repository(command: Warm) -> None:
    ended = command("compare", "git:a", "git:b")
    assert ended.code == 2
    assert "in no git repository" in ended.err
