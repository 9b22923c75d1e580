"""Rounds that interleave: orders, groups, their end, and the garbage collector."""

from __future__ import annotations

import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr_bench.timing.clock import Sample, Samples
from gr_bench.timing.rounds import collector_at_rest, in_building_order, interleave

NAMES = ("sgd", "sam", "f-gr", "b-gr", "db-gr")


def read(
    groups: list[list[str]], log: list[str], *, rounds: int = 20, seed: int = 0
) -> dict[str, Samples]:
    """Rounds whose samples are numbered in the order in which they were taken."""

    def take(name: str, steps: int) -> Sample:
        log.extend([name] * steps)
        return Sample(float(len(log)), 0.5, 0.25)

    steps = {name: 1 + place for place, name in enumerate(NAMES)}
    return interleave(groups, take, steps, until=0.0, least_rounds=rounds, seed=seed)


def orders(samples: dict[str, Samples]) -> list[tuple[str, ...]]:
    """Round by round, the names in the order in which they were read."""
    rounds = range(len(next(iter(samples.values())).position))
    return [tuple(sorted(samples, key=lambda n: samples[n].position[r])) for r in rounds]


def test_every_name_is_read_once_a_round_in_an_order_that_changes() -> None:
    samples = read([list(NAMES)], [])
    for places in zip(*(samples[name].position for name in NAMES), strict=True):
        assert sorted(places) == [0, 1, 2, 3, 4]
    distinct = set(orders(samples))
    assert len(distinct) > 10
    assert {order[0] for order in distinct} == set(NAMES)


def test_the_order_on_record_is_the_order_of_the_steps() -> None:
    log: list[str] = []
    samples = read([list(NAMES)], log)
    expected = [
        name for order in orders(samples) for name in order for _ in range(samples[name].steps)
    ]
    assert log == expected


def test_the_names_of_a_group_are_read_next_to_each_other() -> None:
    groups = [["sgd", "sam"], ["f-gr", "b-gr"], ["db-gr"]]
    found = orders(read(groups, [], rounds=100))
    for order in found:
        for first, second in groups[:2]:
            assert abs(order.index(first) - order.index(second)) == 1
    starts = {order[0] for order in found}
    assert starts == set(NAMES)  # neither groups nor their names have a fixed place


def test_the_seed_decides_the_orders() -> None:
    first, again, other = (orders(read([list(NAMES)], [], seed=s)) for s in (1, 1, 2))
    assert first == again != other


def test_a_name_has_a_sample_in_every_round() -> None:
    for own in read([list(NAMES)], [], rounds=7).values():
        lists = (own.elapsed_s, own.waited_s, own.cpu_s, own.position)
        assert [len(values) for values in lists] == [7] * 4


def test_rounds_go_on_until_the_time_is_gone() -> None:
    taken = []

    def take(name: str, steps: int) -> Sample:
        taken.append(time.monotonic())
        return Sample(1.0, 0.0, 1.0)

    until = time.monotonic() + 0.05
    samples = interleave([["sgd"]], take, {"sgd": 1}, until=until, least_rounds=1, seed=0)
    assert taken[-2] < until
    assert len(samples["sgd"].position) == len(taken) > 1


@given(st.lists(st.integers(), unique=True, max_size=6), st.integers(0, 50))
def test_building_orders_come_in_pairs_of_opposites(things: list[int], replicate: int) -> None:
    """Otherwise its place in memory would favour one method in every process alike."""
    order = in_building_order(things, replicate)
    assert sorted(order) == sorted(things)
    partner = replicate + 1 if replicate % 2 == 0 else replicate - 1
    assert in_building_order(things, partner) == order[::-1]


def test_building_orders_change_from_pair_to_pair() -> None:
    assert len({tuple(in_building_order(NAMES, 2 * k)) for k in range(20)}) > 10


def test_the_garbage_collector_rests_inside_and_is_back_afterwards() -> None:
    with collector_at_rest():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="inside"), collector_at_rest():
        raise RuntimeError("inside")
    assert gc.isenabled()


def test_a_garbage_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_at_rest():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
