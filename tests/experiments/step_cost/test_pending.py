"""Which units are measured next, decided from records without running anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from synthetic import counted, timed

from gr_bench.errors import Unsupported
from gr_bench.experiments.block_times import BlockTimes, TimesOptions
from gr_bench.experiments.experiment import Unit
from gr_bench.experiments.record import Failure, Record
from gr_bench.experiments.step_cost.cell import StepCostCell, StepCostGrid
from gr_bench.experiments.step_cost.experiment import StepCost
from gr_bench.experiments.step_cost.record import Check, CheckOptions, Counters, CountersOptions
from gr_bench.runs.store import latest

EXPERIMENT = StepCost()
SAME_OPTIONS = ("target", "most_replicates", "left_s")


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
    left_s: float | None = None,
) -> tuple[list[Unit], list[Record]]:
    """Measure what is asked for until nothing is; the units in order, and all records.

    A block takes the time that it is given, of what is left.
    """
    cells, known, done = EXPERIMENT.cells(setting), list(records), []
    for _ in range(100):
        jobs = EXPERIMENT.pending(setting, cells, known, left_s)
        if not jobs:
            if left_s is None:
                assert set(EXPERIMENT.remaining_units(setting, cells, known).values()) == {0}
            return done, known
        for job in jobs:
            assert job.exclusive == (job.units[0].options.kind == "times")
            for unit in job.units:
                done.append(unit)
                if left_s is not None and isinstance(unit.options, TimesOptions):
                    left_s -= unit.options.budget_s + 0.5
                for cell in unit.cells:
                    if fails(cell, unit):
                        known.append(EXPERIMENT.lost(unit, cell, "no such luck"))
                    elif isinstance(unit.options, CheckOptions):
                        known.append(Check(cell=cell, agrees=True))
                    elif isinstance(unit.options, TimesOptions):
                        replicate = unit.options.replicate
                        factor = noise(replicate) if noisy(cell) else 1.0
                        same = {k: getattr(unit.options, k) for k in SAME_OPTIONS}
                        samples = [0.1 * factor] * 5
                        known.append(timed(cell, replicate, samples, spent_s=3.5, **same))
                    else:
                        known.append(counted(cell))
    raise AssertionError("asks for ever")


def passes(units: Sequence[Unit]) -> list[str]:
    return [unit.options.kind for unit in units]


def replicate_of(unit: Unit) -> int | None:
    return unit.options.replicate if isinstance(unit.options, TimesOptions) else None


def replicates(units: Sequence[Unit], model: str) -> list[int]:
    found = [(unit.cells[0].model, replicate_of(unit)) for unit in units]
    return [number for name, number in found if name == model and number is not None]


def test_first_the_counters_of_every_cell_then_replicates_of_whole_blocks() -> None:
    units, _ = play(grid())
    assert passes(units) == ["counters"] * 6 + ["times"] * 2 * 3
    assert {len(unit.cells) for unit in units[:6]} == {1}
    for unit in units[6:]:
        assert [cell.spec for cell in unit.cells] == ["sgd", "sam(rho=0.05)", "db-gr(gamma=0.1)"]
        assert len({cell.model for cell in unit.cells}) == 1


def test_one_replicate_walks_through_all_blocks_in_an_order_of_its_own() -> None:
    models = [f"mlp(depth={depth})" for depth in range(1, 6)]
    units, _ = play(grid(models=models))
    walks = [
        [unit.cells[0].model for unit in units if replicate_of(unit) == replicate]
        for replicate in range(3)
    ]
    assert all(sorted(walk) == models for walk in walks)
    assert len({tuple(walk) for walk in walks}) > 1


def test_a_block_that_is_not_known_well_enough_gets_more_replicates_than_others() -> None:
    units, _ = play(grid(), noisy=lambda cell: "sam" in cell.spec and "2" in cell.model)
    assert replicates(units, "mlp(depth=1)") == [0, 1, 2]
    assert replicates(units, "mlp(depth=2)") == [0, 1, 2, 3, 4, 5]


def test_a_wide_target_is_reached_with_the_least_replicates() -> None:
    units, _ = play(grid(target_half_width=0.99), noisy=lambda cell: "sam" in cell.spec)
    assert replicates(units, "mlp(depth=1)") == [0, 1, 2]


def test_a_cell_whose_counters_fail_is_timed() -> None:
    units, records = play(
        grid(),
        fails=lambda cell, unit: "db-gr" in cell.spec and isinstance(unit.options, CountersOptions),
    )
    assert passes(units) == ["counters"] * 6 + ["times"] * 2 * 3
    assert all(len(unit.cells) == 3 for unit in units[6:])
    table = EXPERIMENT.tables(latest(records))["step_cost"].set_index("method")
    lost = table.loc["db-gr"]
    assert set(lost["status"]) == {"not counted"}
    assert lost["time_ratio"].notna().all()
    assert lost[["flops", "peak_memory_bytes"]].isna().all(axis=None)
    assert set(table.loc[["sgd", "sam"], "status"]) == {"ok"}
    assert sum(isinstance(record, Failure) for record in latest(records)) == 2


def test_counters_that_are_had_later_put_an_end_to_their_failure() -> None:
    cell = EXPERIMENT.cells(grid())[0]
    unit = Unit((cell,), CountersOptions())
    lost = EXPERIMENT.lost(unit, cell, MemoryError("all of it"))
    assert latest([lost, timed(cell, 0, [0.1])])[0] is lost
    assert lost not in latest([lost, timed(cell, 0, [0.1]), counted(cell)])


def test_a_cell_whose_counters_are_unsupported_is_not_timed() -> None:
    cell = EXPERIMENT.cells(grid())[0]
    lost = EXPERIMENT.lost(Unit((cell,), CountersOptions()), cell, Unsupported("never"))
    (job, *_) = EXPERIMENT.pending(grid(), [cell], [lost]) or [None]
    assert job is None


def test_a_cell_that_fails_later_leaves_its_block() -> None:
    units, _ = play(
        grid(),
        fails=lambda cell, unit: "sam" in cell.spec and replicate_of(unit) == 1,
    )
    in_replicate = [
        {cell.spec for unit in units if replicate_of(unit) == r for cell in unit.cells}
        for r in range(3)
    ]
    assert [len(methods) for methods in in_replicate] == [3, 3, 2]


@pytest.mark.parametrize("stage", ["counters", "times"])
def test_a_block_whose_baseline_fails_is_timed_and_ends(stage: str) -> None:
    units, records = play(
        grid(),
        fails=lambda cell, unit: cell.spec == "sgd" and unit.options.kind == stage,
        noisy=lambda cell: True,
    )
    assert replicates(units, "mlp(depth=1)") == [0, 1, 2]
    table = EXPERIMENT.tables(records)["step_cost"]
    assert table["time_ratio"].isna().all() == (stage == "times")
    assert table.loc[table["method"] == "sam", "time_ms"].notna().all()


def test_nothing_is_left_when_everything_fails() -> None:
    units, _ = play(grid(), fails=lambda cell, unit: True)
    assert passes(units) == ["counters"] * 6 + ["times"] * 2


def test_a_run_goes_on_where_its_records_end() -> None:
    _, records = play(grid())
    for count in (0, 3, 6, 7, 11):
        rest, _ = play(grid(), records=records[:count])
        measured = {(r.cell.id, getattr(r, "replicate", None)) for r in records[:count]}
        for unit in rest:
            keys = {(cell.id, replicate_of(unit)) for cell in unit.cells}
            assert not keys <= measured
    assert play(grid(), records=records)[0] == []


def test_a_cell_tried_again_is_timed_beside_the_rest_of_its_block() -> None:
    """Its ratio is to samples of the same rounds, so the others' old ones are of no use."""
    bad = {"sam(rho=0.05)"}
    _, records = play(grid(), fails=lambda cell, unit: cell.spec in bad)
    kept = [record for record in records if not isinstance(record, Failure)]
    units, _ = play(grid(), records=kept)
    assert passes(units) == ["counters"] * 2 + ["times"] * 2 * 3
    assert all(len(unit.cells) == 3 for unit in units[2:])


def test_remaining_units_are_those_to_come_at_least() -> None:
    setting = grid()
    cells = EXPERIMENT.cells(setting)
    nothing = {"step_cost check": 0, "step_cost counters": 0, "step_cost times": 0}
    records: list[Record] = [counted(cell) for cell in cells[:2]]
    found = EXPERIMENT.remaining_units(setting, cells, records)
    assert found == nothing | {"step_cost counters": 4, "step_cost times": 6}
    records = [counted(cell) for cell in cells]
    records += [timed(cell, replicate, [1.0]) for cell in cells for replicate in range(2)]
    found = EXPERIMENT.remaining_units(setting, cells, records)
    assert found == nothing | {"step_cost times": 2}


# --- precision and time


def test_with_time_every_block_is_made_as_precise_as_was_asked() -> None:
    setting = grid(target_half_width=0.4, most_replicates=100)
    _, records = play(setting, noisy=lambda cell: "sam" in cell.spec, left_s=10_000.0)
    table = EXPERIMENT.tables(records)["step_cost"]
    assert (table["half_width"] <= 0.4).all()
    assert set(table["stop_reason"]) == {"target"}


def test_without_time_the_least_known_blocks_get_what_there_is() -> None:
    """The first model's ratios are known after three replicates, the second's never."""
    setting = grid(most_replicates=100)
    units, records = play(
        setting,
        noisy=lambda cell: "sam" in cell.spec and "2" in cell.model,
        left_s=60.0,
    )
    assert replicates(units, "mlp(depth=1)") == [0, 1, 2]
    assert len(replicates(units, "mlp(depth=2)")) > 3
    table = EXPERIMENT.tables(records)["step_cost"].set_index(["model", "method"])
    assert table.loc[("mlp(depth=2)", "sam"), "stop_reason"] == "budget"
    assert table.loc[("mlp(depth=2)", "sam"), "more_time_s"] > 0
    assert table.loc[("mlp(depth=1)", "sam"), "more_time_s"] == 0


def test_given_more_time_a_run_goes_on_from_where_it_is() -> None:
    def noisy(cell: StepCostCell) -> bool:
        return "sam" in cell.spec

    setting = grid(most_replicates=100)
    first, records = play(setting, noisy=noisy, left_s=40.0)
    second, _ = play(setting, noisy=noisy, records=records, left_s=40.0)
    numbers = replicates(first, "mlp(depth=1)")
    assert replicates(second, "mlp(depth=1)")[0] == max(numbers) + 1
    assert "counters" not in passes(second)


def test_what_only_makes_more_precise_says_so() -> None:
    setting = grid()
    cells = EXPERIMENT.cells(setting)
    records: list[Record] = [counted(cell) for cell in cells]
    for replicate in range(4):
        (job,) = EXPERIMENT.pending(setting, cells, records)
        assert job.refines == (replicate >= setting.replicates)
        records += [timed(cell, replicate, [noise(replicate)]) for cell in cells[1:2]]
        records += [timed(cell, replicate, [1.0]) for cell in (cells[0], *cells[2:])]


# --- variants


def test_a_variant_is_checked_before_anything_else_and_in_a_process_of_its_own() -> None:
    setting = grid(compiled=[False, True], methods=["sgd", "sam"])
    cells = EXPERIMENT.cells(setting)
    (job,) = EXPERIMENT.pending(setting, cells, [])
    assert job.isolated
    assert [unit.options.kind for unit in job.units] == ["check"] * 4
    assert all(cell.compiled for unit in job.units for cell in unit.cells)
    units, records = play(setting)
    assert passes(units) == ["check"] * 4 + ["counters"] * 8 + ["times"] * 4 * 3
    assert sum(isinstance(record, Counters) for record in records) == 8


@pytest.mark.parametrize("dtype", ["bfloat16", "bfloat16-mixed"])
def test_another_precision_is_a_variant_and_float64_is_none(dtype: str) -> None:
    for each, checked in ((dtype, 3), ("float64", 0)):
        units, _ = play(grid(dtypes=[each], models=["mlp(depth=1)"]))
        assert passes(units).count("check") == checked


def test_a_wrong_step_is_neither_counted_nor_timed() -> None:
    setting = grid(compiled=[True])
    units, records = play(
        setting,
        fails=lambda cell, unit: unit.options.kind == "check" and "sam" in cell.spec,
    )
    assert not any("sam" in cell.spec for unit in units[6:] for cell in unit.cells)
    table = EXPERIMENT.tables(records)["step_cost"]
    assert set(table.loc[table["method"] == "sam", "status"]) == {"wrong"}
    assert set(table.loc[table["method"] != "sam", "status"]) == {"ok"}
    (warning,) = [w for w in EXPERIMENT.warnings({"step_cost": table}) if "plain step" in w]
    assert warning.startswith("2 cells compute a different result")


def test_the_baseline_is_timed_twice_as_a_control() -> None:
    units, records = play(grid(control=True))
    block = units[-1].cells
    assert [(cell.spec, cell.control) for cell in block][:2] == [("sgd", False), ("sgd", True)]
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


def test_deterministic_variants_get_processes_that_are_started_for_them_in_every_pass() -> None:
    setting = grid(variants=["plain", "fused", "deterministic"], methods=["sgd"])
    cells, records = EXPERIMENT.cells(setting), []
    passes = set()
    while jobs := EXPERIMENT.pending(setting, cells, records):
        for job in jobs:
            variants = {cell.variant for unit in job.units for cell in unit.cells}
            assert ("deterministic" in variants) == ("CUBLAS_WORKSPACE_CONFIG" in job.variables)
            assert variants == {"deterministic"} or "deterministic" not in variants
            for unit in job.units:
                passes.add((unit.options.kind, bool(job.variables)))
                for cell in unit.cells:
                    if isinstance(unit.options, CheckOptions):
                        records.append(Check(cell=cell, agrees=True))
                    elif isinstance(unit.options, CountersOptions):
                        records.append(counted(cell))
                    else:
                        records.append(timed(cell, replicate_of(unit), [1.0]))
    assert len(passes) == 6


def test_energy_is_read_in_a_first_replicate_and_in_no_plan_for_further_ones() -> None:
    units, _ = play(grid())
    times = [unit.options for unit in units if isinstance(unit.options, TimesOptions)]
    assert [options.energy for options in times] == [options.replicate == 0 for options in times]
    block = EXPERIMENT.cells(grid(models=["mlp(depth=1)"]))
    records = [timed(cell, k, [1.0], spent_s=2.0) for cell in block for k in range(3)]
    usual = BlockTimes(records).state(block).overhead_s
    for cell in block:
        first = timed(cell, 0, [1.0], spent_s=100.0)
        records.append(replace(first, options=replace(first.options, energy=True)))
    assert BlockTimes(records).state(block).overhead_s == usual


@pytest.mark.parametrize(("device", "apart"), [("cpu", False), ("cuda", True)])
def test_blocks_that_are_profiled_on_a_gpu_have_a_process_each(device: str, apart: bool) -> None:
    """A profiler that has been attached to the GPU once slows all that comes after it."""
    setting = grid(operators=True, device=device)
    cells = EXPERIMENT.cells(setting)
    (job,) = EXPERIMENT.pending(setting, cells, [counted(cell) for cell in cells])
    assert job.exclusive
    assert job.isolated == apart
    setting = grid(device=device)
    cells = EXPERIMENT.cells(setting)
    (job,) = EXPERIMENT.pending(setting, cells, [counted(cell) for cell in cells])
    assert not job.isolated
