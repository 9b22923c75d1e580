"""The answers of a program in benchmarks, with the environment that they were found in."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.answers import read_answers, write_answers  # noqa: E402
from benchmarks.known_cost import BURDENS  # noqa: E402
from benchmarks.revisions import METHODS, PLACE  # noqa: E402
from benchmarks.trust import REPLICATES, SHORT, windows  # noqa: E402


def test_answers_are_kept_with_their_environment_and_read_without(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    assert read_answers(file) == {}
    write_answers(file, {"a": [1, 2]})
    kept = json.loads(file.read_text())
    assert kept["environment"]["machine"]["cores"] >= 1
    assert len(kept["environment"]["git"]["commit"]) == 40
    assert read_answers(file) == {"a": [1, 2]}
    write_answers(file, read_answers(file) | {"b": 3})
    assert read_answers(file) == {"a": [1, 2], "b": 3}


def test_windows_keep_the_numbers_that_they_are_of() -> None:
    logs = np.random.default_rng(0).normal(0.7, 0.01, 40)
    found = windows(logs)
    assert found["log_ratios"] == logs.tolist()
    assert found["windows"] == 40 - SHORT + 1
    assert np.exp(np.mean(found["log_ratios"])) == pytest.approx(found["ratio"]["center"])


def test_every_burden_has_its_replicates() -> None:
    assert REPLICATES.keys() == BURDENS.keys()


def test_the_place_where_known_commits_change_a_method_is_there_once() -> None:
    assert (ROOT / METHODS).read_text().count(PLACE) == 1
