"""The arithmetic of trainings: by hand, and as the suites say it of themselves."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from synthetic import training as cell_of

from gr_bench.experiments.generalization.cell import GeneralizationGrid
from gr_bench.runs.shipped import shipped
from gr_bench.runs.suite import build_suite, load_suite

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.training_flops import arithmetic
from gr_bench.planning.trainings import Arithmetic, training

FIRST, LATER = 2 * 3072 * 8, 2 * 8 * 10
"""FLOPs of the layers' forward products for one image."""

GRID = {
    "methods": ["sgd", "sam(rho=[0.1, 0.2])"],
    "models": ["mlp(depth=2, width=8)"],
    "datasets": ["cifar10"],
    "batch_sizes": [100],
    "epochs": 7,
    "seeds": [0, 1],
    "selection_seeds": [2],
}


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("sgd", 2 * FIRST + 3 * LATER),
        ("f-gr", 2 * (2 * FIRST + 3 * LATER)),
        ("f-gr(gamma=0)", 2 * FIRST + 3 * LATER),
        ("db-gr", 4 * FIRST + 9 * LATER),
    ],
)
def test_a_training_is_its_steps_and_its_evaluations(method: str, step: int) -> None:
    """7 epochs of 450 steps; evaluated after 3, 6 and 7, and the test part once."""
    cell = cell_of(
        method, model="mlp(depth=2, width=8)", dataset="cifar10", batch_size=100, epochs=7
    )
    found = training(cell, 3)
    assert found.steps == 7 * 45_000 * step
    forward = FIRST + LATER
    evaluation = 45_000 * (2 * FIRST + 3 * LATER) + 5_000 * forward
    assert found.evaluations == 3 * evaluation + 10_000 * forward


def total(**changes: object) -> Arithmetic:
    return arithmetic(build_suite("s", {"title": "S", "generalization": [GRID | changes]}).plans)


def test_of_a_choice_one_setting_is_trained_on_the_seeds() -> None:
    """Three candidates on one seed, then SGD and one SAM on two."""
    sgd = total(methods=["sgd"], seeds=[0]).steps
    assert total().steps == 2 * (1 + 2 + 2) * sgd
    assert total(select=True).steps == (1 + 2 + 2 + 2 * (1 + 2)) * sgd


def stated(suite: str) -> dict[str, list[float]]:
    """The numbers in front of EFLOP, GFLOP and of hours in a suite's text."""
    text = shipped()[suite].replace("\n#", "").replace(",", "")
    units = ("EFLOP", "GFLOP", "hours")
    return {unit: [float(n) for n in re.findall(rf"([\d.]+) {unit}", text)] for unit in units}


def test_the_core_says_what_it_takes() -> None:
    found, said = arithmetic(load_suite("paper-core").plans), stated("paper-core")
    every = arithmetic(load_suite("paper-core", settings=["generalization.evaluate_every=1"]).plans)
    figures = [found.steps, found.evaluations, found.total, every.total]
    assert said["EFLOP"] == [round(figure / 1e18, 2) for figure in figures]
    assert round(found.total / 10e12 / 3600) in said["hours"]


@pytest.mark.slow
def test_the_whole_comparison_says_what_it_takes() -> None:
    suite = "paper-generalization"
    found, said = arithmetic(load_suite(suite).plans), stated(suite)
    every = arithmetic(load_suite(suite, settings=["generalization.evaluate_every=1"]).plans)
    figures = [found.steps, found.evaluations, every.total]
    assert said["EFLOP"] == [round(figure / 1e18) for figure in figures]
    assert round(found.total / 1e18) == 378
    assert found.total / 27.6e12 / 3600 == pytest.approx(3800, rel=0.02)


@pytest.mark.parametrize("suite", ["paper-core", "paper-generalization"])
def test_evaluations_are_a_small_part_of_the_papers_trainings(suite: str) -> None:
    """After every epoch they would be a third of all FLOPs."""
    for plan in load_suite(suite).plans:
        assert isinstance(plan.grid, GeneralizationGrid)
        assert plan.grid.evaluate_every == 10
