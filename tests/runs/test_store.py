from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import about_of, failed, trained, training

from gr_bench.errors import RequestError
from gr_bench.experiments.lines import SCHEMA, decode, encode, with_checksum
from gr_bench.experiments.record import Failure, Record
from gr_bench.files import write_whole
from gr_bench.runs.about import read_about
from gr_bench.runs.store import current, latest, open_store, read_journal

ABOUT = about_of(name="test", suite={"title": "test"})
RECORDS = [
    trained(training(seed=seed), train=(0.1, 0.9), test=(0.2, 0.8 - seed / 10)) for seed in range(4)
]

losses = st.floats(allow_nan=False)


def fill(folder: Path, records: list[Record] = RECORDS) -> None:
    with open_store(folder, dict(ABOUT), fresh=False) as store:
        for record in records:
            store.append(record)


def plain(record: Record) -> dict[str, Any]:
    """The content of a record's line without its checksum."""
    found = json.loads(encode(record))
    del found["crc32"]
    return found


# --- plug-ins that were changed


def sourced(source: str, **kinds: str) -> Record:
    stamps = {f"{kind}_source": f"{kind}:{name}@{source}" for kind, name in kinds.items()}
    return failed(replace(training(), **stamps), source)


def test_records_of_another_source_are_not_current() -> None:
    plain = failed(training(), "plain")
    records = [plain, *(sourced(s, method="mine") for s in ("old", "new", "old"))]
    assert current(records, {}) == records
    for source, expected in (("new", ["plain", "new"]), ("old", ["plain", "old", "old"])):
        kept = current(records, {("method", "mine"): source, ("model", "mine"): "other"})
        assert [record.reason for record in kept] == expected


def test_every_plug_in_of_a_cell_must_be_as_it_was() -> None:
    record = sourced("a", method="m", model="n", dataset="d")
    now = {("method", "m"): "a", ("model", "n"): "a", ("dataset", "d"): "a"}
    assert current([record], now) == [record]
    for key in now:
        assert current([record], now | {key: "b"}) == []


def test_a_source_is_a_part_of_a_cell_and_none_is_of_one_from_before() -> None:
    before, now = training(), sourced("a", method="m").cell
    assert "method_source" not in encode(failed(before))
    assert decode(encode(failed(now))).cell == now
    assert len({before.id, now.id, sourced("b", method="m").cell.id}) == 3
    assert now.workload == before.workload
    assert sourced("a", model="m").cell.workload != before.workload


# --- the journal


@given(losses, losses, st.text())
def test_a_record_comes_back_from_its_line_as_it_was(
    loss: float, accuracy: float, reason: str
) -> None:
    cell = training("f-gr", seed=3)
    for record in (
        trained(cell, train=(loss, accuracy), test=(accuracy, loss)),
        Failure(cell=cell, reason=reason),
    ):
        line = encode(record)
        assert "\n" not in line
        assert decode(line) == record


@given(st.integers(0, len(encode(RECORDS[0])) - 1), st.integers(0, 255))
def test_a_changed_byte_is_never_read_as_a_result(place: int, byte: int) -> None:
    line = bytearray(encode(RECORDS[0]).encode())
    if line[place] == byte:
        byte ^= 1
    line[place] = byte
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode(bytes(line))


def test_a_line_without_its_checksum_is_damaged() -> None:
    line = encode(RECORDS[0])
    with pytest.raises(ValueError, match="it has no checksum"):
        decode("{" + line.partition(", ")[2])


@given(st.text())
def test_a_reason_is_one_printable_line(reason: str) -> None:
    shown = Failure(cell=training(), reason=reason).reason
    assert shown == "" or shown.isprintable()
    shown.encode()


def test_a_reason_keeps_its_words_and_loses_its_controls() -> None:
    reason = "is \x1b[2J\x07 bad:\n  no\ud800 \u202eevil – müsli"
    shown = Failure(cell=training(), reason=reason).reason
    assert shown == r"is \x1b[2J\x07 bad: no\ud800 \u202eevil – müsli"


def test_nan_and_infinity_survive_the_journal(tmp_path: Path) -> None:
    fill(tmp_path, [trained(training(), train=(math.inf, -math.inf), test=(math.nan, 0.0))])
    (record,) = read_journal(tmp_path)
    last = record.curve[-1]
    assert (last.train_loss, last.train_accuracy) == (math.inf, -math.inf)
    assert math.isnan(record.test_loss)


def test_a_store_goes_on_where_it_ended(tmp_path: Path) -> None:
    fill(tmp_path, RECORDS[:2])
    fill(tmp_path, RECORDS[2:])
    assert read_journal(tmp_path) == RECORDS


def test_a_record_is_on_the_disk_when_append_returns(tmp_path: Path) -> None:
    with open_store(tmp_path, dict(ABOUT), fresh=False) as store:
        store.append(RECORDS[0])
        assert read_journal(tmp_path) == RECORDS[:1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.integers(1, len(encode(RECORDS[-1]))))
def test_a_torn_last_line_is_passed_over_and_cut_off(tmp_path: Path, torn: int) -> None:
    """Cut at any place: the records before it stay, and the next one starts a line of its own."""
    journal = tmp_path / "journal.jsonl"
    journal.unlink(missing_ok=True)
    fill(tmp_path)
    journal.write_bytes(journal.read_bytes()[:-torn])
    assert read_journal(tmp_path) == RECORDS[:-1]
    fill(tmp_path, RECORDS[-1:])
    assert read_journal(tmp_path) == RECORDS


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"3",
        b"[]",
        b"\xff\xfe",
        b'{"experiment": "generalization", "cell": {"colour": 1}, "kind": "x", "data": {}}',
    ],
)
def test_a_corrupt_line_in_the_middle_is_named(tmp_path: Path, line: bytes) -> None:
    fill(tmp_path)
    journal = tmp_path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], line + b"\n", *lines[1:]]))
    with pytest.raises(RequestError, match=r"journal\.jsonl, line 2, cannot be read"):
        read_journal(tmp_path)


def test_a_line_of_a_later_schema_is_refused_with_the_reason(tmp_path: Path) -> None:
    text = json.dumps({**plain(RECORDS[0]), "schema": SCHEMA + 1})
    fill(tmp_path)
    with open(tmp_path / "journal.jsonl", "a") as journal:
        journal.write(with_checksum(text) + "\n")
    why = rf"line 5, cannot be read: schema {SCHEMA + 1} is newer than the schema"
    with pytest.raises(RequestError, match=why):
        read_journal(tmp_path)


@pytest.mark.parametrize("field", ["steps", "curve", "training_s"])
def test_a_field_that_is_missing_or_of_another_type_is_named(tmp_path: Path, field: str) -> None:
    fill(tmp_path)
    whole = plain(RECORDS[0])
    data = whole["data"]
    less = {**whole, "data": {k: v for k, v in data.items() if k != field}}
    other = {**whole, "data": {**data, field: "much"}}
    for bad in (less, other):
        (tmp_path / "journal.jsonl").write_text(with_checksum(json.dumps(bad)) + "\n")
        with pytest.raises(RequestError, match=rf"line 1, cannot be read: .*{field}"):
            read_journal(tmp_path)


def test_a_run_without_a_journal_has_no_records(tmp_path: Path) -> None:
    assert read_journal(tmp_path) == []


# --- what a later attempt makes of an earlier failure


def test_a_failure_counts_until_there_is_something_later() -> None:
    cell, other = training(), training(seed=1)
    success = trained(cell, train=(0.1, 1.0), test=(0.1, 1.0))
    first, second = failed(cell, "first"), failed(cell, "second")
    assert latest([first]) == [first]
    assert latest([first, success]) == [success]
    assert latest([first, second]) == [second]
    assert latest([success, first]) == [success, first]
    assert latest([first, failed(other), success]) == [failed(other), success]


# --- whose folder it is


def test_another_suite_is_refused_and_leaves_the_folder_alone(tmp_path: Path) -> None:
    fill(tmp_path)
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    with (
        pytest.raises(RequestError, match=r"holds another run \(test, with other settings\)"),
        open_store(tmp_path, {"name": "b", "suite": {"title": "other"}}, fresh=False),
    ):
        pass
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(RequestError, match="not empty and not a run's"),
        open_store(tmp_path, dict(ABOUT), fresh=fresh),
    ):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with (
        pytest.raises(RequestError, match="cannot write to"),
        open_store(tmp_path / "run", dict(ABOUT), fresh=False),
    ):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\0"])
def test_a_run_description_that_cannot_be_read_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RequestError, match=r"run\.json"):
        read_about(tmp_path)


def test_fresh_puts_earlier_runs_aside_one_by_one(tmp_path: Path) -> None:
    fill(tmp_path, RECORDS[:1])
    for number in (1, 2):
        with open_store(tmp_path, dict(ABOUT), fresh=True) as store:
            assert store.records == []
            store.append(RECORDS[number])
    assert read_journal(tmp_path / "before-1") == RECORDS[:1]
    assert read_journal(tmp_path / "before-2") == RECORDS[1:2]
    assert read_journal(tmp_path) == RECORDS[2:3]


def test_a_folder_in_use_by_another_process_is_refused(tmp_path: Path) -> None:
    holder = (
        "import sys; from pathlib import Path; from gr_bench.runs.store import open_store\n"
        f"with open_store(Path({str(tmp_path)!r}), {ABOUT!r}, fresh=False):\n"
        "    print('open', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "open\n"
        with (
            pytest.raises(RequestError, match="in use by another run"),
            open_store(tmp_path, dict(ABOUT), fresh=False),
        ):
            pass
        process.communicate()
    fill(tmp_path)
    assert read_journal(tmp_path) == RECORDS


# --- files whole or not at all


def test_a_write_that_fails_leaves_the_file_as_it_was_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table"
    write_whole(path, lambda file: file.write(b"first"))

    def half(file) -> None:
        file.write(b"sec")
        file.flush()
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_whole(path, half)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_loses_nothing_that_was_measured(tmp_path: Path) -> None:
    """No file can grow beyond the size at which the journal has two records and a half."""
    size = len(encode(RECORDS[0])) + 1
    fill(tmp_path, [])  # run.json is longer than that
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 * size // 2,) * 2)
        try:
            fill(tmp_path)
        except OSError:
            os._exit(42)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert read_journal(tmp_path) == RECORDS[:2]
    fill(tmp_path, RECORDS[2:])
    assert read_journal(tmp_path) == RECORDS
    assert json.loads((tmp_path / "run.json").read_text()) == ABOUT
