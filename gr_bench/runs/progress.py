"""Showing how a run is getting on: a live display on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
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
from gr_bench.runs.tally import Tally

if TYPE_CHECKING:
    from gr_bench.runs.known import Known
    from gr_bench.runs.runner import Watcher

KNOWN_EVERY_S = 60.0
"""Between two lines on the results so far, at least, without a terminal."""


class Display(AbstractContextManager["Display"]):
    """A :class:`~gr_bench.runs.runner.Watcher` that writes to ``console``, and tells ``others``.

    Args:
        console: of the terminal, or of a file.
        others: watchers that are told, too.
        known: a watcher, the results so far, which are shown below; in a log now and then a line.
    """

    def __init__(self, console: Console, *others: Watcher, known: Known | None = None) -> None:
        self._console = console
        self._known = known
        self._others = others if known is None else (*others, known)
        self._last_known = ""
        self._last_known_at = time.monotonic()
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
            Group(self._overall, self._units, *([known] if known else [])),
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
                    self._say_known()
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

    def _say_known(self) -> None:
        """The results so far, if they are others than a minute ago."""
        now = time.monotonic()
        if self._known is None or now - self._last_known_at < KNOWN_EVERY_S:
            return
        line = self._known.line()
        if line and line != self._last_known:
            self._last_known, self._last_known_at = line, now
            self._say(f"so far: {line}")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
