from __future__ import annotations

from dataclasses import replace

import pytest

from gr_bench.experiments.generalization.analysis.paired import OVER_SAMPLES
from gr_bench.experiments.generalization.calibration.power import pairs_of
from gr_bench.experiments.generalization.calibration.study import (
    SEEDS,
    as_recorded,
    as_trained,
    grid_of,
    study,
)
from gr_bench.experiments.generalization.experiment import Generalization
from tests.support.synthetic import trained


def test_twins_are_trained_as_sgd_with_other_seeds_on_the_same_splits() -> None:
    cells = Generalization().cells(grid_of(0))
    asked = [as_trained(cell) for cell in cells]
    assert {cell.spec for cell in asked} == {"sgd"}
    assert [a.split_seed for a in asked] == [c.split_seed for c in cells]
    assert len({cell.id for cell in asked}) == len(cells)
    for name in ("twin", "second-twin"):
        own = {cell.seed for a, cell in zip(asked, cells, strict=True) if cell.spec == name}
        assert own.isdisjoint({a.seed for a, c in zip(asked, cells, strict=True) if c.spec == name})
    assert all(a == c for a, c in zip(asked, cells, strict=True) if c.spec == "sgd")


def test_a_twin_of_two_evaluations_is_trained_for_twice_the_epochs() -> None:
    grid = grid_of(4)
    cell = next(c for c in Generalization().cells(grid) if c.spec == "two-step-twin")
    asked = as_trained(cell)
    assert (cell.epochs, asked.epochs) == (grid.epochs, 2 * grid.epochs)
    record = trained(asked, train=(0.1, 1.0), test=(0.5, 0.9), steps=24)
    found = as_recorded(replace(record, gradient_evaluations=24), cell)
    assert (found.steps, found.gradient_evaluations) == (12, 24)
    assert found.curve[-1].epoch == cell.epochs


def test_studies_have_no_seed_in_common() -> None:
    seeds = [
        seed
        for number in range(30)
        for seed in (*grid_of(number).seeds, *grid_of(number).selection_seeds)
    ]
    assert len({*seeds}) == len(seeds)
    designs = {
        (grid_of(n).splits == "by seed", *grid_of(n).datasets, len(grid_of(n).methods))
        for n in range(16)
    }
    assert len(designs) == 12
    assert {len(grid_of(n).datasets) for n in range(8)} == {1}
    assert {len(grid_of(n).datasets) for n in range(8, 16)} == {2}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "comparisons", "over"), [(0, 2, 0), (5, 1, 0), (12, 2, 1)])
def test_a_study_compares_trainings_that_differ_in_nothing_but_their_draws(
    number: int, comparisons: int, over: int
) -> None:
    found = study(number)
    assert len(found.comparisons) == comparisons
    assert len(found.over_workloads) == over
    assert {*found.over_workloads} <= {"ahead", "behind", "undecided"}
    for dataset in found.datasets:
        assert len(pairs_of(dataset, [found])) == (SEEDS if found.by_seed else 0)
    for one in found.comparisons:
        assert one.interval == OVER_SAMPLES
        assert (one.pairs, one.splits) == (SEEDS, SEEDS if found.by_seed else 1)
        assert one.low < one.difference < one.high
    for own, base in zip(found.own, found.base, strict=True):
        assert own.test_part == base.test_part
        assert own.test_hits != base.test_hits
        assert own.gradient_evaluations == base.gradient_evaluations
