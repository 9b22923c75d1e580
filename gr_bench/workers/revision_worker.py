"""The program of a process that steps with one revision's code.

    python -P gr_bench/workers/revision_worker.py PROCESSORS AT_WORK STARTED

It is run by path, from the coordinator's version, with the revision first on ``PYTHONPATH``, so
that ``gr_bench`` is the revision's. Of that it touches ``errors.RequestError``,
``registry.build_dataset``, ``build_method`` and ``build_model``, and of a method ``backward``: an
older revision, or a checkout of a package that only plugs into gr-bench, will do. Everything that
measures is the coordinator's, the same on both sides: its package is loaded beside the revision's,
under another name (:func:`coordinators_package`).
"""

from __future__ import annotations

import gc
import importlib
import json
import math
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

COORDINATOR = "gr_bench_coordinator"
"""The name of the coordinator's package here, where ``gr_bench`` is the revision's."""

WARM_UP_STEPS = 3


def main() -> None:
    """Answer requests until there are no more."""
    coordinators_package()
    channel = importlib.import_module(f"{COORDINATOR}.workers.channel")
    worker = RevisionWorker(json.loads(sys.argv[1]))

    def handle(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        try:
            yield getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            traceback.print_exc()
            yield {"error": described(error), "missing": worker.is_missing(error)}

    channel.serve(handle)


def coordinators_package() -> None:
    """Make the coordinator's modules importable as parts of :data:`COORDINATOR`.

    Its front door, ``__init__.py``, is not run: what that imports by its full name would come from
    the revision. The modules that measure import each other relatively.
    """
    package = ModuleType(COORDINATOR)
    package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules[COORDINATOR] = package


class RevisionWorker:
    """The requests there are, a method each.

    Args:
        processors: the numbers of those that it may use; None where the system does not tell.
    """

    def __init__(self, processors: list[int] | None) -> None:
        self._processors = None if processors is None else set(processors)
        self._steps: dict[str, tuple[Any, Any, int]] = {}
        self._threads = 0
        self._pinned: Any = None

    def hello(self) -> dict[str, Any]:
        """Import the revision; say what it is and what was done to keep times repeatable."""
        import torch

        import gr_bench
        import gr_bench.registry

        self._registry = gr_bench.registry
        (
            self._conditions,
            self._devices,
            self._clock,
            self._step,
            self._variant,
            self._counters,
        ) = (
            importlib.import_module(f"{COORDINATOR}.{name}")
            for name in (
                "meters.conditions",
                "meters.device",
                "timing.clock",
                "timing.step",
                "timing.variant",
                "meters.counters",
            )
        )
        return {
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "gr_bench": gr_bench.__version__,
            "folder": str(Path(gr_bench.__file__).parent),
            "conditions": asdict(self._conditions.hold_still("held")),
        }

    def is_missing(self, error: Exception) -> bool:
        """True if an error says that the revision does not have what was asked for.

        A thing that is there and cannot be imported or built is not missing: it is broken.
        """
        from gr_bench.errors import RequestError

        if not isinstance(error, RequestError):
            return False
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError | AttributeError):
            # raised by the look-up of module:Name, not by what the module does
            last = traceback.extract_tb(cause.__traceback__)[-1].filename
            return Path(last).name in ("pkgutil.py", "<frozen importlib._bootstrap>")
        return cause is None

    def load(self, datasets: list[str]) -> dict[str, Any]:
        """Read or make data sets, which may take seconds; errors are left for who needs them."""
        for dataset in datasets:
            with suppress(Exception):
                self._registry.build_dataset(dataset)
        return {}

    def prepare(self, key: str, cell: dict[str, Any]) -> dict[str, Any]:
        """Build a cell's step and warm it up; how many steps make a sample."""
        fields = SimpleNamespace(**cell)
        device = self._devices.get_device(cell["device"])
        device.select()
        self._settle(cell["threads"], device)
        step = self._step.build_step(fields, self._registry)
        for _ in range(WARM_UP_STEPS):
            loss = step()
        if not math.isfinite(float(loss)):
            raise ArithmeticError("the loss is not finite")
        seconds = self._clock.warm_up(device, step, budget_s=0.5)
        self._steps[key] = step, device, cell["threads"]
        gc.collect()
        gc.freeze()  # a collection then looks at what came after, and takes no time
        gc.disable()
        return {
            "method": str(step.training.method),
            "steps": self._clock.steps_in_a_sample(device, seconds),
            "processors": self._pinned,
        }

    def time(self, key: str, steps: int) -> dict[str, Any]:
        """One sample of so many steps."""
        step, device, threads = self._steps[key]
        self._settle(threads, device)
        gc.collect()
        return asdict(self._clock.take_sample(device, step, steps))

    def count(self, cell: dict[str, Any]) -> dict[str, Any]:
        """Memory, FLOPs and operator calls of a step, which do not depend on the clock.

        ``peak_bytes`` is the most that was allocated at once while the cell was built and stepped
        three times: whatever lasts is in it, whoever holds it.
        """
        # counters cannot see into graphs
        eager = {"compiled": False, "variant": self._variant.without_graphs(cell["variant"])}
        fields = SimpleNamespace(**cell | eager)
        device = self._devices.get_device(cell["device"])
        device.select()
        self._settle(cell["threads"], device)
        kept: list[Any] = []

        def life() -> None:
            kept.append(self._step.build_step(fields, self._registry))
            for _ in range(WARM_UP_STEPS):
                kept[0]()

        peak = device.peak_growth(life)
        (step,) = kept
        calls = self._counters.count_operators(step)
        return {
            "flops": self._counters.count_flops(step),
            "peak_bytes": peak,
            "operator_calls": sum(calls.values()),
            "operators": calls,
        }

    def _settle(self, threads: int, device: Any) -> None:
        """As many threads as the cell says, on processors of their own, near its device."""
        if threads != self._threads:
            import torch

            torch.set_num_threads(threads)
            near = device.near_processors()
            self._pinned = self._conditions.pin(threads, self._processors, near)
            self._threads = threads


def described(error: BaseException) -> str:
    """An error in one line, with the last place in the revision's code that led to it."""
    text = f"{type(error).__name__}: {error}"
    root = Path.cwd()  # the revision's
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if root in Path(frame.filename).parents]
    if own:
        text += f" ({Path(own[-1].filename).relative_to(root)}, line {own[-1].lineno})"
    return text


if __name__ == "__main__":
    main()
