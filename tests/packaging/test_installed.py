"""The wheel, installed as a user has it, without this repository beside it.

The packages that gr-bench needs are those of the tests: a new environment sees them through a
``.pth`` file, so that PyTorch is not installed for a test.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from sources import Built

pytestmark = pytest.mark.slow

TYPED = """
import pandas
import gr_bench
from gr_bench.methods import ForwardGR

method = ForwardGR(gamma=0.1, epsilon=0.05)
run = gr_bench.load("runs/quick")
table: pandas.DataFrame = run.step_cost
"""
MISTYPED = """
import gr_bench
from gr_bench.methods import ForwardGR

method = ForwardGR(gamma="much", epsilon=0.05)
version: int = gr_bench.__version__
gr_bench.load(3.5)
"""


class User:
    """Somebody with an environment and a folder of their own."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "venv", with_pip=True)
        self.folder = folder
        self.programs = folder / "venv/bin"
        (packages,) = (folder / "venv/lib").glob("python*/site-packages")
        paths = [path for path in sys.path if Path(path).name == "site-packages"]
        (packages / "those_of_the_tests.pth").write_text("\n".join(paths) + "\n")

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """A program of the environment's, in the user's folder."""
        found = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        return subprocess.run(
            [self.programs / command[0], *command[1:]],
            cwd=self.folder,
            env=found,
            capture_output=True,
            text=True,
            timeout=280,
        )


@pytest.fixture(scope="module")
def user(built: Built, tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user with the wheel installed."""
    user = User(tmp_path_factory.mktemp("user"))
    ended = user.run("pip", "install", "--no-deps", "--no-index", "--quiet", built.wheel)
    assert ended.returncode == 0, ended.stderr
    return user


def test_the_installed_program_knows_its_version_and_is_not_this_checkout(user: User) -> None:
    ended = user.run("gr-bench", "--version")
    assert (ended.returncode, ended.stdout) == (0, "gr-bench 9.8.7\n")
    where = user.run("python", "-c", "import gr_bench; print(gr_bench.__file__)").stdout
    assert Path(where.strip()).is_relative_to(user.folder)


def test_a_suite_runs_and_its_report_is_written_from_the_installed_package(user: User) -> None:
    small = ("--set", "step_cost.seconds_per_block=0.05", "--only", "*f-gr*")
    ended = user.run("gr-bench", "run", "smoke", *small, "--out", "mine", "--report")
    assert ended.returncode == 0, ended.stderr
    assert "9.8.7" in (user.folder / "mine/report/report.html").read_text()
    assert list((user.folder / "mine/report/figures").glob("*.svg"))
    ended = user.run("gr-bench", "claims", "mine", "--out", "judged")
    assert ended.returncode == 0, ended.stderr


def test_a_users_mypy_reads_the_types_and_finds_what_is_wrong(user: User) -> None:
    (user.folder / "typed.py").write_text(TYPED)
    (user.folder / "mistyped.py").write_text(MISTYPED)

    def checked(file: str) -> tuple[int, str]:
        ended = user.run("python", "-m", "mypy", "--strict", "--ignore-missing-imports", file)
        return ended.returncode, ended.stdout + ended.stderr

    code, said = checked("typed.py")
    assert code == 0, said
    code, said = checked("mistyped.py")
    assert code == 1
    for line in (5, 6, 7):
        assert f"mistyped.py:{line}: error" in said, said
