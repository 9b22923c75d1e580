"""The page on experiments and meters of one's own, followed word by word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gr_bench

PAGE = Path(__file__).parent.parent / "docs" / "own-experiment.md"
BLOCK = re.compile(r"```(python|toml|sh)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"`(\w+\.(?:py|toml))`")


def run(command: list[str], folder: Path) -> str:
    programs = Path(sys.executable).parent
    variables = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=variables, check=False
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.mark.slow
def test_the_page_works_as_it_stands(tmp_path: Path) -> None:
    text, last, said = PAGE.read_text(), 0, {}
    for block in BLOCK.finditer(text):
        names = FILE.findall(text[last : block.start()])
        last = block.end()
        if block[1] == "sh":
            for line in block[2].splitlines():
                said[line] = run(line.split(), tmp_path)
        elif "gr_bench.load" in block[2]:
            said["python"] = run([sys.executable, "-c", block[2]], tmp_path)
        else:
            (tmp_path / names[-1]).write_text(block[2])
    results = gr_bench.load(tmp_path / "questions")
    assert not len(results.failures)
    angles = results.angles
    assert len(angles) == 4 * 2
    assert angles[angles["method"] == "sgd"]["cosine"].round(6).eq(1).all()
    assert angles[angles["rho"] == 0.5]["cosine"].lt(1).all()
    trained = results.generalization
    assert trained["calibration_ece"].between(0, 1).all()
    assert trained["calibration_confidence"].between(0.1, 1).all()
    page = (tmp_path / "questions" / "report" / "report.md").read_text()
    assert "How far is the direction from the gradient?" in page
    assert "angles" in said["python"] or "cosine" in said["python"]
