"""The mailbox between attempts at a task: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from gr_bench.runs.cluster.mailbox import Letter, Mailbox, read_files, write_files


def test_a_later_attempt_is_told_what_the_earlier_one_has_said(tmp_path: Path) -> None:
    async def story() -> None:
        box = Mailbox(tmp_path)
        first = await box.begin(7, "one", ["unit"], None)
        assert first is not None
        assert (first.ended, first.have, first.folders) == (frozenset(), frozenset(), {"unit": {}})
        assert await box.post(Letter(7, 0, "record", "line"), first.attempt, "cell")
        assert await box.post(Letter(7, 1, "finished"), first.attempt)
        assert await box.keep(7, first.attempt, "unit", {"0.pt": b"state"})
        second = await box.begin(7, "two", ["unit"], None)
        assert second is not None
        assert second.attempt > first.attempt
        assert (second.ended, second.have) == (frozenset({1}), frozenset({"cell"}))
        assert second.folders == {"unit": {"0.pt": b"state"}}
        other = await box.begin(8, "two", [], None)
        assert other is not None
        assert other.have == frozenset()

    asyncio.run(story())


def test_an_attempt_whose_node_was_given_up_is_not_heard_any_more(tmp_path: Path) -> None:
    async def story() -> None:
        box = Mailbox(tmp_path)
        first = await box.begin(7, "one", [], None)
        second = await box.begin(7, "two", [], None)
        assert first is not None
        assert second is not None
        assert not await box.post(Letter(7, 0, "record", "late"), first.attempt, "cell")
        assert not await box.keep(7, first.attempt, "unit", {"0.pt": b"late"})
        assert await box.post(Letter(7, 0, "record", "line"), second.attempt, "cell")
        assert [letter.content for letter in await box.take(0)] == ["one", "two", "line"]
        assert await box.take(0) == []
        assert not (tmp_path / "unit").exists()

    asyncio.run(story())


def test_a_task_does_not_begin_when_the_time_is_up(tmp_path: Path) -> None:
    async def story() -> None:
        box = Mailbox(tmp_path)
        assert await box.begin(7, "one", [], time.monotonic() - 1) is None
        in_time = await box.begin(7, "one", [], time.monotonic() + 100)
        assert in_time is not None
        assert in_time.left_s is not None
        assert 0 < in_time.left_s <= 100

    asyncio.run(story())


def test_who_waits_for_letters_has_them_when_they_come(tmp_path: Path) -> None:
    async def story() -> None:
        box = Mailbox(tmp_path)
        assert await box.take(0.01) == []
        waiting = asyncio.create_task(box.take(1000))
        await asyncio.sleep(0)
        await box.begin(7, "one", [], None)
        assert [letter.kind for letter in await waiting] == ["begun"]

    asyncio.run(story())


def test_a_checkpoint_is_the_files_that_there_are_and_no_name_leads_out(tmp_path: Path) -> None:
    folder = tmp_path / "unit"
    write_files(folder, {"pieces.json": b"[]", "0.pt": b"one"})
    (folder / ".0.pt-being-written").write_bytes(b"half")
    write_files(folder, {"1.pt": b"two", "../../x": b"x"})
    assert read_files(folder) == {"1.pt": b"two", "x": b"x"}
    assert read_files(tmp_path / "none") == {}
