"""Interleaved rounds: every step is read once a round, in an order that changes."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from .clock import Sample, Samples

T = TypeVar("T")


def interleave(
    groups: Sequence[Sequence[str]],
    take: Callable[[str, int], Sample],
    steps: Mapping[str, int],
    *,
    until: float,
    least_rounds: int,
    seed: int,
) -> dict[str, Samples]:
    """Rounds in which every name is read once, until the time is gone.

    The groups of a round are in a fresh random order, and so are the names within a group: those
    are read one right after the other, since their ratio is what is asked for.

    Args:
        groups: names of steps.
        take: reads a step by its name, given how many steps make a sample.
        steps: how many, by name.
        until: by ``time.monotonic()``.
        least_rounds: rounds to read even if the time is gone.
        seed: of the orders.
    """
    order = random.Random(seed)
    samples = {name: Samples(steps[name]) for group in groups for name in group}
    done = 0
    while done < least_rounds or time.monotonic() < until:
        shuffled = [
            name
            for group in order.sample(groups, len(groups))
            for name in order.sample(group, len(group))
        ]
        for place, name in enumerate(shuffled):
            sample = take(name, steps[name])
            own = samples[name]
            own.elapsed_s.append(sample.elapsed_s)
            own.waited_s.append(sample.waited_s)
            own.cpu_s.append(sample.cpu_s)
            own.device_s.append(sample.device_s)
            own.position.append(place)
        done += 1
    return samples


def in_building_order(things: Sequence[T], replicate: int) -> list[T]:
    """A fresh random order every other replicate, and its reverse in between.

    What is built later lies elsewhere in memory, and may step a few tenths of a per cent faster or
    slower for it, in every process alike: no interval over replicates would tell.
    """
    order = random.Random(replicate // 2).sample(list(things), len(things))
    return order[::-1] if replicate % 2 else order


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """The garbage collector off inside the ``with``; what is alive now is never looked at again."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
