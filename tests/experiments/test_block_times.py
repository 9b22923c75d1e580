"""Replicates of a block that nodes of a cluster have timed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from synthetic import cost, timed

from gr_bench.experiments.block_times import BlockTimes, Times
from gr_bench.meters.conditions import Conditions

BLOCK = [cost("sgd"), cost("sam")]


def on(node: str | None, replicate: int, sgd_s: float, began: float = 0.0) -> list[Times]:
    """A replicate of the block, in which SAM takes twice as long as SGD."""
    conditions = Conditions(allocator="held", denormals_flushed=True, node=node)
    return [
        replace(timed(cell, replicate, [factor * sgd_s] * 5, began=began), conditions=conditions)
        for cell, factor in zip(BLOCK, (1, 2), strict=True)
    ]


def counting(records: list[Times]) -> set[str | None]:
    """The nodes whose times count."""
    own = BlockTimes(records).records.values()
    found: list[Any] = [r.conditions for replicates in own for r in replicates.values()]
    return {conditions.node for conditions in found}


def test_another_node_takes_the_place_of_a_lost_one_when_it_has_as_many() -> None:
    lost = [*on("a", 0, 1.0), *on("a", 1, 1.0), *on("a", 2, 1.0)]
    assert counting([*lost, *on("b", 3, 9.0), *on("b", 4, 9.0)]) == {"a"}
    both = [*lost, *on("b", 3, 9.0), *on("b", 4, 9.0), *on("b", 5, 9.0)]
    assert counting(both) == {"b"}
    assert BlockTimes(both).replicates(BLOCK) == 3
    assert counting([*both, *on("a", 6, 1.0)]) == {"a"}  # it is back


def test_numbers_of_replicates_are_not_given_twice_while_a_node_catches_up() -> None:
    times = BlockTimes([*on("a", 0, 1.0), *on("a", 1, 1.0), *on("b", 2, 9.0)])
    assert (times.replicates(BLOCK), times.next_replicate(BLOCK)) == (2, 3)


def test_a_part_of_a_replicate_on_a_lost_node_makes_no_ratio_with_another_nodes() -> None:
    sgd, _ = on("a", 0, 1.0)
    _, sam = on("b", 0, 9.0)
    times = BlockTimes([sgd, sam])
    assert times.log_ratios.get(sam.cell.id, {}) == {}
    assert times.replicates(BLOCK) == 0
    whole = BlockTimes([sgd, *on("b", 0, 9.0, began=1.0)])
    assert whole.replicates(BLOCK) == 1


@given(st.lists(st.sampled_from(["a", "b", None]), min_size=1, max_size=12))
def test_whatever_the_order_of_nodes_one_counts_and_none_has_more(nodes: list[str | None]) -> None:
    records = [r for k, node in enumerate(nodes) for r in on(node, k, 1.0 + k)]
    times = BlockTimes(records)
    (node,) = counting(records)
    assert times.replicates(BLOCK) == nodes.count(node) == max(map(nodes.count, nodes))
    assert times.next_replicate(BLOCK) == len(nodes)
