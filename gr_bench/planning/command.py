"""The body of ``gr-bench plan``: a suite's plan with progress on standard error."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from gr_bench.planning.capacity import GPUS
from gr_bench.planning.plan import Planner, SuitePlan
from gr_bench.planning.rates import AssumedRates, FirstOf, MeasuredRates, Rates, StoredRates
from gr_bench.runs.budget_bar import LINE_EVERY_S
from gr_bench.runs.suite import Suite


def make_plan(
    suite: Suite,
    rates_of: Path | None = None,
    memory: tuple[str, int] | None = None,
    nodes: int | None = None,
) -> SuitePlan:
    """The plan of a suite.

    Args:
        suite: that is planned.
        rates_of: the folder of a run to tell times by; by default this machine's processor is, by
            a few steps that are timed, and a GPU's are assumed.
        memory: name and bytes of a device's memory; by default that of common GPUs, or the host's.
        nodes: of a cluster, to tell the time on them, too.

    Raises:
        RequestError: a method that cannot be built, or a run that has no times.
    """
    suite.check_methods()
    with _Teller() as tell:
        stored: Rates = MeasuredRates(tell) if rates_of is None else StoredRates(rates_of)
        rates = FirstOf(stored, AssumedRates())
        return Planner(suite, rates, (memory and [memory]) or _devices(suite), tell).plan(nodes)


def _devices(suite: Suite) -> Sequence[tuple[str, int]]:
    import psutil

    if any(cell.device != "cpu" for cell in suite.cells):
        return list(GPUS.items())
    return [("this host", psutil.virtual_memory().total)]


class _Teller:
    """A status on a terminal that is wiped away; elsewhere a line now and then."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status = self._console.status("")
        self._last_s = time.monotonic()

    def __enter__(self) -> _Teller:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if self._console.is_terminal:
            self._status.update(text)
        elif now - self._last_s >= LINE_EVERY_S:
            self._last_s = now
            self._console.print(text, markup=False, highlight=False)
