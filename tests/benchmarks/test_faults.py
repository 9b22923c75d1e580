"""The counting of faults: small ones are injected, and each wrong account is seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import faults  # noqa: E402
from gr_bench.experiments.record import Failure  # noqa: E402
from gr_bench.runs.store import JOURNAL, read_journal  # noqa: E402
from gr_bench.runs.suite import Suite  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Path]:
    home = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("PYTHONPATH", str(ROOT))
        only = ["raises", "os._exit", "floods its output"]
        suite = faults.breaking("generalization", "later", home, only)
        assert faults.run_here(suite, home / "run") == 2
        yield suite, home / "run"


def counts(suite: Suite, folder: Path, fault: str) -> tuple[int, int, int]:
    row = faults.accounts(suite, folder, "generalization")[fault]
    return row.lost, row.twice, row.hidden


def changed(folder: Path, to: Path, keep: list[str]) -> Path:
    """A run with other lines in its journal."""
    faults.small_copy(folder, to, "".join(f"{line}\n" for line in keep).encode())
    return to


def test_of_a_run_with_faults_nothing_is_lost_twice_or_hidden(run: tuple[Suite, Path]) -> None:
    rows = faults.accounts(*run, "generalization")
    assert {f: (r.lost, r.twice, r.hidden) for f, r in rows.items()} == dict.fromkeys(
        ("none", "raises", "os._exit", "floods its output"), (0, 0, 0)
    )
    assert rows["none"].outcome == {"measured": 2}
    assert rows["os._exit"].outcome == {"worker exited with code 7": 1}


def test_what_is_lost_twice_or_hidden_is_counted(run: tuple[Suite, Path], tmp_path: Path) -> None:
    suite, folder = run
    lines = (folder / JOURNAL).read_text().splitlines()
    records = read_journal(folder)
    raised = next(
        i for i, r in enumerate(records) if isinstance(r, Failure) and "raises" in r.cell.spec
    )
    sgd = next(i for i, r in enumerate(records) if r.cell.spec == "sgd")
    without = changed(folder, tmp_path / "without", lines[:raised] + lines[raised + 1 :])
    assert counts(suite, without, "raises") == (1, 0, 1)
    doubled = changed(folder, tmp_path / "doubled", [*lines, lines[sgd]])
    lost, twice, hidden = counts(suite, doubled, "none")
    assert (lost, hidden) == (0, 0)
    assert twice > 0


@pytest.mark.slow
def test_kills_cuts_and_flips_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    out, page = tmp_path / "out", tmp_path / "faults.md"
    parts = ("kills", "cuts", "flips")
    with pytest.raises(SystemExit) as end:
        faults.main([str(out), "--only", *parts, "--times", "2", "--page", str(page)])
    assert end.value.code == 0
    answers = json.loads((out / "faults.json").read_text())
    for part in parts:
        (row,) = answers[part]["rows"]
        assert (row["times"], row["lost"], row["twice"], row["hidden"]) == (2, 0, 0, 0)
    assert "SIGKILL of the run" in page.read_text()
