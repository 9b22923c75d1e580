"""Any method of the grid as the baseline: what is trained, timed, compared and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from pydantic import ValidationError
from synthetic import step_time, trained, training

from gr_bench.experiments.block_times import TimesOptions
from gr_bench.experiments.experiment import Unit
from gr_bench.experiments.generalization.analysis.figure_tables import without_longer_runs
from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.record import Record

EXPERIMENT = Generalization()
SAM = "sam(rho=0.05)"


def grid(**fields: Any) -> GeneralizationGrid:
    some: dict[str, Any] = {
        "methods": ["sgd", "sam", "f-gr", "db-gr"],
        "models": ["mlp"],
        "datasets": ["digits"],
        "batch_sizes": [32],
        "learning_rates": [0.1],
        "weight_decay": 0.0,
        "seeds": [0, 1],
        "epochs": 10,
        "baseline": SAM,
    }
    return GeneralizationGrid(**some | fields)


def lengths(cells: Sequence[GeneralizationCell]) -> dict[str, set[int]]:
    """By method, the epochs of its trainings."""
    found: dict[str, set[int]] = {}
    for cell in cells:
        found.setdefault(cell.spec.partition("(")[0], set()).add(cell.epochs)
    return found


# --- the grid and its cells


def test_a_cell_with_sgd_as_its_baseline_has_the_identity_that_it_had() -> None:
    assert "baseline" not in training("sam").identity
    assert training("sam", baseline=SAM).id != training("sam").id


def test_the_baseline_is_spelled_in_full_and_every_cell_knows_it() -> None:
    assert grid(baseline="sam").baseline == SAM
    cells = EXPERIMENT.cells(grid(baseline="sam"))
    assert {cell.baseline for cell in cells} == {SAM}
    assert {cell.spec for cell in cells if cell.is_baseline} == {SAM}
    assert {cell.baseline for cell in EXPERIMENT.cells(grid(baseline="sgd"))} == {"sgd"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"baseline": "gnp"}, "'gnp.*' is not among the methods: sgd, sam"),
        ({"baseline": "sam(rho=0.3)"}, "'sam.rho=0.3.' is not among the methods"),
        ({"baseline": "nothing"}, "no method 'nothing'"),
        ({"baseline": SAM, "select": True}, "is not among the methods: sgd, sam, f-gr, db-gr"),
    ],
)
def test_a_baseline_that_is_not_among_the_methods_is_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as refused:
        grid(**fields)
    (error,) = refused.value.errors()
    assert "\n" not in error["msg"]


def test_without_a_word_it_is_sgd_even_where_that_is_not_trained() -> None:
    """As it has been: there is nothing to compare with."""
    plain = GeneralizationGrid(**grid().model_dump(exclude={"baseline"}) | {"methods": ["sam"]})
    assert plain.baseline == "sgd"
    assert not any(cell.is_baseline for cell in EXPERIMENT.cells(plain))


# --- what is trained for the sake of equal cost


def test_at_equal_cost_the_cheaper_of_two_is_trained_for_longer() -> None:
    """Evaluations a step: SGD 1, SAM and F-GR 2, DB-GR counts as 3."""
    found = lengths(EXPERIMENT.cells(grid(equal_cost=True)))
    assert found == {"sgd": {10, 20}, "sam": {10, 15}, "f-gr": {10}, "db-gr": {10}}
    by_sgd = lengths(EXPERIMENT.cells(grid(equal_cost=True, baseline="sgd")))
    assert by_sgd == {"sgd": {10, 20, 30}, "sam": {10}, "f-gr": {10}, "db-gr": {10}}


def timed(records: Sequence[Record], times: dict[str, float], own: GeneralizationGrid) -> list[Any]:
    """What all the timings that are asked for would give, and at last the trainings' cells."""
    done = list(records)
    while True:
        jobs = EXPERIMENT.pending(own, EXPERIMENT.cells(own), done)
        units: list[Unit[GeneralizationCell]] = [unit for job in jobs for unit in job.units]
        if not any(isinstance(unit.options, TimesOptions) for unit in units):
            return [cell for unit in units for cell in unit.cells]
        for unit in units:
            assert isinstance(unit.options, TimesOptions)
            done += [
                step_time(cell, unit.options.replicate, 1e-3 * times[cell.spec.partition("(")[0]])
                for cell in unit.cells
            ]


def test_in_equal_time_the_faster_of_two_is_trained_for_longer() -> None:
    times = {"sgd": 1.0, "sam": 2.0, "f-gr": 2.02, "db-gr": 3.3}
    found = lengths(timed([], times, grid(equal_time=True)))
    assert found == {"sgd": {10, 20}, "sam": {10, 16}, "f-gr": {10}, "db-gr": {10}}


def test_the_baseline_is_timed_twice_and_stands_for_its_methods_other_numbers() -> None:
    own = grid(
        methods=["sgd", "f-gr(gamma=[0.1, 0.3], epsilon=0.05)", "db-gr"],
        baseline="f-gr(gamma=0.3, epsilon=0.05)",
        equal_time=True,
    )
    (job,) = EXPERIMENT.pending(own, EXPERIMENT.cells(own), [])
    (unit,) = job.units
    assert {(cell.spec, cell.role) for cell in unit.cells} == {
        (own.baseline, "timing"),
        (own.baseline, "control"),
        ("sgd", "timing"),
        ("db-gr(gamma=0.1)", "timing"),
    }
    found = timed([], {"sgd": 1.0, "f-gr": 2.0, "db-gr": 3.0}, own)
    assert lengths(found) == {"sgd": {10, 20}, "f-gr": {10, 15}, "db-gr": {10}}
    assert {cell.spec for cell in found if cell.epochs == 15} == {own.baseline}


def test_where_numbers_are_chosen_the_baseline_is_a_method_whatever_was_chosen() -> None:
    own = grid(
        methods=["sgd", "sam(rho=[0.05, 0.1])", "db-gr"],
        baseline="sam",
        select=True,
        equal_cost=True,
        selection_seeds=[7],
    )
    cells = EXPERIMENT.cells(own)
    assert {cell.spec for cell in cells if cell.is_baseline} == {SAM, "sam(rho=0.1)"}
    assert lengths(cells) == {"sgd": {10, 20}, "sam": {10, 15}, "db-gr": {10}}


# --- comparisons


def results(
    method: str, accuracies: Sequence[float], evaluations: int, epochs: int = 10, **fields: Any
) -> list[Training]:
    fields = {"baseline": SAM, "epochs": epochs} | fields
    return [
        trained(
            training(method, seed=seed, **fields),
            train=(0.1, 1.0),
            test=(0.5, accuracy),
            steps=5 * epochs,
            evaluations=evaluations,
        )
        for seed, accuracy in enumerate(accuracies)
    ]


RESULTS = [
    *results("sgd", (0.5, 0.6, 0.7), 1),
    *results("sgd", (0.6, 0.7, 0.83), 1, epochs=20),
    *results("sam", (0.6, 0.7, 0.8), 2),
    *results("sam", (0.7, 0.8, 0.9), 2, epochs=15),
    *results("f-gr", (0.7, 0.8, 0.9), 2),
    *results("db-gr", (0.65, 0.75, 0.85), 3),
]


def comparison(records: Sequence[Record]) -> pd.DataFrame:
    return EXPERIMENT.tables(records)["comparison"].set_index(["method", "epochs", "cost"])


def test_differences_are_from_the_baseline_at_the_same_seed_and_cost() -> None:
    found = comparison(RESULTS)
    assert dict(found["difference"]) == pytest.approx(
        {
            ("sgd", 10, "epochs"): -0.1,
            ("sgd", 20, "gradient evaluations"): 0.01,
            ("f-gr", 10, "epochs"): 0.1,
            ("db-gr", 10, "epochs"): 0.05,
            ("db-gr", 10, "gradient evaluations"): -0.05,
        }
    )
    assert set(found["cost_ratio"]) == {1.0}
    lengths = found["baseline_epochs"].to_dict()
    assert lengths["sgd", 20, "gradient evaluations"] == 10
    assert lengths["db-gr", 10, "gradient evaluations"] == 15


def test_at_equal_time_a_faster_method_is_compared_at_its_longer_training() -> None:
    times = {"sgd": 1e-3, "sam": 2e-3, "f-gr": 2e-3, "db-gr": 3e-3}
    timings = [
        step_time(training(method, baseline=SAM), replicate, seconds)
        for method, seconds in times.items()
        for replicate in range(3)
    ]
    tables = EXPERIMENT.tables([*timings, *RESULTS])
    found = tables["comparison"].set_index(["method", "epochs", "cost"])
    assert found.loc[("sgd", 20, "time"), "difference"] == pytest.approx(0.01)
    assert found.loc[("db-gr", 10, "time"), "difference"] == pytest.approx(-0.05)
    ratios = tables["step_times"].set_index("method")["time_ratio"]
    assert ratios.to_dict() == pytest.approx({"sgd": 0.5, "sam": 1, "f-gr": 1, "db-gr": 1.5})


def test_chosen_numbers_are_compared_with_those_chosen_for_the_baseline() -> None:
    chosen: dict[str, Any] = {"role": "chosen", "baseline": "sam"}
    records = [
        *results("sgd", (0.5, 0.6), 1, learning_rate=0.3, **chosen),
        *results("sam(rho=0.2)", (0.55, 0.65), 2, **chosen),
    ]
    found = comparison(records)
    assert found.loc[("sgd", 10, "epochs"), "difference"] == pytest.approx(-0.05)
    assert len(found) == 1


def test_runs_with_two_baselines_are_compared_each_with_its_own() -> None:
    other = [replace(r, cell=replace(r.cell, baseline="sgd")) for r in RESULTS]
    tables = EXPERIMENT.tables([*RESULTS, *other])
    found = tables["comparison"].set_index(["baseline", "method", "epochs", "cost"])["difference"]
    assert found[SAM, "f-gr", 10, "epochs"] == pytest.approx(0.1)
    assert found["sgd", "f-gr", 10, "epochs"] == pytest.approx(0.2)
    summary = EXPERIMENT.summaries(tables)[0]
    assert "minus the baseline (points)" in summary.table
    assert "baseline" in summary.table


def test_the_target_is_the_baselines() -> None:
    records = [
        trained(
            training(method, baseline=SAM), train=(0.1, 1), test=(0.5, 0.5), validation=validation
        )
        for method, validation in (
            ("sgd", [(1.0, 0.2), (1.0, 0.3)]),
            ("sam", [(1.0, 0.3), (1.0, 0.6)]),
        )
    ]
    table = EXPERIMENT.tables(records)["time_to_target"].set_index("method")
    assert set(table["target"]) == {0.6}
    assert table["reached"].to_dict() == {"sgd": 0, "sam": 1}


# --- words and figures


def test_tables_and_sentences_name_the_baseline() -> None:
    tables = EXPERIMENT.tables(RESULTS)
    shown = {summary.name: summary for summary in EXPERIMENT.summaries(tables)}
    over_seeds = shown["generalization"].table.set_index(["spec", "epochs"])[
        f"minus {SAM} (points)"
    ]
    assert over_seeds["sgd", 10].startswith("-10.00")
    assert over_seeds[SAM, 10] == over_seeds["sgd", 20] == "-"
    assert f"{SAM}'s epochs" in shown["comparison"].table
    assert shown["comparison"].title == f"Test accuracy against {SAM} at equal cost"
    sentences = [*EXPERIMENT.findings(tables), *EXPERIMENT.warnings(tables)]
    assert any(f"sgd against {SAM}: worse at equal" in sentence for sentence in sentences)
    words = [*sentences, *(f"{s.title} {s.caption} {[*s.table]}" for s in shown.values())]
    assert [text for text in words if "SGD" in text] == []


def test_figures_leave_the_longer_runs_to_cost() -> None:
    tables = EXPERIMENT.tables(RESULTS)
    kept = without_longer_runs(tables["generalization"])
    assert set(kept["epochs"]) == {10}
    assert set(kept["method"]) == {"sgd", "sam", "f-gr", "db-gr"}
    names = {picture.name for picture in EXPERIMENT.figures(tables)}
    assert {"test_accuracy_and_gap_mlp", "accuracy_against_cost_mlp"} <= names
    plt.close("all")


def test_without_results_of_the_baseline_nothing_is_left_out_of_figures() -> None:
    tables = EXPERIMENT.tables([r for r in RESULTS if r.cell.spec != SAM])
    assert len(without_longer_runs(tables["generalization"])) == 12
