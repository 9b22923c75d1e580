"""Errors of a comparison that looks after every pair, and the pairs that it takes, by simulation.

    python -m benchmarks.sequential OUT [--comparisons 10000]

Simulated comparisons of eight cells, judged after every pair up to sixty by the rules of
``gr_bench.comparison.stopping``, on log-ratios with known means:

- *unchanged*: every mean is 0;
- *planted*: one cell is 3 % slower;
- *edge*: one cell is slower by the threshold of 2 %, where *same* is most easily said in error.

The noise of a pair is √r·common + √(1-r)·own, where r is the correlation between cells; either part
is normal, of Student's t with 5 degrees of freedom, or normal with every fiftieth value (by chance)
from a normal distribution with five times the standard deviation; all scaled to the spread.

Besides: how the prior scale was chosen, the boundaries of a group-sequential t-test beside it, the
largest average that a stop can give an e-value, and one cell whose pairs are not independent. All
of it is in ``OUT/sequential.json``, and as
tables in ``OUT/sequential.md``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from gr_bench.comparison.findings import FALSE_DISCOVERY_RATE
from gr_bench.comparison.sequential import PRIOR_SCALE, reach
from gr_bench.comparison.stopping import CONFIDENCE, CONFIRMING_LEVEL, CONFIRMING_PAIRS

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]

CELLS = 8
PAIRS = 60
LEAST_PAIRS = 3
"""Fewest pairs of the rule of before, whose t-intervals are finite from two on."""

THRESHOLD = 0.02
MARGIN = math.log1p(THRESHOLD)
PLANTED = 0.03
SPREADS = (0.004, 0.007, 0.010, 0.018, 0.025)
CORRELATIONS = (0.0, 0.5)
WITHIN = (10, 20, 30, 60)
"""Pairs within which a planted cell is found."""

BATCH = 500
"""Comparisons at a time: their numbers fit in the cache."""

SCALES = (0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 128.0)
RATIOS = (1.0, 1.02, 1.03, 1.05)
EXPONENTS = (-0.5, 0.0, 0.5, 1.0)
"""Of n, in the nominal p-value of a group-sequential look after n pairs."""

MARTINGALE = "test martingale"
STUDY_PAIRS, STUDY_PATHS, CALIBRATION_PATHS = 150, 4000, 400_000

SERIAL = (0.0, 0.1, 0.2, 0.3, 0.5)
"""Correlations of a pair with the one before."""

ORDERS = (0.5, 1.0, 2.0)
"""Differences between pairs in which one side is first and those in which the other is, in
spreads."""


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)


def t5(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_t(5, shape) / math.sqrt(5 / 3)


def contaminated(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    wild = np.where(rng.random(shape) < 0.02, 5.0, 1.0)
    return rng.standard_normal(shape) * wild / math.sqrt(0.98 + 0.02 * 25)


NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": normal,
    "t5": t5,
    "contaminated": contaminated,
}


def draw(
    rng: np.random.Generator, noise: str, correlation: float, spread: float, comparisons: int
) -> Array:
    """(comparisons, cells, pairs) log-ratios of mean 0."""
    own = NOISES[noise](rng, (comparisons, CELLS, PAIRS))
    common = NOISES[noise](rng, (comparisons, 1, PAIRS))
    return spread * (math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own)


def reaches(most: int, evidence: float, scale: float = PRIOR_SCALE) -> Array:
    """After 1, 2, ... values."""
    return np.array([reach(n, evidence, scale) for n in range(1, most + 1)])


def t_reaches(most: int, p_values: Array | float) -> Array:
    """The same for Student's t-test at two-sided ``p_values``."""
    n = np.arange(1, most + 1)
    with np.errstate(invalid="ignore"):
        t = special.stdtrit(n - 1.0, 1 - np.broadcast_to(p_values, n.shape) / 2)
    return np.where(n > 1, t / np.sqrt(n), np.inf)


def first(flags: Array | Flags) -> Counts:
    """Number of pairs until the first True along the last axis; one more than there are if none."""
    return np.where(flags.any(axis=-1), flags.argmax(axis=-1), flags.shape[-1]) + 1


@dataclass(frozen=True)
class Moments:
    """Means and spreads of the first 1, 2, ... values along the last axis."""

    values: Array

    @cached_property
    def number(self) -> Array:
        return np.arange(1.0, self.values.shape[-1] + 1)

    @cached_property
    def sums(self) -> Array:
        return self.values.cumsum(axis=-1)

    @cached_property
    def squares(self) -> Array:
        return np.square(self.values).cumsum(axis=-1)

    @cached_property
    def mean(self) -> Array:
        return self.sums / self.number

    @cached_property
    def spread(self) -> Array:
        """Infinite of one value."""
        within = np.maximum(self.squares - self.number * self.mean**2, 0)
        freedom = np.maximum(self.number - 1, 1)
        return np.where(self.number > 1, np.sqrt(within / freedom), np.inf)

    def half(self, reaches: Array) -> Array:
        """``reaches`` times the spread; infinite where they are."""
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(reaches), reaches * self.spread, np.inf)


def believed(p_values: Array, rate: float) -> Flags:
    """Benjamini and Hochberg's discoveries among the cells of each comparison, at each look."""
    cells = p_values.shape[1]
    allowed = rate * np.arange(1, cells + 1)[:, None] / cells
    below = np.sort(p_values, axis=1) <= allowed
    count = np.where(below.any(axis=1), cells - below[:, ::-1].argmax(axis=1), 0)
    return p_values <= (rate * count / cells)[:, None]


def inverse_e_values(of: Moments) -> Array:
    """1/e after every pair, as in ``gr_bench.comparison.sequential``."""
    shrunk = 1 + of.number * PRIOR_SCALE
    odds = of.number * np.square(of.mean / of.spread) / np.maximum(of.number - 1, 1)
    log_ratio = np.log1p(odds) - np.log1p(odds / shrunk)
    inverse = np.exp((np.log(shrunk) - of.number * log_ratio) / 2)
    return np.where(of.number > 1, inverse, 1.0)


@dataclass(frozen=True)
class Looks:
    """Comparisons after every pair: arrays of (comparisons, cells, pairs)."""

    moments: Moments
    half: Array
    p_values: Array

    @classmethod
    def sequential(cls, moments: Moments) -> Looks:
        """By test martingale and confidence sequence."""
        half = moments.half(reaches(PAIRS, 1 / (1 - CONFIDENCE)))
        return cls(moments, half, np.minimum(1, inverse_e_values(moments)))

    @classmethod
    def before(cls, moments: Moments) -> Looks:
        """By t-test and t-interval, as if there were no other look."""
        freedom = np.maximum(moments.number - 1, 1)
        t = np.sqrt(moments.number) * np.abs(moments.mean) / moments.spread
        p_values = np.where(moments.number < LEAST_PAIRS, 1, 2 * special.stdtr(freedom, -t))
        half = moments.half(t_reaches(PAIRS, 1 - CONFIDENCE))
        return cls(moments, np.where(moments.number < LEAST_PAIRS, np.inf, half), p_values)

    @cached_property
    def same(self) -> Flags:
        return np.abs(self.moments.mean) + self.half <= MARGIN

    @cached_property
    def called(self) -> Flags:
        """Slower or faster."""
        away = np.abs(self.moments.mean)
        apart = (away > self.half) & (away > math.log1p(THRESHOLD))
        return apart & believed(self.p_values, FALSE_DISCOVERY_RATE)

    @cached_property
    def raised(self) -> Flags:
        """Called, and confirmed by the pairs after the first at which the cell was called so."""
        raised = np.zeros_like(self.called)
        for sign in (1, -1):
            called = self.called & (sign * self.moments.mean > 0)
            raised |= called & self._confirmed(called, sign)
        return raised

    def _confirmed(self, called: Flags, sign: int) -> Flags:
        since = first(called)[..., None]
        at = np.minimum(since, called.shape[-1]) - 1
        of = self.moments
        number = np.maximum(of.number - since, 0)
        sums, squares = (
            every - np.take_along_axis(every, at, axis=-1) for every in (of.sums, of.squares)
        )
        count = np.maximum(number, CONFIRMING_PAIRS)
        mean = sums / count
        spread = np.sqrt(np.maximum(squares - count * mean**2, 0) / (count - 1))
        t = t_reaches(called.shape[-1], 2 * CONFIRMING_LEVEL)[(count - 1).astype(int)]
        return (number >= CONFIRMING_PAIRS) & (sign * mean > 0) & (sign * mean >= t * spread)

    def stop(self, alarms: Flags) -> Counts:
        """By comparison, the pairs after which every cell is the same or has its alarm."""
        return np.minimum(first((self.same | alarms).all(axis=1)), self.same.shape[-1])


def at(of: NDArray[Any], stop: Counts) -> NDArray[Any]:
    """Of (comparisons, cells, pairs), what is so after ``stop`` pairs."""
    return np.take_along_axis(of, stop[:, None, None] - 1, axis=-1)[..., 0]


def until(of: Flags, stop: Counts) -> Flags:
    """Of (comparisons, cells, pairs), if it is so after any number of pairs up to ``stop``."""
    return (of & (np.arange(1, of.shape[-1] + 1) <= stop[:, None, None])).any(axis=-1)


def judged(values: Array, means: Array) -> dict[str, NDArray[Any]]:
    """The answers to each comparison, by name of the quantity (comparisons,).

    Args:
        values: (comparisons, cells, pairs) log-ratios.
        means: (cells,) of them.
    """
    moments = Moments(values)
    looks, before = Looks.sequential(moments), Looks.before(moments)
    stop, unconfirmed, stop_before = (
        looks.stop(looks.raised),
        looks.stop(looks.called),
        before.stop(before.called),
    )
    unchanged = means == 0
    raised = at(looks.raised, stop)
    found = until(looks.raised, stop)[:, 0]

    def held(half: Array, stop: Counts) -> Array:
        return at(np.abs(moments.mean - means[:, None]) <= half, stop).mean(axis=1)

    return {
        "false_before": until(before.called, stop_before)[:, unchanged].any(axis=1),
        "false_called": until(looks.called, unconfirmed)[:, unchanged].any(axis=1),
        "false_raised": until(looks.raised, stop)[:, unchanged].any(axis=1),
        "false_share": (raised & unchanged).sum(axis=1) / np.maximum(raised.sum(axis=1), 1),
        "coverage": held(looks.half, stop),
        "coverage_before": held(before.half, stop_before),
        "e_value": (1 / at(inverse_e_values(moments), stop))[:, unchanged].mean(axis=1),
        "settled": at(looks.same | looks.raised, stop).all(axis=1),
        "same": at(looks.same, stop)[:, 0],
        "same_before": at(before.same, stop_before)[:, 0],
        "pairs_same": first(looks.same)[:, -1],
        "pairs_called": first(looks.called)[:, 0],
        "pairs_raised": np.where(found, first(looks.raised)[:, 0], PAIRS + 1),
        "pairs": stop,
        "pairs_before": stop_before,
    }


def simulated(
    seed: int, noise: str, correlation: float, spread: float, means: Array, comparisons: int
) -> dict[str, NDArray[Any]]:
    """:func:`judged` of many."""
    rng = np.random.default_rng(seed)
    batches = []
    for begin in range(0, comparisons, BATCH):
        values = draw(rng, noise, correlation, spread, min(BATCH, comparisons - begin))
        batches.append(judged(values + means[:, None], means))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


Summary = dict[str, float]


def share(flags: NDArray[Any]) -> float:
    return float(np.mean(flags))


def unchanged_summary(said: Mapping[str, NDArray[Any]]) -> Summary:
    """Of comparisons in which nothing is slower."""
    errors = said["e_value"].std() / math.sqrt(said["e_value"].size)
    return {
        "comparisons": said["pairs"].size,
        "false_alarm_before": share(said["false_before"]),
        "false_alarm": share(said["false_called"]),
        "false_alarm_confirmed": share(said["false_raised"]),
        "coverage": share(said["coverage"]),
        "coverage_before": share(said["coverage_before"]),
        "e_value": share(said["e_value"]),
        "e_value_standard_error": float(errors),
        "settled": share(said["settled"]),
        "median_pairs_to_same": float(np.median(said["pairs_same"])),
        "median_pairs": float(np.median(said["pairs"])),
        "pairs_90_percent": float(np.quantile(said["pairs"], 0.9)),
        "median_pairs_before": float(np.median(said["pairs_before"])),
    }


def planted_summary(said: Mapping[str, NDArray[Any]]) -> Summary:
    """Of comparisons in which one cell is slower."""
    return {
        "comparisons": said["pairs"].size,
        **{f"called_within_{n}": share(said["pairs_called"] <= n) for n in WITHIN},
        **{f"raised_within_{n}": share(said["pairs_raised"] <= n) for n in WITHIN},
        "median_pairs_to_call": float(np.median(said["pairs_called"])),
        "median_pairs_to_raise": float(np.median(said["pairs_raised"])),
        "called_same": share(said["same"]),
        "called_same_before": share(said["same_before"]),
        "false_discovery_rate": share(said["false_share"]),
        "coverage": share(said["coverage"]),
        "median_pairs": float(np.median(said["pairs"])),
    }


def edge_summary(said: Mapping[str, NDArray[Any]]) -> Summary:
    """Of comparisons in which one cell is slower by the threshold."""
    return {
        "comparisons": said["pairs"].size,
        "called_same": share(said["same"]),
        "called_same_before": share(said["same_before"]),
        "coverage": share(said["coverage"]),
        "coverage_before": share(said["coverage_before"]),
    }


def scenarios(comparisons: int) -> Iterator[dict[str, Any]]:
    """Every noise, correlation and spread: what was said of unchanged and of planted cells."""
    planted, edge = np.zeros((2, CELLS))
    planted[0], edge[0] = math.log1p(PLANTED), MARGIN
    seed = 0
    for noise in NOISES:
        for correlation in CORRELATIONS:
            for spread in SPREADS:
                of = (noise, correlation, spread)
                unchanged = simulated(seed, *of, np.zeros(CELLS), comparisons)
                slower = simulated(seed + 1, *of, planted, max(1, comparisons // 5))
                between = simulated(seed + 2, *of, edge, max(1, comparisons // 5))
                seed += 3
                yield {
                    "noise": noise,
                    "correlation": correlation,
                    "spread": spread,
                    "unchanged": unchanged_summary(unchanged),
                    "planted": planted_summary(slower),
                    "edge": edge_summary(between),
                }


Rule = Mapping[int, tuple[Array, Array]]
"""By number of cells: the half-width of the interval, and the least distance from 1 that is called
of one cell alone, in spreads, after 1, 2, ... pairs."""


def pairs_taken(rules: Mapping[str, Rule], most: int) -> list[dict[str, Any]]:
    """Pairs that each rule takes for a decision, ``most`` where it has come to none: means and
    medians over the same simulated normal noise, by scenario.
    """
    noise = Moments(np.random.default_rng(1).standard_normal((STUDY_PATHS, most)))
    found = []
    for cells in (1, CELLS):
        for ratio in RATIOS:
            for spread in SPREADS:
                away = np.abs(math.log(ratio) + spread * noise.mean)
                taken = {}
                for name, rule in rules.items():
                    half, needed = (spread * noise.half(reach) for reach in rule[cells])
                    called = (away > half) & (away >= needed) & (away > MARGIN)
                    decided = (away + half <= MARGIN) | called
                    taken[name] = np.minimum(first(decided), most)
                found.append(
                    {
                        "cells": cells,
                        "ratio": ratio,
                        "spread": spread,
                        "mean": {name: float(own.mean()) for name, own in taken.items()},
                        "median": {name: float(np.median(own)) for name, own in taken.items()},
                    }
                )
    return found


def excess(found: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """By rule, mean pairs over those of the best rule for the scenario: geometric mean over
    scenarios, and the largest.
    """
    rows = [scenario["mean"] for scenario in found]
    relative = {name: [row[name] / min(row.values()) for row in rows] for name in rows[0]}
    return {
        name: {"average": float(np.exp(np.mean(np.log(own)))), "largest": max(own)}
        for name, own in relative.items()
    }


def martingale_rule(scale: float, most: int) -> Rule:
    half = reaches(most, 1 / (1 - CONFIDENCE), scale)
    return {
        cells: (half, reaches(most, cells / FALSE_DISCOVERY_RATE, scale)) for cells in (1, CELLS)
    }


def group_sequential_rules() -> dict[str, Rule]:
    """Looks after 3 to 60 pairs at nominal p-values a·(n/3)^exponent, with a such that any of the
    looks rejects a true hypothesis as often as may be. (Student's t depends on no unknown then.)
    """
    n = np.arange(LEAST_PAIRS, PAIRS + 1)
    rng, paths = np.random.default_rng(2), 20_000
    smallest: dict[float, list[Array]] = {exponent: [] for exponent in EXPONENTS}
    for _ in range(CALIBRATION_PATHS // paths):
        of = Moments(rng.standard_normal((paths, PAIRS)))
        t = (np.sqrt(of.number) * np.abs(of.mean) / of.spread)[:, LEAST_PAIRS - 1 :]
        p_values = 2 * special.stdtr(n - 1.0, -t)
        for exponent, own in smallest.items():
            own.append((p_values / (n / LEAST_PAIRS) ** exponent).min(axis=1))

    def boundary(exponent: float, alpha: float) -> Array:
        level = np.quantile(np.concatenate(smallest[exponent]), alpha)
        nominal = np.minimum(level * (n / LEAST_PAIRS) ** exponent, 1)
        early = np.full(LEAST_PAIRS - 1, 1e-300)
        found = t_reaches(PAIRS, np.concatenate([early, nominal]))
        return np.where(np.arange(1, PAIRS + 1) < LEAST_PAIRS, np.inf, found)

    return {
        f"n^{exponent:g}": {
            cells: (
                boundary(exponent, 1 - CONFIDENCE),
                boundary(exponent, FALSE_DISCOVERY_RATE / cells),
            )
            for cells in (1, CELLS)
        }
        for exponent in EXPONENTS
    }


def worst_stop(most: int, rows: int = 90, columns: int = 110, nodes: int = 401) -> float:
    """The largest average that a stop within ``most`` values can give the e-value of a true mean,
    for one who knows σ and so can tell luck from the values' scale.

    Optimal stopping, backwards from the last value: what is known after n values is their standard
    score z and the sum W of squares about their mean. The grid holds the value of going on over the
    e-value; it is even finer near W = 0. A stop that looks at other cells, too, is no better, since
    a cell's next value does not depend on any cell's past.
    """
    x = np.linspace(-8, 8, nodes)
    weights = np.exp(-(x**2) / 2) / np.exp(-(x**2) / 2).sum()
    widest = math.asinh(9)
    z_axis = np.sinh(np.linspace(0, widest, rows))
    w_axis = np.concatenate(
        [
            np.linspace(math.log(1e-9), math.log(0.05), columns // 2),
            np.linspace(math.log(0.05), math.log(6 * most), columns // 2 + 1)[1:],
        ]
    )
    z, w = np.meshgrid(z_axis, np.exp(w_axis), indexing="ij")
    gain = np.ones_like(z)

    def e_value(n: int, z: Array, w: Array) -> Array:
        odds, shrunk = z * z / w, 1 + n * PRIOR_SCALE
        log_ratio = np.log1p(odds) - np.log1p(odds / shrunk)
        return np.exp((n * log_ratio - math.log(shrunk)) / 2)

    def going_on(n: int, z: Array, w: Array, value: float | Array) -> Array:
        """E-value times gain after the n-th value, if it is ``value``, from what is so before."""
        z_next = np.abs(z * math.sqrt(n - 1) + value) / math.sqrt(n)
        w_next = w + (n - 1) / n * np.square(value - z / math.sqrt(n - 1))
        place = [
            np.arcsinh(z_next) / widest * (rows - 1),
            np.interp(np.log(w_next), w_axis, np.arange(w_axis.size)),
        ]
        return e_value(n, z_next, w_next) * ndimage.map_coordinates(
            gain, place, order=1, mode="nearest"
        )

    for n in range(most, 2, -1):
        onward = sum(
            weight * going_on(n, z, w, value) for value, weight in zip(x, weights, strict=True)
        )
        gain = np.maximum(1, onward / e_value(n - 1, z, w))
    values = np.linspace(-8, 8, 8 * nodes) + 1e-6  # no two alike
    density = np.exp(-(values**2) / 2) / np.exp(-(values**2) / 2).sum()
    after_one = [
        max(1.0, float(density @ going_on(2, np.full(1, abs(one)), np.zeros(1), values)))
        for one in x  # if every sign changes, the e-value does not
    ]
    return float(weights @ after_one)


def dependent() -> list[dict[str, Any]]:
    """The frequency with which the e-value of a true mean ever reaches 1/α within the pairs, where
    they are not independent: a pair takes after the one before, or every other one differs.
    """
    rng = np.random.default_rng(3)
    fresh = rng.standard_normal((5 * STUDY_PATHS, PAIRS))
    order = np.where(np.arange(PAIRS) % 2, -0.5, 0.5)
    sequences = {f"order of {size:g} spreads": fresh + size * order for size in ORDERS}
    for serial in SERIAL:
        values = fresh.copy()
        for pair in range(1, PAIRS):
            values[:, pair] *= math.sqrt(1 - serial**2)
            values[:, pair] += serial * values[:, pair - 1]
        sequences[f"serial correlation {serial:g}"] = values
    levels = (1 - CONFIDENCE, FALSE_DISCOVERY_RATE, FALSE_DISCOVERY_RATE / CELLS)
    found = []
    for name, values in sequences.items():
        of = Moments(values)
        ever = {
            f"{level:g}": share((np.abs(of.mean) > of.half(reaches(PAIRS, 1 / level))).any(axis=-1))
            for level in levels
        }
        found.append({"pairs": name, "errs": ever})
    return found


def everything(comparisons: int) -> dict[str, Any]:
    """All that is to be known."""
    scales = {f"{scale:g}": martingale_rule(scale, STUDY_PAIRS) for scale in SCALES}
    martingale = {MARTINGALE: martingale_rule(PRIOR_SCALE, PAIRS)}
    return {
        "cells": CELLS,
        "pairs": PAIRS,
        "threshold": THRESHOLD,
        "planted": PLANTED,
        "false_discovery_rate": FALSE_DISCOVERY_RATE,
        "prior_scale": PRIOR_SCALE,
        "scenarios": list(scenarios(comparisons)),
        "prior_scales": excess(pairs_taken(scales, STUDY_PAIRS)),
        "group_sequential": pairs_taken(martingale | group_sequential_rules(), PAIRS),
        "worst_stop": {str(most): worst_stop(most) for most in (5, 20, PAIRS)},
        "dependent": dependent(),
    }


Row = Sequence[str | float]


def table(head: Sequence[str], rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def markdown(found: Mapping[str, Any]) -> str:
    """The tables, with what they are of."""
    count = found["scenarios"][0]["unchanged"]["comparisons"]
    planted_count = found["scenarios"][0]["planted"]["comparisons"]
    return "\n".join(
        [
            "# Looks after every pair\n",
            f"`python -m benchmarks.sequential OUT`, simulated: {CELLS} cells, threshold "
            f"{percent(THRESHOLD, 0)}, false-discovery rate {percent(FALSE_DISCOVERY_RATE, 0)}, "
            f"prior scale {PRIOR_SCALE:g}, a look after every pair up to {PAIRS}. A comparison "
            "stops when every cell is *same* or *raised*: called slower or faster, and confirmed "
            "by pairs after that. [All numbers](sequential.json).\n",
            "## Nothing is slower\n",
            f"Comparisons in which any cell is called at any look until the stop: {count:,} for "
            "each noise, correlation and spread. *Before*: t-intervals and "
            "Benjamini-Hochberg on t-tests, looked at after every pair from the third on, without "
            "confirmation.\n",
            table(
                (
                    "noise",
                    "correlation",
                    "spread",
                    "called, before",
                    "called",
                    "raised",
                    "coverage at the stop",
                    "before",
                    "mean e-value at the stop",
                    "settled",
                    "median pairs to *same*",
                    "to the stop (90 %)",
                    "before",
                ),
                _unchanged_rows(found["scenarios"]),
            ),
            _pooled(found["scenarios"]),
            f"## One cell is {percent(PLANTED, 0)} slower\n",
            f"{planted_count:,} comparisons each. *Same*: the slower cell is called same at the "
            f"stop; *edge* is of as many in which it is {percent(THRESHOLD, 0)} slower.\n",
            table(
                (
                    "noise",
                    "correlation",
                    "spread",
                    *(f"called within {n}" for n in WITHIN),
                    *(f"raised within {n}" for n in WITHIN),
                    "median pairs, called",
                    "raised",
                    "false-discovery rate",
                    "same",
                    "same, before",
                    "edge: same",
                    "edge: same, before",
                ),
                _planted_rows(found["scenarios"]),
            ),
            "## The prior scale\n",
            "Mean pairs to a decision on one cell (called without confirmation, or same), over "
            "those with the best scale for the scenario: geometric mean and largest of "
            f"{2 * len(RATIOS) * len(SPREADS)} scenarios (1 and {CELLS} cells; true ratios "
            f"{', '.join(f'{ratio:g}' for ratio in RATIOS)}; the spreads above; normal noise; "
            f"{STUDY_PAIRS} pairs at most).\n",
            table(
                ("scale", "average", "largest"),
                (
                    (scale, f"{own['average']:.3f}", f"{own['largest']:.3f}")
                    for scale, own in found["prior_scales"].items()
                ),
            ),
            "## A group-sequential t-test\n",
            f"Mean pairs to a decision, {PAIRS} at most, by the test martingale and by looks at "
            "nominal p-values that grow as a power of n, with the same guaranteed errors. Their "
            f"boundaries hold for {PAIRS} looks and no more, and were calibrated on "
            f"{CALIBRATION_PATHS:,} simulated sequences.\n",
            table(
                ("cells", "true ratio", "spread", *found["group_sequential"][0]["mean"]),
                (
                    (
                        own["cells"],
                        own["ratio"],
                        percent(own["spread"]),
                        *(f"{mean:.1f}" for mean in own["mean"].values()),
                    )
                    for own in found["group_sequential"]
                ),
            ),
            _beside(found["group_sequential"]),
            "## The worst stop\n",
            "The largest average that any stop within so many values can give the e-value of a "
            "true mean, for one who knows the spread: "
            + ", ".join(f"{value:.2f} ({most})" for most, value in found["worst_stop"].items())
            + ".\n",
            "## Pairs that are not independent\n",
            f"How often one unchanged cell's interval at 1 - α excludes 1 after any of {PAIRS} "
            "pairs.\n",
            table(
                ("pairs", *(f"α = {level}" for level in found["dependent"][0]["errs"])),
                (
                    (own["pairs"], *(percent(errs, 2) for errs in own["errs"].values()))
                    for own in found["dependent"]
                ),
            ),
        ]
    )


def _unchanged_rows(found: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for scenario in found:
        own = scenario["unchanged"]
        yield (
            scenario["noise"],
            scenario["correlation"],
            percent(scenario["spread"]),
            percent(own["false_alarm_before"], 2),
            percent(own["false_alarm"], 2),
            percent(own["false_alarm_confirmed"], 2),
            percent(own["coverage"]),
            percent(own["coverage_before"]),
            f"{own['e_value']:.2f} ± {own['e_value_standard_error']:.2f}",
            percent(own["settled"]),
            f"{own['median_pairs_to_same']:.0f}",
            f"{own['median_pairs']:.0f} ({own['pairs_90_percent']:.0f})",
            f"{own['median_pairs_before']:.0f}",
        )


def _pooled(found: Sequence[Mapping[str, Any]]) -> str:
    """In a sentence, over all scenarios."""
    every = [scenario["unchanged"] for scenario in found]
    counts = {
        name: round(sum(own[key] * own["comparisons"] for own in every))
        for name, key in (
            ("before", "false_alarm_before"),
            ("called", "false_alarm"),
            ("raised", "false_alarm_confirmed"),
        )
    }
    total = sum(own["comparisons"] for own in every)
    lowest = min(own["coverage"] for own in every)
    return (
        f"In all, of {total:,} comparisons: {counts['before']:,} before, {counts['called']:,} "
        f"called, {counts['raised']:,} raised. The lowest coverage is {percent(lowest, 2)}.\n"
    )


def _planted_rows(found: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for scenario in found:
        own = scenario["planted"]
        medians = (own["median_pairs_to_call"], own["median_pairs_to_raise"])
        yield (
            scenario["noise"],
            scenario["correlation"],
            percent(scenario["spread"]),
            *(percent(own[f"called_within_{n}"]) for n in WITHIN),
            *(percent(own[f"raised_within_{n}"]) for n in WITHIN),
            *(f"{median:.0f}" if median <= PAIRS else f"> {PAIRS}" for median in medians),
            percent(own["false_discovery_rate"], 2),
            *(
                percent(scenario[name][key])
                for name in ("planted", "edge")
                for key in ("called_same", "called_same_before")
            ),
        )


def _beside(found: Sequence[Mapping[str, Any]]) -> str:
    """In a sentence, what the group-sequential tests save."""
    said = []
    for name in found[0]["mean"]:
        if name != MARTINGALE:
            ratios = [own["mean"][name] / own["mean"][MARTINGALE] for own in found]
            average = float(np.exp(np.mean(np.log(ratios))))
            said.append(f"{name} {average:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return f"Pairs over the martingale's, geometric mean and range: {'; '.join(said)}.\n"


def main() -> None:
    """Write ``sequential.json`` and ``sequential.md``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--comparisons", type=int, default=10_000)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = everything(arguments.comparisons)
    (arguments.out / "sequential.json").write_text(json.dumps(found, indent=2) + "\n")
    (arguments.out / "sequential.md").write_text(markdown(found))


if __name__ == "__main__":
    main()
