"""Two stored runs with numbers chosen by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import Warm
from synthetic import cost, counted, failed, run_of, timed

from gr_bench.comparison.findings import Comparison
from gr_bench.comparison.stored import Stored, compare_runs
from gr_bench.errors import RequestError
from gr_bench.experiments.record import Record
from gr_bench.runs import environment
from gr_bench.runs.store import read_about, write_about

SGD, SAM = cost(), cost("sam")
CONTROL = replace(SGD, control=True)
NOISE = (-0.001, 0.001, 0.0, -0.0005, 0.0005)


def run(
    folder: Path,
    *,
    sam: float = 2.0,
    sgd_s: float = 1e-3,
    control: Sequence[float] | None = NOISE,
    more: Sequence[Record] = (),
    **environment: Any,
) -> Path:
    """Five replicates; SAM takes ``sam`` times as long as SGD.

    Args:
        control: the control's log-ratio by replicate; None for a run without.
        environment: entries to be other than this machine's.
    """
    records = []
    for number, noise in enumerate(NOISE):
        base = sgd_s * np.exp(noise / 3)
        records.append(timed(SGD, number, [base] * 3))
        records.append(timed(SAM, number, [base * sam * np.exp(-noise)] * 3))
        if control is not None:
            records.append(timed(CONTROL, number, [base * np.exp(control[number])] * 3))
    run_of(folder, *records, *more)
    about = read_about(folder)
    about["environment"] |= environment
    write_about(folder, about)
    return folder


def compare(a: Path, b: Path) -> Comparison:
    return compare_runs(a, b, 0.02, lambda everything: None)


def verdicts(comparison: Comparison) -> dict[tuple[str, str], str | None]:
    return {(f.cell.spec, f.quantity): f.verdict for f in comparison.findings}


RATIO, TIME = "time over sgd's", "ms a step"
OTHER_MACHINE = {"machine": environment.describe("cpu")["machine"] | {"host": "another"}}


def test_equal_runs_are_the_same(tmp_path: Path) -> None:
    found = compare(run(tmp_path / "a"), run(tmp_path / "b"))
    assert verdicts(found) == {
        (SGD.spec, TIME): None,
        (SAM.spec, RATIO): "same",
        (SAM.spec, TIME): None,
    }
    assert not found.regressed
    assert found.notes == ()


def test_a_slower_method_is_slower_by_its_ratio(tmp_path: Path) -> None:
    found = compare(run(tmp_path / "a"), run(tmp_path / "b", sam=2.1))
    assert verdicts(found) == {
        (SGD.spec, TIME): None,
        (SAM.spec, RATIO): "slower",
        (SAM.spec, TIME): None,
    }
    (ratio,) = (f for f in found.findings if f.quantity == RATIO)
    assert ratio.base == pytest.approx(2.0)
    assert ratio.head == pytest.approx(2.1)
    assert ratio.ratio is not None
    assert ratio.ratio.center == pytest.approx(1.05)
    assert found.regressed


def test_what_the_control_pairs_do_is_not_called(tmp_path: Path) -> None:
    """SGD was 6 % slower than itself: a ratio that is 5 % higher is no news."""
    off = [0.06 + noise for noise in NOISE]
    found = compare(run(tmp_path / "a"), run(tmp_path / "b", sam=2.1, control=off))
    assert verdicts(found)[SAM.spec, RATIO] == "undecided"
    assert not found.regressed


def test_a_machine_that_was_slower_is_not_the_methods_doing(tmp_path: Path) -> None:
    """Everything takes 10 % longer: that is shown, and not called."""
    found = compare(run(tmp_path / "a"), run(tmp_path / "b", sgd_s=1.1e-3))
    assert not found.regressed
    (sgd,) = (f for f in found.findings if f.cell.spec == SGD.spec)
    assert (sgd.verdict, sgd.base, sgd.head) == (None, pytest.approx(1.0), pytest.approx(1.1))
    assert verdicts(found)[SAM.spec, RATIO] == "same"


def test_ratios_are_judged_on_other_hardware_too(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a"), run(tmp_path / "b", sam=2.1, sgd_s=5e-3, **OTHER_MACHINE)
    found = compare(a, b)
    assert verdicts(found)[SAM.spec, RATIO] == "slower"
    assert "other hardware" in found.notes[0]
    assert "times say nothing" in found.notes[0]


def test_other_software_is_said(tmp_path: Path) -> None:
    a = run(tmp_path / "a")
    b = run(tmp_path / "b", packages=read_about(a)["environment"]["packages"] | {"torch": "9.9"})
    (note,) = compare(a, b).notes
    assert "other software (packages torch " in note
    assert "-> 9.9" in note


def test_without_a_control_the_spread_between_processes_is_the_floor(tmp_path: Path) -> None:
    loud = np.array([-0.05, 0.05, 0.02, -0.03, 0.01])
    for name, sam in (("a", 2.0), ("b", 2.1)):
        records = [timed(SGD, k, [1e-3]) for k in range(5)]
        records += [timed(SAM, k, [1e-3 * sam * np.exp(x)]) for k, x in enumerate(loud)]
        run_of(tmp_path / name, *records)
    found = compare(tmp_path / "a", tmp_path / "b")
    (ratio,) = (f for f in found.findings if f.quantity == RATIO)
    assert ratio.floor > 0.05
    assert ratio.verdict == "undecided"


def test_counters_are_compared_exactly(tmp_path: Path) -> None:
    a = run(tmp_path / "a", more=[counted(SAM, peak=1000), counted(SGD)])
    b = run(tmp_path / "b", more=[counted(SAM, peak=1100), counted(SGD, flops=101)])
    found = compare(a, b)
    changed = {f.cell.spec: [str(c) for c in f.changes] for f in found.findings if f.changes}
    assert changed == {
        SAM.spec: ["peak bytes 1,000 -> 1,100 (+10.00%)"],
        SGD.spec: ["FLOPs 100 -> 101 (+1.00%)"],
    }
    assert found.regressed


def test_flops_that_are_not_counted_are_no_counter_to_compare(tmp_path: Path) -> None:
    unknown = replace(counted(SGD, peak=1100), flops=None, uncounted=("aten::_fft_c2c",))
    a = run(tmp_path / "a", more=[counted(SGD, peak=1000)])
    b = run(tmp_path / "b", more=[unknown])
    assert Stored(b).counted(SGD) == {"peak_bytes": 1100}
    changed = [str(c) for f in compare(a, b).findings for c in f.changes]
    assert changed == ["peak bytes 1,000 -> 1,100 (+10.00%)"]


def test_cells_that_differ_in_threads_are_not_compared_and_named(tmp_path: Path) -> None:
    many = replace(SGD, threads=2)
    a = run_of(tmp_path / "a", *(timed(SGD, k, [1.0]) for k in range(3)))
    b = run_of(tmp_path / "b", *(timed(many, k, [1.0]) for k in range(3)))
    with pytest.raises(RequestError, match="no step cost in common") as caught:
        compare(a, b)
    assert "threads 1 here, 2 there: not compared" in str(caught.value)


def test_a_cell_that_failed_in_one_is_said(tmp_path: Path) -> None:
    db = cost("db-gr")
    a = run(tmp_path / "a", more=[timed(db, k, [1e-3] * 3) for k in range(5)])
    b = run(tmp_path / "b", more=[failed(db)])
    found = compare(a, b)
    assert any("failed in" in note and "no such luck" in note for note in found.notes)
    assert db.spec not in {f.cell.spec for f in found.findings}


def test_a_replicate_is_no_interval(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run_of(tmp_path / name, timed(SGD, 0, [1.0]), timed(SAM, 0, [2.0]))
    found = compare(tmp_path / "a", tmp_path / "b")
    assert verdicts(found)[SAM.spec, RATIO] == "undecided"


def test_from_the_command_line(tmp_path: Path, command: Warm) -> None:
    a, b = run(tmp_path / "a"), run(tmp_path / "b", sam=2.1)
    out = tmp_path / "out.json"
    ended = command("compare", a, b, "--json", out, "--markdown", tmp_path / "out.md")
    assert ended.code == 1, ended.err
    assert "slower" in ended.out
    assert json.loads(out.read_text())["regression"] is True
    assert "Regression" in (tmp_path / "out.md").read_text().splitlines()[0]
    back = command("compare", b, a)
    assert back.code == 0
    assert "faster" in back.out


def of_source(folder: Path, source: str, sam: float = 2.0) -> Path:
    """A run in which SAM is a plug-in with that source."""
    own = replace(SAM, method_source=f"method:sam@{source}")
    records = []
    for number in range(5):
        records.append(timed(SGD, number, [1e-3] * 3))
        records.append(timed(own, number, [sam * 1e-3] * 3))
        records.append(timed(CONTROL, number, [1e-3] * 3))
    run_of(folder, *records)
    about = read_about(folder)
    about["plugins"] = [{"kind": "method", "name": "sam", "where": "x.py:SAM", "source": source}]
    write_about(folder, about)
    return folder


def test_a_plug_in_that_was_changed_is_compared_with_what_it_was(tmp_path: Path) -> None:
    found = compare(of_source(tmp_path / "a", "old"), of_source(tmp_path / "b", "new", sam=2.2))
    assert verdicts(found)[SAM.spec, RATIO] == "slower"
    assert found.notes == ("other source of method sam (old, new)",)
    same = compare(tmp_path / "a", of_source(tmp_path / "c", "old"))
    assert same.notes == ()


def test_of_a_plug_in_that_was_changed_in_a_run_the_latest_source_is_compared(
    tmp_path: Path,
) -> None:
    both = of_source(tmp_path / "both", "old")
    later = [timed(replace(SAM, method_source="method:sam@new"), n, [3e-3] * 3) for n in range(5)]
    run_of(both, *later)
    about = read_about(both)
    about["plugins"][0]["source"] = "new"
    write_about(both, about)
    found = compare(both, of_source(tmp_path / "new", "new", sam=3.0))
    assert verdicts(found)[SAM.spec, RATIO] == "same"
    assert found.notes == ()
