"""Comparisons at equal time rest on step times that the same run measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from synthetic import failed, step_time, trained, training

from gr_bench.experiments.block_times import BlockTimes, Times, TimesOptions
from gr_bench.experiments.experiment import Job, Unit
from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.planning.plan import TIMING, equal_time_cells
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.record import Failure, Record
from gr_bench.spec import parse
from gr_bench.timing.replicates import log_ratio

EXPERIMENT = Generalization()
GRID = GeneralizationGrid(
    methods=["sgd", "f-gr(gamma=[0.1, 0.3])", "db-gr"],
    models=["mlp(depth=2, width=8)"],
    datasets=["plugged:blobs"],
    batch_sizes=[32, 48],
    learning_rates=[0.01, 0.1],
    label_noise=[0.0, 0.2],
    seeds=[0, 1],
    epochs=10,
    equal_time=True,
)
CELLS = EXPERIMENT.cells(GRID)


def jobs(records: Sequence[Record], grid: GeneralizationGrid = GRID) -> list[Job]:
    return EXPERIMENT.pending(grid, EXPERIMENT.cells(grid), records)


def asked(records: Sequence[Record], grid: GeneralizationGrid = GRID) -> list[GeneralizationCell]:
    return [cell for job in jobs(records, grid) for unit in job.units for cell in unit.cells]


def answers(
    records: Sequence[Record], ratios: dict[str, float], grid: GeneralizationGrid = GRID
) -> list[Record]:
    """What all the timings that are asked for, one replicate after the other, would give."""
    done: list[Record] = []
    while units := [
        unit
        for job in jobs([*records, *done], grid)
        for unit in job.units
        if isinstance(unit.options, TimesOptions)
    ]:
        done += [
            step_time(cell, unit.options.replicate, 1e-3 * ratios[cell.spec.partition("(")[0]])
            for unit in units
            for cell in unit.cells
        ]
    return done


RATIOS = {"sgd": 1.0, "f-gr": 2.04, "db-gr": 3.27}


# --- what is timed, and when


def test_steps_are_timed_first_each_method_once_and_sgd_a_second_time() -> None:
    (job,) = jobs([])
    assert job.exclusive
    assert not job.refines
    assert sorted(unit.cells[0].batch_size for unit in job.units) == [32, 48]
    for unit in job.units:
        assert [(cell.spec.partition("(")[0], cell.role) for cell in unit.cells] == [
            ("sgd", "timing"),
            ("sgd", "control"),
            ("f-gr", "timing"),
            ("db-gr", "timing"),
        ]
    found = EXPERIMENT.remaining_units(GRID, CELLS, [])
    assert found["generalization times"] == 2 * TIMING.least_replicates


def test_cycles_of_other_lengths_take_another_time() -> None:
    looks = ["looksam(rho=[0.1, 0.2], k=[2, 3])"]
    grid = GeneralizationGrid(**GRID.model_dump() | {"methods": ["sgd", *looks]})
    (job,) = jobs([], grid)
    for unit in job.units:
        timed = [cell.spec for cell in unit.cells if cell.spec != "sgd"]
        assert timed == [f"looksam(rho=0.1, alpha=0.7, k={k})" for k in (2, 3)]


def test_a_part_of_a_gradient_a_step_is_a_part_of_an_epoch() -> None:
    """At equal cost SGD has 1 + 1/k times the epochs, in whole ones."""
    methods = ["sgd", "looksam(k=[2, 3])", "sam"]
    grid = GeneralizationGrid(
        **GRID.model_dump() | {"methods": methods, "equal_time": False, "equal_cost": True}
    )
    sgd = [cell for cell in EXPERIMENT.cells(grid) if cell.spec == "sgd"]
    assert {cell.epochs for cell in sgd} == {10, 13, 15, 20}


def test_every_replicate_is_a_process_of_its_own_until_the_ratios_are_known() -> None:
    done = answers([], RATIOS)
    replicates = [record.replicate for record in done if isinstance(record, Times)]
    assert sorted(set(replicates)) == list(range(TIMING.least_replicates))
    assert {cell.role for cell in asked(done)} == {"run"}


def test_a_ratio_that_is_not_known_is_timed_further() -> None:
    done: list[Record] = []
    for replicate in range(TIMING.most_replicates):
        (job,) = jobs(done)
        timed = [unit for unit in job.units if isinstance(unit.options, TimesOptions)]
        assert {unit.options.replicate for unit in timed} == {replicate}
        noise = 1.2 if replicate % 2 else 1.0
        for unit in timed:
            for cell in unit.cells:
                factor = noise if cell.spec.startswith("f-gr") else 1.0
                done.append(step_time(cell, replicate, 1e-3 * factor))
    assert {cell.role for cell in asked(done)} == {"run"}


def test_a_replicate_that_was_broken_off_is_timed_anew_as_a_whole() -> None:
    done = answers([], RATIOS)
    (job,) = jobs(done[1:])
    (unit,) = job.units
    assert unit.options.replicate == done[0].replicate
    assert len(unit.cells) == 4


def test_a_method_that_cannot_be_timed_does_not_hold_up_the_others() -> None:
    broken = next(cell for cell in asked([]) if cell.spec.startswith("db-gr"))
    left = [unit for job in jobs([failed(broken)]) for unit in job.units]
    assert {len(unit.cells) for unit in left if unit.cells[0].batch_size == 32} == {3}
    every = [failed(cell) for cell in {cell.id: cell for cell in asked([])}.values()]
    assert {cell.role for cell in asked(every)} == {"run"}


def test_nothing_is_timed_unless_it_was_asked_for() -> None:
    plain = GeneralizationGrid(**GRID.model_dump() | {"equal_time": False})
    assert {cell.role for cell in asked([], plain)} == {"run"}
    found = EXPERIMENT.remaining_units(plain, EXPERIMENT.cells(plain), [])
    assert found["generalization times"] == 0


# --- how long SGD is trained


def test_sgd_is_trained_for_as_long_as_the_others_to_the_nearest_tenth() -> None:
    cells = asked(answers([], RATIOS))
    assert {cell.epochs for cell in cells if cell.spec != "sgd"} == {10}
    sgd = [cell for cell in cells if cell.spec == "sgd"]
    assert {cell.epochs for cell in sgd} == {10, 20, 33}
    a_length = len(sgd) // 3
    assert {epochs: sum(c.epochs == epochs for c in sgd) for epochs in (10, 20, 33)} == {
        10: a_length,
        20: a_length,
        33: a_length,
    }


def test_a_length_is_trained_once_whatever_asks_for_it() -> None:
    both = GeneralizationGrid(**GRID.model_dump() | {"equal_cost": True})
    cells = asked(answers([], RATIOS, both), both)
    assert {cell.epochs for cell in cells if cell.spec == "sgd"} == {10, 20, 30, 33}
    assert len({cell.id for cell in cells}) == len(cells)


def test_a_longer_training_chooses_its_learning_rate_for_itself() -> None:
    grid = GeneralizationGrid(**GRID.model_dump() | {"select": True, "selection_seeds": [7]})
    longer = [cell for cell in asked(answers([], RATIOS, grid), grid) if cell.epochs == 33]
    assert {(cell.role, cell.learning_rate) for cell in longer} == {
        ("candidate", 0.01),
        ("candidate", 0.1),
    }


# --- the measurement


def test_one_run_at_a_time_is_stepped_in_the_rounds_of_step_cost() -> None:
    cells = [
        training(m, model="mlp(depth=2)").timing_cell for m in ("sgd", "f-gr", "plugged:Raises")
    ]
    options = TimesOptions(
        replicate=0, budget_s=0.05, least_rounds=5, target=0.02, most_replicates=5
    )
    found = {record.cell: record for record in EXPERIMENT.measure(Unit(tuple(cells), options))}
    sgd, fgr, broken = (found[cell] for cell in cells)
    assert isinstance(broken, Failure)
    assert isinstance(sgd, Times)
    assert isinstance(fgr, Times)
    assert len(sgd.position) == len(fgr.position) >= 5
    ratio = BlockTimes([sgd, fgr]).log_ratios[fgr.cell.id][0]
    assert ratio == log_ratio(fgr.step_s, sgd.step_s)


# --- tables


def results(method: str, accuracies: Sequence[float], **settings: Any) -> list[Training]:
    return [
        trained(
            training(method, seed=seed, **settings),
            train=(0.1, 1.0),
            test=(0.5, accuracy),
            steps=5 * settings["epochs"],
            evaluations={"sgd": 1, "f-gr": 2}[method],
        )
        for seed, accuracy in enumerate(accuracies)
    ]


def timings(ratio: float) -> list[Record]:
    cells = [training("sgd"), training("f-gr")]
    return [
        step_time(cell, replicate, r * 2e-3)
        for replicate in range(3)
        for cell, r in zip(cells, (1.0, ratio), strict=True)
    ]


def comparison(ratio: float) -> pd.DataFrame:
    records = [
        *timings(ratio),
        *results("sgd", (0.5, 0.6, 0.7), epochs=10),
        *results("sgd", (0.6, 0.7, 0.8), epochs=20),
        *results("sgd", (0.7, 0.8, 0.9), epochs=26),
        *results("f-gr", (0.65, 0.75, 0.85), epochs=10),
    ]
    return EXPERIMENT.tables(records)["comparison"].set_index("cost")


def test_the_comparison_is_with_the_training_that_takes_as_long() -> None:
    found = comparison(2.58)
    assert dict(found["baseline_epochs"]) == {"epochs": 10, "gradient evaluations": 20, "time": 26}
    assert dict(found["difference"]) == pytest.approx(
        {"epochs": 0.15, "gradient evaluations": 0.05, "time": -0.05}
    )
    assert found.loc["time", "cost_ratio"] == pytest.approx(25.8 / 26)
    assert found.loc["gradient evaluations", "cost_ratio"] == 1


def test_what_takes_another_time_is_compared_with_nothing() -> None:
    assert set(comparison(2.3).index) == {"epochs", "gradient evaluations"}
    assert comparison(2.09).loc["time", "baseline_epochs"] == 20


def test_step_times_are_medians_with_the_interval_over_processes() -> None:
    cells = training("sgd"), training("f-gr")
    seen = {0: 2.0, 1: 2.1, 2: 2.2}
    records = [step_time(cells[0], k, 1e-3) for k in seen]
    records += [step_time(cells[1], k, 1e-3 * ratio) for k, ratio in seen.items()]
    again = {"began": 1.0}
    records += [step_time(cells[0], 2, 1e-3, **again), step_time(cells[1], 2, 2.3e-3, **again)]
    table = EXPERIMENT.tables(records)["step_times"].set_index("method")
    row = table.loc["f-gr"]
    assert row["time_ms"] == pytest.approx((2.0 * 2.1 * 2.3) ** (1 / 3))
    assert row["time_ratio"] == pytest.approx((2.0 * 2.1 * 2.3) ** (1 / 3))
    assert row["time_ratio_low"] < 2.0
    assert row["replicates"] == 3
    runs = EXPERIMENT.tables([*records, *results("f-gr", [0.5], epochs=3)])["generalization"]
    assert runs["step_time_ms"].iloc[0] == row["time_ms"]
    assert set(runs["role"]) == {"run"}


def test_a_step_of_other_threads_or_batch_size_is_another() -> None:
    other = [replace(r, cell=replace(r.cell, threads=2)) for r in timings(2.0)]
    runs = EXPERIMENT.tables([*other, *results("f-gr", [0.5], epochs=3)])["generalization"]
    assert runs["step_time_ms"].isna().all()


def test_the_control_has_a_row_and_no_influence() -> None:
    """SGD timed a second time says how well the others' ratios are known, and nothing else."""
    control = [
        replace(time, cell=replace(time.cell, role="control"))
        for time in (step_time(training("sgd"), k, 1.3 * 2e-3) for k in range(3))
    ]
    records = [*timings(2.0), *control]
    table = EXPERIMENT.tables([*records, *results("sgd", [0.5], epochs=3)])
    rows = table["step_times"].set_index(["method", "control"])["time_ratio"].to_dict()
    expected = {("sgd", False): 1.0, ("sgd", True): 1.3, ("f-gr", False): 2.0}
    assert rows == pytest.approx(expected)
    assert table["generalization"]["step_time_ms"].tolist() == pytest.approx([2.0])
    sgd = training("sgd", epochs=10)
    grid = GeneralizationGrid(**GRID.model_dump() | {"epochs": 10})
    cells = [sgd, training("f-gr", epochs=10)]
    assert {cell.epochs for cell in equal_time_cells(grid, cells, records)} == {10, 20}


def test_steps_are_timed_for_every_share_and_for_no_number_further_inside() -> None:
    methods = ["sgd", "late(sam(rho=[0.1, 0.2]), share=[0.1, 0.5])", "f-gr(gamma=[0.1, 0.3])"]
    grid = GeneralizationGrid(
        **GRID.model_dump() | {"methods": methods, "batch_sizes": [32], "label_noise": [0.0]}
    )
    (job,) = jobs([], grid)
    (unit,) = job.units
    assert [cell.spec for cell in unit.cells] == [
        "sgd",
        "sgd",
        "late(sam(rho=0.1), share=0.1)",
        "late(sam(rho=0.1), share=0.5)",
        "f-gr(gamma=0.1, epsilon=0.05)",
    ]
    seconds = {"sgd": 1.0, "late(sam, share=0.1)": 1.1, "late(sam, share=0.5)": 1.5, "f-gr": 2.0}
    records = [
        step_time(cell, replicate, seconds[parse(cell.spec).frame])
        for cell in unit.cells
        for replicate in range(2)
    ]
    ended = {"train": (0.1, 0.9), "test": (0.2, 0.8)}
    records += [trained(cell, **ended) for cell in EXPERIMENT.cells(grid)]
    table = EXPERIMENT.tables(records)["generalization"]
    assert set(table["method"]) == {"sgd", "late(sam)", "f-gr"}
    for row in table.to_dict("records"):
        assert row["step_time_ratio"] == pytest.approx(seconds[parse(row["spec"]).frame])
        if row["method"] == "late(sam)":
            assert f"late(sam(rho={row['rho']:g}), share={row['share']:g})" == row["spec"]


def test_sgd_is_trained_for_the_mean_passes_of_methods_whose_steps_differ() -> None:
    grid = GeneralizationGrid(
        **GRID.model_dump()
        | {
            "methods": ["sgd", "late(sam, share=[0.2, 0.04])", "every(sam, k=3)", "sam"],
            "equal_cost": True,
            "equal_time": False,
        }
    )
    lengths = {cell.epochs for cell in EXPERIMENT.cells(grid) if cell.spec == "sgd"}
    assert lengths == {10, 12, 13, 20}
