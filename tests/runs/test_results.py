from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from synthetic import cost, counted, failed, run_of, timed, trained, training

import gr_bench
from gr_bench import load
from gr_bench.errors import RequestError
from gr_bench.experiments import get_experiment
from gr_bench.experiments.lines import with_checksum
from gr_bench.runs.about import read_about, write_about
from gr_bench.runs.results import Results
from gr_bench.runs.store import latest

RECORDS = [
    counted(cost()),
    timed(cost(), 0, [1.0]),
    failed(cost("sam"), "first"),
    failed(cost("sam"), "second"),
    failed(training("sam"), "once"),
    trained(training("sam"), train=(0.1, 1.0), test=(0.2, 0.9)),
    trained(training("plugged:Scheduled"), train=(0.1, 1.0), test=(0.2, 0.9)),
    trained(training("f-gr"), train=(0.1, 1.0), test=(0.2, 0.9)),
]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return load(run_of(tmp_path, *RECORDS))


def test_tables_are_of_what_counts_now(results: Results) -> None:
    assert list(results.failures["reason"]) == ["second"]
    assert list(results.step_cost["status"]) == ["ok", "failed"]
    assert list(results.generalization["status"]) == ["ok"] * 3


def test_a_run_without_failures_has_an_empty_table_of_them(tmp_path: Path) -> None:
    failures = load(run_of(tmp_path, RECORDS[0])).failures
    assert len(failures) == 0
    assert list(failures.columns) == list(load(run_of(tmp_path, *RECORDS)).failures.columns)


def test_what_cannot_work_has_not_failed(tmp_path: Path) -> None:
    cannot = replace(failed(training("sam")), unsupported=True)
    assert "failed" not in repr(load(run_of(tmp_path / "one", RECORDS[0], cannot)))
    both = load(run_of(tmp_path / "two", cannot, failed(cost("sam"))))
    assert "(1 failed)" in repr(both)


def test_results_travel_between_processes(results: Results) -> None:
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(results)).step_cost, results.step_cost)


def test_a_parameter_that_is_no_number_has_a_column_beside_the_numbers(results: Results) -> None:
    results.write_parquet()
    stored = pd.read_parquet(results.folder / "generalization.parquet").set_index("spec")
    assert stored.loc["f-gr(gamma=0.1, epsilon=0.05)", "gamma"] == 0.1
    assert stored.loc["scheduled(gamma='cosine')", "method_gamma"] == "cosine"
    assert stored["gamma"].dtype == stored["epsilon"].dtype == float


def test_stored_tables_from_before_there_were_optimizers_are_those_of_sgd(
    results: Results,
) -> None:
    """A run without its journal has its parquet files alone."""
    results.write_parquet()
    for file in results.folder.glob("*.parquet"):
        pd.read_parquet(file).drop(columns="optimizer").to_parquet(file)
    for journal in results.folder.glob("*.jsonl*"):
        journal.unlink()
    old = load(results.folder)
    assert set(old.generalization["optimizer"]) == {"sgd"}
    assert len(old.step_cost) == len(results.step_cost)
    summaries = get_experiment("generalization").summaries(old.tables)
    assert len(summaries[0].table) == 3


def test_files_from_before_a_column_was_added_have_it(tmp_path: Path) -> None:
    """As shipped runs do, whose journal is compressed: their files are all that is read."""
    records = [
        trained(training(method, seed=seed), train=(0.1, 1.0), test=(0.2, accuracy))
        for method, accuracy in (("sgd", 0.5), ("sam", 0.6))
        for seed in range(2)
    ]
    results = load(run_of(tmp_path, counted(cost()), *records))
    before = {name: table.copy() for name, table in results.tables.items()}
    added = {"baseline", "uncounted_operators", "tuned", "rank"}
    younger = ("bits_comparison", "aggregates", "mean_ranks", "performance_profiles")
    for name in (*younger, "tuning_curves", "tuning_budgets"):
        del results.tables[name], before[name]  # younger than the columns
    for name, table in before.items():
        results.tables[name] = table.drop(columns=[c for c in table if c in added])
    results.write_parquet()
    (tmp_path / "journal.jsonl").unlink()
    found = load(tmp_path)
    for name, table in before.items():
        assert {*found.tables[name]} == {*table}, name
    assert set(found.comparison["baseline"]) == {"sgd"}
    assert set(found.comparison["tuned"]) == {False}
    assert found.step_cost["uncounted_operators"].isna().all()
    for experiment in found.experiments.values():
        assert experiment.summaries(found.tables)


def test_a_table_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path: Path) -> None:
    results = load(run_of(tmp_path, RECORDS[-1]))
    names = "generalization, training_curves, comparison, bits_comparison, time_to_target, "
    names += "selection, tuning_curves, tuning_budgets, step_times, aggregates, mean_ranks, "
    names += "performance_profiles, failures"
    with pytest.raises(AttributeError, match=f"available are {names}"):
        _ = results.step_cost


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_folder_that_is_no_runs_is_refused(tmp_path: Path, make) -> None:
    make(tmp_path / "x")
    with pytest.raises(RequestError, match=r"not a run's folder: it has no run\.json"):
        load(tmp_path / "x")


def test_records_of_an_experiment_that_is_not_installed_here_are_passed_over(
    tmp_path: Path,
) -> None:
    folder = run_of(tmp_path, *RECORDS)
    first, *_ = (folder / "journal.jsonl").read_text().splitlines()
    line = json.loads(first) | {"experiment": "of-another-package"}
    del line["crc32"]
    with open(folder / "journal.jsonl", "a") as journal:
        journal.write(with_checksum(json.dumps(line)) + "\n")
    about = read_about(folder)
    about["suite"] = {"only": None, "step_cost": [{}], "of-another-package": [{}]}
    write_about(folder, about)
    results = load(folder)
    assert len(results.records) == len(latest(RECORDS))
    assert results.missing == {"of-another-package": "its package is not installed here"}
    results.write_parquet()
    about = read_about(folder)
    about["tables"]["experiments"].append("of-another-package")
    write_about(folder, about)
    assert list(load(folder).experiments) == ["step_cost", "generalization"]
    (page,) = gr_bench.report(folder, ["md"])
    assert "of-another-package is not shown" in page.read_text()
