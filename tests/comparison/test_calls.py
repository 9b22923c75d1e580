"""``gr-bench compare --call``: steps of repositories that do not know gr-bench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import Background, Ended, Warm, wait_until

import gr_bench
from gr_bench.comparison.subject import read_calls
from gr_bench.errors import RequestError

STEP = """
def work(n):
    return sum(i * i for i in range(n))

def prepare():
    return lambda: work(SIZE)

def nothing():
    pass

def raises():
    raise KeyError(7)
"""
TORCH = """
import torch

def prepare():
    x, w = torch.randn(32, 64), torch.randn(64, 64, requires_grad=True)

    def step():
        for _ in range(PASSES):
            (x @ w).sum().backward()
        w.grad = None
    return step
"""


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=b", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout


def commit(root: Path, tag: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", tag)
    git(root, "tag", tag)


def step(size: int) -> str:
    return STEP.replace("SIZE", str(size))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package and a script, neither of which knows gr-bench."""
    root = tmp_path_factory.mktemp("toy")
    git(root, "init", "--quiet")
    commit(root, "start", {"train.py": step(10_000), "pack/loop.py": TORCH.replace("PASSES", "1")})
    commit(root, "slower", {"train.py": step(20_000)})
    commit(root, "doubled", {"pack/loop.py": TORCH.replace("PASSES", "2")})
    commit(root, "broken", {"train.py": "def prepare(:"})
    commit(root, "moved", {"train.py": "", "other.py": step(10_000)})
    fourier = TORCH.replace("PASSES", "1").replace("(x @ w)", "torch.fft.fft(x @ w).abs()")
    commit(root, "fourier", {"pack/loop.py": fourier})
    (root / "bench.py").write_text("import train\n\ndef prepare():\n    return train.prepare()\n")
    return root


@pytest.fixture
def compare(repository: Path, command: Warm, tmp_path: Path) -> Callable[..., Any]:
    """A comparison of two tags; its end, and what it wrote."""

    def run(base: str, head: str, *arguments: object) -> tuple[Ended, dict[str, Any]]:
        file = tmp_path / "out.json"
        before = git(repository, "status", "--porcelain"), git(repository, "branch", "--all")
        ended = command(
            *("compare", f"git:{base}", f"git:{head}", "--json", file, *arguments), cwd=repository
        )
        after = git(repository, "status", "--porcelain"), git(repository, "branch", "--all")
        assert after == before
        assert len(git(repository, "worktree", "list").splitlines()) == 1
        assert "Traceback" not in ended.err
        return ended, json.loads(file.read_text()) if file.exists() else {}

    return run


def only(found: dict[str, Any]) -> dict[str, Any]:
    (finding,) = found["findings"]
    return dict(finding)


def test_a_slower_step_without_torch_is_found(compare: Callable[..., Any]) -> None:
    ended, found = compare("start", "slower", "--call", "train.py:prepare", "--budget", "60s")
    assert ended.code == 1
    assert "Regression" in ended.out.splitlines()[-1]
    finding = only(found)
    assert finding["verdict"] == "slower"
    assert finding["beyond_threshold"] is True
    assert 1.5 < finding["ratio"][0] < 2.7  # of the work it is 2
    assert finding["changes"] == []
    assert found["measured"]["processes"]["base"]["torch"] is None
    assert found["took_s"] if "took_s" in found else found["measured"]["took_s"] < 60


def test_equal_steps_are_not_called(compare: Callable[..., Any]) -> None:
    ended, found = compare("slower", "slower", "--call", "train.py:prepare", "--budget", "3s")
    assert ended.code == 0
    assert only(found)["verdict"] in ("same", "undecided")


def test_a_step_with_torch_has_its_counters(compare: Callable[..., Any]) -> None:
    """Of the package's module: x W, and the gradient of W, 2·32·64·64 FLOPs each."""
    call = ("--call", "step=pack.loop:prepare")
    ended, found = compare("slower", "doubled", *call, "--budget", "5s")
    assert ended.code == 1
    finding = only(found)
    assert finding["name"] == "step"
    (change,) = (change for change in finding["changes"] if change["counter"] == "flops")
    assert (change["base"], change["head"]) == (2 * 2 * 32 * 64 * 64, 2 * 2 * 2 * 32 * 64 * 64)
    assert change["regression"]
    conditions = found["measured"]["processes"]["head"]["conditions"]
    assert conditions["denormals_flushed"] is True
    assert conditions["processors"] is None or len(conditions["processors"]) == 1


def test_flops_that_one_side_cannot_count_are_not_compared(compare: Callable[..., Any]) -> None:
    call = ("--call", "step=pack.loop:prepare")
    _, found = compare("slower", "fourier", *call, "--budget", "3s")
    assert "flops" not in {change["counter"] for change in only(found)["changes"]}
    (note,) = (note for note in found["notes"] if "FLOPs" in note)
    assert note.startswith("FLOPs of step in head are not counted")
    assert "aten::_fft_r2c" in note


def test_a_comparison_of_nothing_of_ones_own_is_refused(compare: Callable[..., Any]) -> None:
    """The revisions know nothing of gr-bench: its cells would step the installed one twice."""
    ended, _ = compare("start", "slower", "--only", "*mlp*/ sgd", "--budget", "20s")
    assert (ended.code, ended.out) == (2, "")
    assert "--call" in ended.err
    assert "cannot differ" in ended.err


def test_a_file_that_only_the_working_tree_has_is_the_same_on_both_sides(
    compare: Callable[..., Any],
) -> None:
    ended, found = compare("start", "slower", "--call", "bench.py:prepare", "--budget", "60s")
    assert ended.code == 1
    assert only(found)["verdict"] == "slower"  # by what it imports of each revision
    assert "bench.py is the working tree's on both sides: base and head lacks it" in found["notes"]


def test_code_of_the_working_tree_is_not_taken_for_a_revisions(
    compare: Callable[..., Any], repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editable installation, say, lets a module through that a revision does not have."""
    monkeypatch.setenv("PYTHONPATH", str(repository))
    (repository / "shared.py").write_text(
        "import other\n\ndef prepare():\n    return other.prepare()\n"
    )
    arguments = ("git:start", "git:moved", "--call", "shared.py:prepare", "--budget", "5s")
    ended = subprocess.run(
        [sys.executable, "-m", "gr_bench", "compare", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    (repository / "shared.py").unlink()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "'other' came from the working tree" in ended.stderr


@pytest.mark.parametrize(
    ("base", "head", "arguments", "words"),
    [
        ("start", "broken", ["train.py:prepare"], ["head (broken, ", "SyntaxError"]),
        ("broken", "start", ["train.py:prepare"], ["base (broken, ", "SyntaxError"]),
        ("start", "slower", ["train.py:nothing"], ["NoneType", "must return the step"]),
        ("start", "slower", ["train.py:raises"], ["KeyError: 7", "train.py, line"]),
        ("start", "slower", ["train.py:nope"], ["has no 'nope'", "that both have"]),
        ("start", "moved", ["train.py:prepare"], ["head (moved, ", "has no 'prepare'"]),
        ("moved", "start", ["train.py:prepare"], ["base (moved, ", "nothing to compare"]),
        ("start", "slower", ["pack.nope:prepare"], ["no module 'pack.nope'"]),
        ("start", "slower", ["nope.py:prepare"], ["there is no file"]),
        ("start", "slower", ["train.py"], ["cannot read the call 'train.py'"]),
        (
            "start",
            "slower",
            ["a=train.py:f", "--call", "a=train.py:g"],
            ["two calls are named 'a'"],
        ),
        ("start", "slower", ["train.py:f", "--suite", "compare"], ["--call or --suite"]),
        ("start", "slower", ["train.py:f", "--only", "*"], ["--only chooses cells"]),
        ("start", "slower", ["train.py:prepare", "--build", "echo oh no; false"], ["oh no"]),
    ],
)
def test_a_wrong_call(
    compare: Callable[..., Any], base: str, head: str, arguments: list[str], words: list[str]
) -> None:
    ended, _ = compare(base, head, "--call", *arguments)
    assert (ended.code, ended.out) == (2, "")
    *_, line = ended.err.splitlines()
    assert line.startswith("gr-bench: ")
    assert all(word in line for word in words), line


def test_exit_codes_where_nothing_is_known(compare: Callable[..., Any]) -> None:
    """One pair fits into so little time, and tells nothing."""
    call = ("--call", "train.py:prepare", "--budget", "0.1s")
    ended, found = compare("start", "start", *call)
    assert ended.code == 0
    assert "No regression" not in ended.out
    assert "1 not known" in ended.out
    assert "nothing can be known in less than" in ended.out
    assert "is too small to know anything" in ended.err
    assert only(found)["ratio"][1:] == [0.0, None]  # infinite, which JSON cannot say
    assert compare("start", "start", *call, "--fail-undecided")[0].code == 3
    assert compare("start", "start", *call, "--git-bisect")[0].code == 125
    assert compare("start", "broken", *call, "--git-bisect")[0].code == 125
    assert compare("broken", "start", *call, "--git-bisect")[0].code == 128
    ended, _ = compare("start", "slower", *call[:2], "--budget", "60s", "--git-bisect")
    assert ended.code == 1


BUILD = (
    "python -c \"import shutil, sysconfig; shutil.copy('train.py', "
    "sysconfig.get_path('purelib') + '/built.py')\""
)


@pytest.mark.slow
def test_what_is_built_is_each_sides_own(compare: Callable[..., Any]) -> None:
    arguments = ("--call", "built:prepare", "--build", BUILD, "--budget", "60s")
    ended, found = compare("start", "slower", *arguments)
    assert ended.code == 1
    assert only(found)["verdict"] == "slower"


@pytest.mark.slow
def test_ctrl_c_while_it_builds_leaves_nothing(repository: Path) -> None:
    run = Background(
        *("compare", "git:start", "git:slower", "--call", "train.py:prepare"),
        *("--build", "touch building; sleep 60"),
        cwd=repository,
    )
    home = Path(os.environ.get("TMPDIR", "/tmp"))
    mine = f"gr-bench-compare-{run.process.pid}-*"
    wait_until(lambda: any(home.glob(f"{mine}/base/building")))
    ended = run.ctrl_c()
    assert (ended.code, ended.out) == (130, "")
    assert not any(home.glob(mine))
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def wheel(folder: Path, version: str, size: int) -> Path:
    """A release of a package of one module."""
    path = folder / f"toy_step-{version}-py3-none-any.whl"
    about = f"toy_step-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("toy_step.py", step(size))
        file.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: toy-step\nVersion: {version}\n"
        )
        file.writestr(
            f"{about}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr(f"{about}/RECORD", "")
    return path


@pytest.mark.slow
def test_two_releases_are_compared(tmp_path: Path) -> None:
    sides = [f"pip:{wheel(tmp_path, v, size)}" for v, size in (("1.0", 10_000), ("2.0", 20_000))]
    found = gr_bench.compare(*sides, calls=["toy_step:prepare"], budget="60s")
    (finding,) = found.findings
    assert finding.verdict == "slower"
    assert "toy_step-2.0" in found.head
    with pytest.raises(RequestError, match=r"head \(pip:.*nope"):
        gr_bench.compare(sides[0], "pip:./nope.whl", calls=["toy_step:prepare"])


# --- two steps of one checkout


def test_two_steps_are_timed_against_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "two.py").write_text(
        "def short():\n    return lambda: sum(range(20_000))\n\n"
        "def long():\n    return lambda: sum(range(40_000))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import two  # type: ignore[import-not-found]

    found = gr_bench.time_paired({"short": two.short, "long": f"{tmp_path / 'two.py'}:long"})
    (row,) = found.table.to_dict("records")
    assert row["name"] == "long / short"
    assert row["verdict"] == "slower"
    assert 1.5 < row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert row["base"] < row["head"]


def test_a_step_that_no_other_process_can_import_is_refused() -> None:
    with pytest.raises(RequestError, match="'a' cannot be imported by another process"):
        gr_bench.time_paired({"a": lambda: lambda: None, "b": "os:getpid"})
    with pytest.raises(RequestError, match="two steps are timed"):
        gr_bench.time_paired({"a": "os:getpid"})


# --- spelling


def test_calls_are_read() -> None:
    (one, two, three) = read_calls(
        ["a.b:f", "x=a:C.m", "some name=file.py:g"], device="cpu", threads=2
    )
    assert (one.label, one.module, one.function, one.file) == ("a.b:f", "a.b", "f", None)
    assert (two.label, two.module, two.function, two.threads) == ("x", "a", "C.m", 2)
    assert (three.id, three.name, three.module) == ("some_name", "some name", None)
    assert three.file == str(Path("file.py").resolve())
    (named,) = read_calls({"n": "a:f"}, device="cpu", threads=1)
    assert named.label == "n"


@pytest.mark.parametrize("text", ["", "a", "a:", ":f", "a b:f", "a:f()", "=a:f", "a..b:f", "a:1"])
def test_what_is_no_call_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="cannot read the call"):
        read_calls([text], device="cpu", threads=1)
