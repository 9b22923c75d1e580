"""Implicit-bias tables from records with answers that can be worked out on paper."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from synthetic import bias, failed, run_of, solved

from gr_bench.errors import RequestError
from gr_bench.experiments.implicit_bias.cell import ImplicitBiasGrid
from gr_bench.experiments.implicit_bias.experiment import ImplicitBias
from gr_bench.experiments.implicit_bias.record import PredictedFit
from gr_bench.experiments.record import Record
from gr_bench.reports.page import write_report
from gr_bench.runs.suite import build_suite

FAMILY = {
    "b-gr(gamma=0.05, epsilon=0.1)": 0.98,
    "b-gr(gamma=0.05, epsilon=0.05)": 0.975,
    "db-gr(gamma=0.05)": 0.972,
    "f-gr(gamma=0.05, epsilon=0.05)": 0.97,
    "f-gr(gamma=0.05, epsilon=0.1)": 0.96,
}
"""α̃/α as theory has it."""


def family(seed: int = 0, **changed: float) -> list[Record]:
    return [
        solved(bias(method, seed=seed), ratio=changed.get(method, ratio))
        for method, ratio in FAMILY.items()
    ]


def order(*records: Record) -> dict[str, object]:
    (row,) = ImplicitBias().tables(records)["implicit_bias_order"].to_dict("records")
    return row


# --- rows


def test_the_start_and_a_parameter_of_the_same_name_are_two_columns() -> None:
    record = solved(bias("gnp(r=0.1, alpha=0.7)", alpha=0.2), ratio=0.9)
    tables = ImplicitBias().tables([record])
    for name in ("implicit_bias", "implicit_bias_coordinates"):
        row = tables[name].iloc[0]
        assert (row["r"], row["method_alpha"], row["alpha"]) == (0.1, 0.7, 0.2)
        assert row["spec"] == "gnp(r=0.1, alpha=0.7)"


def test_errors_compare_theory_with_what_was_found() -> None:
    record = solved(
        bias("f-gr"),
        ratio=0.9,
        beta=(3.0, 0.0),
        predicted_fit=PredictedFit(beta=(3.0, 4.0), optimality_residual=1e-5),
        alpha=(0.1, 0.08),
        predicted_alpha=(0.1, 0.1),
    )
    row = ImplicitBias().tables([record])["implicit_bias"].iloc[0]
    assert row["beta_error"] == pytest.approx(4 / 5)
    assert row["discretisation_error"] == pytest.approx(0.25)
    assert (row["alpha_ratio"], row["alpha_ratio_found"]) == pytest.approx((1.0, 0.9))


def test_the_kernel_share_is_0_and_1_at_the_ends() -> None:
    for l1, share in ((1.0, 0.0), (2.0, 0.5), (3.0, 1.0)):
        record = solved(bias("sgd"), ratio=1.0, beta=(l1, 0.0))  # its ends have L1 norms 1 and 3
        row = ImplicitBias().tables([record])["implicit_bias"].iloc[0]
        assert row["kernel_share"] == pytest.approx(share)


def test_lost_runs_are_rows_and_counted_and_in_no_mean() -> None:
    records = [
        solved(bias("sgd", seed=0), ratio=1.0),
        solved(bias("sgd", seed=1), ratio=3.0, residual=0.5),
        solved(bias("sgd", seed=2), ratio=1.0, diverged=True),
        failed(bias("sgd", seed=3)),
    ]
    experiment = ImplicitBias()
    tables = experiment.tables(records)
    assert list(tables["implicit_bias"]["status"]) == ["ok", "not converged", "diverged", "failed"]
    row = experiment.summaries(tables)[0].table.iloc[0]
    assert (row["problems"], row["not converged"], row["diverged"], row["failed"]) == (1, 1, 1, 1)
    assert row["α̃/α"] == "1.0000"


# --- the order of α̃


def test_the_order_that_theory_has() -> None:
    row = order(*family())
    assert (row["forward"], row["backward"], row["between"]) == (True, True, True)
    assert (row["steps_down"], row["steps_of_epsilon"]) == (4, 4)


@pytest.mark.parametrize(
    ("method", "ratio", "wrong"),
    [
        ("f-gr(gamma=0.05, epsilon=0.1)", 0.971, {"forward"}),
        ("b-gr(gamma=0.05, epsilon=0.1)", 0.974, {"backward"}),
        ("db-gr(gamma=0.05)", 0.96, {"between"}),
        ("db-gr(gamma=0.05)", 0.98, {"between"}),
    ],
)
def test_each_part_of_the_order_can_be_wrong(method: str, ratio: float, wrong: set[str]) -> None:
    row = order(*family(**{method: ratio}))
    assert {key for key in ("forward", "backward", "between") if not row[key]} == wrong
    assert row["steps_down"] == 3


def test_equal_alphas_are_no_fall() -> None:
    assert order(*family(**{"f-gr(gamma=0.05, epsilon=0.1)": 0.97}))["forward"] is False


def test_nothing_to_compare_is_neither_right_nor_wrong() -> None:
    row = order(*family()[2:4])
    assert (row["forward"], row["backward"], row["between"]) == (None, None, None)


def test_problems_are_kept_apart() -> None:
    good, bad = family(0), family(1, **{"f-gr(gamma=0.05, epsilon=0.1)": 0.99})
    table = ImplicitBias().tables([*good, *bad])["implicit_bias_order"]
    assert list(table["forward"]) == [True, False]
    shown = ImplicitBias().summaries(ImplicitBias().tables([*good, *bad]))[1].table
    assert list(shown["falls with ε for F-GR"]) == ["1 of 2"]


# --- pages

ODD = {
    "a whole family": family(),
    "one solution": family()[:1],
    "failures only": [failed(bias("sgd"))],
    "all diverged": [solved(bias("f-gr"), ratio=1.0, diverged=True)],
    "not one converged": [solved(bias("sgd"), ratio=1.0, residual=1.0)],
    "flooding alone": [solved(bias("flooding", step=0.02), ratio=0.9, interpolates=False)],
    "several alphas": [solved(bias("sgd", alpha=a), ratio=1.0) for a in (0.1, 1.0)],
}


@pytest.mark.parametrize("name", ODD)
def test_a_report_is_made_of_whatever_there_is(name: str, tmp_path: Path) -> None:
    (path,) = write_report(run_of(tmp_path, *ODD[name]), ["md"])
    text = path.read_text()
    assert all(record.cell.spec in text for record in ODD[name])


# --- grids


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"methods": ["asam"]}, "there is no theory for 'asam(rho=0.5)'"),
        ({"problems": ["sparse-regresion"]}, "did you mean 'sparse-regression'?"),
        ({"problems": ["sparse-regression(samples=20)"]}, "more than the 20 samples"),
        ({"problems": ["sparse-regression(nonzero=30)"]}, "at most the 20 features"),
        ({"problems": ["sparse-regression(seed=3)"]}, "set the seed through seeds"),
        ({"problems": ["sparse-regression(sampels=3)"]}, "no parameter 'sampels'"),
        ({"batch_sizes": [3]}, "unknown key"),
        ({"alphas": [0.0]}, "alphas.0"),
        ({"seeds": [1, 1]}, "seeds: value 1 is named twice"),
        ({"step": 1.0}, "step"),
    ],
)
def test_a_wrong_grid_is_refused_in_one_line(change: dict, reason: str) -> None:
    grid = {"methods": ["sgd"], "problems": ["sparse-regression"], **change}
    with pytest.raises(RequestError) as error:
        build_suite("test", {"title": "test", "implicit_bias": [grid]})
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_everything_that_decides_a_solution_is_part_of_the_identity() -> None:
    grid = {"methods": ["sgd"], "problems": ["sparse-regression"], "seeds": [0]}

    def ids(**change: object) -> set[str]:
        cells = ImplicitBias().cells(ImplicitBiasGrid(**grid | change))
        return {cell.id for cell in cells}

    changes = (
        {"methods": ["f-gr"]},
        {"problems": ["sparse-regression(nonzero=3)"]},
        {"seeds": [1]},
        {"alphas": [0.2]},
        {"step": 1e-3},
        {"tolerance": 1e-3},
        {"most_steps": 7},
    )
    found = [ids(), *(ids(**change) for change in changes)]
    assert len(set.union(*found)) == len(found)
    assert ids(device="cuda") == ids()  # these problems stay on the CPU


def test_cells_with_a_record_are_not_asked_for_again() -> None:
    grid = ImplicitBiasGrid(methods=["sgd", "db-gr"], problems=["sparse-regression"], seeds=[0, 1])
    experiment = ImplicitBias()
    cells = experiment.cells(grid)
    assert experiment.remaining_units(grid, cells, []) == {"implicit_bias": 2}
    records = [solved(cell, ratio=1.0) for cell in cells if cell.spec == "sgd"]
    (job,) = experiment.pending(grid, cells, records)
    assert {cell.spec for unit in job.units for cell in unit.cells} == {"db-gr(gamma=0.1)"}
    assert not experiment.pending(grid, cells, [*records, *map(failed, cells)])


def test_the_table_of_nothing_is_empty() -> None:
    assert all(
        isinstance(t, pd.DataFrame) and not len(t) for t in ImplicitBias().tables([]).values()
    )
