"""The identities of generalization cells: fleets, choices, and blocks that are timed."""

from __future__ import annotations

from dataclasses import fields, replace

from synthetic import training

from gr_bench.experiments.generalization.cell import GeneralizationCell

CHANGES = {
    "spec": "f-gr(gamma=0.3, epsilon=0.05)",
    "model": "vit",
    "dataset": "mnist1d",
    "batch_size": 64,
    "device": "cuda",
    "dtype": "float64",
    "threads": 2,
    "compiled": True,
    "variant": "channels-last",
    "optimizer": "adamw",
    "seed": 5,
    "epochs": 9,
    "learning_rate": 0.5,
    "momentum": 0.0,
    "weight_decay": 0.1,
    "schedule": "constant",
    "augmentation": "crop-flip",
    "label_noise": 0.2,
    "sharpness": True,
    "role": "candidate",
    "baseline": "sam(rho=0.05)",
    "data": "0123",
    "method_source": "method:Mine@01",
    "optimizer_source": "optimizer:Mine@01",
    "model_source": "model:mine@01",
    "dataset_source": "dataset:mine@01",
    "experiment_source": "experiment:mine@01",
    "meters": ("mine",),
    "meter_source": "meter:mine@01",
}
"""Another value of every field; that of the method has other numbers alone."""

CELL = training("f-gr")


def fields_that_change(key: str) -> set[str]:
    """The fields on which a property of a cell depends."""
    return {
        name
        for name, value in CHANGES.items()
        if getattr(replace(CELL, **{name: value}), key) != getattr(CELL, key)
    }


def test_every_field_is_changed_here() -> None:
    assert set(CHANGES) == {field.name for field in fields(GeneralizationCell)}


def test_every_field_is_part_of_the_identity() -> None:
    assert fields_that_change("id") == set(CHANGES)


def test_runs_of_a_fleet_differ_in_seed_rate_and_numbers_alone() -> None:
    assert fields_that_change("fleet_key") == set(CHANGES) - {
        *("spec", "method_source", "seed", "learning_rate")
    }
    assert training("sam").fleet_key != CELL.fleet_key


def test_runs_whose_cycles_differ_are_no_fleet() -> None:
    """Where a method takes its passes is decided for all runs of a fleet at once."""
    looks = [
        replace(CELL, spec=f"looksam(rho={rho}, k={k})") for rho, k in ((1, 5), (2, 5), (2, 6))
    ]
    keys = [cell.fleet_key for cell in looks]
    assert keys[0] == keys[1] != keys[2]


def test_a_choice_is_among_numbers_and_rates_of_one_method_and_workload() -> None:
    free = {"spec", "method_source", "seed", "learning_rate", "role", "sharpness"}
    free |= {"meters", "meter_source"}
    assert fields_that_change("selection_group") == set(CHANGES) - free
    assert training("sam").selection_group != CELL.selection_group


STEP = {
    *("model", "dataset", "batch_size", "device", "dtype", "threads", "compiled", "variant"),
    *("data", "model_source", "dataset_source", "experiment_source"),
}
OPTIMIZER = {"momentum", "weight_decay", "optimizer", "optimizer_source"}


def test_a_step_is_timed_once_for_all_trainings_that_make_such_steps() -> None:
    assert (
        fields_that_change("timing_cell")
        == {"spec", "method_source", "baseline"} | STEP | OPTIMIZER
    )
    assert CELL.timing_cell.timing_cell == CELL.timing_cell
    assert CELL.timing_cell.role == "timing"


def test_a_block_has_all_methods_of_a_workload_and_the_control() -> None:
    timed = [training(method).timing_cell for method in ("sgd", "sam", "f-gr")]
    control = replace(timed[0], role="control")
    assert {cell.block for cell in timed} == {control.block}
    for name in STEP | OPTIMIZER:
        assert replace(timed[0], **{name: CHANGES[name]}).block != timed[0].block
    assert [cell.is_baseline for cell in (*timed, control)] == [True, False, False, False]
    assert [cell.is_control for cell in (*timed, control)] == [False, False, False, True]
    assert len({str(cell) for cell in (*timed, control)}) == 4


def test_numbers_of_methods_made_of_others_are_chosen_together() -> None:
    cells = [training(text) for text in ("late(sam)", "late(sam(rho=1), share=0.1)", "late(asam)")]
    first, numbers, other = (cell.selection_group for cell in cells)
    assert first == numbers != other
