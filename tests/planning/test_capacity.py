from __future__ import annotations

import itertools

import pytest

from gr_bench.errors import RequestError
from gr_bench.planning.capacity import GPUS, RESERVE_BYTES, RESERVE_SHARE, fits, parse_bytes

GB = 10**9


@pytest.mark.parametrize(
    ("text", "size"),
    [("24GB", 24 * GB), ("24 GiB", 24 << 30), ("1.5TB", 1500 * GB), ("800MB", 800 * 10**6)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["24", "GB", "0GB", "-1GB", "24gb", "24 bananas", ""])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="24GB, 24GiB or 800MB"):
        parse_bytes(text)


def test_the_verdict_turns_where_room_ends() -> None:
    memory = 24 * GB
    most = int((memory - RESERVE_BYTES) / (1 + RESERVE_SHARE))
    assert fits(most, memory) == "yes"
    assert fits(most + 2, memory) == "tight"
    assert fits(memory, memory) == "tight"
    assert fits(memory + 1, memory) == "no"


def test_gpus_are_listed_by_their_memory_and_have_less_than_their_maker_says() -> None:
    sizes = list(GPUS.values())
    assert all(a < b for a, b in itertools.pairwise(sizes))
    for name, size in GPUS.items():
        assert size <= int(name.split()[0]) << 30
