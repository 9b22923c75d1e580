"""The columns of methods' parameters, of whatever kind and name they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from synthetic import cost, counted, training

from gr_bench.experiments import style
from gr_bench.experiments.columns import SETTINGS, build_table, cell_columns
from gr_bench.experiments.step_cost.experiment import StepCost
from gr_bench.spec import parse

TUNED = "plugged:Tuned"


def table(*specs: str, columns: tuple[str, ...] = ()) -> pd.DataFrame:
    return build_table([cell_columns(cost(spec)) for spec in specs], columns)


def test_every_parameter_of_a_method_from_elsewhere_is_a_column() -> None:
    found = table("sgd", TUNED, f"{TUNED}(harm=1, mode='step', fast=True, layers=(3, 4))")
    rows = found[["harm", "mode", "fast", "layers"]]
    assert rows.iloc[0].isna().all()
    assert rows.iloc[1].tolist() == [0.0, "cosine", "False", "(1, 2)"]
    assert rows.iloc[2].tolist() == [1.0, "step", "True", "(3, 4)"]
    assert found["harm"].dtype == float


@pytest.mark.parametrize("specs", [("'linear'", "0.5"), ("0.5", "'linear'")])
def test_a_parameter_that_is_a_number_in_one_row_and_text_in_another_is_text(
    specs: tuple[str, str], tmp_path: Path
) -> None:
    found = table(*(f"{TUNED}(mode={value})" for value in specs), "sgd")
    assert sorted(found["mode"].dropna()) == ["0.5", "linear"]
    found.to_parquet(tmp_path / "table.parquet")
    back = pd.read_parquet(tmp_path / "table.parquet")
    assert back["mode"].tolist()[:2] == found["mode"].tolist()[:2]


def test_a_parameter_never_shares_a_column_with_anything_else() -> None:
    found = table("sgd", TUNED, "plugged:Clashing(rounds=3)", columns=("rounds",))
    assert found["method_momentum"].tolist()[1] == 0.5
    assert found["method_method_momentum"].tolist()[1] == 0.25
    assert found["method_rounds"].tolist()[2] == 3
    assert found["rounds"].isna().all()
    assert found.columns.is_unique


def test_a_parameter_of_the_name_of_the_rows_own_entry_is_a_column() -> None:
    rows: list[dict[str, Any]] = [
        {**cell_columns(cost()), "parameters": {"parameters": 2.0}},
        cell_columns(cost("sam")),
    ]
    found = build_table(rows, ())
    assert found["parameters"].tolist()[0] == 2
    assert found["parameters"].isna().tolist() == [False, True]


def test_a_parameter_with_the_name_of_a_workloads_setting_splits_no_panel() -> None:
    """Momentum is a setting of trainings: a method that has one is on the same workload."""
    cells = [cost("sgd"), cost(TUNED), cost(f"{TUNED}(momentum=0.7)")]
    found = StepCost().tables([counted(cell) for cell in cells])["step_cost"]
    assert found["method_momentum"].dropna().tolist() == [0.5, 0.7]
    assert [len(part) for _, part in style.workloads(found, "model")] == [3]
    assert {"momentum", "epochs", "schedule"} <= {*SETTINGS}


def test_the_row_of_a_setting_reads_back_the_method() -> None:
    cell = training(f"{TUNED}(layers=(7,), fast=True)")
    method = cell_columns(cell)["parameters"]
    assert method == parse(cell.spec).parameters
    assert (method["layers"], method["fast"]) == ((7,), True)
