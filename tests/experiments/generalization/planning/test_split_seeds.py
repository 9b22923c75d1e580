"""The split of every cell: as the grid says, by seed or one for all, and candidates' own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from synthetic import trained, training

from gr_bench.errors import RequestError
from gr_bench.experiments.generalization.analysis import tables
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.planning import plan
from gr_bench.experiments.record import Record
from gr_bench.runs.shipped import shipped
from gr_bench.runs.suite import Suite, build_suite, load_suite

GRID: dict[str, Any] = {
    "methods": ["sgd", "sam(rho=[0.05, 0.1])"],
    "models": ["mlp(depth=1)"],
    "datasets": ["digits"],
    "batch_sizes": [64],
    "seeds": [0, 3, 8],
    "epochs": 2,
}


def suite(**settings: Any) -> Suite:
    return build_suite("x", {"title": "x", "generalization": [GRID | settings]})


def cells(of: Suite) -> list[GeneralizationCell]:
    return [cell for cell in of.cells if isinstance(cell, GeneralizationCell)]


def test_without_a_word_everything_is_on_the_datas_own_split() -> None:
    assert {cell.split_seed for cell in cells(suite())} == {0}


def test_by_seed_a_run_is_on_the_split_of_its_seed() -> None:
    own = suite(splits="by seed")
    found, grid = cells(own), own.plans[0].grid
    assert {(cell.seed, cell.split_seed) for cell in found} == {(0, 0), (3, 3), (8, 8)}
    assert len({cell.workload for cell in found}) == 1
    units = plan.units(grid, found, [])  # type: ignore[arg-type]
    assert [len(unit.cells) for unit in units] == [3, 6]  # a fleet a method


def test_one_split_for_all_seeds() -> None:
    found = cells(suite(splits=5, select=True))
    assert {cell.split_seed for cell in found} == {5}


def test_numbers_are_chosen_on_the_datas_own_split() -> None:
    found = cells(suite(splits="by seed", select=True))
    of_role = {
        role: {(cell.seed, cell.split_seed) for cell in found if cell.role == role}
        for role in ("candidate", "chosen")
    }
    assert of_role["candidate"] == {(100, 0), (101, 0), (102, 0)}
    assert of_role["chosen"] == {(0, 0), (3, 3), (8, 8)}
    groups = {role: {c.selection_group for c in found if c.role == role} for role in of_role}
    assert groups["candidate"] == groups["chosen"] and len(groups["chosen"]) == 2


@pytest.mark.parametrize("splits", ["by seeds", -1, 0.5, [1]])
def test_other_words_for_splits_are_refused(splits: object) -> None:
    with pytest.raises(RequestError, match="splits"):
        suite(splits=splits)


@pytest.mark.parametrize("splits", ["by seed", 1])
def test_data_with_fixed_parts_are_refused_in_one_line(splits: object) -> None:
    with pytest.raises(RequestError, match="parts of dataset 'random' are fixed") as caught:
        suite(splits=splits, datasets=["random"])
    assert "\n" not in str(caught.value) and "splits = 0" in str(caught.value)
    assert cells(suite(splits=0, datasets=["random"]))


def test_plugged_data_with_fixed_parts_are_refused_before_anything_is_measured() -> None:
    own = suite(splits="by seed", datasets=["plugged:blobs"])
    with pytest.raises(RequestError, match="parts of dataset 'blobs' are fixed"):
        own.read_data()
    assert suite(splits="by seed", datasets=["plugged:drawn"]).read_data() == {}


def test_tables_have_the_split_and_pairs_are_by_seed_and_split() -> None:
    """A run of seed 1 on split 0 is no pair of one of seed 1 on split 1."""
    sgd, sam = training("sgd", seed=1), training("sam", seed=1)
    results: list[tuple[GeneralizationCell, float]] = [
        *((replace(sgd, split_seed=split), test) for split, test in ((0, 0.5), (1, 0.6))),
        *((replace(sam, split_seed=split), test) for split, test in ((1, 0.8), (2, 0.9))),
    ]
    records: list[Record] = [
        trained(cell, train=(0.1, 0.9), test=(0.5, test)) for cell, test in results
    ]
    made = Generalization().tables(records)
    table = made["generalization"]
    assert table["split_seed"].tolist() == [0, 1, 1, 2]
    (row,) = made["comparison"].to_dict("records")
    assert (row["seeds"], row["splits"], row["difference"]) == (1, 1, pytest.approx(0.2))
    assert sorted(made["training_curves"]["split_seed"].unique()) == [0, 1, 2]
    assert made["time_to_target"]["runs"].tolist() == [2, 2]
    assert "split_seed" not in made["comparison"]


def test_tables_of_before_are_of_split_0() -> None:
    later = Generalization.later_columns
    assert later["generalization"]["split_seed"] == later["training_curves"]["split_seed"] == 0
    assert "split_seed" not in later["step_times"]
    empty = tables.generalization([], tables.step_times([]))
    assert isinstance(empty, pd.DataFrame) and "split_seed" in empty


DRAWN = ("digits", "mnist1d", "cifar10", "cifar100")


@pytest.mark.parametrize("name", list(shipped()))
def test_suites_that_ship_have_a_split_a_seed(name: str) -> None:
    for cell in cells(load_suite(name)):
        if cell.dataset.partition("(")[0] in DRAWN:
            assert cell.split_seed == (0 if cell.role == "candidate" else cell.seed)
