"""What is said of a run that is going on: to itself, to other terminals, in a notebook."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path

import pytest
from outcomes import block, learned
from processes import Background, Warm, lines_in, wait_until
from rich.console import Console
from synthetic import cost, failed, run_of, training

from gr_bench.experiments.experiment import Unit
from gr_bench.experiments.record import Record
from gr_bench.runs.about import RUN
from gr_bench.runs.executor import Finished, Measured, Started
from gr_bench.runs.known import Known
from gr_bench.runs.progress import Display
from gr_bench.runs.published import FILE, Published, read_progress
from gr_bench.runs.results import Results
from gr_bench.runs.runner import Unwatched
from gr_bench.runs.so_far import SoFar, so_far
from gr_bench.runs.watch import look

SLOW = """
title = "Slow"
[[generalization]]
methods = ["sgd", "plugged:Slow(pause_s=0.2)"]
models = ["mlp(depth=1)"]
datasets = ["random(shape=(2,), samples=8)"]
batch_sizes = [8]
epochs = 6
seeds = [0, 1, 2, 3, 4, 5]
trainer = "loop"
"""


def known(folder: Path, *records: Record) -> SoFar:
    return so_far(Results(run_of(folder, *records)).tables)


def test_each_method_has_its_mean_ratio_and_its_gain(tmp_path: Path) -> None:
    found = known(
        tmp_path,
        *block(ratios={"sgd": 1.0, "sam": 2.0, "f-gr": 1.0}),
        *block(ratios={"sgd": 1.0, "sam": 2.0, "f-gr": 4.0}, batch_size=64),
        *learned({"sgd": 0.8, "sam": 0.9, "f-gr": 0.7}),
    )
    rows = found.table.set_index("method")
    times = rows["time over the baseline's"]
    assert times["sam"] == "2.00 [2.00, 2.00]"
    assert times["f-gr"].startswith("2.00 [")  # the geometric mean of 1 and 4
    gains = rows["points of test accuracy"]
    assert gains["sam"].startswith("+10.0 [")
    assert gains["f-gr"].startswith("-10.0 [")
    assert dict(rows["verdict"]) == {"sam": "ahead", "f-gr": "behind"}
    assert "means over 2 workloads" in found.caption
    assert "at equal epochs: 1 workload, 5 seeds" in found.caption


def test_a_method_that_has_no_time_yet_has_a_dash(tmp_path: Path) -> None:
    found = known(
        tmp_path, *block(ratios={"sgd": 1.0, "sam": 2.0}), *learned({"sgd": 0.8, "f-gr": 0.7})
    )
    rows = found.table.set_index("method")
    assert rows.loc["f-gr", "time over the baseline's"] == "-"
    assert rows.loc["sam", "points of test accuracy"] == "-"
    assert found.line() == "time over the baseline's: sam 2.00 [2.00, 2.00]"


def test_nothing_is_said_where_nothing_is_known(tmp_path: Path) -> None:
    found = known(tmp_path)
    assert (len(found.table), found.caption, found.line()) == (0, "Nothing is known yet.", "")


def test_a_terminal_of_80_columns_has_room(tmp_path: Path) -> None:
    found = known(
        tmp_path,
        *block(ratios={"sgd": 1.0, "sam": 2.0, "f-gr": 1.8, "b-gr": 1.9}),
        *learned({"sgd": 0.8, "sam": 0.9, "f-gr": 0.7}),
    )
    printed = io.StringIO()
    Console(file=printed, width=80).print(found.rich())
    assert max(map(len, printed.getvalue().splitlines())) <= 80
    assert "…" not in printed.getvalue()


def test_a_notebook_shows_the_results_and_words_stay_words(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", *block(ratios={"sgd": 1.0, "sam": 2.0}))
    about = json.loads((run / RUN).read_text())
    about["name"] = "<script>alert(1)</script>"
    (run / RUN).write_text(json.dumps(about))
    html = Results(run)._repr_html_()
    assert "2.00 [2.00, 2.00]" in html
    assert "step_cost" in html
    assert "<script>" not in html
    Results(run_of(tmp_path / "empty"))._repr_html_()


def test_a_log_has_a_line_of_what_is_known_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gr_bench.runs.known.FIRST_AFTER_S", 0.0)
    monkeypatch.setattr("gr_bench.runs.progress.KNOWN_EVERY_S", 0.0)
    records = [*block(ratios={"sgd": 1.0, "sam": 2.0})]
    run = run_of(tmp_path, *records)
    unit: Unit[object] = Unit((training(),))
    said = io.StringIO()
    watcher = Known(run)
    with Display(Console(file=said, width=80), known=watcher) as display:
        for _ in range(2):
            display.event(Started(unit))
            wait_until(lambda: bool(watcher.line()), seconds=30)
            display.event(Finished(unit))
    lines = [line for line in said.getvalue().splitlines() if line.startswith("so far")]
    assert lines == ["so far: time over the baseline's: sam 2.00 [2.00, 2.00]"]


def test_the_file_of_a_run_says_what_runs_and_is_gone_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gr_bench.runs.published.EVERY_S", 0.0)
    (record, *_) = block(ratios={"sgd": 1.0})
    unit: Unit[object] = Unit((training(),))
    published = Published(tmp_path, Unwatched())
    published.remaining_units({"generalization": 3}, None)
    published.event(Started(unit, "node-1"))
    published.event(Measured(unit, record))
    found = read_progress(tmp_path)
    assert found is not None
    assert (found["units"], found["of"]) == (0, 3)
    assert found["running"] == [f"node-1: {unit}"]
    published.event(Finished(unit))
    found = read_progress(tmp_path)
    assert found is not None
    assert (found["units"], found["of"], found["running"]) == (1, 3, [])
    published.end()
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"units": "1"}', '{"units": 1, "of": 2}']
)
def test_a_file_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert read_progress(tmp_path) is None


def test_a_disk_that_is_full_costs_the_file_alone(tmp_path: Path) -> None:
    published = Published(tmp_path / "not there", Unwatched())
    published.remaining_units({"generalization": 3}, None)
    published.end()


def test_another_terminal_sees_a_run_that_goes_on_is_killed_and_ends(
    tmp_path: Path, command: Warm
) -> None:
    (tmp_path / "slow.toml").write_text(SLOW)
    run = tmp_path / "run"
    started = Background("run", "slow.toml", "--out", "run", cwd=tmp_path)
    wait_until(lambda: lines_in(run / "journal.jsonl") >= 1)
    seen = look(run)
    assert seen.open and not seen.stopped
    ended = command("watch", "run", cwd=tmp_path)
    assert ended.code == 0
    assert ended.out.startswith("slow in run: running\n")
    assert "units" in ended.out
    started.process.send_signal(signal.SIGKILL)
    started.process.communicate(timeout=60)
    wait_until(lambda: not look(run).open, seconds=30)
    ended = command("watch", "run", cwd=tmp_path)
    assert ended.code == 1
    assert "stopped without an end" in ended.out
    again = command("run", "slow.toml", "--out", "run", cwd=tmp_path)
    assert again.code == 0, again.err
    ended = command("watch", "run", "--once", cwd=tmp_path)
    assert ended.code == 0
    assert ended.out.startswith("slow in run: done\ncells with results: 12\n")
    assert not (run / FILE).exists()


def test_failures_are_seen_and_words_of_others_do_not_reach_the_terminal_as_they_are(
    tmp_path: Path, command: Warm
) -> None:
    run_of(tmp_path / "run", failed(cost("sam"), "RuntimeError: \x1b[31m[bold]no"))
    ended = command("watch", "run", cwd=tmp_path)
    assert "failed: step_cost / mlp / sam(rho=0.05): RuntimeError: " in ended.out
    assert "[bold]no" in ended.out
    assert "\x1b" not in ended.out


def test_what_is_no_run_is_refused(tmp_path: Path, command: Warm) -> None:
    ended = command("watch", "nowhere", cwd=tmp_path)
    assert ended.code == 2
    assert ended.err == "gr-bench: nowhere is not a run's folder: it has no run.json\n"


def test_a_ratio_from_one_process_has_no_interval(tmp_path: Path) -> None:
    found = known(tmp_path, *block(processes=1, ratios={"sgd": 1.0, "sam": 2.0}))
    assert list(found.table["time over the baseline's"]) == ["2.00 (no interval)"]
