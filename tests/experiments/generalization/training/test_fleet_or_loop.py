"""Fleet or loop is decided once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pooch
import pytest
from synthetic import training

from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.generalization.training import fleet_or_loop
from gr_bench.experiments.generalization.training.fleet_or_loop import FILE, cached_choice
from gr_bench.experiments.generalization.training.train import train_all
from gr_bench.meters.get_device import get_device

CPU = get_device("cpu")
CELL = training("f-gr", model="mlp(depth=1)", dataset="plugged:blobs", batch_size=32)


def asked(cell: GeneralizationCell, decision: bool, runs: int = 5) -> tuple[bool, int]:
    """What is answered, and how often it was measured."""
    calls: list[None] = []
    answer = cached_choice(cell, runs, CPU, lambda: calls.append(None) or decision)
    return answer, len(calls)


@pytest.mark.parametrize("decision", [True, False])
def test_what_was_decided_is_not_decided_again(decision: bool) -> None:
    assert asked(CELL, decision) == (decision, 1)
    assert asked(CELL, not decision) == (decision, 0)


def test_a_decision_holds_for_other_numbers_and_seeds_but_not_for_other_sorts_of_training() -> None:
    asked(CELL, True)
    same = training("f-gr(gamma=0.7)", model="mlp(depth=1)", dataset="plugged:blobs", batch_size=32)
    assert asked(replace(same, seed=9, learning_rate=0.3, label_noise=0.2), False) == (True, 0)
    for change in ({"batch_size": 8}, {"model": "mlp"}, {"spec": "sgd"}, {"dtype": "float64"}):
        assert asked(replace(CELL, **change), False) == (False, 1)
    assert asked(CELL, False, runs=4) == (False, 1)


def test_who_is_first_decides_for_those_who_measure_at_the_same_time() -> None:
    def late() -> bool:
        assert asked(CELL, True) == (True, 1)  # while this one measures, another is done
        return False

    assert cached_choice(CELL, 5, CPU, late) is True


def test_a_cache_that_cannot_be_read_or_written_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(pooch.os_cache("gr-bench"))
    folder.mkdir(parents=True)
    (folder / FILE).write_text("{not json")
    assert asked(CELL, True) == (True, 1)
    assert list(json.loads((folder / FILE).read_text()).values()) == [True]
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert asked(CELL, False) == (False, 1)
    assert asked(CELL, True) == (True, 1)


def test_a_training_follows_the_first_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [replace(CELL, seed=seed) for seed in range(3)]

    def trainers() -> set[str]:
        return {r.trainer for r in train_all(cells, "auto") if isinstance(r, Training)}

    monkeypatch.setattr(fleet_or_loop, "_gain", lambda *_: 2.0)
    assert trainers() == {"fleet"}
    monkeypatch.setattr(fleet_or_loop, "_gain", lambda *_: 0.5)
    assert trainers() == {"fleet"}
