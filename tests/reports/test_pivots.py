"""The small tables of a report: what stands in them, what is bold, and where a number leads."""

from __future__ import annotations

from pathlib import Path

import pytest
from outcomes import block, learned
from synthetic import cost, counted, run_of, timed

from gr_bench.experiments.experiment import Summary
from gr_bench.reports.pages import rows_json
from gr_bench.reports.pivots import MOST_COLUMNS, QUESTIONS, Pivot, by_workload
from gr_bench.runs.results import Results


def pivot(name: str, folder: Path, *records: object) -> Pivot:
    found = by_workload(QUESTIONS[name], Results(run_of(folder, *records)).tables)
    assert found is not None
    return found


def bold(found: Pivot) -> set[tuple[str, int]]:
    return {
        (method, place)
        for method, entries in found.groups[""].items()
        for place, entry in enumerate(entries)
        if entry is not None and entry.best
    }


def test_the_fastest_is_bold_where_its_interval_is_below_all_others(tmp_path: Path) -> None:
    sure = block(ratios={"sgd": 1.0, "sam": 2.0, "f-gr": 1.8})
    unsure = block(ratios={"sgd": 1.0, "sam": 2.0, "f-gr": 1.999}, batch_size=64)
    found = pivot("step_cost", tmp_path, *sure, *unsure)
    assert bold(found) == {("f-gr", 0)}
    assert [entry and entry.relative for entry in found.groups[""]["sgd"]] == ["1", "1"]
    entry = found.groups[""]["f-gr"][0]
    assert entry is not None
    assert (entry.relative, entry.absolute.split(" ")[0]) == ("1.80 [1.80, 1.80]", "18")


def test_one_process_makes_nothing_bold(tmp_path: Path) -> None:
    one = block(processes=1, ratios={"sgd": 1.0, "sam": 2.0, "f-gr": 1.0})
    assert bold(pivot("step_cost", tmp_path, *one)) == set()


def test_the_most_accurate_is_bold_only_beyond_all_others(tmp_path: Path) -> None:
    records = [
        *learned({"sgd": 0.8, "sam": 0.9, "f-gr": 0.85}),
        *learned({"sgd": 0.6, "sam": 0.7, "f-gr": 0.7}, dataset="mnist1d"),  # both better, alike
        *learned({"sgd": 0.6, "sam": 0.5, "f-gr": 0.55}, dataset="random"),  # both worse
    ]
    assert bold(pivot("generalization", tmp_path, *records)) == {("sam", 0)}


def test_a_number_leads_to_the_rows_that_it_stands_for(tmp_path: Path) -> None:
    """The columns and values of the link are those of the table of rows, and pick out one row."""
    run = run_of(
        tmp_path,
        *block(ratios={"sgd": 1.0, "sam": 2.0}),
        *block(ratios={"sgd": 1.0, "sam": 2.0}, batch_size=320),
        *learned({"sgd": 0.8, "sam": 0.9}),
        *learned({"sgd": 0.6, "sam": 0.7}, dataset="mnist1d"),
    )
    results = Results(run)
    for name, experiment in results.experiments.items():
        found = by_workload(QUESTIONS[name], results.tables)
        assert found is not None
        own = {summary.name: summary for summary in experiment.summaries(results.tables)}
        table = own[found.every_row].table
        entries = [entry for row in found.groups[""].values() for entry in row if entry]
        assert entries
        for entry in entries:
            part = table
            for key, value in entry.where.items():
                if key in table:
                    part = part[part[key].astype(str) == str(value)]
            assert len(part) == 1, (name, entry)


def test_a_pivot_that_would_be_too_wide_is_left_to_the_rows(tmp_path: Path) -> None:
    many = [
        record
        for batch in range(1, MOST_COLUMNS + 2)
        for record in block(ratios={"sgd": 1.0, "sam": 2.0}, batch_size=batch)
    ]
    assert by_workload(QUESTIONS["step_cost"], Results(run_of(tmp_path, *many)).tables) is None


def test_a_method_without_a_result_has_an_empty_place(tmp_path: Path) -> None:
    records = [*block(ratios={"sgd": 1.0, "sam": 2.0}), counted(cost("f-gr"))]
    assert pivot("step_cost", tmp_path, *records).groups[""]["f-gr"] == [None]


@pytest.mark.parametrize("text", ["</script><b>x</b>", "<!--<script>", "a & b 'c' \"d\"", "∇L"])
def test_rows_are_safe_inside_a_script_and_come_out_as_they_were(text: str) -> None:
    import json

    import pandas as pd

    table = pd.DataFrame({text: [text, None], "n": [1, 2]})
    written = rows_json(Summary("rows", "Rows", "", table, main=("n", "not there")))
    assert not set(written) & set("<>&")
    found = json.loads(written)
    assert found == {"columns": [text, "n"], "main": [1], "rows": [[text, "1"], ["-", "2"]]}


def test_without_main_columns_all_are_shown() -> None:
    import json

    import pandas as pd

    summary = Summary("rows", "Rows", "", pd.DataFrame({"a": [1], "b": [2]}))
    assert json.loads(rows_json(summary))["main"] == [0, 1]


def test_timed_samples_stand_for_a_control_nowhere(tmp_path: Path) -> None:
    control = [timed(cost(control=True), p, [0.01] * 3) for p in range(3)]
    found = pivot("step_cost", tmp_path, *block(ratios={"sgd": 1.0, "sam": 2.0}), *control)
    assert list(found.groups[""]) == ["sgd", "sam"]
