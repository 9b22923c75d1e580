"""Trials: equally many for every method, drawn alike every time, and spread over the ranges."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import pytest
from pydantic import ValidationError

from gr_bench.errors import RequestError
from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.trials import Space, draw, numbers
from gr_bench.ranges import Range
from gr_bench.spec import parse

FIELDS: dict[str, Any] = {
    "methods": ["sgd", "sam(rho=log(0.01, 0.5))", "f-gr(gamma=log(0.01, 1), epsilon=[0.05, 0.2])"],
    "models": ["mlp(depth=2, width=8)"],
    "datasets": ["plugged:blobs"],
    "batch_sizes": [32],
    "epochs": 2,
    "select": True,
    "trials": 8,
    "learning_rates": "log(0.01, 1)",
    "weight_decays": "log(1e-5, 0.1)",
    "seeds": [0, 1],
    "selection_seeds": [7, 8],
}
EXPERIMENT = Generalization()


def grid(**changes: Any) -> GeneralizationGrid:
    return GeneralizationGrid(**FIELDS | changes)


def candidates(**changes: Any) -> list[GeneralizationCell]:
    return [cell for cell in EXPERIMENT.cells(grid(**changes)) if cell.role == "candidate"]


def by_method(cells: list[GeneralizationCell]) -> dict[str, set[Any]]:
    found = defaultdict(set)
    for cell in cells:
        found[parse(cell.spec).kind].add(cell.setting)
    return found


def test_every_method_has_as_many_trials_whatever_numbers_it_has() -> None:
    for optimizers in (["sgd"], ["adamw"]):
        found = by_method(candidates(optimizers=optimizers))
        assert {kind: len(own) for kind, own in found.items()} == {"sgd": 8, "sam": 8, "f-gr": 8}
    seeds = Counter(cell.seed for cell in candidates())
    assert seeds == {7: 24, 8: 24}


def test_what_may_be_chosen_is_what_is_tried() -> None:
    cells = EXPERIMENT.cells(grid())
    tried = {(c.selection_group, c.setting) for c in cells if c.role == "candidate"}
    assert tried == {(c.selection_group, c.setting) for c in cells if c.role == "chosen"}
    assert all(cell.tuned for cell in cells)


def test_numbers_are_in_their_ranges_and_short() -> None:
    for cell in candidates():
        assert 0.01 <= cell.learning_rate <= 1
        assert cell.weight_decay is not None
        assert 1e-5 <= cell.weight_decay <= 0.1
        for value in (*parse(cell.spec).parameters.values(), cell.learning_rate, cell.weight_decay):
            assert float(f"{value:.3g}") == value
        if cell.spec.startswith("f-gr"):
            assert parse(cell.spec).parameters["epsilon"] in (0.05, 0.2)


def test_eight_draws_have_one_in_every_eighth_of_every_range() -> None:
    """The property by which a scrambled Sobol sequence is more even than chance."""
    for spec in ("sgd", "sam", "f-gr"):
        own = [c for c in candidates(label_noise=[0.0, 0.2]) if parse(c.spec).kind == spec]
        for noise in (0.0, 0.2):
            there = [cell for cell in own if cell.label_noise == noise and cell.seed == 7]
            rates = sorted(math.log10(c.learning_rate / 0.01) / 2 for c in there)
            decays = sorted(math.log10((c.weight_decay or 0) / 1e-5) / 4 for c in there)
            for values in (rates, decays):
                # to three digits, a number at an edge may be rounded over it
                assert [min(7, int(8 * v + 1e-2)) for v in values] == pytest.approx(range(8), abs=1)
                assert max(abs(v - (i + 0.5) / 8) for i, v in enumerate(values)) <= 0.5 / 8 + 2e-3


def test_draws_are_the_same_every_time_and_wherever_they_are_trained() -> None:
    assert candidates() == candidates()
    settings = [cell.setting for cell in candidates()]
    assert [cell.setting for cell in candidates(device="cuda", dtypes=["bfloat16"])] == settings
    assert [c.setting for c in candidates(tuning_seed=1)] != settings


def test_workloads_and_methods_have_draws_of_their_own() -> None:
    cells = candidates(label_noise=[0.0, 0.2], methods=["sgd", "sam(rho=0.1)"])
    rates = defaultdict(set)
    for cell in cells:
        rates[parse(cell.spec).kind, cell.label_noise].add(cell.learning_rate)
    assert len(rates) == 4
    assert not set.intersection(*rates.values())


@pytest.mark.parametrize(("fewer", "more"), [(3, 8), (8, 16), (5, 40)])
def test_more_trials_begin_with_those_of_fewer(fewer: int, more: int) -> None:
    few, many = candidates(trials=fewer), candidates(trials=more)
    assert {cell.id for cell in few} < {cell.id for cell in many}


def test_of_lists_nothing_is_drawn_twice_and_at_the_end_all_is_there() -> None:
    lists = {
        "methods": ["sgd", "sam(rho=[0.1, 0.2])", "sam(rho=0.3)"],
        "learning_rates": [0.1, 0.2, 0.3, 0.4],
        "weight_decays": [0.0, 0.1, 0.2],
    }
    found = by_method(candidates(**lists, trials=12))
    assert found["sgd"] == {("sgd", r / 10, d / 10) for r in range(1, 5) for d in range(3)}
    assert len(found["sam"]) == 12
    few = by_method(candidates(**lists, trials=5))
    assert {kind: len(own) for kind, own in few.items()} == {"sgd": 5, "sam": 5}


def test_settings_that_the_sequence_does_not_come_to_are_drawn_all_the_same() -> None:
    space = Space(("sgd",), numbers([float(i) for i in range(1, 5001)]), (None,))
    found = draw(space, 5000, "any")
    assert len({setting for _, setting in found}) == 5000


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({"trials": None}, r"'log\(0.01, 1\)' has a range: give the number of .* trials = 16"),
        (
            {"trials": None, "learning_rates": [0.1], "weight_decays": None},
            r"'sam\(rho=log\(0.01, 0.5\)\)' has a range",
        ),
        ({"select": False}, "add select = true"),
        (
            {"trials": None, "learning_rates": [0.1], "weight_decays": [0.1], "methods": ["sgd"]},
            "weight_decays are chosen by trials",
        ),
        (
            {"learning_rates": [0.1, 0.2], "weight_decays": None},
            "sgd has 2 of 8 trials: list more learning_rates, weight_decays or values",
        ),
        ({"learning_rates": "uniform(-1, 1)"}, "is not a range of learning rates"),
        ({"weight_decays": "uniform(-1, 1)"}, "is not a range of weight decays"),
        ({"learning_rates": "log(1, 0.1)"}, "low end, then its high end"),
        ({"methods": ["sgd", "sam(r=log(0.1, 1))"]}, "no parameter 'r'"),
        ({"methods": ["sam(rho=log(1, 2))", "sam(rho=log(1, 2))"]}, "is named twice"),
        ({"models": ["mlp(depth=uniform(1, 4))"]}, r"has the range uniform\(1, 4\): only"),
        ({"trials": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_tried_is_refused_with_what_is_right(
    changes: dict[str, Any], right: str
) -> None:
    with pytest.raises(ValidationError, match=right):
        grid(**changes)


def test_a_range_with_too_few_numbers_is_refused() -> None:
    with pytest.raises(RequestError, match="only 1 settings"):
        candidates(methods=["sgd"], learning_rates="log(0.1, 0.10001)", weight_decays=None)


def test_a_grid_is_the_same_when_it_is_read_again() -> None:
    own = grid()
    assert GeneralizationGrid(**own.model_dump(mode="json")) == own
    assert own.methods[1] == "sam(rho=log(0.01, 0.5))"


def test_the_weight_decay_of_an_optimizer_that_has_its_own_is_left_to_it() -> None:
    cells = candidates(optimizers=["adamw", "adamw(weight_decay=0.5)", "sgd(weight_decay=0.25)"])
    found = defaultdict(set)
    for cell in cells:
        found[cell.optimizer].add(cell.weight_decay)
    assert len(found["adamw"]) > 8
    assert found["adamw(weight_decay=0.5)"] == {None}
    assert found["sgd(weight_decay=0.25)"] == {0.25}


def test_lists_of_weight_decays_are_an_axis_where_nothing_is_chosen() -> None:
    plain = {"select": False, "trials": None, "methods": ["sgd"], "learning_rates": [0.1, 0.2]}
    cells = EXPERIMENT.cells(grid(**plain, weight_decays=[0.0, 0.1]))
    assert {(c.learning_rate, c.weight_decay, c.seed, c.tuned) for c in cells} == {
        (rate, decay, seed, False) for rate in (0.1, 0.2) for decay in (0.0, 0.1) for seed in (0, 1)
    }


def test_a_point_of_the_cube_leads_to_the_number_there() -> None:
    space = Space(
        ("sam(rho=log(0.01, 1))", "sam(rho=0.5)"), (Range("uniform", 1, 3),), (0.0, 0.1, 0.2)
    )
    assert space.at([0.0, 0.5, 0.99, 0.5]) == (0, ("sam(rho=0.1)", 2.0, 0.2))
    assert space.at([0.99, 0.0, 0.0, 0.5]) == (1, ("sam(rho=0.5)", 1.0, 0.0))
