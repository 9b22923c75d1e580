from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import Warm

import gr_bench
from gr_bench.cli import app
from gr_bench.experiments import all_experiments
from gr_bench.registry import DATASETS, METHODS, MODELS, OPTIMIZERS
from gr_bench.runs.shipped import shipped

SUITE = """
title = "One training"
[[generalization]]
methods = ["sgd"]
models = ["mlp(depth=1)"]
datasets = ["random(shape=(2,), samples=8)"]
batch_sizes = [4]
epochs = 1
seeds = [0]
"""
LISTS = {
    "methods": METHODS,
    "optimizers": OPTIMIZERS,
    "models": MODELS,
    "datasets": DATASETS,
    "experiments": all_experiments(),
    "suites": shipped(),
}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "one.toml"
    path.write_text(SUITE)
    return path


# --- help


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--help",
        *(f"{name} {'-h' if n % 2 else '--help'}" for n, name in enumerate(app.commands)),
    ],
)
def test_help_has_examples_and_fits_a_terminal(command: Warm, arguments: str) -> None:
    ended = command(*arguments.split())
    assert (ended.code, ended.err) == (0, "")
    assert "Example" in ended.out
    assert "gr-bench" in ended.out
    assert [line for line in ended.out.splitlines() if len(line) > 80] == []


def test_what_there_is_fits_a_terminal_and_is_a_line_each_for_programs(command: Warm) -> None:
    ended = command("list")
    assert [line for line in ended.out.splitlines() if len(line) > 80] == []
    names = [line.partition("\t")[0] for line in command("list", "methods").out.splitlines()]
    assert "single-step-sam" in names
    assert all(f"  {name}" in ended.out for name in names)


def test_help_does_not_wait_for_pytorch() -> None:
    """Nothing that takes long to import is imported before a command runs."""
    probe = (
        "import sys, gr_bench.cli\n"
        "sys.argv = ['gr-bench', 'run', '--help']\n"
        "try: gr_bench.cli.main()\n"
        "finally: print({'torch', 'numpy', 'pandas'} & set(sys.modules), file=sys.stderr)"
    )
    ended = python("-c", probe)
    assert ended.stderr == "set()\n"


def test_python_m_gr_bench_and_the_installed_command_print_the_version() -> None:
    expected = f"gr-bench {gr_bench.__version__}\n"
    assert python("-m", "gr_bench", "--version").stdout == expected
    script = Path(sys.executable).with_name("gr-bench")
    ended = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, expected)


# --- list


@pytest.mark.parametrize("kind", LISTS)
def test_list_of_one_kind_is_a_name_and_a_line_about_it(command: Warm, kind: str) -> None:
    ended = command("list", kind)
    assert (ended.code, ended.err) == (0, "")
    rows = [line.split("\t") for line in ended.out.splitlines()]
    assert [row[0] for row in rows] == list(LISTS[kind])
    assert all(len(row) == 2 and row[1] for row in rows)


def test_list_of_everything_has_every_name(command: Warm) -> None:
    lines = command("list").out.splitlines()
    for kind, names in LISTS.items():
        assert f"{kind}:" in lines
        assert {line.split()[0] for line in lines} >= set(names)


def test_a_reader_that_stops_early_ends_the_list_quietly() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gr_bench", "list", "methods"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == -signal.SIGPIPE


# --- run


def test_dry_run_prints_the_cells_and_measures_nothing(command: Warm, suite: Path) -> None:
    seeds = "generalization.seeds=[3, 4]"
    ended = command("run", suite, "--dry-run", "--set", seeds, cwd=suite.parent)
    assert (ended.code, ended.err) == (0, "")
    assert [line[-6:] for line in ended.out.splitlines()] == ["seed 3", "seed 4"]
    assert list(suite.parent.iterdir()) == [suite]


def test_run_prints_the_folder_alone_and_its_progress_beside(command: Warm, suite: Path) -> None:
    first = command("run", suite, cwd=suite.parent)
    assert (first.code, first.out) == (0, "runs/one\n")
    assert "1/1" in first.err
    assert "next: gr-bench report runs/one" in first.err
    assert (suite.parent / "runs/one/generalization.parquet").exists()

    again = command("run", suite, cwd=suite.parent)
    assert (again.code, again.out) == (0, "runs/one\n")
    assert "everything is already measured; --fresh starts over" in again.err

    other = command("run", suite, "--set", "generalization.epochs=2", cwd=suite.parent)
    assert other.code == 2
    assert "holds another run" in other.err


def test_a_plug_in_in_the_working_directory_is_found(command: Warm, tmp_path: Path) -> None:
    (tmp_path / "mine_alone.py").write_text("from plugged import Plain\n")
    (tmp_path / "suite.toml").write_text(SUITE.replace('"sgd"', '"mine_alone:Plain"'))
    ended = subprocess.run(
        [Path(sys.executable).with_name("gr-bench"), "run", "suite.toml", "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = f"runs code of its own: mine_alone in {tmp_path}\n"
    assert (ended.returncode, ended.stderr) == (0, said)
    assert "/ plain(gamma=0.5) /" in ended.stdout


def test_no_plugins_refuses_code_of_the_suites_own(command: Warm, tmp_path: Path) -> None:
    (tmp_path / "mine_alone.py").write_text("open('imported', 'w')\n")
    (tmp_path / "suite.toml").write_text(SUITE.replace('"sgd"', '"mine_alone:Plain"'))
    for name in ("run", "plan"):
        ended = command(name, "suite.toml", "--no-plugins", cwd=tmp_path)
        assert ended.code == 2
        assert len(ended.err.splitlines()) == 1 and "--no-plugins refuses" in ended.err
    assert not (tmp_path / "imported").exists()


# --- plan


def test_plan_tells_what_a_suite_takes_and_runs_nothing(command: Warm, suite: Path) -> None:
    on_gpu = ("--set", "generalization.device=cuda", "--device-memory", "8GB")
    ended = command("plan", suite, *on_gpu, cwd=suite.parent)
    assert (ended.code, ended.err) == (0, "")
    assert "Total: 1 cell" in ended.out and "assumed" in ended.out
    document = json.loads(command("plan", suite, *on_gpu, "--json", cwd=suite.parent).out)
    assert [row["fits"] for row in document["cells"]] == [{"8GB": "yes"}]
    assert list(suite.parent.iterdir()) == [suite]


# --- wrong requests

NEGATIVE = "step_cost.methods=['sgd', 'f-gr(gamma=-1)']"
BAD = {
    "unknown command": (["rnu"], "rnu"),
    "unknown option": (["run", "smoke", "--fast"], "--fast"),
    "missing argument": (["run"], "SUITE"),
    "unknown list": (["list", "method"], "did you mean 'methods'?"),
    "misspelt suite": (["run", "smok"], "did you mean 'smoke'?"),
    "missing file": (["run", "missing.toml"], "No such file"),
    "folder": (["run", "folder.toml"], "Is a directory"),
    "binary file": (["run", "binary.toml"], "not a text file"),
    "invalid TOML": (["run", "invalid.toml"], "not valid TOML"),
    "wrong key": (["run", "key.toml"], "did you mean 'methods'?"),
    "bad --set": (["run", "smoke", "--set", "step_cost"], "write key=value"),
    "wrong type": (["run", "smoke", "--set", "step_cost.batch_sizes=32"], "not 32"),
    "unknown method": (["run", "smoke", "--set", "step_cost.methods=['sdg']"], "'sgd'?"),
    "negative gamma": (["run", "smoke", "--set", NEGATIVE], ">= 0"),
    "broken plug-in": (["run", "smoke", "--set", "step_cost.methods=['a:b']"], "imported"),
    "value on two lines": (["run", "smoke", "--set", "step_cost.models=['mlp\n(x']"], "mlp"),
    "--only without a match": (["run", "smoke", "--only", "resnet"], "matches 'resnet'"),
    "unknown optimizer": (
        ["run", "smoke", "--set", "step_cost.optimizers=['adamwww']"],
        "no optimizer 'adamwww': did you mean 'adamw'?",
    ),
    "unknown device": (["run", "smoke", "--device", "gpu"], "use cpu, cuda or cuda:N"),
    "device that is not here": (["run", "smoke", "--device", "cuda:99"], "use cpu"),
    "folder of something else": (["run", "smoke", "--out", "."], "not a run's"),
    "folder that cannot be": (["run", "smoke", "--out", "binary.toml/x"], "cannot write"),
    "device that calibrate does not know": (["calibrate", "--device", "gpu"], "use cpu, cuda or"),
    "device that calibrate has not": (["calibrate", "--device", "cuda:99"], "is not here"),
    "device for stored runs": (
        ["compare", "a", "b", "--device", "cpu"],
        "by what they have stored",
    ),
    "budget that is no time": (["calibrate", "--budget", "soon"], "write it as 90s, 2m or 1h"),
    "budget too short to calibrate": (["calibrate", "--budget", "1s"], "at least --budget 20s"),
    "budget too short for studies": (
        ["calibrate", "--generalization", "--budget", "1s"],
        "nothing can be said of studies in 1s",
    ),
    "no method to check": (["check"], "give a METHOD, or --all"),
    "a method and all": (["check", "sam", "--all"], "give a METHOD, or --all"),
    "no such method to check": (["check", "smm"], "did you mean 'sam'?"),
    "no such model to check on": (["check", "sam", "--model", "nlp"], "did you mean"),
    "a model that takes no images": (
        ["check", "sam", "--model", "char-transformer"],
        "char-transformer",
    ),
    "budget too short to check": (["doctor", "--budget", "1s"], "at least --budget 5s"),
    "no such device to check": (["doctor", "--device", "gpu"], "use cpu, cuda or cuda:N"),
    "run's budget that is no time": (["run", "smoke", "--budget", "-1s"], "write it as 90s"),
    "plan of no suite": (["plan", "smok"], "did you mean 'smoke'?"),
    "plan for no memory": (["plan", "smoke", "--device-memory", "much"], "24GB, 24GiB or 800MB"),
    "plan by no run": (["plan", "smoke", "--rates", "nowhere"], "not a run's folder"),
    "claims of nothing": (["claims", "nowhere"], "not a run's folder"),
    "report of nothing": (["report", "nowhere"], "not a run's folder"),
    "report of something else": (["report", "."], "not a run's folder"),
    "unknown format": (["report", ".", "--format", "htm"], "did you mean 'html'?"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_request_ends_in_one_line_and_exit_code_2(
    command: Warm, tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "invalid.toml").write_text("title =")
    (tmp_path / "key.toml").write_text("title = 'x'\n[[step_cost]]\nmetods = ['sgd']\n")
    arguments, reason = BAD[name]
    ended = command(*arguments, cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("gr-bench: ")
    assert ended.err.count("\n") == 1
    assert reason in ended.err
    assert "Traceback" not in ended.err
