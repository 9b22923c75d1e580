"""A history of runs whose changes are known."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from processes import Warm
from synthetic import cost, counted, run_of, timed

from gr_bench.comparison.history import history, write_history
from gr_bench.errors import RequestError
from gr_bench.runs.results import Results

DRIFT = (1.0, 1.3, 0.8, 1.1)
"""What the machine does to all times of a run."""


def stored(folder: Path, day: int, ratio: float = 2.0, peak: int = 1000) -> Path:
    """A run on some day, of SGD (with its control) and F-GR."""
    records = []
    cells = {cost("sgd"): 1.0, cost("sgd", control=True): 1.0, cost("f-gr"): ratio}
    for cell, factor in cells.items():
        is_f_gr = cell.spec.startswith("f-gr")
        records.append(counted(cell, peak=peak if is_f_gr else 500))
        for replicate in range(5):
            spread = 1 + 1e-3 * ((replicate * 7 + is_f_gr) % 5 - 2)
            seconds = 1e-3 * factor * DRIFT[day % 4] * spread
            records.append(timed(cell, replicate, [seconds] * 5))
    run = run_of(folder, *records)
    about = json.loads((run / "run.json").read_text())
    about["started"] = f"2026-01-0{day}T00:00:00+00:00"
    about["environment"]["git"] = {"commit": f"{day}" * 40, "dirty": day == 3}
    (run / "run.json").write_text(json.dumps(about))
    return run


def changes(*runs: Path) -> pd.DataFrame:
    table = history([Results(run) for run in runs], 0.02)
    return table[table["change"] != ""]


def test_what_did_not_change_has_no_mark_whatever_the_machine_does(tmp_path: Path) -> None:
    runs = [stored(tmp_path / str(day), day) for day in (1, 2, 3)]
    assert len(changes(*runs)) == 0


def test_a_slower_step_is_marked_where_it_became_slower(tmp_path: Path) -> None:
    ratios = {1: 2.0, 2: 2.0, 3: 2.2, 4: 2.2}
    runs = [stored(tmp_path / str(day), day, ratio) for day, ratio in ratios.items()]
    found = changes(*runs)
    assert list(found["commit"]) == ["33333333*"]
    assert found["method"].item() == "f-gr"
    assert found["change"].item().startswith("slower (time over sgd's +10.0%")


def test_a_counter_that_changed_is_marked_exactly(tmp_path: Path) -> None:
    runs = [stored(tmp_path / str(day), day, peak=999 + day) for day in (1, 2)]
    found = changes(*runs)
    assert found["change"].item() == "peak bytes 1,000 -> 1,001 (+0.10%)"


def test_runs_are_put_in_the_order_of_their_starts(tmp_path: Path, command: Warm) -> None:
    runs = [stored(tmp_path / str(day), day, 2.0 + (day > 2)) for day in (3, 1, 2)]
    ended = command("history", *runs, "--out", tmp_path / "page")
    assert ended.code == 0, ended.err
    table = pd.read_csv(tmp_path / "page" / "history.csv")
    assert list(table["commit"].drop_duplicates()) == ["11111111", "22222222", "33333333*"]
    page = (tmp_path / "page" / "history.html").read_text()
    assert "slower (time over sgd" in page
    figures = [line for line in ended.out.split() if line.endswith(".png")]
    assert len(figures) == 1
    assert Path(figures[0]).stat().st_size > 1000


def test_runs_without_a_common_cell_are_no_error(tmp_path: Path) -> None:
    other = stored(tmp_path / "2", 2)
    journal = other / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"batch_size": 32', '"batch_size": 64'))
    assert len(changes(stored(tmp_path / "1", 1), other)) == 0


def test_one_run_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="at least two runs"):
        write_history([stored(tmp_path / "1", 1)], tmp_path / "page", 0.02)
