"""The (γ, ε) plane says what the table says."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from synthetic import diverged, trained, training

from gr_bench.experiments.generalization.analysis.plane import gamma_epsilon_plane, has_plane
from gr_bench.experiments.generalization.analysis.tables import generalization, step_times
from gr_bench.experiments.record import Record

KEYS = ("dataset", "batch_size", "learning_rate")
GRID = (0.1, 0.3)


def table(records: list[Record]) -> pd.DataFrame:
    return generalization(records, step_times(records))


def spot(method: str, seed: int, accuracy: float) -> Record:
    return trained(training(method, seed=seed), train=(0.1, 1.0), test=(0.5, accuracy))


def records() -> list[Record]:
    found = [spot("sgd", seed, 0.25) for seed in range(2)]
    for gamma in GRID:
        found += [spot(f"db-gr(gamma={gamma})", seed, gamma / 10) for seed in range(2)]
        for epsilon in GRID:
            method = f"f-gr(gamma={gamma}, epsilon={epsilon})"
            if gamma == epsilon == 0.3:
                found += [diverged(training(method, seed=seed), 3) for seed in range(2)]
            elif gamma == 0.3:
                found += [spot(method, 0, 0.5), diverged(training(method, seed=1), 3)]
            else:
                found += [spot(method, seed, gamma + epsilon + seed / 50) for seed in range(2)]
    return found


@pytest.fixture
def texts() -> list[str]:
    figure = gamma_epsilon_plane(table(records()))
    ax = figure.axes[0]
    figure.canvas.draw()
    assert "SGD: 25" in ax.get_xlabel()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["DB-GR", "0.1", "0.3"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0.1", "0.3"]
    found = [text.get_text() for text in ax.texts]
    plt.close(figure)
    return found


def test_cells_hold_the_means_of_the_runs_that_ended(texts: list[str]) -> None:
    assert {"21", "41", "1", "3"} <= set(texts)


def test_what_diverged_is_counted_in_its_cell(texts: list[str]) -> None:
    assert "50\n1/2 lost" in texts
    assert "2/2 lost" in texts


def test_a_plane_needs_several_of_both() -> None:
    assert has_plane(table(records()))
    row = [spot(f"f-gr(gamma=0.1, epsilon={epsilon})", 0, 0.5) for epsilon in GRID]
    assert not has_plane(table(row))
    assert not has_plane(table([spot("sgd", 0, 0.5)]))
