"""The verdicts of ordinary harnesses on pairs whose difference is known (``benchmarks.trust``).

    python -m benchmarks.ordinary OUT [--runs 20] [--only pytest-benchmark|asv]

Each run times SGD, and then SGD with extra work, as a team would after a commit: pytest-benchmark
with ``--benchmark-compare-fail`` on the median, ``asv continuous`` on two commits of a small
repository. Defaults everywhere but for the thresholds, which are half of what is to be found.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import gr_bench
from benchmarks.answers import read_answers, write_answers
from benchmarks.known_cost import BURDENS

CASES = {"equal": 0, **BURDENS}
THRESHOLDS = (0.005, 0.01)
PATHS = [str(Path(gr_bench.__file__).parents[1]), sysconfig.get_path("purelib")]

TEST = """
from benchmarks.known_cost import step
from subject import ROWS

def test_step(benchmark):
    benchmark(step(ROWS))
"""
BENCHMARK = """
from benchmarks.known_cost import step
from subject import ROWS

class Suite:
    def setup(self):
        self.step = step(ROWS)

    def time_step(self):
        self.step()
"""
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "subject"
version = "1"
[tool.setuptools]
py-modules = ["subject"]
"""
BORROW = """
import sysconfig
from pathlib import Path

Path(sysconfig.get_path("purelib"), "borrowed.pth").write_text({!r})
"""
"""Lets an environment of asv's see this one's packages: PyTorch is not installed once more."""

ASV: dict[str, Any] = {
    "version": 1,
    "project": "subject",
    "repo": ".",
    "branches": ["main"],
    "environment_type": "virtualenv",
    "pythons": [f"{sys.version_info.major}.{sys.version_info.minor}"],
    "build_command": [],
    "install_command": [
        "in-dir={env_dir} python -m pip install --no-build-isolation --no-deps {build_dir}",
        "in-dir={env_dir} python {build_dir}/borrow.py",
    ],
    "benchmark_dir": "benchmarks_of_subject",
    "env_dir": ".asv/env",
    "results_dir": ".asv/results",
}


def pytest_benchmark(folder: Path, rows: int) -> dict[str, Any]:
    """One comparison: the ratios of its statistics, and which thresholds it found exceeded."""
    (folder / "test_step.py").write_text(TEST)
    storage = folder / f"storage-{time.monotonic_ns()}"
    spent = 0.0
    exceeded = {}
    for name, burden, options in (
        ("base", 0, []),
        ("head", rows, ["--benchmark-compare", "--benchmark-compare-fail=median:1%"]),
    ):
        (folder / "subject.py").write_text(f"ROWS = {burden}\n")
        begin = time.monotonic()
        done = _run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_step.py"),
                *("--rootdir", str(folder), f"--benchmark-storage={storage}"),
                f"--benchmark-save={name}",
                *options,
            ],
            folder,
            allowed=(0, 1),
        )
        spent += time.monotonic() - begin
        if options:
            exceeded["0.01"] = done.returncode != 0
    base, head = (
        json.loads(next(storage.rglob(f"*_{name}.json")).read_text())["benchmarks"][0]["stats"]
        for name in ("base", "head")
    )
    ratios = {key: head[key] / base[key] for key in ("median", "min", "mean")}
    exceeded["0.005"] = ratios["median"] > 1.005  # the option takes whole per cents alone
    return {"ratio": ratios, "slower": exceeded, "seconds": spent}


def asv_continuous(folder: Path, rows: int) -> dict[str, Any]:
    """One comparison of two commits."""
    if not (folder / ".git").exists():
        _make_repository(folder)
    begin = time.monotonic()
    _run(
        [*_asv("continuous"), "--factor", str(1 + THRESHOLDS[0]), "base", f"rows-{rows}"],
        folder,
        allowed=(0, 1),
    )
    spent = time.monotonic() - begin
    slower = {}
    for threshold in THRESHOLDS:
        table = _run(
            [*_asv("compare"), "--factor", str(1 + threshold), "base", f"rows-{rows}"], folder
        )
        slower[str(threshold)] = bool(re.search(r"^\|\s*\+", table.stdout, re.MULTILINE))
    ratio = re.search(r"\|\s*~?([0-9.]+)\s*\|\s*bench", table.stdout)
    assert ratio is not None, table.stdout
    return {"ratio": {"median": float(ratio[1])}, "slower": slower, "seconds": spent}


def _asv(command: str) -> list[str]:
    return [sys.executable, "-m", "asv", command]


def _make_repository(folder: Path) -> None:
    """A repository with a commit ``base`` and one for every case, tagged ``rows-N``."""
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "borrow.py").write_text(BORROW.format("\n".join(PATHS)))
    (folder / ".gitignore").write_text(".asv\n")
    (folder / "asv.conf.json").write_text(json.dumps(ASV))
    suite = folder / ASV["benchmark_dir"]
    suite.mkdir()
    (suite / "__init__.py").touch()
    (suite / "bench.py").write_text(BENCHMARK)
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    _run([*git, "init", "-q", "-b", "main"], folder)
    for number, tag in enumerate(["base", *(f"rows-{rows}" for rows in CASES.values())]):
        rows = tag.partition("-")[2] or "0"
        (folder / "subject.py").write_text(f"ROWS = {rows}  # commit {number}\n")
        _run([*git, "add", "."], folder)
        _run([*git, "commit", "-q", "-m", tag], folder)
        _run([*git, "tag", tag], folder)
    _run([*_asv("machine"), "--yes"], folder)


def _run(
    command: list[str], folder: Path, allowed: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Run a command at one thread, with gr-bench and what it needs on the path."""
    path = os.pathsep.join([str(folder), *PATHS])
    changes = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | changes, capture_output=True, text=True
    )
    if done.returncode not in allowed:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done


def main() -> None:
    """Ask both harnesses about every case and write ``ordinary.json``."""
    harnesses = {"pytest-benchmark": pytest_benchmark, "asv": asv_continuous}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", choices=harnesses)
    arguments = parser.parse_args()
    file = arguments.out / "ordinary.json"
    answers = read_answers(file)
    for name, compare in harnesses.items():
        if arguments.only not in (None, name):
            continue
        folder = (arguments.out / name).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for case, rows in CASES.items():
            runs = []
            for number in range(arguments.runs):
                runs.append(compare(folder, rows))
                print(f"{name}, {case}: {number + 1}/{arguments.runs}", file=sys.stderr)
            answers.setdefault(name, {})[case] = _summary(runs)
            write_answers(file, answers)
    print(json.dumps(answers, indent=2))


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "runs": len(runs),
        "called_slower": {
            f"threshold {key}": sum(run["slower"][key] for run in runs) for key in runs[0]["slower"]
        },
        "ratios": {key: sorted(run["ratio"][key] for run in runs) for key in runs[0]["ratio"]},
        "seconds_a_run": sum(run["seconds"] for run in runs) / len(runs),
    }


if __name__ == "__main__":
    main()
