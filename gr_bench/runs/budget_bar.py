"""The progress of something that has a budget of time."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from gr_bench.units import duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 5.0
"""Between two lines, at least, without a terminal."""


class BudgetBar:
    """A bar with the time left on a terminal, a line now and then anywhere else.

    A context manager. Nothing is imported or drawn before it is told something.

    Args:
        budget_s: seconds that there are.
    """

    def __init__(self, budget_s: float) -> None:
        self._budget_s = budget_s
        self._last_s = -LINE_EVERY_S
        self._shown: tuple[Console, Progress, TaskID] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown is not None:
            self._shown[1].stop()

    def __call__(self, spent_s: float, what: str, *, lasting: bool = False) -> None:
        """Show how it goes on.

        Args:
            spent_s: seconds that have passed.
            what: what is being done, in a few words; or, ``lasting``, a sentence that is to stay.
            lasting: see there.
        """
        console, bar, task = self._shown = self._shown or self._begin()
        if lasting:
            console.print(what, markup=False, highlight=False, soft_wrap=True)
            return
        text = f"{what} · {duration(max(0.0, self._budget_s - spent_s))} left"
        bar.update(task, completed=min(spent_s, self._budget_s), description=text)
        if not console.is_terminal and spent_s - self._last_s >= LINE_EVERY_S:
            self._last_s = spent_s
            console.print(text, markup=False, highlight=False)

    def _begin(self) -> tuple[Console, Progress, TaskID]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True)
        bar = Progress(
            BarColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        task = bar.add_task("", total=self._budget_s)
        bar.start()
        return console, bar, task
