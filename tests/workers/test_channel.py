"""The coordinator's end of the channel, fed with what a worker should not write."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr_bench.workers import channel
from gr_bench.workers.channel import Channel, Garbled, WorkerDied


@pytest.fixture
def pipe() -> Iterator[tuple[Channel, int]]:
    yield from opened()


def opened() -> Iterator[tuple[Channel, int]]:
    answers, theirs = os.pipe()
    nobody, requests = os.pipe()
    own = Channel(os.fdopen(requests, "wb", 0), os.fdopen(answers, "rb", 0))
    yield own, theirs
    own.close()
    os.close(theirs)
    os.close(nobody)


@pytest.mark.parametrize(
    "junk", [b"hello\n", b"\n", b"3\n", b"[1]\n", b"\xff\xfe\n", b'{"record": \n', b"null\n"]
)
def test_what_is_no_message_is_said_to_be_none(pipe: tuple[Channel, int], junk: bytes) -> None:
    own, theirs = pipe
    os.write(theirs, junk)
    with pytest.raises(Garbled, match="where its answers go"):
        own.read()


def test_a_line_without_end_is_given_up(
    pipe: tuple[Channel, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "MOST_BYTES", 1 << 20)
    own, theirs = pipe
    with pytest.raises(Garbled, match="1 MiB without the end of a line"):
        for _ in range(20):
            os.write(theirs, b"x" * 60_000)
            own.read()


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.text(), st.integers()), max_size=5), st.data())
def test_messages_come_whole_however_they_are_cut(
    messages: list[dict[str, int]], data: st.DataObject
) -> None:
    text = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    found = []
    with contextmanager(opened)() as (own, theirs):
        for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            if start < end:
                os.write(theirs, text[start:end])
                found += own.read()
    assert found == messages


def test_the_end_of_the_answers_is_the_workers_death() -> None:
    answers, theirs = os.pipe()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    own = Channel(os.fdopen(nowhere, "wb"), os.fdopen(answers, "rb", 0))
    os.close(theirs)
    with pytest.raises(WorkerDied):
        own.read()
    own.close()
