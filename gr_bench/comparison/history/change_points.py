"""Change points of a series of runs, each weighted by its standard error."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gr_bench import stats
from gr_bench.comparison.history.drift import with_drifts
from gr_bench.comparison.history.levels import Fit
from gr_bench.comparison.history.noise import Floats, moderated
from gr_bench.comparison.history.places import likely_place
from gr_bench.comparison.history.steps import smallest_step, steps

Kind = Literal["step", "drift"]


@dataclass(frozen=True)
class ChangePoint:
    """A change of level, with where it is and how large; runs are told by their numbers."""

    kind: Kind
    before: int
    """The last run on the level before."""

    after: int
    """The first run on the level after: that of a step comes next, but for runs that are missing
    or stand apart."""

    earliest: int
    """The last run that is before the change with a probability of 97.5 %."""

    latest: int
    """The first run that is after it with a probability of 97.5 %."""

    size: stats.Interval
    """The level after less the level before, with its 95 % interval."""

    runs_before: int
    """Runs on the level before."""

    runs_after: int
    """Runs on the level after; one alone may be a bad night."""


@dataclass(frozen=True)
class ChangePoints:
    """All that was found in a series of n runs."""

    changes: tuple[ChangePoint, ...]
    apart: tuple[int, ...]
    """Runs that stand apart from those on both sides, and were left out."""

    levels: Floats
    """(n,) the level at each run, missing ones too; NaN where no run has a value."""

    errors: Floats
    """(n,) the standard errors that were relied on; NaN for runs that are missing."""

    spread: float
    """Standard deviation between runs beyond these errors."""

    smallest_step: float
    """The step half way that would have been found nine times in ten; infinite if none could."""

    smallest_last_step: float
    """The same in the last run alone."""


def change_points(
    values: ArrayLike, errors: ArrayLike, freedom: ArrayLike = np.inf
) -> ChangePoints:
    """Steps and drifts of a series whose values have known standard errors.

    1. Standard errors from few processes are moderated
       (:func:`~gr_bench.comparison.history.noise.moderated`).
    2. Steps are found one after the other
       (:func:`~gr_bench.comparison.history.steps.steps`): where nothing changed, something is found
       in at most one series in a hundred, however long.
    3. A run whose level is left again in the direction that it came from stands apart, as does the
       first one if it is alone on its level: one night is no level. It is left out, and the search
       begun anew. The last one may be the first of a new level.
    4. Steps become drifts where these tell the same better
       (:func:`~gr_bench.comparison.history.drift.with_drifts`).

    The interval of a size is size ± t·√(e² + v²), with the standard error e of the weighted fit, v
    the standard deviation of the size over the places that the change may have, and Student's t at
    the degrees of freedom of the fit. A change that was found only just looks larger than it is.

    Args:
        values: (n,), logarithms for relative changes; NaN where a run has none.
        errors: (n,) their standard errors; NaN or infinite where not known.
        freedom: degrees of freedom of the errors, one number or (n,); infinite: they are exact.

    Raises:
        ValueError: an error that is negative, or lengths that differ.
    """
    y, s = np.asarray(values, float), np.asarray(errors, float)
    if y.ndim != 1 or y.shape != s.shape or (s < 0).any():
        raise ValueError(f"need as many errors >= 0 as values, not {s.shape} and {y.shape}")
    d = np.where(np.isfinite(s), np.broadcast_to(np.asarray(freedom, float), s.shape), 0.0)
    there = np.flatnonzero(np.isfinite(y))
    used = np.full(y.shape, np.nan)
    if not there.size:
        return ChangePoints((), (), used, used.copy(), 0.0, np.inf, np.inf)
    used[there] = moderated(s[there], d[there])
    found, kept = _without_apart(y, used, there)
    return ChangePoints(
        changes=_changes(y[kept], found, kept),
        apart=tuple(int(run) for run in there if run not in kept),
        levels=np.interp(np.arange(y.size), kept, found.fitted),
        errors=used,
        spread=found.spread,
        smallest_step=smallest_step(found, after=kept.size // 2),
        smallest_last_step=smallest_step(found, after=1),
    )


def _without_apart(
    y: Floats, errors: Floats, kept: NDArray[np.intp]
) -> tuple[Fit, NDArray[np.intp]]:
    """The fit with its drifts, and the runs that are left."""
    while True:
        found = steps(y[kept], errors[kept])
        alone = _apart(found)
        if not alone:
            return with_drifts(y[kept], errors[kept], found), kept
        kept = np.delete(kept, alone)


def _apart(found: Fit) -> list[int]:
    """Runs that are alone on a level which is left again in the direction that it came from, and
    the first run if it is alone and no drift begins with it.
    """
    pairs = list(itertools.pairwise(zip(found.transitions, found.sizes, strict=True)))
    alone = [
        first.after
        for (first, come), (second, go) in pairs
        if first.after == second.before and come * go < 0
    ]
    begins = bool(found.transitions) and found.transitions[0].before == 0
    if begins and not (pairs and pairs[0][0][0].after == pairs[0][1][0].before):
        alone.insert(0, 0)
    return alone


def _changes(y: Floats, found: Fit, kept: NDArray[np.intp]) -> tuple[ChangePoint, ...]:
    if not found.transitions:
        return ()
    reach = float(special.stdtrit(found.freedom, 0.975)) if found.freedom else np.inf
    begins = [0, *(transition.after for transition in found.transitions)]
    ends = [*(transition.before for transition in found.transitions), len(kept) - 1]
    runs = [end - begin + 1 for begin, end in zip(begins, ends, strict=True)]
    changes = []
    for number, transition in enumerate(found.transitions):
        place = likely_place(y, found.weights, found.transitions, number)
        size = float(found.sizes[number])
        half = reach * math.hypot(float(found.errors[number]), place.size_spread)
        changes.append(
            ChangePoint(
                kind="step" if transition.is_step else "drift",
                before=int(kept[transition.before]),
                after=int(kept[transition.after]),
                earliest=int(kept[place.earliest]),
                latest=int(kept[place.latest]),
                size=stats.Interval(size, size - half, size + half),
                runs_before=runs[number],
                runs_after=runs[number + 1],
            )
        )
    return tuple(changes)
