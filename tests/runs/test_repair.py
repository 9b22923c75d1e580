"""Damaged journals: named, set aside, and nothing else lost."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import about_of, trained, training

from gr_bench.cli import app
from gr_bench.errors import RequestError
from gr_bench.experiments.lines import encode
from gr_bench.runs.repair import DAMAGED, repair
from gr_bench.runs.store import open_store, read_journal

ABOUT = about_of(name="test", suite={"title": "test"})
RECORDS = [trained(training(seed=s), train=(0.1, 0.9), test=(0.2, s / 10)) for s in range(6)]
LINES = [encode(record).encode() for record in RECORDS]


def damage(folder: Path, lines: list[bytes], end: bytes = b"\n") -> Path:
    with open_store(folder, dict(ABOUT), fresh=True):
        pass
    journal = folder / "journal.jsonl"
    journal.write_bytes(b"\n".join(lines) + end)
    return journal


def flipped(line: bytes, place: int) -> bytes:
    return line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.sets(st.integers(0, 5)), st.integers(0, min(map(len, LINES)) - 1))
def test_what_is_damaged_goes_aside_byte_for_byte_and_all_else_stays(
    tmp_path: Path, broken: set[int], place: int
) -> None:
    lines = [flipped(line, place) if n in broken else line for n, line in enumerate(LINES)]
    (tmp_path / DAMAGED).unlink(missing_ok=True)
    # a flipped bit of a digit may not make a line feed of it, or there were another line
    damage(tmp_path, lines)
    found = repair(tmp_path)
    assert sorted(found.damaged) == [n + 1 for n in sorted(broken)]
    assert found.kept == 6 - len(broken)
    assert read_journal(tmp_path) == [r for n, r in enumerate(RECORDS) if n not in broken]
    aside = (tmp_path / DAMAGED).read_bytes() if broken else b""
    assert aside == b"".join(lines[n] + b"\n" for n in sorted(broken))
    assert repair(tmp_path).damaged == {}


def test_a_damaged_line_names_the_command_that_helps(tmp_path: Path) -> None:
    damage(tmp_path, [LINES[0], flipped(LINES[1], 200), LINES[2]])
    why = rf"line 2, cannot be read: its checksum is wrong; gr-bench repair {tmp_path}"
    with pytest.raises(RequestError, match=why):
        read_journal(tmp_path)


def test_a_second_repair_keeps_what_the_first_set_aside(tmp_path: Path) -> None:
    damage(tmp_path, [b"one", LINES[0]])
    repair(tmp_path)
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"two\n" + journal.read_bytes())
    repair(tmp_path)
    assert (tmp_path / DAMAGED).read_bytes() == b"one\ntwo\n"


def test_a_torn_last_line_goes_aside(tmp_path: Path) -> None:
    damage(tmp_path, [*LINES[:2], LINES[2][:50]], end=b"")
    assert repair(tmp_path).damaged == {3: "its end is missing"}
    assert read_journal(tmp_path) == RECORDS[:2]


def test_a_compressed_journal_stays_one(tmp_path: Path) -> None:
    journal = damage(tmp_path, [LINES[0], b"{}", LINES[1]])
    text = journal.read_bytes()
    journal.unlink()
    journal.with_name("journal.jsonl.gz").write_bytes(gzip.compress(text))
    assert list(repair(tmp_path).damaged) == [2]
    assert not journal.exists()
    assert read_journal(tmp_path) == RECORDS[:2]


def test_a_truncated_archive_is_one_line(tmp_path: Path) -> None:
    journal = damage(tmp_path, LINES)
    packed = gzip.compress(journal.read_bytes())
    journal.unlink()
    for cut in (5, len(packed) // 2, len(packed) - 3):
        journal.with_name("journal.jsonl.gz").write_bytes(packed[:cut])
        with pytest.raises(RequestError, match="cannot be read"):
            repair(tmp_path)


def test_a_run_in_use_is_left_alone(tmp_path: Path) -> None:
    with (
        open_store(tmp_path, dict(ABOUT), fresh=False),
        pytest.raises(RequestError, match="in use"),
    ):
        repair(tmp_path)


def test_a_line_of_a_newer_gr_bench_is_not_damaged(tmp_path: Path) -> None:
    newer = json.dumps({"schema": 99}).encode()
    journal = damage(tmp_path, [LINES[0], newer])
    with pytest.raises(RequestError, match="line 2: schema 99 is newer"):
        repair(tmp_path)
    assert newer in journal.read_bytes()


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    damage(tmp_path, [b'{"colour": "\x1b[31m"', LINES[0]])
    done = CliRunner().invoke(app, ["repair", str(tmp_path)])
    assert done.exit_code == 0
    assert done.output.startswith("line 1: ")
    assert "1 lines kept, 1 set aside" in done.output
    assert "\x1b" not in done.output
    done = CliRunner().invoke(app, ["repair", str(tmp_path)])
    assert "nothing to repair" in done.output
