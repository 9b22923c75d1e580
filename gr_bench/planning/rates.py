"""Rates to tell times by: a stored run's, this machine's, or an assumption about a GPU."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.optimizers import SGD
from gr_bench.planning.fake_step import Footprint, StepCell, footprint
from gr_bench.planning.time_model import Observation, StepTime, TimeModel
from gr_bench.runs.about import read_about
from gr_bench.runs.results import Results
from gr_bench.stats import Interval, ratio_interval
from gr_bench.timing.variant import PLAIN

if TYPE_CHECKING:
    pass

Tell = Callable[[str], None]


class Rates(ABC):
    """The times of steps, as far as they can be told beforehand."""

    words: str
    """The origin of the times, for people."""

    @abstractmethod
    def step(self, cell: StepCell, threads: int, counted: Footprint) -> StepTime | None:
        """A step's time; None where it is not known."""


@dataclass(frozen=True)
class Setting:
    """A device and how it is used: times of another say nothing of it."""

    device: str
    dtype: str
    compiled: bool
    variant: str
    threads: int

    @classmethod
    def of(cls, cell: StepCell, threads: int) -> Setting:
        """A step's."""
        return cls(cell.device, cell.dtype, cell.compiled, cell.variant, threads)


def _workload(cell: StepCell) -> tuple[str, str, int, str]:
    return (cell.model, cell.dataset, cell.batch_size, cell.optimizer)


class StoredRates(Rates):
    """By a run's measured steps.

    Raises:
        RequestError: the folder is no run's, or it has no step times.
    """

    def __init__(self, folder: Path) -> None:
        of = observations(folder)
        if not of:
            raise RequestError(f"{folder} has no step times: use a run with step_cost")
        self._models = {setting: TimeModel(own) for setting, own in of.items()}
        device = read_about(folder)["environment"]["device"].get("name", "an unknown device")
        self.words = f"times by the run {folder} on {device}"

    def step(self, cell: StepCell, threads: int, counted: Footprint) -> StepTime | None:
        """See :meth:`Rates.step`."""
        model = self._models.get(Setting.of(cell, threads))
        return None if model is None else model.predict(counted, _workload(cell), cell.spec)


def observations(folder: Path) -> dict[Setting, list[Observation]]:
    """A run's steps that were timed, with their counts; those that cannot be counted are left out.

    Raises:
        RequestError: the folder is no run's.
    """
    of: dict[Setting, list[Observation]] = defaultdict(list)
    for row in _timed_rows(Results(folder)):
        cell = _step_cell(row)
        try:
            counted = footprint(cell)
        except Exception:  # a plug-in that is not here, or that reads numbers
            continue
        center, low, high = (
            1e-3 * float(row[name] if name in row else row["time_ms"])
            for name in ("time_ms", "time_ms_low", "time_ms_high")
        )
        seconds = Interval(center, low, high)
        found = Observation(_workload(cell), cell.spec, counted, seconds)
        of[Setting.of(cell, int(row["threads"]))].append(found)
    return of


def _timed_rows(results: Results) -> Iterator[dict[str, Any]]:
    """Rows of steps with a time, those of controls left out."""
    for name in ("step_cost", "step_times"):
        table = results.tables.get(name)
        if table is None or "time_ms" not in table:
            continue
        table = table[table["time_ms"].notna() & ~table["control"].astype(bool)]
        for row in table.to_dict("records"):
            yield {str(key): value for key, value in row.items()}


def _step_cell(row: dict[str, Any]) -> StepCell:
    fields = ("spec", "model", "dataset", "dtype", "variant")
    return StepCell(
        **{field: str(row[field]) for field in fields},
        batch_size=int(row["batch_size"]),
        device=str(row["device"]).partition(":")[0],
        compiled=bool(row["compiled"]),
        optimizer=str(row.get("optimizer", SGD)),  # older runs' files have none
    )


PROBES: tuple[tuple[str, str, int, str], ...] = (
    ("mlp(depth=4, width=128)", "random(shape=(64,), samples=64)", 64, SGD),
    ("mlp(depth=4, width=512)", "random(shape=(64,), samples=128)", 128, SGD),
    ("mlp(depth=6, width=1024)", "random(shape=(64,), samples=64)", 64, SGD),
    ("resnet-8(width=8)", "random(shape=(1, 8, 8), samples=64)", 64, SGD),
    ("resnet-8", "random(samples=32)", 32, SGD),
    ("resnet-20", "random(samples=64)", 64, SGD),
    ("resnet-18", "random(samples=4)", 4, SGD),
    ("vit(depth=2, width=64)", "random(samples=32)", 32, SGD),
    ("char-transformer(depth=2)", "random-tokens(samples=16)", 16, SGD),
    ("mlp(depth=2, width=256)", "random(shape=(64,), samples=64)", 64, "adamw"),
    ("char-transformer(depth=2, width=64)", "random-tokens(samples=16)", 16, "adamw"),
)
"""Steps that are timed to learn this machine's rates: model, data set, batch size, optimizer."""

PROBE_METHODS = ("sgd", "db-gr")
PROBE_SAMPLES = 5
WARM_UP_S = 0.05


class MeasuredRates(Rates):
    """By a few steps that are timed here, some seconds for every dtype and number of threads.

    Args:
        tell: told now and then what is being timed.
    """

    words = "times by a few steps timed here"

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._models: dict[tuple[str, int], TimeModel] = {}

    def step(self, cell: StepCell, threads: int, counted: Footprint) -> StepTime | None:
        """See :meth:`Rates.step`. None for what is no plain step on a CPU."""
        if (cell.device, cell.compiled, cell.variant) != ("cpu", False, PLAIN):
            return None
        key = (cell.dtype, threads)
        if key not in self._models:
            self._models[key] = TimeModel(self._observed(*key))
        return self._models[key].predict(counted, _workload(cell), cell.spec)

    def _observed(self, dtype: str, threads: int) -> list[Observation]:
        import torch

        from gr_bench.meters.conditions import hold_still

        hold_still("held")
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return [
                one
                for place in range(len(PROBES))
                for spec in PROBE_METHODS
                if (one := self._probe(place, spec, dtype)) is not None
            ]
        finally:
            torch.set_num_threads(before)

    def _probe(self, place: int, spec: str, dtype: str) -> Observation | None:
        from gr_bench.meters.get_device import get_device
        from gr_bench.timing.clock import settle_and_warm_up, take_sample
        from gr_bench.timing.step import build_step

        self._tell(f"timing {len(PROBES)} steps here, {place + 1} of {len(PROBES)}")
        model, dataset, batch_size, optimizer = PROBES[place]
        method = registry.spell_method(spec)
        cell = StepCell(method, model, dataset, batch_size, "cpu", dtype, optimizer=optimizer)
        try:
            step, device = build_step(cell, registry), get_device("cpu")
            steps = settle_and_warm_up(device, step, WARM_UP_S)
            samples = [take_sample(device, step, steps) for _ in range(PROBE_SAMPLES)]
        except RuntimeError:  # no kernel for this dtype
            return None
        seconds = [sample.elapsed_s - sample.waited_s for sample in samples]
        interval = ratio_interval([math.log(s) for s in seconds])
        return Observation(_workload(cell), cell.spec, footprint(cell), interval)


SLOWEST, FASTEST = 10e12, 27.6e12
"""FLOPs a second that a GPU may keep up: about an A100 with convolutions in TF32, an assumption."""

LAUNCH_S = (4e-6, 20e-6)
"""Seconds of the host for an operator, another assumption."""


class AssumedRates(Rates):
    """A GPU's, from nothing but an assumption."""

    words = (
        f"times assumed: a GPU that sustains {SLOWEST / 1e12:g} to {FASTEST / 1e12:g} TFLOP/s "
        f"(about an A100) and {LAUNCH_S[0] * 1e6:g} to {LAUNCH_S[1] * 1e6:g} µs an operator"
    )

    def step(self, cell: StepCell, threads: int, counted: Footprint) -> StepTime | None:
        """See :meth:`Rates.step`. None for what is compiled or replayed, and for float64."""
        if not cell.on_gpu or cell.compiled or cell.dtype == "float64":
            return None
        if {"cuda-graph", "reduce-overhead"} & {*cell.variant.split("+")}:
            return None
        low = max(counted.flops / FASTEST, counted.calls * LAUNCH_S[0])
        high = max(counted.flops / SLOWEST, counted.calls * LAUNCH_S[1])
        return StepTime(Interval(math.sqrt(low * high), low, high), "assumed")


class FirstOf(Rates):
    """The first of several that knows."""

    def __init__(self, *rates: Rates) -> None:
        self._rates = rates
        self._used: list[Rates] = []

    @property
    def words(self) -> str:  # type: ignore[override]
        """Of those that were of use."""
        return "; ".join(rates.words for rates in self._rates if rates in self._used)

    def step(self, cell: StepCell, threads: int, counted: Footprint) -> StepTime | None:
        """See :meth:`Rates.step`."""
        for rates in self._rates:
            if (found := rates.step(cell, threads, counted)) is not None:
                if rates not in self._used:
                    self._used.append(rates)
                return found
        return None
