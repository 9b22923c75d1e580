"""Predictions of ``gr-bench plan`` beside what is then measured.

    python -m benchmarks.plan_accuracy memory OUT
    python -m benchmarks.plan_accuracy time OUT RUN... [--here]

*memory*: the peak of a step, for every model of the zoo at a small size and every built-in method,
as the profiler's allocator events have it on this CPU; ``OUT/plan_memory.json`` and ``.md``.

*time*: step times that stored runs have measured, each predicted from the run's other workloads
(leave one workload out) and, of workloads known by other methods, from those (leave one cell out);
with ``--here`` also steps of the zoo, predicted from this machine's quick probes and then timed;
``OUT/plan_time.json`` and ``.md``. A time must lie in its 90 % interval in nine cells of ten.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from gr_bench import registry
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.measure import counters
from gr_bench.files import write_whole
from gr_bench.meters.conditions import hold_still
from gr_bench.meters.get_device import get_device
from gr_bench.planning.fake_step import StepCell, footprint
from gr_bench.planning.rates import MeasuredRates, observations
from gr_bench.planning.time_model import Observation, TimeModel
from gr_bench.timing.clock import settle_and_warm_up, take_sample
from gr_bench.timing.step import build_step

ZOO = (
    ("mlp(depth=2, width=512)", "random(shape=(1, 8, 8), samples=128)", 128),
    ("mlp(depth=4, width=512)", "random(shape=(1, 8, 8), samples=128)", 32),
    ("mlp(depth=4, width=512)", "random(shape=(1, 8, 8), samples=128)", 128),
    ("resnet-8", "random(shape=(1, 8, 8), samples=32)", 32),
    ("resnet-8(batch_norm=False)", "random(shape=(1, 8, 8), samples=32)", 32),
    ("resnet-8(width=8)", "random(shape=(1, 40), samples=64)", 64),
    ("resnet-8", "random(samples=32)", 32),
    ("resnet-20", "random(samples=16)", 16),
    ("resnet-18", "random(samples=4)", 4),
    ("wrn-16-4", "random(samples=8)", 8),
    ("wrn-28-10", "random(samples=2)", 2),
    ("vit", "random(samples=16)", 16),
    ("char-transformer", "random-tokens(samples=8)", 8),
)
"""Model, data set and batch size."""

TIMED = (
    ("mlp(depth=2, width=64)", "random(shape=(64,), samples=32)", 32),
    ("mlp(depth=3, width=256)", "random(shape=(64,), samples=256)", 256),
    ("mlp(depth=8, width=512)", "random(shape=(64,), samples=64)", 64),
    ("resnet-8", "random(shape=(1, 8, 8), samples=128)", 128),
    ("resnet-8(width=8)", "random(shape=(1, 40), samples=64)", 64),
    ("resnet-8(batch_norm=False)", "random(samples=64)", 64),
    ("resnet-20", "random(shape=(1, 8, 8), samples=64)", 64),
    ("resnet-18", "random(samples=8)", 8),
    ("wrn-16-4", "random(samples=8)", 8),
    ("wrn-28-10", "random(samples=2)", 2),
    ("vit", "random(samples=32)", 32),
    ("char-transformer", "random-tokens(samples=16)", 16),
)
"""The same of steps that are timed here; none of them is one of the probes."""

WITHIN = 0.05
"""Relative error that a predicted peak should have at most."""

SAMPLES = 7


@dataclass(frozen=True)
class Peak:
    """A step's peak, predicted and measured."""

    model: str
    dataset: str
    batch_size: int
    spec: str
    predicted_bytes: int
    measured_bytes: int
    flops_equal: bool

    @property
    def error(self) -> float:
        """Relative, positive where too much was predicted."""
        return self.predicted_bytes / self.measured_bytes - 1


def cell_of(spec: str, model: str, dataset: str, batch_size: int) -> StepCostCell:
    """A cell on this CPU, with one thread."""
    return StepCostCell(
        spec=registry.spell_method(spec),
        model=model,
        dataset=dataset,
        batch_size=batch_size,
        device="cpu",
        dtype="float32",
        threads=1,
        baseline="sgd",
    )


def peaks(zoo: Sequence[tuple[str, str, int]], methods: Iterable[str]) -> Iterator[Peak]:
    """Every model with every method."""
    methods = list(methods)
    for model, dataset, batch_size in zoo:
        for spec in methods:
            cell = cell_of(spec, model, dataset, batch_size)
            predicted, measured = footprint(StepCell.of(cell)), counters(cell)
            yield Peak(
                *(model, dataset, batch_size, cell.spec),
                predicted.memory.peak_bytes,
                measured.peak_bytes,
                round(predicted.flops) == measured.flops,
            )


def memory(out: Path) -> None:
    """Measure peaks and write them."""
    rows = []
    for row in peaks(ZOO, registry.METHODS.built_in):
        rows.append(row)
        print(f"{row.error:+8.2%} {row.model} {row.batch_size} {row.spec}", flush=True)
    write(
        out / "plan_memory.json",
        json.dumps([asdict(r) | {"error": r.error} for r in rows], indent=1),
    )
    write(out / "plan_memory.md", memory_page(rows))


def memory_page(rows: Sequence[Peak]) -> str:
    """The peaks as a page."""
    outside = [row for row in rows if abs(row.error) > WITHIN]
    exact = sum(abs(row.error) < 1e-2 for row in rows)
    by_workload: dict[tuple[str, str, int], list[Peak]] = defaultdict(list)
    for row in rows:
        by_workload[row.model, row.dataset, row.batch_size].append(row)
    table = tabulate(
        [
            (
                f"`{model}`, `{dataset}`, {batch}",
                len(own),
                " to ".join(
                    f"{end(r.measured_bytes for r in own) / 1e6:.3g}" for end in (min, max)
                ),
                f"{statistics.median(r.error for r in own):+.2%}",
                f"{min(r.error for r in own):+.2%} to {max(r.error for r in own):+.2%}",
            )
            for (model, dataset, batch), own in by_workload.items()
        ],
        ("model, data, batch", "methods", "measured peaks, MB", "median error", "errors"),
        tablefmt="github",
    )
    lines = [
        "# Peak memory: predicted and measured",
        "",
        "`python -m benchmarks.plan_accuracy memory results/trust`: the peak of a step as "
        "`gr-bench plan` has it, from fake tensors, and as the profiler's allocator events have it "
        "on a CPU "
        f"({torch.backends.cpu.get_cpu_capability()}, PyTorch {torch.__version__}), one thread.",
        "",
        f"Of {len(rows)} cells {exact} are within 1 % and {len(rows) - len(outside)} within "
        f"{WITHIN:.0%}. FLOPs are equal in {sum(r.flops_equal for r in rows)}.",
        "",
        table,
        "",
    ]
    if outside:
        lines += [f"Beyond {WITHIN:.0%}:", ""]
        lines += [
            f"- `{r.model}` on `{r.dataset}`, batch {r.batch_size}, `{r.spec}`: "
            f"{r.predicted_bytes:,} bytes predicted, {r.measured_bytes:,} measured ({r.error:+.1%})"
            for r in outside
        ]
        lines.append("")
    return "\n".join(lines)


@dataclass(frozen=True)
class Time:
    """A step's time, predicted and measured."""

    origin: str
    known: str
    """``model``: no step of its workload was known; ``same workload``: another method's was."""

    workload: str
    spec: str
    predicted_ms: float
    low_ms: float
    high_ms: float
    measured_ms: float

    @property
    def holds(self) -> bool:
        """True if the interval has the measured time in it."""
        return self.low_ms <= self.measured_ms <= self.high_ms


def left_out(origin: str, own: Sequence[Observation]) -> Iterator[Time]:
    """Every observation from the other workloads, and from all other cells."""
    for one in own:
        others = [o for o in own if o.workload != one.workload]
        rest = [o for o in own if o is not one]
        for known in (others, rest):
            found = TimeModel(known).predict(one.footprint, one.workload, one.spec)
            if found is not None and (known is others or found.source == "same workload"):
                yield _time(origin, one, found.source, found.seconds)


def _time(origin: str, one: Observation, source: str, seconds: Any) -> Time:
    center, low, high = (1e3 * end for end in seconds)
    workload = " / ".join(map(str, one.workload))
    return Time(origin, source, workload, one.spec, center, low, high, 1e3 * one.seconds.center)


def timed_here() -> Iterator[Time]:
    """The zoo, predicted by this machine's probes and then timed."""
    hold_still("held")
    torch.set_num_threads(1)
    rates, device = MeasuredRates(lambda text: None), get_device("cpu")
    for model, dataset, batch_size in TIMED:
        for spec in ("sgd", "f-gr", "db-gr"):
            cell = StepCell.of(cell_of(spec, model, dataset, batch_size))
            counted = footprint(cell)
            found = rates.step(cell, 1, counted)
            assert found is not None
            step = build_step(cell, registry)
            steps = settle_and_warm_up(device, step, 0.1)
            samples = [take_sample(device, step, steps) for _ in range(SAMPLES)]
            measured = statistics.median(s.elapsed_s - s.waited_s for s in samples)
            center, low, high = (1e3 * end for end in found.seconds)
            workload = f"{model} / {dataset} / {batch_size}"
            yield Time("here", found.source, workload, spec, center, low, high, 1e3 * measured)


def time(out: Path, runs: Sequence[Path], here: bool) -> None:
    """Predict times and write them."""
    rows: list[Time] = []
    for run in runs:
        for own in observations(run).values():
            rows += left_out(run.name, own)
    if here:
        rows += timed_here()
    plain = [asdict(row) | {"holds": row.holds} for row in rows]
    write(out / "plan_time.json", json.dumps(plain, indent=1))
    page = time_page(rows)
    print(page)
    write(out / "plan_time.md", page)


def time_page(rows: Sequence[Time]) -> str:
    """The times as a page."""
    groups: dict[tuple[str, str], list[Time]] = defaultdict(list)
    for row in rows:
        groups[row.origin, row.known].append(row)
    table = tabulate(
        [
            (
                f"`{origin}`",
                known,
                len(own),
                f"{sum(r.holds for r in own)} ({sum(r.holds for r in own) / len(own):.0%})",
                f"{_typical(own):.0%}",
                f"{statistics.median(math.sqrt(r.high_ms / r.low_ms) for r in own):.2f}",
            )
            for (origin, known), own in groups.items()
        ],
        ("run", "by", "steps", "in their interval", "error, median", "interval: times, either way"),
        tablefmt="github",
    )
    held = sum(row.holds for row in rows)
    lines = [
        "# Time of a step: predicted and measured",
        "",
        "`python -m benchmarks.plan_accuracy time results/trust RUN...`: steps that runs have "
        "measured, predicted from the same run's other workloads (*model*) or with the workload's "
        "other methods (*same workload*); *here*: steps of the zoo, timed once they were predicted "
        "from the probes that `gr-bench plan` times. Intervals are meant to hold 90 %.",
        "",
        table,
        "",
        f"Together {held} of {len(rows)} ({held / len(rows):.0%}).",
        "",
        "Missed:",
        "",
        *(
            f"- `{r.origin}`, {r.known}: {r.workload}, `{r.spec}`: {r.low_ms:.3g} to "
            f"{r.high_ms:.3g} ms, measured {r.measured_ms:.3g}"
            for r in rows
            if not r.holds
        ),
        "",
    ]
    return "\n".join(lines)


def _typical(rows: Sequence[Time]) -> float:
    return math.expm1(
        statistics.median(abs(math.log(r.predicted_ms / r.measured_ms)) for r in rows)
    )


def write(file: Path, text: str) -> None:
    """Write a text file whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, lambda opened: opened.write(text.encode()))


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["memory", "time"])
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--here", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "memory":
        memory(given.out)
    else:
        time(given.out, given.runs, given.here)


if __name__ == "__main__":
    main()
