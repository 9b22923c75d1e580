from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gr_bench.errors import RequestError
from gr_bench.experiments.generalization.calibration.study import Comparison, Study
from gr_bench.runs.calibrate_generalization import (
    FILE,
    findings,
    lines,
    null_studies,
    seeds_note,
    write_findings,
)
from gr_bench.runs.suite import load_suite
from tests.experiments.generalization.calibration.test_power import null_study


def compared(verdict: str, low: float, high: float) -> Comparison:
    center = (low + high) / 2
    return Comparison(center, low, high, 0.5, verdict, 10, 10, "", alike=True)


HOLDS, MISSES = compared("undecided", -1.0, 1.0), compared("better", 0.1, 1.0)


def studies(count: int = 12) -> list[Study]:
    """Every fourth has a verdict on one of its two comparisons."""
    found = []
    for number in range(count):
        own = null_study(number, by_seed=number % 2 == 0)
        pair = (MISSES if number % 4 == 0 else HOLDS, HOLDS)
        found.append(replace(own, comparisons=pair))
    return found


def test_verdicts_and_intervals_are_counted() -> None:
    found = findings(studies())
    assert found["studies_with_a_verdict"][:2] == [3, 12]
    assert found["comparisons_with_a_verdict"][:2] == [3, 24]
    assert found["coverage_with_splits"][:2] == [9, 12]
    assert found["coverage_of_one_split"][:2] == [12, 12]
    count, of, low, high = found["studies_with_a_verdict"]
    assert low < count / of < high


def test_a_verdict_over_workloads_is_a_verdict_of_the_study() -> None:
    first, second, *rest = studies()
    assert (first.is_called, second.is_called) == (True, False)
    both = [
        replace(first, over_workloads=("ahead", "undecided")),
        replace(second, over_workloads=("undecided", "behind")),
        *rest,
    ]
    found = findings(both)
    assert found["studies_with_a_verdict"][:2] == [4, 12]
    assert found["comparisons_with_a_verdict"][:2] == [3, 24]
    assert found["verdicts_over_workloads"][:2] == [2, 4]
    assert "methods ahead or behind over two data sets" in "".join(lines(found))
    assert findings(rest)["verdicts_over_workloads"] is None


def test_what_is_printed_fits_a_terminal_and_names_the_seeds_that_are_needed() -> None:
    found = findings(studies())
    printed = list(lines(found))
    assert max(map(len, printed)) <= 80
    needed = found["power"][0]["seeds_needed"]["0.01"]
    assert printed[-1] == f"  seeds for 80 % of studies to find a gain of one point: {needed}"


def test_a_plan_says_what_its_seeds_find(tmp_path: Path) -> None:
    suite = load_suite("generalization-quick")
    assert seeds_note(suite, tmp_path) is None
    printed = write_findings(studies(), tmp_path, 60.0)
    assert printed[-1] == str(tmp_path / FILE)
    assert len(json.loads((tmp_path / FILE).read_text())["null_studies"]) == 12
    note = seeds_note(suite, tmp_path)
    assert note is not None
    assert "5 seeds find a difference of" in note
    assert "points (digits)" in note
    assert seeds_note(load_suite("compare"), tmp_path) is None
    (tmp_path / FILE).write_text("{}")
    assert seeds_note(suite, tmp_path) is None


def test_without_a_study_there_is_nothing_to_say(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="larger --budget"):
        write_findings([], tmp_path, 60.0)


@pytest.mark.slow
def test_studies_are_done_side_by_side_until_there_are_enough() -> None:
    told: list[str] = []
    found = list(null_studies(1000.0, lambda spent, what: told.append(what), most=2))
    assert sorted(study.number for study in found) == [0, 1]
    assert told[-1] in ("studies done: 0", "studies done: 1")


def test_no_study_begins_when_the_budget_is_spent() -> None:
    assert list(null_studies(0.0, lambda spent, what: None)) == []
