"""The choice of a method's numbers: by the validation part alone, and trained on other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError
from synthetic import diverged, failed, trained, training

from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.planning.selection import chosen
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.generalization.training.train import train_all
from gr_bench.experiments.record import Record

GRID = GeneralizationGrid(
    methods=["sgd", "f-gr(gamma=[0.1, 0.3])"],
    models=["mlp(depth=2, width=8)"],
    datasets=["plugged:blobs"],
    batch_sizes=[32],
    learning_rates=[0.01, 0.1],
    seeds=[0, 1],
    select=True,
    selection_seeds=[7, 8],
    epochs=2,
)
EXPERIMENT = Generalization()


def candidate(*accuracies: float, loss: float = 1.0, **fields: Any) -> Training:
    """A candidate whose epochs end with these validation accuracies."""
    cell = replace(training(**fields), role="candidate", epochs=len(accuracies))
    ends = [(loss, accuracy) for accuracy in accuracies]
    return trained(cell, train=(0.0, 1.0), test=None, validation=ends)


def pick(*records: Record) -> tuple[str, float] | None:
    (found,) = chosen(records).values() or [None]
    return found


# --- the choice


def test_the_best_mean_validation_accuracy_is_chosen() -> None:
    assert pick(
        candidate(0.9, learning_rate=0.1, seed=7),
        candidate(0.5, learning_rate=0.1, seed=8),
        candidate(0.8, learning_rate=0.2, seed=7),
        candidate(0.8, learning_rate=0.2, seed=8),
    ) == ("sgd", 0.2)


def test_at_equal_accuracy_the_loss_decides() -> None:
    records = [
        candidate(0.8, loss=loss, learning_rate=rate) for loss, rate in ((2.0, 0.1), (1.0, 0.2))
    ]
    assert pick(*records) == pick(*reversed(records)) == ("sgd", 0.2)


def test_of_bytes_the_loss_decides_and_the_summary_says_so() -> None:
    """The setting that is surer of the wrong byte loses, though it has more bytes right."""
    text = [
        replace(candidate(accuracy, loss=loss, learning_rate=rate), unit="byte")
        for accuracy, loss, rate in ((0.6, 2.0, 0.1), (0.5, 1.0, 0.2))
    ]
    assert pick(*text) == pick(*reversed(text)) == ("sgd", 0.2)
    others = [replace(record, unit=None) for record in text]
    assert pick(*others) == ("sgd", 0.1)
    for records, words in (
        (text, "by the mean loss on the validation part after the last epoch; settings"),
        (others, "by the mean accuracy on the validation part after the last epoch; settings"),
        (
            [*text, candidate(0.5, batch_size=8)],
            "by the mean accuracy on the validation part after the last epoch, for bytes by the "
            "loss; settings",
        ),
    ):
        (shown,) = EXPERIMENT.summaries(EXPERIMENT.tables(records))
        assert words in shown.caption


def test_the_last_epoch_counts_and_not_the_best_one() -> None:
    early = candidate(1.0, 0.2, learning_rate=0.1)
    late = candidate(0.1, 0.7, learning_rate=0.2)
    assert pick(early, late) == ("sgd", 0.2)


def test_a_setting_that_diverges_in_a_seed_comes_after_all_that_do_not() -> None:
    wild = candidate(1.0, learning_rate=0.2, seed=7)
    lost = diverged(replace(wild.cell, seed=8), 3)
    calm = candidate(0.3, learning_rate=0.1, seed=7)
    assert pick(wild, lost, calm) == ("sgd", 0.1)
    assert pick(wild, lost) == ("sgd", 0.2)
    broken = failed(replace(wild.cell, seed=9))
    assert pick(wild, broken, calm) == ("sgd", 0.1)


def test_without_a_run_that_ended_nothing_is_chosen() -> None:
    cell = replace(training(), role="candidate")
    assert chosen([diverged(cell, 1)]) == {}
    assert chosen([failed(cell)]) == {}


def test_methods_and_workloads_choose_each_for_themselves() -> None:
    found = chosen(
        [
            candidate(0.1, learning_rate=0.1, method="sgd"),
            candidate(0.9, learning_rate=0.2, method="sam"),
            candidate(0.5, learning_rate=0.3, method="sgd", batch_size=8),
            candidate(0.5, learning_rate=0.4, method="sgd", label_noise=0.2),
        ]
    )
    assert sorted(rate for _, rate in found.values()) == [0.1, 0.2, 0.3, 0.4]


def test_runs_that_are_no_candidates_have_no_say() -> None:
    final = candidate(1.0, learning_rate=0.2)
    final = replace(final, cell=replace(final.cell, role="chosen"))
    assert pick(candidate(0.5, learning_rate=0.1), final) == ("sgd", 0.1)


def test_the_test_part_has_no_say() -> None:
    """A planted test result that is better cannot matter."""
    good = replace(candidate(0.6, learning_rate=0.1), test_loss=1.0, test_accuracy=0.0)
    bad = replace(candidate(0.5, learning_rate=0.2), test_loss=0.0, test_accuracy=1.0)
    assert pick(good, bad) == ("sgd", 0.1)


def tuned(accuracy: float, decay: float, test: float = 0.5) -> Training:
    one = candidate(accuracy, weight_decay=decay)
    cell = replace(one.cell, tuned=True)
    return replace(one, cell=cell, test_loss=1.0, test_accuracy=test)


def test_of_trials_the_weight_decay_is_chosen_too_and_the_test_part_has_no_say() -> None:
    records = [tuned(0.5, 0.1, test=1.0), tuned(0.6, 0.2, test=0.0), tuned(0.4, 0.3, test=0.9)]
    assert pick(*records) == pick(*reversed(records)) == ("sgd", 0.1, 0.2)


# --- the order of things


def cells_of(records: Sequence[Record]) -> list[GeneralizationCell]:
    cells = EXPERIMENT.cells(GRID)
    jobs = EXPERIMENT.pending(GRID, cells, records)
    return [cell for job in jobs for unit in job.units for cell in unit.cells]


def measured(cells: Sequence[GeneralizationCell]) -> list[Training]:
    return [r for cell in cells for r in train_all([cell], "loop") if isinstance(r, Training)]


@pytest.fixture(scope="module")
def candidates() -> list[Training]:
    return measured(cells_of([]))


def test_candidates_come_first_and_never_see_the_test_part(candidates: list[Training]) -> None:
    assert len(candidates) == 3 * 2 * 2
    for record in candidates:
        assert record.cell.role == "candidate"
        assert record.cell.seed in (7, 8)
        assert (record.test_loss, record.test_accuracy) == (None, None)


def test_the_choice_is_trained_on_other_seeds_when_all_candidates_are_done(
    candidates: list[Training],
) -> None:
    assert {cell.role for cell in cells_of(candidates[:-1])} == {"candidate"}
    finals = cells_of(candidates)
    best = chosen(candidates)
    assert {(cell.selection_group, cell.setting) for cell in finals} == set(best.items())
    assert sorted(cell.seed for cell in finals) == [0, 0, 1, 1]
    results = measured(finals)
    assert all(record.test_accuracy is not None for record in results)
    assert cells_of([*candidates, *results]) == []
    assert cells_of([*candidates, results[0]]) != []


def test_the_remaining_units_are_never_less_than_those_asked_for(
    candidates: list[Training],
) -> None:
    cells = EXPERIMENT.cells(GRID)
    for records in ([], candidates[:3], candidates):
        (job,) = EXPERIMENT.pending(GRID, cells, records)
        later = 2 if len(records) < len(candidates) else 0
        (kind,) = {unit.kind for unit in job.units}
        remaining = EXPERIMENT.remaining_units(GRID, cells, records)
        assert remaining == {kind: len(job.units) + later, "generalization times": 0}


def test_another_test_part_changes_no_choice() -> None:
    found = []
    for seed in (0, 1):
        dataset = f"plugged:blobs(test_seed={seed})"
        cells = [replace(cell, dataset=dataset) for cell in cells_of([])]
        found.append(list(chosen(measured(cells)).values()))
    assert found[0] == found[1]


def test_a_seed_to_choose_by_must_not_be_judged_on() -> None:
    with pytest.raises(ValidationError, match="seed 1 is in both seeds and selection_seeds"):
        GeneralizationGrid(**GRID.model_dump() | {"selection_seeds": [1, 7]})


def test_trials_are_trained_with_their_own_numbers_and_the_chosen_one_goes_on() -> None:
    grid = GeneralizationGrid(
        **GRID.model_dump()
        | {
            "methods": ["sgd", "sam(rho=log(0.01, 0.5))"],
            "trials": 3,
            "learning_rates": "log(0.01, 0.1)",
            "weight_decays": "log(1e-4, 0.1)",
        }
    )
    cells = EXPERIMENT.cells(grid)
    (job,) = EXPERIMENT.pending(grid, cells, [])
    assert sorted(len(unit.cells) for unit in job.units) == [6, 6]
    done = [
        record
        for unit in job.units
        for record in train_all(unit.cells, "fleet")
        if isinstance(record, Training)
    ]
    assert all(record.test_accuracy is not None for record in done)
    assert {record.cell.role for record in done} == {"candidate"}
    (job,) = EXPERIMENT.pending(grid, cells, done)
    finals = [cell for unit in job.units for cell in unit.cells]
    assert {(cell.selection_group, cell.setting) for cell in finals} == set(chosen(done).items())
    tables = EXPERIMENT.tables([*done, *measured(finals)])
    # each with its own learning rate and weight decay, and paired all the same
    assert list(tables["comparison"]["seeds"]) == [2]
    assert tables["generalization"]["weight_decay"].nunique() == 2
    assert list(tables["selection"].groupby("method")["rank"].max()) == [3, 3]
    assert len(tables["tuning_curves"]) == 6
    names = [summary.name for summary in EXPERIMENT.summaries(tables)]
    assert names[-1] == "tuning_budgets"
    titles = [ax.get_title() for p in EXPERIMENT.figures(tables) for ax in p.figure.axes]
    assert len({title for title in titles if "lr as chosen" in title.replace("\n", " ")}) >= 1


# --- tables and figures


def test_tables_tell_what_was_tried_and_chosen(candidates: list[Training]) -> None:
    results = measured(cells_of(candidates))
    tables = EXPERIMENT.tables([*candidates, *results])
    selection = tables["selection"]
    assert len(selection) == 3 * 2
    assert selection["chosen"].sum() == 2
    assert (selection["runs"] == 2).all()
    assert set(tables["generalization"]["role"]) == {"chosen"}
    assert len(tables["generalization"]) == 4
    names = [summary.name for summary in EXPERIMENT.summaries(tables)]
    assert names == ["generalization", "comparison", "time_to_target", "selection"]
    only = EXPERIMENT.tables(candidates)
    assert [summary.name for summary in EXPERIMENT.summaries(only)] == ["selection"]
    assert isinstance(only["generalization"], pd.DataFrame)


def test_chosen_settings_are_paired_whatever_their_learning_rates() -> None:
    pairs = [("sgd", 0.1, 0.5), ("sam", 0.2, 0.7)]
    records = [
        trained(
            replace(training(method, learning_rate=rate, seed=seed), role="chosen"),
            train=(0.0, 1.0),
            test=(0.0, accuracy + 0.01 * seed),
        )
        for method, rate, accuracy in pairs
        for seed in range(3)
    ]
    summary, *_ = EXPERIMENT.summaries(EXPERIMENT.tables(records))
    assert list(summary.table["minus SGD (points)"]) == ["-", "+20.00 [+20.00, +20.00]"]
    apart = [replace(r, cell=replace(r.cell, role="run")) for r in records]
    summary, *_ = EXPERIMENT.summaries(EXPERIMENT.tables(apart))
    assert list(summary.table["minus SGD (points)"]) == ["-", "-"]


def test_chosen_settings_share_a_panel() -> None:
    records = [
        trained(
            replace(training(method, learning_rate=rate), role="chosen"),
            train=(0.1, 1.0),
            test=(0.1, 0.5),
        )
        for method, rate in (("sgd", 0.1), ("sam", 0.2))
    ]
    figures = list(EXPERIMENT.figures(EXPERIMENT.tables(records)))
    assert figures
    results = figures[0].figure
    titles = [ax.get_title() for ax in results.axes if ax.get_title()]
    assert len(titles) == 1
    assert "lr as chosen" in titles[0].replace("\n", " ")


def test_every_cell_prints_differently() -> None:
    grid = GeneralizationGrid(
        **GRID.model_dump() | {"equal_cost": True, "label_noise": [0.0, 0.2], "learning_rates": [1]}
    )
    cells = EXPERIMENT.cells(grid)
    assert len({str(cell) for cell in cells}) == len(cells)


# --- a method from elsewhere


def test_the_numbers_of_a_method_from_elsewhere_are_chosen_like_any_others() -> None:
    """Its step forwards is chosen over the one backwards, whatever kinds of parameters it has."""
    grid = GeneralizationGrid(
        **GRID.model_dump()
        | {
            "methods": ["plugged:Tuned(harm=[2, 0], mode=['cosine', 0.5], layers=(3, 4))", "sgd"],
            "learning_rates": [0.1],
            "batch_sizes": [16],
            "epochs": 3,
        }
    )
    cells = EXPERIMENT.cells(grid)
    assert len({cell.spec for cell in cells}) == 5
    done = measured([cell for cell in cells if cell.role == "candidate"])
    (best,) = (setting for group, setting in chosen(done).items() if group[0] == "tuned")
    assert "harm=0" in best[0]
    (job,) = EXPERIMENT.pending(grid, cells, done)
    finals = [cell for unit in job.units for cell in unit.cells]
    assert {cell.spec for cell in finals} == {"sgd", best[0]}
    tables = EXPERIMENT.tables([*done, *measured(finals)])
    selection = tables["selection"]
    assert set(selection["harm"].dropna()) == {0.0, 2.0}
    assert set(selection["mode"].dropna()) == {"cosine", "0.5"}
    assert set(tables["comparison"]["layers"]) == {"(3, 4)"}
    assert list(EXPERIMENT.summaries(tables))
