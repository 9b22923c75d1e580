"""Figures of trainings: what is lost, cut off or never reached is shown as such."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from synthetic import diverged, failed, run_of, trained, training

from gr_bench.experiments.generalization.analysis import figures
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.runs.results import Results


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def tables(*records: object) -> dict[str, pd.DataFrame]:
    return Generalization().tables(records)  # type: ignore[arg-type]


def of(method: str, *accuracies: float) -> list[object]:
    return [
        trained(training(method, seed=seed), train=(0.1, 1.0), test=(0.2, accuracy))
        for seed, accuracy in enumerate(accuracies)
    ]


def accuracies(*records: object) -> Axes:
    made = tables(*records)
    drawn = figures.test_accuracy_and_gap(made["generalization"], quantity="test_accuracy")
    assert isinstance(drawn, Axes)
    return drawn


def test_an_interval_ends_where_accuracies_do_and_says_that_it_is_cut_off() -> None:
    ax = accuracies(*of("sgd", 0.5, 0.6, 0.55), *of("sam", 1.0, 0.8, 0.97))
    assert max(np.max(line.get_xdata()) for line in ax.lines) == 100
    arrows = [line for line in ax.lines if line.get_marker() == ">"]
    assert [float(arrow.get_xdata()[0]) for arrow in arrows] == [100]
    assert [round(float(arrow.get_ydata()[0])) for arrow in arrows] == [1]  # SAM's row


def test_seeds_that_are_lost_are_counted_in_their_row() -> None:
    ax = accuracies(
        *of("sgd", 0.5, 0.6),
        *of("sam", 0.5),
        diverged(training("sam", seed=1), 3),
        failed(training("sam", seed=2)),
        diverged(training("gnp", seed=0), 3),
    )
    names = [label.get_text() for label in ax.get_yticklabels()]
    lost = {names[round(note.xy[1])]: note.get_text() for note in ax.texts}
    assert lost == {"sam": "2 of 3 lost", "gnp": "1 of 1 lost"}


def test_a_mean_without_an_interval_is_hollow() -> None:
    ax = accuracies(*of("sgd", 0.5, 0.6), *of("sam", 0.5))
    faces = {
        round(float(line.get_ydata()[0])): line.get_markerfacecolor()
        for line in ax.lines
        if line.get_marker() in ("o", "s", "^")
    }
    assert faces[1] == "white"
    assert faces[0] != "white"


def test_methods_of_equal_cost_stand_side_by_side() -> None:
    names = ("sam", "gnp", "asam")
    made = tables(*of("sgd", 0.5, 0.6), *(r for name in names for r in of(name, 0.7, 0.8)))
    table = made["generalization"]
    table["gradient_evaluations"] = np.where(table["method"] == "sgd", 100.0, 200.0)
    ax = figures.accuracy_against_cost(table, quantity="gradient_evaluations")
    markers = [line for line in ax.lines if line.get_marker() == "o"]
    across = sorted(float(x) for line in markers for x in line.get_xdata())
    assert across[0] == 100
    assert np.mean(across[1:]) == pytest.approx(200)
    assert np.diff(across[1:]) == pytest.approx([6, 6])  # 3 % of the largest
    (front,) = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    assert set(front.get_xdata()) == {100, 200}  # that is of the costs themselves


def test_a_target_that_is_not_reached_is_said_outside_the_axes() -> None:
    row = {
        "reached": 3,
        "runs": 3,
        "evaluations_to_target_low": 80.0,
        "evaluations_to_target": 100.0,
        "evaluations_to_target_high": 120.0,
    }
    made = tables(*of("sgd", 0.5, 0.6), *of("sam", 0.7, 0.8), *of("gnp", 0.7, 0.8))
    table = made["time_to_target"].sort_values("spec").reset_index(drop=True)
    assert list(table["method"]) == ["gnp", "sam", "sgd"]
    never = dict.fromkeys(list(row)[2:], np.inf) | {"reached": 0, "runs": 3}
    some = row | {"reached": 2, "evaluations_to_target_high": np.inf}
    for at, values in enumerate((never, some, row)):
        for key, value in values.items():
            table.loc[at, key] = value
    ax = figures.time_to_target(table.assign(time_to_target_s=np.nan))
    names = [label.get_text() for label in ax.get_yticklabels()]
    notes = {names[round(note.xy[1])]: note for note in ax.texts}
    assert {name: note.get_text() for name, note in notes.items()} == {
        "sam": "2 of 3",
        "gnp": "none of 3",
    }
    figure = ax.get_figure()
    figure.canvas.draw()
    for note in notes.values():
        assert note.get_window_extent().x0 >= ax.get_window_extent().x1
    arrows = [line for line in ax.lines if line.get_marker() == ">"]
    assert len(arrows) == 1
    assert arrows[0].get_xdata()[0] == ax.get_xlim()[1]


def test_a_run_lists_the_figures_that_it_has_data_for(tmp_path: Path) -> None:
    run = Results(run_of(tmp_path / "a", *of("sgd", 0.5, 0.6), *of("sam", 0.5, 0.7)))
    names = list(run.figures)
    assert "test_accuracy_and_gap" in names
    assert "step_time" not in names
    assert set(names) <= set(dir(run.figures))
    assert len(run.figures) == len(names)
    assert "Test accuracy and generalization gap" in repr(run.figures)
    with pytest.raises(AttributeError, match="no figure 'step_time': available are test_"):
        _ = run.figures.step_time
    assert run.figures.test_accuracy_and_gap.__doc__.startswith("Test accuracy and general")
    assert "quantity" in repr(run.figures.test_accuracy_and_gap.__signature__)
