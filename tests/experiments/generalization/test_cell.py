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
    "tuned": True,
    "split_seed": 4,
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
        *("spec", "method_source", "seed", "split_seed", "learning_rate", "weight_decay")
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
    free = {"spec", "method_source", "seed", "split_seed", "learning_rate", "role", "sharpness"}
    free |= {"meters", "meter_source"}
    assert fields_that_change("selection_group") == set(CHANGES) - free
    assert training("sam").selection_group != CELL.selection_group


def test_of_trials_the_weight_decay_is_chosen_too() -> None:
    own = replace(CELL, tuned=True)
    other = replace(own, weight_decay=0.5)
    assert own.selection_group == other.selection_group != CELL.selection_group
    assert own.setting != other.setting
    assert replace(CELL, weight_decay=0.5).setting == CELL.setting
    assert len({str(own), str(other)}) == 2


def test_the_test_part_of_candidates_is_read_of_trials_alone() -> None:
    read = {
        (role, tuned): replace(CELL, role=role, tuned=tuned).reads_test_part
        for role in ("candidate", "chosen", "run")
        for tuned in (False, True)
    }
    assert [key for key, does in read.items() if not does] == [("candidate", False)]


def test_trials_are_timed_once_whatever_their_weight_decay() -> None:
    cells = [replace(CELL, tuned=True, weight_decay=decay) for decay in (1e-3, 1e-2)]
    assert cells[0].timing_cell == cells[1].timing_cell
    assert cells[0].timing_cell == replace(CELL, weight_decay=1e-4).timing_cell
    adamw = replace(CELL, tuned=True, optimizer="adamw", momentum=None, weight_decay=0.3)
    assert adamw.timing_cell.weight_decay is None


STEP = {
    *("model", "dataset", "batch_size", "device", "dtype", "threads", "compiled", "variant"),
    *("data", "model_source", "dataset_source", "experiment_source"),
}
OPTIMIZER = {"momentum", "weight_decay", "optimizer", "optimizer_source"}


def test_cells_of_one_comparison_differ_in_method_and_seeds_alone() -> None:
    free = {"spec", "method_source", "seed", "split_seed"}
    assert fields_that_change("workload") == set(CHANGES) - free


def test_a_cell_on_the_datas_own_split_is_known_by_the_id_that_it_had_before() -> None:
    """Stored runs go on: split 0 is what they were trained on."""
    assert "split_seed" not in CELL.identity
    assert replace(CELL, split_seed=1).identity["split_seed"] == 1


def test_a_step_is_timed_once_for_all_trainings_that_make_such_steps() -> None:
    assert (
        fields_that_change("timing_cell")
        == {"spec", "method_source", "baseline", "tuned"} | STEP | OPTIMIZER
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
