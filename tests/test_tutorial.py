"""The tutorial, followed word by word: files are written, blocks of shell and Python are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import gr_bench

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
INSTALL = "install"
"""The title of the one block that is not run: the test has what it would install."""


@dataclass(frozen=True)
class Block:
    language: str
    title: str
    text: str


def blocks() -> list[Block]:
    return [Block(*found.groups(default="")) for found in BLOCK.finditer(PAGE.read_text())]


def run(block: Block, folder: Path) -> str:
    """The output of a block; an error in any of its lines fails the test."""
    programs = Path(sys.executable).parent
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    here = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    variables = os.environ | {"PATH": path, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"}
    command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    ended = subprocess.run(
        [*command[block.language], block.text],
        cwd=folder,
        capture_output=True,
        text=True,
        env=variables,
        check=False,
    )
    assert ended.returncode == 0, f"{block.text}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def test_every_block_is_a_file_or_can_be_run() -> None:
    fences = [line for line in PAGE.read_text().splitlines() if line.startswith("```")]
    assert len(fences) == 2 * len(blocks())
    for block in blocks():
        assert block.language in ("sh", "python") or block.title, block
    assert [block.language for block in blocks() if block.title == INSTALL] == ["sh"]


def test_the_one_block_that_is_not_run_names_what_is_there() -> None:
    (install,) = [block.text for block in blocks() if block.title == INSTALL]
    assert (ROOT / "constraints.txt").is_file() and "--constraint constraints.txt" in install
    (address,) = re.findall(r"https://\S+", install)
    assert f'"{address}"' in (ROOT / "pyproject.toml").read_text()


def test_no_number_that_was_measured_stands_in_it() -> None:
    prose = BLOCK.sub("", PAGE.read_text())
    assert re.findall(r"\d+\.\d+ \[|\d+(?:\.\d+)? (?:ms|points)\b", prose) == []


@pytest.mark.slow
@pytest.mark.timeout(900)  # two budgets of a minute, and more beside other work
def test_the_tutorial_works_as_it_stands(tmp_path: Path) -> None:
    said = {}
    for block in blocks():
        if block.title == INSTALL:
            continue
        if block.title:
            (tmp_path / block.title).write_text(block.text)
        else:
            said[block.text.splitlines()[0]] = run(block, tmp_path)
    assert "sgd (control)" in said["gr-bench run my.toml --dry-run"]
    assert "time_ratio_high" in said["python ratios.py runs/my"]
    assert "verdict" in said["import gr_bench"]
    assert " finding" not in said["gr-bench check centred.py:Centred"].splitlines()[-1]
    for name in ("my", "own"):
        assert (tmp_path / "runs" / name / "report" / "report.html").stat().st_size
        assert not len(gr_bench.load(tmp_path / "runs" / name).failures)
    own = gr_bench.load(tmp_path / "runs" / "own")
    assert "Centred" in set(own.step_cost["method"])
    assert set(own.generalization["strength"].dropna()) == {0.5, 1.0}


@pytest.mark.slow
def test_the_fault_that_the_tutorial_plants_is_found(tmp_path: Path) -> None:
    (method,) = [block.text for block in blocks() if block.title == "centred.py"]
    (line,) = re.findall(r"Add `(.+?)` to the last loop", PAGE.read_text())
    broken = method.replace("        return", f"            {line}\n        return")
    (tmp_path / "centred.py").write_text(broken)
    with pytest.raises(AssertionError, match=r"finding\s+parameters"):
        run(Block("sh", "", "gr-bench check centred.py:Centred"), tmp_path)
