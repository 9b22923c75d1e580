"""A history: stored runs in order, their series, and what changed in them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gr_bench.comparison.history.change_points import ChangePoint
from gr_bench.comparison.history.run import Run, in_order, read_run
from gr_bench.comparison.history.series import Counted, Series, all_series, counted, is_beyond
from gr_bench.errors import RequestError
from gr_bench.runs import environment

LETTERS = 12
"""Of a commit in a command line."""


@dataclass(frozen=True)
class Found:
    """A change point of a series, with the runs that it lies between."""

    series: Series
    change: ChangePoint
    first: int
    """The number of the first run on the level after."""

    good: Run
    """The last run that is surely before it."""

    bad: Run
    """The first run that is surely after it."""

    @property
    def commits(self) -> str:
        """The range that it is attributed to, as ``A..B``; one name where both runs have it."""
        names = dict.fromkeys((self.good.name, self.bad.name))
        return "..".join(names)

    @property
    def command(self) -> str | None:
        """The command that looks closer: ``bisect`` for a step, ``compare`` of both ends for a
        drift, which no single commit made; None unless the two runs are of different commits.
        """
        good, bad = self.good.commit, self.bad.commit
        if good is None or bad is None or good == bad:
            return None
        good, bad = good[:LETTERS], bad[:LETTERS]
        if self.change.kind == "step":
            asked = ["bisect", good, bad]
        else:
            asked = ["compare", f"git:{good}", f"git:{bad}"]
        return shlex.join(
            ["gr-bench", *asked, "--suite", self.bad.suite, "--only", self.series.name]
        )

    @property
    def also(self) -> list[str]:
        """Differences between the two runs other than their commits, in words."""
        return environment.differences(self.good.environment, self.bad.environment)


@dataclass(frozen=True)
class History:
    """Runs in order, and what changed over them."""

    runs: tuple[Run, ...]
    series: tuple[Series, ...]
    counted: tuple[Counted, ...]
    threshold: float
    """Relative, the smallest change of a time that counts."""

    @cached_property
    def found(self) -> list[Found]:
        """Every change point, in the order of runs."""
        every = [
            Found(
                series=series,
                change=change,
                first=series.runs[change.after],
                good=self.runs[series.runs[change.earliest]],
                bad=self.runs[series.runs[change.latest]],
            )
            for series in self.series
            for change in series.found.changes
        ]
        return sorted(every, key=lambda one: one.first)

    @property
    def beyond(self) -> list[Found]:
        """Those whose size is beyond the threshold."""
        return [one for one in self.found if is_beyond(one.change, self.threshold)]

    @property
    def smaller(self) -> list[Found]:
        """The others."""
        return [one for one in self.found if not is_beyond(one.change, self.threshold)]

    def verdict(self, series: Series) -> str:
        """``changed`` beyond the threshold; ``no change``: a step half way of the threshold's size
        would have been found; ``not known``: it would not.
        """
        if series.beyond(self.threshold):
            return "changed"
        return "no change" if series.can_tell(self.threshold) else "not known"


def read_history(folders: Sequence[Path], threshold: float) -> History:
    """The history of some runs: of every cell the ratio to the baseline's time, over all runs, and
    the time in matrix products, over those on the same hardware; and every counter that changed.

    Runs are in the order of their commits in time or, if some commit is not in the repository here,
    of their starts.

    Args:
        folders: of runs with step costs, two at least.
        threshold: relative, the smallest change of a time that counts.

    Raises:
        RequestError: a folder is no run's or has no step costs, or there are fewer than two.
    """
    if len(folders) < 2:
        raise RequestError("a history needs at least two runs: gr-bench history RUN RUN ...")
    runs = in_order([read_run(folder) for folder in folders])
    return History(tuple(runs), tuple(all_series(runs)), tuple(counted(runs, threshold)), threshold)
