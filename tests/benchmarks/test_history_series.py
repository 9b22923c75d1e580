"""The synthetic series: their truth, and what a history finds in them."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import history_series as series  # noqa: E402

MEASURED = series.NOISES[series.MEASURED]


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_drawn_series_has_the_noise_that_it_says() -> None:
    noise = series.Noise(0.005, 0.0025, error_varies=0.0)
    drawn = series.drawn(rng(0), 5000, noise)
    assert drawn.values.std() == pytest.approx(math.hypot(0.005, 0.0025), rel=0.03)
    assert np.sqrt((drawn.errors**2).mean()) == pytest.approx(0.005, rel=0.03)
    assert drawn.true_weights == pytest.approx([1 / (0.005**2 + 0.0025**2)] * 5000)


def test_long_tails_have_the_same_variance() -> None:
    assert series.long_tails(rng(1), (200_000,)).std() == pytest.approx(1.0, rel=0.05)


def test_the_best_place_is_that_of_a_step_without_noise() -> None:
    levels = series.STEP * (np.arange(20) >= 7)
    drawn = series.Drawn(levels, np.full(20, 0.01), np.full(20, 1e4))
    assert series.best_place(drawn) == 7


def test_what_is_counted() -> None:
    """Ten series of each sort: enough to see that counts are of what they say."""
    none = series.without_change(rng(2), 30, MEASURED, 10)
    assert none["series"] == 10
    assert none["alarms"] <= 1
    step = series.with_step(rng(2), 30, series.Noise(0.001, 0.0), 10)
    assert (step["found"], step["near"], step["best"], step["pelt"]) == (10, 10, 10, 10)
    assert (step["range_holds"], step["called_drift"]) == (1.0, 0.0)
    drift = series.with_drift(rng(2), 60, series.Noise(0.001, 0.0), 10)
    assert (drift["found"], drift["as_drift"]) == (10, 10)
    late = series.with_step(rng(2), 30, series.Noise(0.001, 0.0), 10, after=1)
    assert late["found"] == 10


def test_every_table_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(series, "LENGTHS", (60,))
    monkeypatch.setattr(series, "NOISES", {series.MEASURED: MEASURED})
    monkeypatch.setattr(sys, "argv", ["history_series", str(tmp_path), "--series", "2"])
    series.main()
    found = json.loads((tmp_path / "history_series.json").read_text())
    assert [len(found[table]) for table in ("grid", "soon", "hard")] == [1, 5, 6]
    text = (tmp_path / "history_series.md").read_text()
    assert sum(line.startswith("| 60 | 0.5 %, runs 0.25 % |") for line in text.splitlines()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("noise", series.NOISES)
@pytest.mark.parametrize("length", series.LENGTHS)
def test_at_most_two_in_a_hundred_are_false_alarms(length: int, noise: str) -> None:
    found = series.without_change(rng(3, length), length, series.NOISES[noise], 200)
    assert found["alarms"] <= 4


@pytest.mark.slow
@pytest.mark.parametrize("length", [20, 60, 120])
@pytest.mark.parametrize("noise", ["0.3 %", "0.3 %, runs 0.5 %", series.MEASURED])
def test_a_step_of_two_per_cent_is_found_within_two_runs(length: int, noise: str) -> None:
    found = series.with_step(rng(4, length), length, series.NOISES[noise], 200)
    assert found["near"] >= 190
    assert found["size_holds"] >= 0.9
    assert found["range_holds"] >= 0.95
    assert found["called_drift"] <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("length", [60, 120])
@pytest.mark.parametrize("noise", series.NOISES)
def test_a_slow_drift_is_found(length: int, noise: str) -> None:
    found = series.with_drift(rng(5, length), length, series.NOISES[noise], 200)
    assert found["found"] >= 198


@pytest.mark.slow
def test_no_place_is_found_much_better_than_ours() -> None:
    """Where noise is loud, not even the best place is within two runs in 95 of 100."""
    found = series.with_step(rng(6), 120, series.NOISES["1 %, runs 0.5 %"], 200)
    assert found["best"] < 190
    assert found["near"] >= found["best"] - 20
