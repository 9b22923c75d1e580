"""The page on methods, models, data and optimizers of one's own, followed word by word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gr_bench

PAGE = Path(__file__).parent.parent / "docs" / "your-own.md"
BLOCK = re.compile(r"```(python|toml|sh)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"`([\w.]+\.(?:py|toml))`")


def blocks() -> list[tuple[str, str, str | None]]:
    """Every block of code with its language and the file that the text before it names last."""
    text, found, last = PAGE.read_text(), [], 0
    for block in BLOCK.finditer(text):
        names = FILE.findall(text[last : block.start()])
        found.append((block[1], block[2], names[-1] if names else None))
        last = block.end()
    return found


def run(command: list[str], folder: Path) -> str:
    programs = Path(sys.executable).parent
    variables = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=variables, check=False
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def test_the_method_is_as_short_as_promised() -> None:
    (method,) = [text for _, text, file in blocks() if file == "my_method.py"]
    assert len(method.splitlines()) <= 25


@pytest.mark.slow
def test_the_page_works_as_it_stands(tmp_path: Path) -> None:
    said = {}
    for language, text, file in blocks():
        if language == "sh":
            for line in text.splitlines():
                said[line] = run(line.split(), tmp_path)
        elif language == "python" and "gr_bench.load" in text:
            said["python"] = run([sys.executable, "-c", text], tmp_path)
        else:
            assert file is not None
            (tmp_path / file).write_text(text)
    assert "Lookback" in said["gr-bench plan mine.toml"]
    assert " finding" not in said["gr-bench check my_method.py:Lookback"].splitlines()[-1]
    assert "Lookback" in said["python"]
    results = gr_bench.load(tmp_path / "mine")
    assert not len(results.failures)
    cost = results.step_cost
    assert set(cost["method"]) == {"sgd", "sam", "f-gr", "Lookback", "late(sam)"}
    assert set(cost["optimizer"]) == {"sgd", "RMSprop"}
    (beta,) = set(cost[cost["method"] == "Lookback"]["beta"])
    assert beta == 0.9
    trained = results.generalization
    assert set(trained[trained["method"] == "Lookback"]["rho"]) == {0.05, 0.1}
    assert set(trained["baseline"]) == {"sam(rho=0.05)"}
    html = (tmp_path / "mine" / "report" / "report.html").read_text()
    assert "Lookback" in html
    for figure in (tmp_path / "mine" / "report").rglob("step-cost*.svg"):
        assert "Lookback" in figure.read_text()
