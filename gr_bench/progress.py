"""Showing how a run is getting on: a live display on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from gr_bench.experiments.base import Progress as Part
from gr_bench.experiments.base import Record, Unit, failure_status
from gr_bench.runs.executors import Crashed, Event, Finished, Measured, Started

LINE_EVERY_S = 5.0
"""Where there is no terminal, a line about the whole run is written this often at most."""


class Display(AbstractContextManager["Display"]):
    """A :class:`gr_bench.runs.runner.Watcher` that writes to ``console``."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally = Tally()
        self._tasks: dict[Unit, TaskID] = {}
        self._last_line = time.monotonic()
        self._overall = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} units · {task.fields[clock]}"),
            console=console,
        )
        self._units = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=12),
            TextColumn("{task.description}"),
            console=console,
        )
        self._task = self._overall.add_task("all", total=None, clock="")
        self._live = Live(
            Group(self._overall, self._units),
            console=console,
            refresh_per_second=4,
            transient=True,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def outlook(self, units: dict[str, int]) -> None:
        """See :class:`gr_bench.runs.runner.Watcher`."""
        self._tally.outlook(units)
        self._refresh()

    def event(self, event: Event) -> None:
        """See :class:`gr_bench.runs.runner.Watcher`."""
        match event:
            case Started(unit):
                self._tasks[unit] = self._units.add_task(str(unit), total=1.0)
            case Measured(unit, Part(part)):
                self._units.update(self._tasks[unit], completed=part)
            case Measured(_, Record(cell, "failure", data)):
                word = failure_status(data)
                self._say(f"{word}: {cell}: {data['reason']}", style="red")
            case Finished(unit) | Crashed(unit):
                self._units.remove_task(self._tasks.pop(unit))
                self._tally.done(unit.sort)
                if isinstance(event, Crashed):
                    self._say(f"failed: {unit}: {event.reason}", style="red")
                if not self._console.is_terminal:
                    self._line(unit)
        self._refresh()

    def _refresh(self) -> None:
        tally = self._tally
        self._overall.update(
            self._task, completed=tally.completed, total=tally.total, clock=tally.clock()
        )

    def _line(self, unit: Unit) -> None:
        now = time.monotonic()
        last = self._tally.completed == self._tally.total
        if now - self._last_line >= LINE_EVERY_S or last:
            self._last_line = now
            where = f"{self._tally.completed}/{self._tally.total}"
            self._say(f"{where} · {self._tally.clock()} · {unit}")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


class Tally:
    """How many units are done and how long the rest will take.

    The time left is, for each sort of unit, the mean time that one took so far times how many are
    left; a sort that has not begun is not in it, which is then said.
    """

    def __init__(self) -> None:
        self._left: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._begin = self._last = time.monotonic()

    def outlook(self, units: dict[str, int]) -> None:
        """Take over how many units are left, by sort."""
        self._left = Counter(units)

    def done(self, sort: str) -> None:
        """Count one unit."""
        now = time.monotonic()
        self._spent[sort] += now - self._last
        self._last = now
        self._done[sort] += 1
        self._left[sort] = max(0, self._left[sort] - 1)

    @property
    def completed(self) -> int:
        """Units done."""
        return self._done.total()

    @property
    def total(self) -> int:
        """Units done and left, as far as is known."""
        return self.completed + self._left.total()

    def clock(self) -> str:
        """Time since the beginning, and time left."""
        begun = {sort for sort, count in self._done.items() if count}
        left = sum(self._spent[s] / self._done[s] * self._left[s] for s in begun)
        unknown = [sort for sort, count in self._left.items() if count and sort not in begun]
        text = f"{duration(time.monotonic() - self._begin)} so far"
        if not begun or not self._left.total():
            return text
        return f"{text}, {'at least ' if unknown else ''}{duration(left)} left"


def duration(seconds: float) -> str:
    """Seconds as ``1h02m``, ``3m05s`` or ``42s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"
