"""The optimizer as a part of the workload: in cells, blocks, tables and titles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from synthetic import cost, counted, timed, trained, training

import gr_bench
from gr_bench.experiments import style
from gr_bench.experiments.block_times import blocks_of
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.step_cost.cell import StepCostGrid
from gr_bench.experiments.step_cost.experiment import StepCost

GRID: dict[str, Any] = {
    "methods": ["sgd", "sam"],
    "models": ["mlp(depth=1)"],
    "datasets": ["digits"],
    "batch_sizes": [32],
}
OPTIMIZERS = ["sgd", "sgd(momentum=0.5)", "adamw(weight_decay=[0.01, 0.1])"]
SPELLED = ["sgd", "sgd(momentum=0.5)", "adamw(weight_decay=0.01)", "adamw(weight_decay=0.1)"]


def test_ids_from_before_there_were_optimizers_stay() -> None:
    """Those of these cells as the version before computed them."""
    assert cost().id == "f21e3aa1ff583a8e"
    assert training().id == "2685127ef1e7cc3f"
    assert "optimizer" not in cost().identity
    assert cost(optimizer="adamw").id != cost().id
    assert cost(optimizer="adamw").identity["optimizer"] == "adamw"


@pytest.mark.parametrize("cell", [cost(), training()], ids=["step cost", "generalization"])
def test_a_cell_names_its_optimizer_unless_it_is_sgd(cell: Cell) -> None:
    assert "batch 32 / sgd" in str(cell)
    assert "batch 32 adamw(eps=0.1) / sgd" in str(replace(cell, optimizer="adamw(eps=0.1)"))


def test_methods_are_compared_under_one_optimizer() -> None:
    cells = StepCost().cells(StepCostGrid(**GRID, optimizers=OPTIMIZERS))
    blocks = blocks_of(cells)
    assert [{cell.optimizer for cell in block} for block in blocks] == [{o} for o in SPELLED]
    assert all(sum(cell.is_baseline for cell in block) == 1 for block in blocks)
    assert all(len(block) == 3 for block in blocks)  # the control


def test_momentum_and_weight_decay_are_sgds() -> None:
    grid = GeneralizationGrid(
        **GRID, optimizers=OPTIMIZERS, epochs=1, momentum=0.8, weight_decay=0.2
    )
    cells = Generalization().cells(grid)
    found = {cell.optimizer: (cell.momentum, cell.weight_decay) for cell in cells}
    assert found == dict(
        zip(SPELLED, [(0.8, 0.2), (0.5, 0.2), (None, None), (None, None)], strict=True)
    )


def results() -> list[Any]:
    adamw = {"optimizer": "adamw", "momentum": None, "weight_decay": None}
    points = {
        ("sgd", "sgd"): 0.8,
        ("sam", "sgd"): 0.9,
        ("sgd", "adamw"): 0.5,
        ("sam", "adamw"): 0.7,
    }
    return [
        trained(
            training(method, seed=seed, **(adamw if optimizer == "adamw" else {})),
            train=(0.1, 1.0),
            test=(0.5, accuracy + 0.01 * seed),
        )
        for (method, optimizer), accuracy in points.items()
        for seed in range(3)
    ]


def test_a_comparison_is_with_sgd_under_the_same_optimizer() -> None:
    """By +0.1 behind SGD and by +0.2 behind AdamW, by construction."""
    tables = Generalization().tables(results())
    against = tables["comparison"].set_index("optimizer")["difference"]
    assert dict(against) == {"sgd": pytest.approx(0.1), "adamw": pytest.approx(0.2)}
    runs = tables["generalization"].set_index("optimizer")
    assert runs.loc["adamw", ["momentum", "weight_decay"]].isna().all(axis=None)
    assert (runs.loc["sgd", "momentum"] == 0.9).all()


def test_tables_and_titles_name_optimizers_that_differ() -> None:
    experiment = Generalization()
    tables = experiment.tables(results())
    for table in experiment.summaries(tables):
        if table.name in ("generalization", "comparison"):
            assert set(table.table["optimizer"]) == {"sgd", "adamw"}
    titles = " ".join(title for title, _ in style.workloads(tables["generalization"], "model"))
    assert "adamw" in titles
    over_workloads = ("over_workloads", "performance_profiles", "critical_differences")
    for picture in experiment.figures(tables):
        if picture.name.startswith(over_workloads):
            continue  # an optimizer more is a workload more
        assert any("adamw" in ax.get_title() for ax in picture.figure.axes), picture.name
    plt.close("all")
    alone = experiment.tables(results()[:6])
    assert "optimizer" not in experiment.summaries(alone)[0].table


def test_time_ratios_are_over_sgd_with_the_same_optimizer() -> None:
    times = {("sgd", "sgd"): 1.0, ("sam", "sgd"): 2.0, ("sgd", "adamw"): 4.0, ("sam", "adamw"): 6.0}
    records: list[Any] = []
    for (method, optimizer), step_s in times.items():
        cell = cost(method, optimizer=optimizer)
        records += [counted(cell), *(timed(cell, r, [step_s, step_s]) for r in range(3))]
    table = StepCost().tables(records)["step_cost"]
    found = table.set_index(["method", "optimizer"])["time_ratio"]
    assert found["sam", "sgd"] == pytest.approx(2.0)
    assert found["sam", "adamw"] == pytest.approx(1.5)
    assert StepCost().headlines({"step_cost": table})


SUITE = """
title = "Two optimizers"
[[step_cost]]
methods = ["sgd", "sam"]
models = ["mlp(depth=1)"]
datasets = ["random(shape=(2,), samples=8)"]
batch_sizes = [4]
optimizers = ["sgd", "adamw"]
replicates = 2
most_replicates = 2
seconds_per_block = 0.1
control = false
[[generalization]]
methods = ["sgd", "sam"]
models = ["mlp(depth=1)"]
datasets = ["random(shape=(2,), samples=64)"]
batch_sizes = [4]
optimizers = ["sgd", "adamw"]
epochs = 1
seeds = [0, 1]
"""


@pytest.mark.slow
def test_a_run_with_two_optimizers_has_two_blocks(tmp_path: Path) -> None:
    suite = tmp_path / "two.toml"
    suite.write_text(SUITE)
    results = gr_bench.run(suite, out=tmp_path / "run")
    assert set(results.step_cost["status"]) == {"ok"}
    counts = results.step_cost.groupby("optimizer")["time_ratio"].agg(["count", "min"])
    assert dict(counts["count"]) == {"sgd": 2, "adamw": 2}
    assert (counts["min"] <= 1.0).all()
    state = results.step_cost.set_index("optimizer")["optimizer_state_bytes"]
    assert state["adamw"].min() > 1.9 * state["sgd"].max()
    assert dict(results.generalization["optimizer"].value_counts()) == {"sgd": 4, "adamw": 4}
    assert set(results.generalization["status"]) == {"ok"}
    assert isinstance(results.comparison, pd.DataFrame)
    page, _ = gr_bench.report(results.folder)
    assert "adamw" in page.read_text()


def test_a_cell_is_told_by_its_optimizer() -> None:
    assert training(optimizer="adamw").fleet_key != training().fleet_key
    assert training(optimizer="adamw").timing_cell.optimizer == "adamw"
    assert isinstance(training(), GeneralizationCell)
