"""A history of runs whose changes are known."""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nights import FLOPS_PER_S, night
from processes import Warm

from gr_bench.comparison.history import plain
from gr_bench.comparison.history.history import History, read_history
from gr_bench.comparison.history.run import Reading
from gr_bench.comparison.history.words import lines, size
from gr_bench.errors import RequestError
from gr_bench.stats import Interval

COUNTERS = ("flops", "peak_bytes")
SGD, F_GR = "sgd", "f-gr(gamma=0.1, epsilon=0.05)"


def stored(folder: Path, ratios: Sequence[float], **more: Any) -> list[Path]:
    """A run a night, with the ratio of F-GR to SGD, whose time does not change."""
    return [
        night(folder / f"{i:02}", i, times={"sgd": 1e-3, "f-gr": 1e-3 * ratio}, **more)
        for i, ratio in enumerate(ratios)
    ]


def changes(history: History) -> list[tuple[str, str, str, str]]:
    return [
        (one.series.cell.spec, one.series.quantity, one.change.kind, one.commits)
        for one in history.found
    ]


def test_what_did_not_change_has_no_mark_whatever_the_machine_does(tmp_path: Path) -> None:
    history = read_history(stored(tmp_path, [2.0] * 6), 0.02)
    assert history.found == []
    assert history.counted == ()
    assert [history.verdict(series) for series in history.series] == ["no change"] * 3


def test_a_slower_step_is_marked_where_it_became_slower(tmp_path: Path) -> None:
    history = read_history(stored(tmp_path, [2.0] * 4 + [2.2] * 4), 0.02)
    commits = "03030303*..04040404"
    assert changes(history) == [
        (F_GR, "ratio", "step", commits),
        (F_GR, "products", "step", commits),
    ]
    ratio = history.found[0]
    assert math.exp(ratio.change.size.center) == pytest.approx(1.1)
    assert ratio.first == 4
    assert shlex.split(ratio.command or "") == [
        *("gr-bench", "bisect", "030303030303", "040404040404", "--suite", "quick"),
        *("--only", f"mlp / digits / batch 32 / {F_GR}"),
    ]


def test_what_slows_the_baseline_as_well_shows_in_matrix_products(tmp_path: Path) -> None:
    """Another PyTorch that makes all steps a tenth slower: no ratio changes."""

    def newer(described: dict[str, Any]) -> None:
        described["packages"]["torch"] = "99.0"

    runs = stored(tmp_path, [2.0] * 5)
    for i in range(5, 9):
        times = {"sgd": 1.1e-3, "f-gr": 2.2e-3}
        runs.append(night(tmp_path / f"{i:02}", i, times=times, environment=newer))
    history = read_history(runs, 0.02)
    commits = "04040404..05050505"
    assert changes(history) == [
        (SGD, "products", "step", commits),
        (F_GR, "products", "step", commits),
    ]
    for one in history.found:
        (also,) = one.also
        assert also.startswith("packages torch ")
        assert also.endswith(" -> 99.0")


def test_matrix_products_are_counted_in_flops(tmp_path: Path) -> None:
    history = read_history(stored(tmp_path, [2.0] * 3), 0.02)
    values = {(s.cell.spec, s.quantity): s.values for s in history.series}
    for spec, seconds in ((SGD, 1e-3), (F_GR, 2e-3)):
        expected = math.log(seconds * FLOPS_PER_S)
        assert values[spec, "products"] == pytest.approx([expected] * 3, abs=2e-3)
    assert values[F_GR, "ratio"] == pytest.approx([math.log(2)] * 3, abs=2e-3)
    assert (SGD, "ratio") not in values


def test_a_slow_drift_is_found_and_both_its_ends_are_compared(tmp_path: Path) -> None:
    ratios = [2.0 * 1.002 ** min(max(i - 5, 0), 15) for i in range(26)]
    history = read_history(stored(tmp_path, ratios), 0.02)
    ratio = next(one for one in history.found if one.series.quantity == "ratio")
    assert ratio.change.kind == "drift"
    assert (ratio.change.before, ratio.change.after) == (5, 20)
    assert ratio.change.size.center == pytest.approx(15 * math.log(1.002), rel=1e-3)
    assert shlex.split(ratio.command or "")[1:4] == [
        "compare",
        f"git:{'05' * 6}",
        f"git:{'20' * 6}",
    ]


def test_a_change_of_the_environment_alone_is_not_for_bisect(tmp_path: Path) -> None:
    def the_same_commit(described: dict[str, Any]) -> None:
        described["git"] = {"commit": "ab" * 20, "dirty": False}

    runs = stored(tmp_path, [2.0] * 4 + [2.2] * 4, environment=the_same_commit)
    (one, _) = read_history(runs, 0.02).found
    assert (one.commits, one.command) == ("abababab", None)


def test_runs_of_an_installed_gr_bench_go_by_their_folders(tmp_path: Path) -> None:
    def installed(described: dict[str, Any]) -> None:
        described["git"] = None

    runs = stored(tmp_path, [2.0] * 4 + [2.2] * 4, environment=installed)
    (one, _) = read_history(runs, 0.02).found
    assert (one.commits, one.command) == ("03..04", None)


def test_a_counter_that_changed_is_marked_exactly(tmp_path: Path) -> None:
    times = {"sgd": 1e-3, "f-gr": 2e-3}
    runs = [night(tmp_path / f"{i}", i, times=times, peak=1000 + (i > 0)) for i in range(3)]
    history = read_history(runs, 0.02)
    (one,) = history.counted
    assert (one.before, one.after, one.cell.spec) == (0, 1, F_GR)
    assert str(one.change) == "peak bytes 1,000 -> 1,001 (+0.10%)"
    assert lines(history)[0] == "peak bytes 1,000 -> 1,001 (+0.10%)  0101010  f-gr"


def test_a_counter_is_held_to_the_last_run_that_has_it(tmp_path: Path) -> None:
    """The second run counted nothing, the third did not measure F-GR."""
    both, alone = {"sgd": 1e-3, "f-gr": 2e-3}, {"sgd": 1e-3}
    runs = [
        night(tmp_path / "0", 0, times=both, peak=1000),
        night(tmp_path / "1", 1, times=both, peak=None),
        night(tmp_path / "2", 2, times=alone),
        night(tmp_path / "3", 3, times=both, peak=1001),
    ]
    (one,) = read_history(runs, 0.02).counted
    assert (one.before, one.after, one.change.base, one.change.head) == (0, 3, 1000, 1001)


def test_a_cell_that_some_runs_lack_is_judged_by_the_others(tmp_path: Path) -> None:
    ratios = [2.0] * 4 + [2.2] * 4
    both = [{"sgd": 1e-3, "f-gr": 1e-3 * ratio} for ratio in ratios]
    only = [{"sgd": 1e-3}] * 2
    nights = [*both[:4], *only, *both[4:]]
    runs = [
        night(tmp_path / f"{i:02}", i, times=times, peak=1000 + (i == 9))
        for i, times in enumerate(nights)
    ]
    history = read_history(runs, 0.02)
    one = next(one for one in history.found if one.series.quantity == "ratio")
    assert (one.change.before, one.change.after, one.first) == (3, 6, 6)
    assert one.commits == "03030303*..06060606"
    assert one.series.known == 8
    assert [(c.before, c.after) for c in history.counted] == [(8, 9)]


def test_matrix_products_are_judged_on_one_hardware_and_ratios_on_all(tmp_path: Path) -> None:
    """Another processor from the fifth run on: its products are faster, no step is."""

    def other(described: dict[str, Any]) -> None:
        described["machine"]["processor"]["model"] = 12345

    runs = stored(tmp_path, [2.0] * 5)
    for i in range(5, 9):
        times = {"sgd": 1e-3, "f-gr": 2e-3}
        more = {"flops_per_s": 2e9, "environment": other}
        runs.append(night(tmp_path / f"{i:02}", i, times=times, **more))
    history = read_history(runs, 0.02)
    assert history.found == []
    numbers = {(s.cell.spec, s.quantity, s.runs) for s in history.series}
    assert numbers == {
        (F_GR, "ratio", tuple(range(9))),
        *((spec, "products", tuple(range(5))) for spec in (SGD, F_GR)),
        *((spec, "products", tuple(range(5, 9))) for spec in (SGD, F_GR)),
    }


def test_a_change_on_the_second_hardware_is_told_by_its_own_runs(tmp_path: Path) -> None:
    def other(described: dict[str, Any]) -> None:
        described["machine"]["processor"]["model"] = 12345

    runs = stored(tmp_path, [2.0] * 12)
    for i in range(12, 20):
        times = {"sgd": 1e-3 * (1.1 if i >= 16 else 1.0)}
        runs.append(night(tmp_path / f"{i:02}", i, times=times, environment=other))
    (one,) = read_history(runs, 0.02).found
    assert (one.series.runs, one.first) == (tuple(range(12, 20)), 16)
    assert one.commits == "15151515..16161616"


def test_updates_and_hosts_are_no_other_hardware(tmp_path: Path) -> None:
    def updated(described: dict[str, Any]) -> None:
        described["machine"]["host"] = "another"
        described["machine"]["memory_bytes"] -= 4096
        described["machine"]["processor"]["microcode"] = "0xnew"

    runs = stored(tmp_path, [2.0] * 3)
    times = {"sgd": 1e-3, "f-gr": 2e-3}
    runs.append(night(tmp_path / "03", 3, times=times, environment=updated))
    assert {s.runs for s in read_history(runs, 0.02).series} == {(0, 1, 2, 3)}


def test_a_run_without_a_matrix_product_has_its_ratio_alone(tmp_path: Path) -> None:
    runs = stored(tmp_path, [2.0] * 3)
    times = {"sgd": 1e-3, "f-gr": 2e-3}
    runs.append(night(tmp_path / "03", 3, times=times, flops_per_s=math.nan))
    history = read_history(runs, 0.02)
    known = {(s.cell.spec, s.quantity): s.known for s in history.series}
    assert known == {(F_GR, "ratio"): 4, (SGD, "products"): 3, (F_GR, "products"): 3}


def test_a_reading_is_a_mean_with_its_standard_error() -> None:
    reading = Reading.of([1.0, 2.0, math.nan, 3.0])
    assert reading is not None
    assert (reading.mean, reading.freedom) == (2.0, 2)
    assert reading.error == pytest.approx(1 / math.sqrt(3))
    alone = Reading.of([1.0])
    assert alone is not None
    assert math.isnan(alone.error)
    assert alone.freedom == 0
    assert Reading.of([math.nan]) is None


def test_a_run_of_one_process_has_the_error_of_the_others(tmp_path: Path) -> None:
    runs = stored(tmp_path, [2.0] * 4)
    times = {"sgd": 1e-3, "f-gr": 2e-3}
    runs.append(night(tmp_path / "04", 4, times=times, replicates=1))
    history = read_history(runs, 0.02)
    for series in history.series:
        assert series.known == 5
        assert series.found.errors[4] == pytest.approx(series.found.errors[0], rel=0.01)


def test_two_runs_are_too_few_and_it_says_so(tmp_path: Path) -> None:
    history = read_history(stored(tmp_path, [2.0, 2.2]), 0.02)
    assert lines(history) == [
        "not known in 3 series of 2 runs: too few or too noisy to see 2 %",
        "  would have been found: a step half way of more than 100 %",
    ]


def test_no_change_is_said_with_what_would_have_been_found(tmp_path: Path) -> None:
    said = lines(read_history(stored(tmp_path, [2.0] * 10), 0.02))
    assert said[0] == "no change beyond 2 % found in 3 series of 10 runs"
    assert said[1].startswith("  would have been found: a step half way of 0.")
    assert said[2].startswith("  one in the last run of 0.")
    assert len(said) == 3


def test_a_change_is_a_line_of_eighty_columns(tmp_path: Path) -> None:
    ratios = [2.0] * 4 + [2.2] * 4
    runs = stored(tmp_path / "a", ratios, model="a-model-with-a-long-name(depth=4, width=512)")
    runs += stored(tmp_path / "b", ratios, model="another-model-with-a-long-name(depth=4)")
    said = lines(read_history(runs, 0.02))
    assert all(len(line) <= 80 for line in said)
    assert said[0].startswith("step  +10.0% [")
    assert " ratio    0303030*..0404040 f-gr, a-model-with-a-l..." in said[0]
    assert said[4] == "4 changes beyond 2 %, in 4 of 6 series of 16 runs"


def test_a_step_that_one_run_tells_of_has_a_question_mark(tmp_path: Path) -> None:
    said = lines(read_history(stored(tmp_path, [2.0] * 7 + [2.2]), 0.02))
    assert said[0].startswith("step? +10.0% [")


def test_sizes_are_relative() -> None:
    assert size(Interval(math.log(1.1), math.log(0.98), math.log(1.25))) == "+10.0% [-2.0, +25.0]"
    assert size(Interval(0.0, -math.inf, math.inf)) == "+0.0% [-100.0, +inf]"


def test_smaller_changes_are_told_apart(tmp_path: Path) -> None:
    history = read_history(stored(tmp_path, [2.0] * 6 + [2.02] * 6), 0.02)
    assert len(history.smaller) == 2
    assert history.beyond == []
    assert "2 smaller: on the page" in lines(history)
    assert {history.verdict(series) for series in history.series} == {"no change"}
    assert len(read_history(stored(tmp_path / "1", [2.0] * 6 + [2.02] * 6), 0.005).beyond) == 2


def test_the_command_writes_page_table_and_json(tmp_path: Path, command: Warm) -> None:
    runs = stored(tmp_path, [2.0] * 4 + [2.2] * 4, peak=1000)
    ended = command(
        "history", *reversed(runs), "--out", tmp_path / "page", "--json", tmp_path / "all.json"
    )
    assert ended.code == 0, ended.err
    said = ended.out.splitlines()
    assert said[0].startswith("step  +10.0% [")
    assert said[2] == "2 changes beyond 2 %, in 2 of 3 series of 8 runs"
    page = (tmp_path / "page" / "history.html").read_text()
    assert "gr-bench bisect 030303030303 040404040404 --suite quick --only" in page
    assert "time in matrix products" in page
    assert "2 changes beyond 2 %, in 2 of 3 series of 8 runs" in page
    figures = [Path(line) for line in said if line.endswith(".png")]
    assert len(figures) == 1
    assert figures[0].stat().st_size > 1000

    table = pd.read_csv(tmp_path / "page" / "history.csv")
    assert list(table["commit"].drop_duplicates())[:2] == ["00000000", "01010101"]
    marked = table[table["change"].notna()]
    assert list(marked["quantity"]) == ["ratio", "products"]
    assert set(marked["commit"]) == {"04040404"}
    assert marked["change"].to_numpy() == pytest.approx([0.1, 0.1])

    found = json.loads((tmp_path / "all.json").read_text())
    assert [run["commit"] for run in found["runs"]] == [f"{i:02}" * 20 for i in range(8)]
    assert found["runs"][3]["with_changes"]
    ratio = next(one for one in found["series"] if one["quantity"] == "ratio")
    assert ratio["verdict"] == "changed"
    assert ratio["values"] == pytest.approx([2.0] * 4 + [2.2] * 4, rel=2e-3)
    (change,) = ratio["changes"]
    assert change["size"] == pytest.approx(0.1)
    assert change["low"] < 0.1 < change["high"]
    assert (change["before_run"], change["after_run"]) == (3, 4)
    assert (change["good"], change["bad"]) == ("03" * 20, "04" * 20)
    assert change["beyond_threshold"]


def test_json_goes_to_standard_output_alone(tmp_path: Path, command: Warm) -> None:
    runs = stored(tmp_path, [2.0] * 3)
    ended = command("history", *runs, "--out", tmp_path / "page", "--json", "-")
    assert ended.code == 0, ended.err
    assert set(json.loads(ended.out)) == {"gr_bench", "threshold", "runs", "series", "counters"}
    assert "history.html" in ended.err


def test_the_table_has_a_row_for_every_run_and_quantity(tmp_path: Path) -> None:
    table = plain.table(read_history(stored(tmp_path, [2.0] * 3), 0.02))
    counts = table.groupby(["spec", "quantity"]).size().to_dict()
    assert counts == {
        (F_GR, "ratio"): 3,
        **{(spec, name): 3 for spec in (SGD, F_GR) for name in ("products", *COUNTERS)},
    }
    ratio = table[table["quantity"] == "ratio"]
    assert ratio["value"].to_numpy() == pytest.approx([2.0] * 3, rel=2e-3)
    assert ratio["level"].to_numpy() == pytest.approx([2.0] * 3, rel=2e-3)
    assert not ratio["apart"].any()


def test_runs_are_in_the_order_of_their_commits_where_these_are_known(tmp_path: Path) -> None:
    """The second commit was measured before the first."""
    home = tmp_path / "repository"
    home.mkdir()

    def git(*arguments: str, day: int = 1) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        date = {"GIT_COMMITTER_DATE": f"2026-01-0{day}T00:00:00Z"}
        ran = subprocess.run(
            ["git", "-C", str(home), *who, *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | date,
        )
        return ran.stdout.strip()

    git("init", "--quiet")
    older, newer = "", ""
    for day in (1, 2):
        git("commit", "--quiet", "--allow-empty", "--message", "-", day=day)
        older, newer = newer, git("rev-parse", "HEAD")

    def of(commit: str) -> Callable[[dict[str, Any]], None]:
        return lambda described: described.update(git={"commit": commit, "dirty": False})

    times = {"sgd": 1e-3, "f-gr": 2e-3}
    runs = [
        night(tmp_path / "0", 0, times=times, environment=of(newer)),
        night(tmp_path / "1", 1, times=times, environment=of(older)),
    ]
    with chdir(home):
        assert [run.commit for run in read_history(runs, 0.02).runs] == [older, newer]
    with chdir(tmp_path):
        assert [run.commit for run in read_history(runs, 0.02).runs] == [newer, older]
    runs.append(night(tmp_path / "2", 2, times=times, environment=of(newer)))
    with chdir(home):  # two runs of one commit
        assert [run.folder.name for run in read_history(runs, 0.02).runs] == ["1", "0", "2"]
    runs[2] = night(tmp_path / "3", 2, times=times, environment=lambda d: d.update(git=None))
    with chdir(home):  # one commit is not known: by their starts, all of them
        assert [run.commit for run in read_history(runs, 0.02).runs] == [newer, older, None]


def test_json_has_no_number_that_is_none(tmp_path: Path) -> None:
    history = read_history(stored(tmp_path, [2.0] * 2), 0.02)
    found = json.loads(plain.as_json(history))
    assert [series["smallest_step"] for series in found["series"]] == [None] * 3


def test_a_file_that_cannot_be_written_is_said_before_anything_is_read(
    tmp_path: Path, command: Warm
) -> None:
    ended = command("history", tmp_path / "none", "--json", tmp_path / "no" / "such.json")
    assert ended.code == 2
    assert "cannot write to" in ended.err


def test_runs_without_a_common_cell_are_no_error(tmp_path: Path) -> None:
    runs = stored(tmp_path / "a", [2.0] * 2)
    runs += stored(tmp_path / "b", [2.0] * 2, batch_size=64)
    history = read_history(runs, 0.02)
    assert history.found == []
    assert {series.known for series in history.series} == {2}


def test_one_run_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="at least two runs"):
        read_history(stored(tmp_path, [2.0]), 0.02)


def test_a_folder_without_step_costs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="empty"):
        read_history([*stored(tmp_path, [2.0]), tmp_path / "empty"], 0.02)
