"""The start-up times: what they are the times of, and what becomes of them."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from gr_bench import registry
from gr_bench.timing.step import build_step

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import first_step, starts  # noqa: E402


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from the repository's folder, where the module is run."""
    monkeypatch.chdir(ROOT)


def test_a_ratio_is_paired_by_round_and_a_median_is_not_moved_by_one_slow_round() -> None:
    load = [1.0, 1.0, 8.0, 1.0, 2.0]
    factors = {"pass": 0.02, "import torch": 2.0, "first step": 2.5, "list": 0.1}
    factors["wrong request"] = 0.08
    found = starts.summary({name: [f * x for x in load] for name, f in factors.items()})
    assert found["median_s"] == pytest.approx(factors)
    ratios = {name: ratio["center"] for name, ratio in found["ratios"].items()}
    expected = {
        "import torch / pass": 100,
        "list / pass": 5,
        "wrong request / pass": 4,
        "first step / import torch": 1.25,
    }
    assert ratios == pytest.approx(expected)
    assert all(r["low"] == pytest.approx(r["high"]) for r in found["ratios"].values())


def test_the_second_step_of_a_process_tells_when_it_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_step, "STEPS", count())
    step = build_step(starts.CELL, registry)
    step()
    assert capsys.readouterr().out == ""
    begin = time.monotonic()
    step()
    assert begin < float(capsys.readouterr().out) < time.monotonic()
    step()
    assert capsys.readouterr().out == ""


PRINTS_ONCE = """
from dataclasses import dataclass
from gr_bench.methods import SGD

@dataclass(frozen=True)
class PrintsOnce(SGD):
    def backward(self, loss_fn, params):
        if not vars(type(self)).get("printed"):
            type(self).printed = True
            print(1e9)
        return super().backward(loss_fn, params)
"""


def test_the_printed_time_is_counted_from_the_start_of_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prints_once.py").write_text(PRINTS_ONCE)
    paths = (str(tmp_path), os.environ["PYTHONPATH"])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    spec = "prints_once:PrintsOnce"
    monkeypatch.setattr(starts, "CELL", replace(starts.CELL, spec=spec, baseline=spec))
    before = time.monotonic()
    spent_s = starts.first_step_s()
    assert before < 1e9 - spent_s < time.monotonic()


def test_a_worker_that_prints_no_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "CELL", replace(starts.CELL, spec="sgd", baseline="sgd"))
    with pytest.raises(RuntimeError, match="no first step"):
        starts.first_step_s()


def test_a_process_that_ends_otherwise_than_expected_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"ended with 3, not 0: .*spoken"):
        starts.command_s("-c", "print('spoken'); raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="ended with 0, not 2"):
        starts.command_s("-c", "pass", exit_code=2)


def test_every_start_is_measured_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def start(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    names = ("a", "b", "c")
    monkeypatch.setattr(starts, "STARTS", {name: lambda name=name: start(name) for name in names})
    samples = starts.measure(rounds=4)
    assert calls[:3] == list(names)  # not counted
    assert {name: len(own.elapsed_s) for name, own in samples.items()} == dict.fromkeys(names, 4)
    rounds = [calls[i : i + 3] for i in range(3, len(calls), 3)]
    assert all(sorted(own) == list(names) for own in rounds)
    assert len({tuple(own) for own in rounds}) > 1
    assert all(
        own.elapsed_s[i] == 4 + 3 * i + own.position[i]
        for own in samples.values()
        for i in range(4)
    )
