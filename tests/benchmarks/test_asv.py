"""The asv suite's reading of results, and the importer of stored runs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic import counted, run_of, timed

from gr_bench.errors import RequestError
from gr_bench.experiments.lines import with_checksum

pytest.importorskip("asv")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from asv.results import Results  # noqa: E402

from benchmarks.asv_suite import generalization, step_cost  # noqa: E402
from benchmarks.asv_suite.blocks import (  # noqa: E402
    BATCH_SIZES,
    METHODS,
    MODELS,
    block,
    measured,
    number,
)
from benchmarks.importer import COLUMNS, KEYS, imported  # noqa: E402

MODEL = MODELS[0]
RATIOS = dict(zip(METHODS, (1.0, 2.1, 2.0, 1.9, 3.0), strict=True))


def head() -> str:
    told = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True
    )
    if told.returncode:
        pytest.skip("not a checkout")
    return told.stdout.strip()


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite's runs, which asv keeps in the system's folder, are removed with the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """asv's folder, with its list of benchmarks."""
    folder = tmp_path / "results"
    folder.mkdir()
    params = [[repr(value) for value in values] for values in (MODELS, BATCH_SIZES, METHODS)]
    listed = {
        f"step_cost.StepCost.{name}": {
            "name": f"step_cost.StepCost.{name}",
            "params": params,
            "version": "1",
        }
        for name in COLUMNS
    }
    listed["plain.Step.time_step"] = {"name": "plain.Step.time_step", "params": [], "version": "1"}
    (folder / "benchmarks.json").write_text(json.dumps(listed))
    return folder


def stored(folder: Path, **git: Any) -> Path:
    """A run of one of the suite's blocks, at a commit."""
    records = []
    for method, cell in zip(METHODS, block(MODEL, 128), strict=True):
        records.append(counted(cell, flops=int(100 * RATIOS[method]), peak=1000))
        records += [timed(cell, k, [1e-3 * RATIOS[method]] * 5) for k in range(3)]
    control = replace(block(MODEL, 128)[0], control=True)
    records += [timed(control, k, [1.5e-3] * 5) for k in range(3)]
    run = run_of(folder, *records)
    about = json.loads((run / "run.json").read_text())
    about["environment"]["git"] = {"commit": head(), "dirty": False} | git
    about["started"] = "2026-01-02T03:04:05+00:00"
    (run / "run.json").write_text(json.dumps(about))
    return run


def test_a_run_becomes_a_file_that_asv_reads(tmp_path: Path, results: Path) -> None:
    path = imported(stored(tmp_path / "run"), results)
    assert json.loads((path.parent / "machine.json").read_text())["machine"] == path.parent.name
    found = Results.load(str(path), machine_name=path.parent.name)
    assert found.commit_hash == head()
    listed = json.loads((results / "benchmarks.json").read_text())
    assert set(found.get_all_result_keys()) == {key for key in listed if "track" in key}
    params = listed["step_cost.StepCost.track_flops"]["params"]
    values = found.get_result_value("step_cost.StepCost.track_time_ratio", params)
    for key, value in zip(KEYS, values, strict=True):
        if key[:2] == (MODEL, 128):
            assert value == pytest.approx(RATIOS[str(key[2])])
        else:
            assert math.isnan(value)
    milliseconds = found.get_result_value("step_cost.StepCost.track_step_time_ms", params)
    assert [v for v in milliseconds if v == v] == pytest.approx(list(RATIOS.values()))


def test_what_has_no_place_in_a_history_is_refused(tmp_path: Path, results: Path) -> None:
    with pytest.raises(RequestError, match="its checkout had changes"):
        imported(stored(tmp_path / "dirty", dirty=True), results)
    with pytest.raises(RequestError, match="commit 00000000 is not in this repository"):
        imported(stored(tmp_path / "lost", commit="0" * 40), results)
    other = stored(tmp_path / "other")
    journal = other / "journal.jsonl"
    lines = journal.read_text().replace("digits", "mnist1d").splitlines()
    bare = ["{" + line.partition(", ")[2] for line in lines]  # without the checksums
    journal.write_text("".join(with_checksum(line) + "\n" for line in bare))
    with pytest.raises(RequestError, match="has no cell of the suite"):
        imported(other, results)
    (results / "benchmarks.json").unlink()
    with pytest.raises(RequestError, match="just-discover"):
        imported(stored(tmp_path / "unlisted"), results)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_value_that_asv_cannot_compare_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="no finite number > 0"):
        number({("sgd",): {"gap_loss": value}}, ("sgd",), "gap_loss")


SMALL = {"models": ["mlp(depth=2, width=8)"], "batch_sizes": [32]}


def shrunk(suite: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """A suite with its one grid made small."""
    (name,) = suite.keys() - {"title"}
    return {"title": "Small", name: [suite[name][0] | SMALL | settings]}


@pytest.mark.slow
def test_step_cost_gives_a_value_for_every_method(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"replicates": 2, "most_replicates": 2, "seconds_per_block": 0.05}
    monkeypatch.setattr(step_cost, "SUITE", shrunk(step_cost.SUITE, **settings))
    suite = step_cost.StepCost()
    values = suite.setup_cache()
    keys = [(SMALL["models"][0], 32, method) for method in METHODS]
    assert sorted(values) == sorted(keys)
    for name in COLUMNS:
        assert all(getattr(suite, name)(values, *key) > 0 for key in keys)
    assert suite.track_time_ratio(values, *keys[0]) == 1
    flops = [suite.track_flops(values, *key) for key in keys]
    assert flops[1] == flops[2] == flops[3] == 2 * flops[0]


@pytest.mark.slow
def test_generalization_gives_a_mean_for_every_method(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"epochs": 1, "seeds": [0]}
    monkeypatch.setattr(generalization, "SUITE", shrunk(generalization.SUITE, **settings))
    values = generalization.Generalization().setup_cache()
    assert sorted(values) == sorted((method,) for method in METHODS)
    assert all(0 < row["test_error"] < 1 for row in values.values())


def test_a_failed_cell_of_a_suite_is_an_error() -> None:
    grid = SMALL | {"methods": ["plugged:Raises"], "datasets": ["digits"], "epochs": 1}
    with pytest.raises(RuntimeError, match="RuntimeError: <b>no</b> such"):
        measured({"title": "Fails", "generalization": [grid | {"seeds": [0]}]})


def test_the_suite_needs_nothing_beside_gr_bench() -> None:
    """In an environment of asv's own there is neither asv nor pytest."""
    program = """
import importlib, pkgutil, sys
for missing in ("asv", "pytest", "benchmarks"):
    sys.modules[missing] = None
import asv_suite
names = [module.name for module in pkgutil.iter_modules(asv_suite.__path__)]
for name in names:
    importlib.import_module(f"asv_suite.{name}")
print(len(names))
"""
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "benchmarks", capture_output=True, text=True
    )
    assert told.stdout.strip() == "4", told.stderr
