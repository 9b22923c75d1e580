"""``gr_bench.run``, ``load``, ``report`` and ``compare``, and what they import on the way."""

from __future__ import annotations

import doctest
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from synthetic import cost, counted, failed, run_of, timed, trained, training

import gr_bench
from gr_bench.errors import RequestError
from gr_bench.runs.results import Results
from gr_bench.runs.shipped import shipped

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
STORED = sorted(file.parent.name for file in RESULTS.glob("*/run.json"))

SLOW = ("torch", "numpy", "pandas", "matplotlib", "scipy", "rich")
"""What takes long to import, each by its own name."""

SEEN = f"import sys; print(sorted({set(SLOW)} & set(sys.modules)), file=sys.stderr)"
WITHOUT_PYTORCH = {
    f"dry run of {name}": ["run", name, "--dry-run"]
    for name in shipped()
    if name != "peers"  # it has methods of another package, which are tried
}
WITHOUT_ANY = {
    "list": (["list"], 0),
    "help": (["--help"], 0),
    "dry run of step costs": (["run", "quick", "--only", "step_cost", "--dry-run"], 0),
    "wrong suite": (["run", "quik"], 2),
    "wrong key": (["run", "quick", "--set", "step_cost.batchsizes=[1]"], 2),
    "wrong parameter": (["run", "quick", "--set", "step_cost.methods=['sgd', 'sam(roh=1)']"], 2),
    "nothing matches": (["run", "quick", "--only", "lenet"], 2),
    "another folder": (["run", "quick", "--out", "."], 2),
    "report of nothing": (["report", "nowhere"], 2),
    "claims of nothing": (["claims", "nowhere"], 2),
    "history of nothing": (["history", "nowhere", "neither"], 2),
    "short calibration": (["calibrate", "--budget", "1s"], 2),
    "short examination": (["doctor", "--budget", "1s"], 2),
    "no such device": (["calibrate", "--device", "gpu"], 2),
}


# --- PyTorch is imported when something is measured


def python(program: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def test_importing_the_package_imports_no_pytorch(tmp_path: Path) -> None:
    assert python(f"import gr_bench; {SEEN}", tmp_path).stderr == "[]\n"


def slow_imports(arguments: list[str], code: int, cwd: Path) -> str:
    """What a command has imported of :data:`SLOW` when it ends with that exit code."""
    (cwd / "a file").touch()
    program = (
        f"import sys; sys.argv = ['gr-bench', *{arguments!r}]\nimport gr_bench.cli\n"
        f"try: gr_bench.cli.main()\nfinally: {SEEN}"
    )
    ended = python(program, cwd)
    assert ended.returncode == code
    return ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", WITHOUT_PYTORCH)
def test_a_dry_run_imports_no_pytorch(tmp_path: Path, name: str) -> None:
    assert "torch" not in slow_imports(WITHOUT_PYTORCH[name], 0, tmp_path)


@pytest.mark.parametrize("name", WITHOUT_ANY)
def test_what_needs_none_of_it_imports_nothing_slow(tmp_path: Path, name: str) -> None:
    assert slow_imports(*WITHOUT_ANY[name], tmp_path) == "[]"


# --- the tables of a folder


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A run's folder with tables as new as its journal."""
    folder = run_of(
        tmp_path / "run",
        counted(cost()),
        timed(cost(), 0, [1.0, 1.1]),
        counted(cost("sam")),
        timed(cost("sam"), 0, [2.0, 2.1]),
        failed(cost("f-gr")),
        trained(training("sam"), train=(0.1, 1.0), test=(0.2, 0.9)),
    )
    Results(folder).write_parquet()
    return folder


def same_tables(one: Results, other: Results) -> None:
    assert {*one.tables} == {*other.tables}  # those that old files lack stand last
    assert list(one.experiments) == list(other.experiments)
    for name, table in one.tables.items():
        own = other.tables[name]
        # columns that a run of old has not stand last
        pd.testing.assert_frame_equal(table, own[[*table]], check_dtype=False)
        assert {*own} == {*table}


def from_journal(folder: Path) -> Results:
    """The tables as the journal has them, whatever else there is."""
    about = json.loads((folder / "run.json").read_text())
    alone = folder.parent / "journal alone"
    alone.mkdir()
    shutil.copy(folder / "journal.jsonl", alone)
    (alone / "run.json").write_text(json.dumps({k: v for k, v in about.items() if k != "tables"}))
    return gr_bench.load(alone)


def test_tables_are_the_same_by_either_road(written: Path) -> None:
    same_tables(gr_bench.load(written), from_journal(written))


def test_tables_as_new_as_the_journal_are_read_without_it(written: Path) -> None:
    """Of a journal of the same length that holds nothing but nonsense, none is noticed."""
    expected = gr_bench.load(written)
    journal = written / "journal.jsonl"
    journal.write_bytes(b"x" * journal.stat().st_size)
    same_tables(gr_bench.load(written), expected)


def test_a_journal_that_has_grown_is_read(written: Path) -> None:
    assert len(gr_bench.load(written).generalization) == 1
    run_of(written, trained(training("f-gr"), train=(0.1, 1.0), test=(0.2, 0.9)))
    assert set(gr_bench.load(written).generalization["method"]) == {"sam", "f-gr"}


def test_a_run_that_has_lost_its_journal_has_its_tables(written: Path) -> None:
    expected = gr_bench.load(written)
    about = json.loads((written / "run.json").read_text())
    about["suite"] = {"step_cost": [{}], "generalization": [{}]}
    (written / "run.json").write_text(json.dumps(about))
    (written / "journal.jsonl").unlink()
    found = gr_bench.load(written)
    assert set(found.tables) == set(expected.tables)
    assert set(found.experiments) == set(expected.experiments)
    for name, table in expected.tables.items():
        pd.testing.assert_frame_equal(table, found.tables[name], check_dtype=False)


def compress(folder: Path) -> bytes:
    """Replace a folder's journal by its compressed form, which is returned."""
    text = gzip.compress((folder / "journal.jsonl").read_bytes())
    (folder / "journal.jsonl").unlink()
    (folder / "journal.jsonl.gz").write_bytes(text)
    return text


def test_a_compressed_journal_has_the_same_tables(written: Path) -> None:
    expected = from_journal(written)
    compress(written)
    for file in written.glob("*.parquet"):
        file.unlink()
    about = json.loads((written / "run.json").read_text())
    del about["tables"]
    (written / "run.json").write_text(json.dumps(about))
    same_tables(gr_bench.load(written), expected)


def test_tables_as_new_as_a_compressed_journal_are_read_without_it(written: Path) -> None:
    """Its last four bytes say how long it was, and nothing else of it is looked at."""
    expected = gr_bench.load(written)
    text = compress(written)
    (written / "journal.jsonl.gz").write_bytes(b"nonsense" + text[-4:])
    same_tables(gr_bench.load(written), expected)


def test_a_run_shows_what_it_has(written: Path) -> None:
    text = repr(gr_bench.load(written))
    assert "'synthetic'" in text
    assert "(1 failed)" in text
    for name, table in gr_bench.load(written).tables.items():
        assert any(line.split() == [name, str(len(table)), "rows"] for line in text.splitlines())


@pytest.mark.parametrize("name", STORED)
def test_the_tables_of_a_run_that_is_kept_are_read_without_its_journal(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gr_bench.runs.results.read_journal", None)
    assert gr_bench.load(RESULTS / name).experiments


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "generalization-cpu" else [])
        for name in STORED
    ],
)
def test_the_journal_of_a_run_that_is_kept_gives_the_tables_that_are_kept(
    tmp_path: Path, name: str
) -> None:
    """Read as if there were no tables, and whichever version wrote it."""
    kept = RESULTS / name
    for file in kept.glob("journal.jsonl*"):
        shutil.copy(file, tmp_path)
    about = json.loads((kept / "run.json").read_text())
    del about["tables"]
    (tmp_path / "run.json").write_text(json.dumps(about))
    same_tables(gr_bench.load(tmp_path), gr_bench.load(kept))


def test_every_folder_of_results_is_listed() -> None:
    listed = (RESULTS / "README.md").read_text()
    folders = [folder.name for folder in RESULTS.iterdir() if folder.is_dir()]
    assert [name for name in folders if f"| `{name}` |" not in listed] == []


# --- the examples of the docstrings


@pytest.mark.slow
def test_examples_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for function in (gr_bench.run, gr_bench.load, gr_bench.report, gr_bench.compare):
        (example,) = finder.find(function, function.__name__, globs={})
        assert example.examples
        said: list[str] = []
        assert runner.run(example, out=said.append).failed == 0, "".join(said)


def test_a_wrong_value_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    suite = {
        "title": "negative",
        "step_cost": [
            {
                "methods": ["sgd", "f-gr(gamma=-1)"],
                "models": ["mlp(depth=1)"],
                "datasets": ["digits"],
                "batch_sizes": [8],
            }
        ],
    }
    with pytest.raises(RequestError, match="gamma"):
        gr_bench.run(suite, tmp_path / "run")
    assert not os.path.exists(tmp_path / "run")
