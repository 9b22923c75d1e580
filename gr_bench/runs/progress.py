"""Showing how a run is getting on: a live display on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from gr_bench.experiments.experiment import Unit
from gr_bench.experiments.record import Failure
from gr_bench.experiments.record import Progress as Part
from gr_bench.runs.budget_bar import LINE_EVERY_S
from gr_bench.runs.environment import node_in_words
from gr_bench.runs.executor import Crashed, Event, Finished, Joined, Measured, Started
from gr_bench.units import duration

if TYPE_CHECKING:
    from gr_bench.runs.runner import Watcher


class Display(AbstractContextManager["Display"]):
    """A :class:`~gr_bench.runs.runner.Watcher` that writes to ``console``, and tells ``others``."""

    def __init__(self, console: Console, *others: Watcher) -> None:
        self._console = console
        self._others = others
        self._tally = Tally()
        self._tasks: dict[Unit[Any], TaskID] = {}
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

    def remaining_units(self, units: dict[str, int], left_s: float | None) -> None:
        """See :class:`gr_bench.runs.runner.Watcher`."""
        self._tally.remaining_units(units, left_s)
        self._refresh()
        for other in self._others:
            other.remaining_units(units, left_s)

    def event(self, event: Event) -> None:
        """See :class:`gr_bench.runs.runner.Watcher`."""
        match event:
            case Started(unit, node):
                text = str(unit) if node is None else f"{node}: {unit}"
                self._tasks[unit] = self._units.add_task(text, total=1.0)
            case Joined(node, environment):
                self._say(f"{node}: {', '.join(node_in_words(environment))}")
            case Measured(unit, Part(part)):
                self._units.update(self._tasks[unit], completed=part)
            case Measured(_, Failure() as failed):
                self._say(f"{failed.status}: {failed.cell}: {failed.reason}", style="red")
            case Finished(unit) | Crashed(unit):
                self._units.remove_task(self._tasks.pop(unit))
                self._tally.done(unit.kind)
                if isinstance(event, Crashed):
                    for who in event.culprits or (unit,):
                        self._say(f"failed: {who}: {event.reason}", style="red")
                if not self._console.is_terminal:
                    self._line(unit)
        self._refresh()
        for other in self._others:
            other.event(event)

    def _refresh(self) -> None:
        tally = self._tally
        self._overall.update(
            self._task, completed=tally.completed, total=tally.total, clock=tally.clock()
        )

    def _line(self, unit: Unit[Any]) -> None:
        now = time.monotonic()
        last = self._tally.completed == self._tally.total
        if now - self._last_line >= LINE_EVERY_S or last:
            self._last_line = now
            where = f"{self._tally.completed}/{self._tally.total}"
            self._say(f"{where} · {self._tally.clock()} · {unit}")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


class Tally:
    """A count of the units done, and an estimate of the time that the rest will take.

    The time left is, for each kind of unit, the mean time that one took so far times how many are
    left, or what the run's budget leaves, where that is less; a kind that has not begun is not in
    it, which is then said.
    """

    def __init__(self) -> None:
        self._left: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._begin = self._last = time.monotonic()
        self._until: float | None = None

    def remaining_units(self, units: dict[str, int], left_s: float | None) -> None:
        """Take over how many units are left, by kind, and how much time."""
        self._left = Counter(units)
        self._until = None if left_s is None else time.monotonic() + left_s

    def done(self, kind: str) -> None:
        """Count one unit."""
        now = time.monotonic()
        self._spent[kind] += now - self._last
        self._last = now
        self._done[kind] += 1
        self._left[kind] = max(0, self._left[kind] - 1)

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
        begun = {kind for kind, count in self._done.items() if count}
        left = sum(self._spent[k] / self._done[k] * self._left[k] for k in begun)
        unknown = [kind for kind, count in self._left.items() if count and kind not in begun]
        text = f"{duration(time.monotonic() - self._begin)} so far"
        if not self._left.total():
            return text
        if self._until is not None:
            budget = max(0.0, self._until - time.monotonic())
            if unknown or left > budget:
                return f"{text}, at most {duration(budget)} left"
        if not begun:
            return text
        return f"{text}, {'at least ' if unknown else ''}{duration(left)} left"
