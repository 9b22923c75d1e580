"""The circumstances of a failure, the limit of memory, children left behind, a second try."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import wait_until

from gr_bench import load
from gr_bench.errors import RequestError
from gr_bench.experiments.record import Failure, Record
from gr_bench.runs.executor import LAST_LINES, LocalExecutor
from gr_bench.runs.runner import Unwatched, run_suite
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import build_suite
from gr_bench.units import parse_size, size

GIB = 1 << 30
LIMIT = "900MiB"


@dataclass
class Accidents:
    folder: Path
    home: Path
    records: list[Record]

    @property
    def failures(self) -> dict[str, list[Failure]]:
        """By method, in the order of the journal."""
        found: dict[str, list[Failure]] = {}
        for record in self.records:
            if isinstance(record, Failure):
                found.setdefault(record.cell.spec.partition("(")[0], []).append(record)
        return found


@pytest.fixture(scope="module")
def accidents(tmp_path_factory: pytest.TempPathFactory) -> Accidents:
    """A run in which one raises, one hoards, one leaves children, one is killed once, one always.

    Their time limit is an hour: none of them ends by it.
    """
    home = tmp_path_factory.mktemp("accidents")
    grid = {
        "methods": [
            "sgd",
            "plugged:Raises",
            "breaking:Hoards(at=1)",
            f"breaking:LeavesChildren(at=1, path={str(home)!r})",
            f"plugged:DiesOnce(at=2, path={str(home / 'died')!r})",
            "plugged:Killed",
        ],
        "models": ["mlp(depth=1)"],
        "datasets": ["plugged:blobs"],
        "batch_sizes": [32],
        "epochs": 2,
        "seeds": [0],
    }
    suite = build_suite("test", {"title": "test", "memory_limit": LIMIT, "generalization": [grid]})
    folder = home / "run"
    run_suite(suite, folder, lambda own: LocalExecutor(own, workers=1), Unwatched())
    return Accidents(folder, home, read_journal(folder))


def test_a_failure_has_its_duration_its_memory_and_what_was_printed_last(
    accidents: Accidents,
) -> None:
    (raised,) = accidents.failures["raises"]
    assert 0 < raised.duration_s < 3600
    assert len(raised.last_output) <= LAST_LINES
    assert raised.last_output[-1].startswith("| luck")
    (hoarded,) = accidents.failures["hoards"]
    assert hoarded.last_output == ("\\x1b[31ma GiB",)
    if psutil.LINUX:
        assert raised.peak_memory_bytes > 50 * (1 << 20)
        assert hoarded.peak_memory_bytes > parse_size(LIMIT)


def test_failures_have_columns_for_it(accidents: Accidents) -> None:
    table = load(accidents.folder).failures.set_index("method")
    (hoarded,) = accidents.failures["hoards"]
    row = table.loc["hoards"]
    assert row["duration_s"] == hoarded.duration_s
    assert row["peak_memory_bytes"] == hoarded.peak_memory_bytes
    assert row["last_output"] == "\\x1b[31ma GiB"


def test_a_table_of_before_opens_without_these_columns(accidents: Accidents) -> None:
    file = accidents.folder / "failures.parquet"
    new = pd.read_parquet(file)
    lacking = ["duration_s", "peak_memory_bytes", "last_output"]
    try:
        new.drop(columns=lacking).to_parquet(file)
        assert load(accidents.folder).failures[lacking].isna().all(axis=None)
    finally:
        new.to_parquet(file)


@pytest.mark.skipif(not psutil.LINUX, reason="needs Linux")
def test_a_worker_with_more_memory_than_the_limit_is_ended(accidents: Accidents) -> None:
    (hoarded,) = accidents.failures["hoards"]
    assert hoarded.reason.startswith("had ")
    assert hoarded.reason.endswith("of memory: memory_limit is 900 MiB")
    assert not hoarded.killed  # and so it is not tried again


def test_what_a_worker_has_left_behind_is_ended_though_it_holds_the_channel(
    accidents: Accidents,
) -> None:
    (left,) = accidents.failures["leaves-children"]
    assert left.reason == "worker exited with code 7"
    children = [int(file.name.partition("-")[2]) for file in accidents.home.glob("child-*")]
    assert len(children) == 3

    def gone(number: int) -> bool:
        return (
            not psutil.pid_exists(number)
            or psutil.Process(number).status() == psutil.STATUS_ZOMBIE  # of the machine's init
        )

    wait_until(lambda: all(map(gone, children)), seconds=30)


def test_who_is_killed_is_tried_once_more_and_that_is_in_the_journal(
    accidents: Accidents,
) -> None:
    assert [failure.killed for failure in accidents.failures["dies-once"]] == [True]
    assert [failure.killed for failure in accidents.failures["killed"]] == [True, True]
    status = load(accidents.folder).generalization.set_index("method")["status"]
    assert status["dies-once"] == status["sgd"] == "ok"
    assert status["killed"] == "failed"
    assert list(load(accidents.folder).failures["method"]).count("killed") == 1


@pytest.mark.parametrize("text", ["", "0GiB", "4", "4 GB", "-1MiB", "1e3MiB"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="write it as 500MiB or 4GiB"):
        parse_size(text)


@given(st.integers(1, 10_000), st.sampled_from([("M", 20), ("G", 30)]))
def test_sizes_are_powers_of_two(number: int, unit: tuple[str, int]) -> None:
    assert parse_size(f"{number}{unit[0]}iB") == number << unit[1]


def test_a_size_is_written_in_its_own_unit() -> None:
    assert (size(GIB), size(1.5 * GIB), size(GIB / 2)) == ("1 GiB", "1.5 GiB", "512 MiB")
