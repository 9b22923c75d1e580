"""Which units are measured next, decided from records without running anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from synthetic import counted, failed, timed

from gr_bench.experiments.base import Record, Unit
from gr_bench.experiments.step_cost import StepCost
from gr_bench.experiments.step_cost.cell import StepCostCell, StepCostGrid

EXPERIMENT = StepCost()

Measure = Callable[[Unit], Sequence[Record]]


def grid(**settings: object) -> StepCostGrid:
    return StepCostGrid(
        **{
            "methods": ["sgd", "sam", "db-gr"],
            "models": ["mlp(depth=1)", "mlp(depth=2)"],
            "datasets": ["digits"],
            "batch_sizes": [32],
            "replicates": 3,
            "most_replicates": 6,
            "control": False,
            **settings,
        }
    )


def noise(replicate: int) -> float:
    return 1.5 if replicate % 2 else 1.0


def play(
    setting: StepCostGrid,
    *,
    fails: Callable[[StepCostCell, Unit], bool] = lambda cell, unit: False,
    noisy: Callable[[StepCostCell], bool] = lambda cell: False,
    records: Sequence[Record] = (),
) -> tuple[list[Unit], list[Record]]:
    """Measure what is asked for until nothing is; the units in order, and all records."""
    cells, known, done = EXPERIMENT.cells(setting), list(records), []
    for _ in range(100):
        jobs = EXPERIMENT.pending(setting, cells, known)
        if not jobs:
            assert set(EXPERIMENT.outlook(setting, cells, known).values()) == {0}
            return done, known
        for job in jobs:
            assert job.exclusive == (job.units[0].options["pass"] == "times")
            for unit in job.units:
                done.append(unit)
                for cell in unit.cells:
                    if fails(cell, unit):
                        known.append(failed(cell))
                    elif unit.options["pass"] == "counters":
                        known.append(counted(cell))
                    else:
                        replicate = unit.options["replicate"]
                        factor = noise(replicate) if noisy(cell) else 1.0
                        known.append(timed(cell, replicate, [factor] * 5))
    raise AssertionError("asks for ever")


def passes(units: Sequence[Unit]) -> list[str]:
    return [unit.options["pass"] for unit in units]


def replicates(units: Sequence[Unit], model: str) -> list[int]:
    return [
        unit.options["replicate"]
        for unit in units
        if unit.options["pass"] == "times" and unit.cells[0].model == model
    ]


def test_first_the_counters_of_every_cell_then_replicates_of_whole_blocks() -> None:
    units, _ = play(grid())
    assert passes(units) == ["counters"] * 6 + ["times"] * 2 * 3
    assert {len(unit.cells) for unit in units[:6]} == {1}
    for unit in units[6:]:
        assert [cell.method for cell in unit.cells] == ["sgd", "sam(rho=0.05)", "db-gr(gamma=0.1)"]
        assert len({cell.model for cell in unit.cells}) == 1


def test_one_replicate_walks_through_all_blocks_in_an_order_of_its_own() -> None:
    models = [f"mlp(depth={depth})" for depth in range(1, 6)]
    units, _ = play(grid(models=models))
    walks = [
        [unit.cells[0].model for unit in units if unit.options.get("replicate") == replicate]
        for replicate in range(3)
    ]
    assert all(sorted(walk) == models for walk in walks)
    assert len({tuple(walk) for walk in walks}) > 1


def test_a_block_that_is_not_known_well_enough_gets_more_replicates_than_others() -> None:
    units, _ = play(grid(), noisy=lambda cell: "sam" in cell.method and "2" in cell.model)
    assert replicates(units, "mlp(depth=1)") == [0, 1, 2]
    assert replicates(units, "mlp(depth=2)") == [0, 1, 2, 3, 4, 5]


def test_a_wide_target_is_reached_with_the_least_replicates() -> None:
    units, _ = play(grid(target_half_width=0.99), noisy=lambda cell: "sam" in cell.method)
    assert replicates(units, "mlp(depth=1)") == [0, 1, 2]


def test_a_cell_whose_counters_fail_is_not_timed() -> None:
    units, _ = play(grid(), fails=lambda cell, unit: "db-gr" in cell.method)
    timed_methods = {cell.method for unit in units[6:] for cell in unit.cells}
    assert timed_methods == {"sgd", "sam(rho=0.05)"}
    assert replicates(units, "mlp(depth=1)") == [0, 1, 2]


def test_a_cell_that_fails_later_leaves_its_block() -> None:
    units, _ = play(
        grid(),
        fails=lambda cell, unit: "sam" in cell.method and unit.options.get("replicate") == 1,
    )
    in_replicate = [
        {cell.method for unit in units if unit.options.get("replicate") == r for cell in unit.cells}
        for r in range(3)
    ]
    assert [len(methods) for methods in in_replicate] == [3, 3, 2]


@pytest.mark.parametrize("stage", ["counters", "times"])
def test_without_its_baseline_a_block_is_timed_and_ends(stage: str) -> None:
    units, records = play(
        grid(),
        fails=lambda cell, unit: cell.method == "sgd" and unit.options["pass"] == stage,
        noisy=lambda cell: True,
    )
    assert replicates(units, "mlp(depth=1)") == [0, 1, 2]
    table = EXPERIMENT.tables(records)["step_cost"]
    assert table["time_ratio"].isna().all()
    assert table.loc[table["method"] == "sam", "time_ms"].notna().all()


def test_nothing_is_left_when_everything_fails() -> None:
    units, _ = play(grid(), fails=lambda cell, unit: True)
    assert passes(units) == ["counters"] * 6


def test_a_run_goes_on_where_its_records_end() -> None:
    _, records = play(grid())
    for count in (0, 3, 6, 7, 11):
        rest, _ = play(grid(), records=records[:count])
        measured = {(r.cell.id, r.data.get("replicate")) for r in records[:count]}
        for unit in rest:
            keys = {(cell.id, unit.options.get("replicate")) for cell in unit.cells}
            assert not keys <= measured
    assert play(grid(), records=records)[0] == []


def test_a_cell_tried_again_is_timed_beside_the_rest_of_its_block() -> None:
    """Its ratio is to samples of the same rounds, so the others' old ones are of no use."""
    bad = {"sam(rho=0.05)"}
    _, records = play(grid(), fails=lambda cell, unit: cell.method in bad)
    kept = [record for record in records if record.kind != "failure"]
    units, _ = play(grid(), records=kept)
    assert passes(units) == ["counters"] * 2 + ["times"] * 2 * 3
    assert all(len(unit.cells) == 3 for unit in units[2:])


def test_the_outlook_counts_what_is_still_to_come_at_least() -> None:
    setting = grid()
    cells = EXPERIMENT.cells(setting)
    records = [counted(cell) for cell in cells[:2]]
    outlook = EXPERIMENT.outlook(setting, cells, records)
    assert outlook == {"step_cost counters": 4, "step_cost times": 6}
    records = [counted(cell) for cell in cells]
    records += [timed(cell, replicate, [1.0]) for cell in cells for replicate in range(2)]
    outlook = EXPERIMENT.outlook(setting, cells, records)
    assert outlook == {"step_cost counters": 0, "step_cost times": 2}


def test_the_budget_ends_a_grid_early() -> None:
    """A block of synthetic records takes a second."""
    units, records = play(grid(budget_minutes=3 / 60), noisy=lambda cell: "sam" in cell.method)
    assert passes(units)[6:] == ["times"] * 4  # the second replicate of both blocks goes beyond it
    table = EXPERIMENT.tables(records)["step_cost"]
    assert len(table) == 6


def test_the_baseline_is_timed_twice_as_a_control() -> None:
    units, records = play(grid(control=True))
    block = units[-1].cells
    assert [(cell.method, cell.control) for cell in block][:2] == [("sgd", False), ("sgd", True)]
    table = EXPERIMENT.tables(records)["step_cost"]
    assert list(table.loc[table["control"], "time_ratio"]) == [1.0, 1.0]


def test_grids_with_the_same_cells_share_their_measurements() -> None:
    _, records = play(grid(models=["mlp(depth=1)"]))
    units, _ = play(grid(), records=records)
    assert {cell.model for unit in units for cell in unit.cells} == {"mlp(depth=2)"}
    assert play(grid(models=["mlp(depth=1)"]), records=records)[0] == []


def test_blocks_with_another_allocator_get_processes_of_their_own() -> None:
    setting = grid(allocators=["held", "system"])
    cells = EXPERIMENT.cells(setting)
    records: list[Record] = [counted(cell) for cell in cells]
    seen = set()
    for _ in range(2):
        (job,) = EXPERIMENT.pending(setting, cells, records)
        assert {cell.allocator for unit in job.units for cell in unit.cells} == {job.allocator}
        seen.add(job.allocator)
        records += [timed(cell, 0, [1.0]) for unit in job.units for cell in unit.cells]
    assert seen == {"held", "system"}
