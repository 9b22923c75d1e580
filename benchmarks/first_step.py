"""A method that says when the first timed step begins, for ``benchmarks.starts``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

from torch import Tensor

from gr_bench.methods import SGD, LossFunction

STEPS = count()


@dataclass(frozen=True)
class Telling(SGD):
    """SGD that prints ``time.monotonic()`` before its second step in this process.

    The first step is the one that is tried before a block is timed. What a worker process prints
    is in the run's ``workers.log``.
    """

    name: ClassVar[str] = "Telling"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """d = g."""
        if next(STEPS) == 1:
            print(time.monotonic(), flush=True)
        return super().backward(loss_fn, params)
