"""Several runs on one page: what is put beside what, and what the page says of the rest."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from outcomes import block, learned
from processes import Warm
from synthetic import cost, failed, run_of

import gr_bench
from gr_bench.errors import RequestError
from gr_bench.experiments.record import Record
from gr_bench.reports.pivots import QUESTIONS, Entry, Pivot
from gr_bench.reports.side_by_side import by_run, facts, labelled
from gr_bench.runs.results import Results


def runs_of(folder: Path, **records: list[Record]) -> dict[str, Results]:
    return {name: Results(run_of(folder / name, *own)) for name, own in records.items()}


def aligned(
    runs: dict[str, Results], experiment: str = "step_cost"
) -> tuple[Pivot | None, list[str]]:
    question = QUESTIONS[experiment]
    rows = question.select({name: own.tables for name, own in runs.items()})
    return by_run(question, rows, list(runs))


def numbers(line: object) -> list[str | None]:
    assert isinstance(line, list)
    return [own.relative if isinstance(own, Entry) else None for own in line]


def test_the_same_workload_of_two_runs_stands_in_one_line(tmp_path: Path) -> None:
    one = [*block(ratios={"sgd": 1.0, "sam": 2.0}), *block(ratios={"sgd": 1.0}, batch_size=64)]
    two = [*block(ratios={"sgd": 1.0, "sam": 1.5, "f-gr": 1.8})]
    pivot, notes = aligned(runs_of(tmp_path, one=one, two=two))
    assert pivot is not None
    (group,) = pivot.groups.values()
    assert pivot.columns == ["one", "two", "lowest to highest"]
    assert numbers(group["sam"]) == ["2.00 [2.00, 2.00]", "1.50 [1.50, 1.50]", "1.50 to 2.00"]
    assert numbers(group["f-gr"]) == [None, "1.80 [1.80, 1.80]", None]
    assert notes == ["1 of 2 workloads are in one run only: see every row."]


def test_a_setting_that_each_run_has_one_value_of_is_the_runs_and_no_workloads(
    tmp_path: Path,
) -> None:
    runs = runs_of(
        tmp_path,
        one=[*block(ratios={"sgd": 1.0, "sam": 2.0}, threads=1)],
        two=[*block(ratios={"sgd": 1.0, "sam": 1.9}, threads=2)],
    )
    page = gr_bench.report([own.folder for own in runs.values()], ["md"], out=tmp_path / "page")
    text = page[0].read_text()
    assert "| sam | 2.00 [2.00, 2.00] | 1.90 [1.90, 1.90] | 1.90 to 2.00" in " ".join(text.split())
    differing, alike = facts(runs, {name: {"facts": {}} for name in runs})
    assert differing == {"Setting threads": ["1", "2"]}
    assert alike == {"Suite": "Synthetic"}


def test_other_models_are_never_put_side_by_side(tmp_path: Path) -> None:
    runs = runs_of(
        tmp_path,
        one=[*block(ratios={"sgd": 1.0, "sam": 2.0}, model="mlp(depth=2)")],
        two=[*block(ratios={"sgd": 1.0, "sam": 1.9}, model="mlp(depth=3)")],
    )
    assert aligned(runs) == (None, ["2 of 2 workloads are in one run only: see every row."])


def test_the_best_is_bold_within_its_own_run(tmp_path: Path) -> None:
    runs = runs_of(
        tmp_path,
        one=[*block(ratios={"sgd": 1.0, "sam": 2.0, "f-gr": 1.8})],
        two=[*block(ratios={"sgd": 1.0, "sam": 1.7, "f-gr": 1.9})],
    )
    pivot, _ = aligned(runs)
    assert pivot is not None
    (group,) = pivot.groups.values()
    bold = {name: [bool(own and own.best) for own in line] for name, line in group.items()}
    assert bold == {
        "sgd": [False] * 3,
        "sam": [False, True, False],
        "f-gr": [True, False, False],
    }


def test_accuracies_are_compared_at_a_cost_that_all_runs_have(tmp_path: Path) -> None:
    question = QUESTIONS["generalization"]
    runs = runs_of(
        tmp_path,
        one=[*learned({"sgd": 0.8, "sam": 0.9})],
        two=[*learned({"sgd": 0.8, "sam": 0.85})],
    )
    tables = {name: dict(own.tables) for name, own in runs.items()}
    costs = tables["one"]["comparison"]
    timed = costs.assign(cost="time", difference=0.5)
    tables["one"]["comparison"] = pd.concat([costs, timed], ignore_index=True)
    rows = question.select(tables)
    assert set(rows["cost"]) == {"epochs"}
    assert question.words(rows)["title"] == "Test accuracy against SGD, at equal epochs"
    assert set(question.select({"one": tables["one"]})["cost"]) == {"time"}
    pivot, _ = by_run(question, rows, list(runs))
    assert pivot is not None
    (group,) = pivot.groups.values()
    first, second, ends = numbers(group["sam"])
    assert first is not None and first.startswith("+10.0 [")
    assert second is not None and second.startswith("+5.0 [")
    assert ends == "+5.0 to +10.0"


def test_the_page_has_every_row_of_every_run_and_all_failures(tmp_path: Path) -> None:
    broken = [*block(ratios={"sgd": 1.0, "sam": 2.0}), failed(cost("f-gr"))]
    runs = runs_of(tmp_path, one=[*block(ratios={"sgd": 1.0, "sam": 2.0})], two=broken)
    pages = gr_bench.report([own.folder for own in runs.values()], out=tmp_path / "page")
    assert [page.name for page in pages] == ["side-by-side.html", "side-by-side.md"]
    table = pd.read_csv(tmp_path / "page/tables/step_cost.csv")
    assert table.columns[0] == "run"
    for name, own in runs.items():
        assert (table["run"] == name).sum() == len(own.step_cost)
    failures = pd.read_csv(tmp_path / "page/tables/failures.csv")
    assert list(failures["run"]) == ["two"]
    html = pages[0].read_text()
    assert '<tr><th scope="row">Failures</th><td>0</td><td>1</td></tr>' in html
    assert (tmp_path / "page/figures/side_by_side_step_cost.svg").exists()


def test_an_experiment_that_one_run_lacks_is_named(tmp_path: Path) -> None:
    runs = runs_of(
        tmp_path,
        one=[*block(ratios={"sgd": 1.0, "sam": 2.0}), *learned({"sgd": 0.8, "sam": 0.9})],
        two=[*block(ratios={"sgd": 1.0, "sam": 2.0})],
    )
    (page,) = gr_bench.report([own.folder for own in runs.values()], ["md"], out=tmp_path / "page")
    assert "Not measured: two." in page.read_text()


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["a/x", "a/y"], ["x", "y"]),
        (["a/x", "b/x"], ["a/x", "b/x"]),
        (["a/c/x", "b/c/x", "b/c/y"], ["a/c/x", "b/c/x", "b/c/y"]),
    ],
)
def test_a_label_is_as_long_as_it_takes(paths: list[str], labels: list[str]) -> None:
    assert list(labelled([Path(path) for path in paths])) == labels


def test_wrong_requests_end_in_a_line_and_touch_nothing(tmp_path: Path, command: Warm) -> None:
    done = [*block(ratios={"sgd": 1.0, "sam": 2.0})]
    runs_of(tmp_path, one=done, one2=done, two=[])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("words")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/report.md").write_text("my own report")
    (tmp_path / "both").mkdir()
    (tmp_path / "both/side-by-side.md").write_text("written by gr-bench")
    (tmp_path / "both/notes.txt").write_text("mine")
    for argv, words in {
        ("one", "one"): "one is given twice",
        ("one", "nowhere"): "nowhere is not a run's folder",
        ("one", "two"): "two has no results yet",
        ("one", "two", "--out", "mine"): "mine holds something else",
        ("one", "--out", "mine"): "mine holds something else",
        ("one", "--out", "own"): "own holds something else",
        ("one", "one2", "--out", "both"): "both holds something else, notes.txt",
        ("one", "--out", "."): ". is the current folder",
        ("one", "two", "--latex"): "LaTeX is for the report of one run",
        ("one", "two", "--style", "paper"): "style paper is for the report of one run",
    }.items():
        ended = command("report", *argv, cwd=tmp_path)
        assert ended.code == 2, argv
        assert words in ended.err
        assert len(ended.err.splitlines()) == 1
    assert (tmp_path / "mine/thesis.tex").read_text() == "words"
    assert (tmp_path / "own/report.md").read_text() == "my own report"
    assert sorted(own.name for own in tmp_path.iterdir()) == [
        "both",
        "mine",
        "one",
        "one2",
        "own",
        "two",
    ]
    with pytest.raises(RequestError, match="name a run's folder"):
        gr_bench.report([])


def test_a_page_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, one=[*block(ratios={"sgd": 1.0, "sam": 2.0})])
    runs["two"] = Results(run_of(tmp_path / "two", *block(ratios={"sgd": 1.0, "sam": 1.5})))
    folders = [own.folder for own in runs.values()]
    gr_bench.report(folders, ["html", "md"], out=tmp_path / "page")
    gr_bench.report(folders, ["md"], out=tmp_path / "page")
    assert not (tmp_path / "page/side-by-side.html").exists()
    assert (tmp_path / "page/side-by-side.md").exists()


def test_a_runs_own_report_can_go_elsewhere(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", *block(ratios={"sgd": 1.0, "sam": 2.0}))
    (page,) = gr_bench.report(run, ["md"], out=tmp_path / "a/b")
    assert page == tmp_path / "a/b/report.md"
    assert page.exists()
    assert not (run / "report").exists()


def test_methods_with_two_rows_in_a_run_are_left_to_the_table_of_rows(tmp_path: Path) -> None:
    runs = runs_of(
        tmp_path,
        one=[*block(ratios={"sgd": 1.0, "sam": 2.0})],
        two=[*block(ratios={"sgd": 1.0, "sam": 2.0})],
    )
    question = QUESTIONS["step_cost"]
    rows = question.select({name: own.tables for name, own in runs.items()})
    doubled = pd.concat([rows, rows[rows["run"] == "two"]], ignore_index=True)
    pivot, notes = by_run(question, doubled, list(runs))
    assert pivot is None
    assert notes == ["1 workload with several rows a method: see every row."]
