"""Series of runs with known changes, and what ``gr-bench history`` finds in them.

    python -m benchmarks.history_series OUT [--series 200] [--seed 0]

Synthetic series, since their truth is known: a run is five processes with normal noise, and runs
differ beyond that. For several lengths and noises, series without a change, with a step of 2 %, and
with a drift of 0.2 % a run over twenty; then steps with few runs after them, noise with long tails,
and nights that something disturbed. The same series are put to ruptures' PELT, which knows no
standard errors, and the steps to the best that could be done: the place of one step, told that
there is one and what the noise is. OUT/history_series.json has every count, OUT/history_series.md
the tables.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ruptures

from gr_bench.comparison.history.change_points import ChangePoints, change_points

LENGTHS = (10, 20, 60, 120)
STEP = math.log(1.02)
DRIFT, DRIFT_RUNS = math.log(1.002), 20
PROCESSES = 5
NEAR = 2
"""Runs that a step may be found off its place by."""

FROM_THE_ENDS = 5
"""Runs before and after a step, at least."""

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape)


def long_tails(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Student's t with three degrees of freedom, of variance 1."""
    return rng.standard_t(3, shape) / math.sqrt(3)


@dataclass(frozen=True)
class Noise:
    """Noise of a series, relative."""

    error: float
    """Typical standard error of a run's mean over its processes."""

    spread: float
    """Standard deviation between runs beyond that."""

    error_varies: float = 0.3
    """Standard deviation of the logarithm of the error over runs."""

    disturbed: float = 0.0
    """The part of the runs that are off by 5 %."""

    draw: Draw = normal


NOISES = {
    "0.3 %": Noise(0.003, 0.0),
    "0.3 %, runs 0.5 %": Noise(0.003, 0.005),
    "0.5 %, runs 0.25 %": Noise(0.005, 0.0025),
    "1 %": Noise(0.01, 0.0),
    "1 %, runs 0.5 %": Noise(0.01, 0.005),
}
"""By standard error and spread between runs. Measured were standard errors of ratios of 0.26 to
0.5 % (medians of the reference runs; nine in ten up to 0.68 %), those of times in matrix products
twice that, and no spread beyond them (twenty comparisons of equal revisions: standard deviation
0.24 %, standard errors 0.32 %): the third, rather too loud, is "as measured"."""

MEASURED = "0.5 %, runs 0.25 %"

HARD = {
    "long tails": replace(NOISES[MEASURED], draw=long_tails),
    "long tails, runs 0.5 %": replace(NOISES["0.3 %, runs 0.5 %"], draw=long_tails),
    "one night in thirty off by 5 %": replace(NOISES[MEASURED], disturbed=1 / 30),
}


@dataclass(frozen=True)
class Drawn:
    """A series as a history reads it, with its true noise."""

    values: np.ndarray
    errors: np.ndarray
    true_weights: np.ndarray

    def plus(self, levels: np.ndarray) -> Drawn:
        return replace(self, values=self.values + levels)

    @property
    def found(self) -> ChangePoints:
        return change_points(self.values, self.errors, PROCESSES - 1)


def drawn(rng: np.random.Generator, length: int, noise: Noise) -> Drawn:
    """A series without a change."""
    errors = noise.error * np.exp(rng.normal(0, noise.error_varies, length))
    night = noise.spread * noise.draw(rng, (length,))
    night += 0.05 * (rng.random(length) < noise.disturbed)
    spread = math.sqrt(PROCESSES) * errors[:, None]
    processes = night[:, None] + spread * noise.draw(rng, (length, PROCESSES))
    seen = processes.std(axis=1, ddof=1) / math.sqrt(PROCESSES)
    return Drawn(processes.mean(axis=1), seen, 1 / (errors**2 + noise.spread**2))


def pelt(values: np.ndarray) -> list[int]:
    """The steps that PELT finds with BIC's penalty, the noise estimated from differences."""
    spread = np.median(np.abs(np.diff(values))) / (0.6745 * math.sqrt(2))
    penalty = 2 * spread**2 * math.log(values.size)
    found: list[int] = ruptures.Pelt(model="l2", min_size=1, jump=1).fit_predict(values, penalty)
    return found[:-1]


def best_place(series: Drawn) -> int:
    """The first run after the step that fits best, the noise known."""
    w, y = series.true_weights, series.values

    def gain(start: int) -> float:
        before, after = w[:start].sum(), w[start:].sum()
        size = np.average(y[start:], weights=w[start:]) - np.average(y[:start], weights=w[:start])
        return float(size**2 * before * after / (before + after))

    return max(range(1, y.size), key=gain)


def near(places: list[int], start: int) -> bool:
    return any(abs(place - start) <= NEAR for place in places)


def share(flags: list[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def without_change(rng: np.random.Generator, length: int, noise: Noise, count: int) -> dict:
    """False alarms, and runs that were called apart."""
    alarms, apart, others = [], [], []
    for _ in range(count):
        series = drawn(rng, length, noise)
        found = series.found
        alarms.append(bool(found.changes))
        apart.append(bool(found.apart))
        others.append(bool(pelt(series.values)))
    return {"series": count, "alarms": sum(alarms), "apart": sum(apart), "pelt": sum(others)}


def with_step(
    rng: np.random.Generator, length: int, noise: Noise, count: int, after: int | None = None
) -> dict:
    """A step of 2 %, anywhere but near the ends, or before the last ``after`` runs."""
    found_any, close, held, sizes, drifts, best, others = ([] for _ in range(7))
    widths = []
    for _ in range(count):
        start = int(rng.integers(FROM_THE_ENDS, length - FROM_THE_ENDS + 1))
        start = start if after is None else length - after
        series = drawn(rng, length, noise).plus(STEP * (np.arange(length) >= start))
        changes = series.found.changes
        found_any.append(bool(changes))
        close.append(near([change.after for change in changes], start))
        best.append(abs(best_place(series) - start) <= NEAR)
        others.append(near(pelt(series.values), start))
        if len(changes) == 1:
            (change,) = changes
            held.append(change.earliest < start <= change.latest)
            widths.append(change.latest - change.earliest)
            sizes.append(change.size.low <= STEP <= change.size.high)
            drifts.append(change.kind == "drift")
    return {
        "series": count,
        "found": sum(found_any),
        "near": sum(close),
        "best": sum(best),
        "pelt": sum(others),
        "one": len(held),
        "range_holds": share(held),
        "range_runs": float(np.mean(widths)) if widths else None,
        "size_holds": share(sizes),
        "called_drift": share(drifts),
    }


def with_drift(rng: np.random.Generator, length: int, noise: Noise, count: int) -> dict:
    """0.2 % a run over twenty runs, somewhere: found is a change whose range meets it."""
    found_any, as_drift, sizes = [], [], []
    for _ in range(count):
        begin = int(rng.integers(0, length - DRIFT_RUNS))
        levels = DRIFT * np.clip(np.arange(length) - begin, 0, DRIFT_RUNS)
        changes = drawn(rng, length, noise).plus(levels).found.changes
        meeting = [c for c in changes if c.earliest < begin + DRIFT_RUNS and c.latest > begin]
        found_any.append(bool(meeting))
        as_drift.append(any(change.kind == "drift" for change in meeting))
        if len(changes) == 1 and as_drift[-1]:
            (change,) = changes
            sizes.append(change.size.low <= DRIFT * DRIFT_RUNS <= change.size.high)
    return {
        "series": count,
        "found": sum(found_any),
        "as_drift": sum(as_drift),
        "size_holds": share(sizes),
    }


def measure(count: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table's rows, one after the other: the table's name and a row."""
    for length in LENGTHS:
        for number, (name, noise) in enumerate(NOISES.items()):
            rng = np.random.default_rng([seed, length, number])
            row: dict[str, Any] = {"runs": length, "noise": name}
            row["without_change"] = without_change(rng, length, noise, count)
            row["step"] = with_step(rng, length, noise, count)
            if length > 2 * DRIFT_RUNS:
                row["drift"] = with_drift(rng, length, noise, count)
            yield "grid", row
    for after in (1, 2, 3, 5, 10):
        rng = np.random.default_rng([seed, after])
        found = with_step(rng, 60, NOISES[MEASURED], count, after)
        yield "soon", {"after": after, **found}
    for number, (name, noise) in enumerate(HARD.items()):
        for length in (20, 60):
            rng = np.random.default_rng([seed, length, number, 1])
            row = {"runs": length, "noise": name}
            row["without_change"] = without_change(rng, length, noise, count)
            row["step"] = with_step(rng, length, noise, count)
            yield "hard", row


def percent(part: float | None, of: float = 1) -> str:
    return "-" if part is None else f"{100 * part / of:.3g} %"


def markdown(found: dict[str, Any]) -> str:
    """The tables."""
    lines = [
        "# Series with known changes",
        "",
        f"`python -m benchmarks.history_series OUT --series {found['series']} "
        f"--seed {found['seed']}`. A run is five processes; noise is the typical standard error of "
        "a run and the spread between runs beyond it. Steps are of 2 %, five runs from either end "
        "at least; near is within two runs. Best: the place that fits best, told that there is one "
        "step and the true noise. PELT: ruptures, BIC's penalty, no standard errors. As measured: "
        f"{MEASURED}.",
        "",
        "| runs | noise | false alarms | PELT's | step found | near | best | PELT's | range holds "
        "it | runs in it | size holds | called a drift |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found["grid"]:
        none, step = row["without_change"], row["step"]
        count = step["series"]
        width = "-" if step["range_runs"] is None else f"{step['range_runs']:.1f}"
        lines.append(
            f"| {row['runs']} | {row['noise']} | {none['alarms']} of {none['series']} "
            f"| {none['pelt']} | {percent(step['found'], count)} | {percent(step['near'], count)} "
            f"| {percent(step['best'], count)} | {percent(step['pelt'], count)} "
            f"| {percent(step['range_holds'])} | {width} | {percent(step['size_holds'])} "
            f"| {percent(step['called_drift'])} |"
        )
    total = sum(row["without_change"]["alarms"] for row in found["grid"])
    of = sum(row["without_change"]["series"] for row in found["grid"])
    lines += [
        "",
        f"False alarms in all: {total} of {of} ({percent(total, of)}).",
        "",
        "Drifts of 0.2 % a run over twenty runs:",
        "",
        "| runs | noise | found | as a drift | size holds |",
        "|---|---|---|---|---|",
    ]
    for row in found["grid"]:
        if (drift := row.get("drift")) is not None:
            count = drift["series"]
            lines.append(
                f"| {row['runs']} | {row['noise']} | {percent(drift['found'], count)} "
                f"| {percent(drift['as_drift'], count)} | {percent(drift['size_holds'])} |"
            )
    lines += [
        "",
        "How soon: 60 runs, as measured, a step of 2 % before the last of them.",
        "",
        "| runs after the step | found | near |",
        "|---|---|---|",
    ]
    for row in found["soon"]:
        count = row["series"]
        lines.append(
            f"| {row['after']} | {percent(row['found'], count)} | {percent(row['near'], count)} |"
        )
    lines += [
        "",
        "Noise that is not normal (Student's t of three degrees of freedom, of processes and of "
        "runs), and disturbed nights. Apart: series in which a run was left out as one that stands "
        "apart.",
        "",
        "| runs | noise | false alarms | apart | step found | near |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["hard"]:
        none, step = row["without_change"], row["step"]
        count = step["series"]
        lines.append(
            f"| {row['runs']} | {row['noise']} | {none['alarms']} of {none['series']} "
            f"| {none['apart']} | {percent(step['found'], count)} "
            f"| {percent(step['near'], count)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"series": arguments.series, "seed": arguments.seed}
    noises = {**NOISES, **HARD}
    found["noises"] = {
        name: asdict(noise) | {"draw": noise.draw.__name__} for name, noise in noises.items()
    }
    found |= {"grid": [], "soon": [], "hard": []}
    for table, row in measure(arguments.series, arguments.seed):
        found[table].append(row)
        print(table, json.dumps(row), flush=True)
    (arguments.out / "history_series.json").write_text(json.dumps(found, indent=2) + "\n")
    (arguments.out / "history_series.md").write_text(markdown(found))


if __name__ == "__main__":
    main()
