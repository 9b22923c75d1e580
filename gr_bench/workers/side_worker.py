"""The program of a process that steps with the code of one side of a comparison.

    python -P gr_bench/workers/side_worker.py PROCESSORS AT_WORK STARTED

It is run by path, from the coordinator's version, with the side's code first on ``PYTHONPATH``.
Everything that measures is the coordinator's, the same on both sides: its package is loaded beside
the side's, under another name (:func:`coordinators_package`). There are two sorts of subjects:

- a step-cost cell: ``gr_bench`` is then the side's own. Of that it touches
  ``errors.RequestError``, ``registry.build_dataset``, ``build_method`` and ``build_model``, for a
  cell with another optimizer than SGD ``build_optimizer``, and of a method ``backward``: an older
  revision, or a checkout of a package that only plugs into gr-bench, will do;
- a call: a function of anybody's that prepares and returns a step. Nothing is needed of the side
  but Python itself: PyTorch is imported if the side's code imports it.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import math
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

COORDINATOR = "gr_bench_coordinator"
"""The name of the coordinator's package here, where ``gr_bench`` is the side's."""

WARM_UP_S = 0.5
"""For the warm-up of a step, at most."""

COUNTED_STEPS = 3
"""Steps after building over which memory is counted: the optimizer's state is there from the
first one on, and what a step keeps for the next is seen, too."""

SEED = 0

Step = Callable[[], Any]


class NotThere(Exception):
    """The side does not have what was asked for."""


def main() -> None:
    """Answer requests until there are no more."""
    coordinators_package()
    channel = importlib.import_module(f"{COORDINATOR}.workers.channel")
    worker = SideWorker(json.loads(sys.argv[1]), started=float(sys.argv[-1]))

    def handle(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        try:
            yield getattr(worker, request.pop("do"))(**request)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            yield {"error": described(error), "missing": is_missing(error)}

    channel.serve(handle)


def coordinators_package() -> None:
    """Make the coordinator's modules importable as parts of :data:`COORDINATOR`.

    Its front door, ``__init__.py``, is not run: what that imports by its full name would come from
    the side. The modules that measure import each other relatively.
    """
    package = ModuleType(COORDINATOR)
    package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules[COORDINATOR] = package


def own(name: str) -> Any:
    """A module of the coordinator's."""
    return importlib.import_module(f"{COORDINATOR}.{name}")


class SideWorker:
    """The requests there are, a method each.

    Args:
        processors: the numbers of those that it may use; None where the system does not tell.
        started: when the process was started, by ``time.monotonic()``.
    """

    def __init__(self, processors: list[int] | None, started: float) -> None:
        self._started = started
        self._processors = None if processors is None else set(processors)
        self._steps: dict[str, tuple[Step, Any, int]] = {}
        self._threads = 0
        self._pinned: Any = None
        self._denormals_flushed = False

    def hello(
        self, datasets: list[str], calls: list[dict[str, Any]], paths: list[str]
    ) -> dict[str, Any]:
        """Hold the process still, and import in advance what takes seconds.

        Errors are left for who needs what is imported.

        Args:
            datasets: of the cells to come. If there are any, the side's gr-bench is imported and
                they are read or made.
            calls: to come; their modules are imported.
            paths: folders of the side's code that come after everything installed.

        Returns:
            Seconds since the process was started.
        """
        sys.path += paths
        self._allocator = own("meters.conditions").hold_allocator("held")
        if datasets:
            import torch  # noqa: F401

            import gr_bench.registry

            self._flush_denormals()
            for dataset in datasets:
                with suppress(Exception):
                    gr_bench.registry.build_dataset(dataset)
        for call in calls:
            with suppress(Exception, SystemExit):
                find(call)
        return {"started_s": time.monotonic() - self._started}

    def describe(self) -> dict[str, Any]:
        """The process: versions, and what was done to keep times repeatable."""
        torch, gr_bench = sys.modules.get("torch"), sys.modules.get("gr_bench")
        conditions = own("meters.conditions").Conditions(
            self._allocator, self._denormals_flushed, self._pinned
        )
        return {
            "python": sys.version.split()[0],
            "torch": torch.__version__ if torch else None,
            "gr_bench": getattr(gr_bench, "__version__", None),
            "folder": str(Path.cwd()),
            "conditions": asdict(conditions),
        }

    def origins(self, own: list[str], foreign: list[str]) -> dict[str, Any]:
        """The modules that were imported from somewhere.

        Args:
            own: folders of the side.
            foreign: folders that nothing should come from: what is installed there does not count.

        Returns:
            How many modules are the side's ``own``, and the ``foreign`` ones with their files.
        """
        here, elsewhere = 0, {}
        coordinator = Path(__file__).parents[1]
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or not Path(file).is_absolute():
                continue  # some of PyTorch's say "_ops.py"
            if name.startswith((COORDINATOR, "__m")):
                continue
            above = set(Path(file).resolve().parents)
            if any(Path(folder) in above for folder in own):
                here += 1
            elif any(Path(folder) in above for folder in foreign):
                installed = Path(sys.prefix) in above or "site-packages" in file
                if not installed and coordinator not in above:
                    elsewhere[name] = file
        return {"own": here, "foreign": elsewhere}

    def prepare(self, key: str, **what: Any) -> dict[str, Any]:
        """Build a subject's step and warm it up; how many steps make a sample.

        Args:
            key: names it in requests to come.
            what: the ``cell`` or the ``call``.
        """
        step, device, threads = self._build(**what)
        steps = own("timing.clock").settle_and_warm_up(device, step, WARM_UP_S)
        if "cell" in what and not math.isfinite(float(step())):
            raise ArithmeticError("the loss is not finite")
        self._steps[key] = step, device, threads
        gc.collect()
        gc.freeze()  # a collection then looks at what came after, and takes no time
        gc.disable()
        training = getattr(step, "training", None) if "cell" in what else None
        return {
            "method": str(training.method) if training else None,
            "steps": steps,
        }

    def time(self, key: str, steps: int) -> dict[str, Any]:
        """One sample of so many steps."""
        step, device, threads = self._steps[key]
        self._settle(threads, device)
        gc.collect()
        return asdict(own("timing.clock").take_sample(device, step, steps))

    def count(self, **what: Any) -> dict[str, Any]:
        """Memory, FLOPs and operator calls of a step, which do not depend on the clock.

        ``peak_bytes`` is the most that was allocated at once while the subject was built and
        stepped three times: whatever lasts is in it, whoever holds it. Nothing is counted of a
        step that does not use PyTorch.
        """
        if "cell" in what:
            # counters cannot see into graphs
            variant = own("timing.variant").without_graphs(what["cell"]["variant"])
            what = {"cell": what["cell"] | {"compiled": False, "variant": variant}}
        else:
            self._build(**what)[0]()  # imports what it needs
            if "torch" not in sys.modules:
                return {"operators": {}}
        kept: list[Step] = []

        def life() -> None:
            step, _, _ = self._build(**what)
            kept.append(step)
            for _ in range(COUNTED_STEPS):
                step()

        fields = what.get("cell") or what["call"]
        peak = own("meters.get_device").get_device(fields["device"]).peak_growth(life)
        counters = own("meters.counters")
        calls = counters.count_operators(kept[0])
        flops = own("meters.flops").read_flops(kept[0])
        return {
            "flops": flops.total,
            "uncounted": flops.uncounted,
            "peak_bytes": peak,
            "operator_calls": sum(calls.values()),
            "operators": calls,
        }

    def _build(
        self, cell: dict[str, Any] | None = None, call: dict[str, Any] | None = None
    ) -> tuple[Step, Any, int]:
        """A subject's step, its device and its threads."""
        if cell is not None:
            import gr_bench.registry

            if cell["optimizer"] != "sgd" and not hasattr(gr_bench.registry, "build_optimizer"):
                raise NotThere(f"its gr-bench steps with sgd alone, not with {cell['optimizer']}")
            device = self._select(cell["device"], cell["threads"])
            step = own("timing.step").build_step(SimpleNamespace(**cell), gr_bench.registry)
            return step, device, cell["threads"]
        assert call is not None
        function = find(call)
        device = self._select(call["device"], call["cores"])
        seed()
        step = function()
        if not callable(step):
            raise TypeError(
                f"{call['function']} returned {type(step).__name__}: it must return the step, a "
                "function without arguments"
            )
        self._settle(call["cores"], device, again=True)  # it may have imported PyTorch
        torch = sys.modules.get("torch")
        if torch is not None and call["device"] == "cpu" and torch.cuda.is_initialized():
            raise ValueError("it uses a GPU: give --device cuda, so that its time can be told")
        return step, device, call["cores"]

    def _select(self, name: str, threads: int) -> Any:
        device = own("meters.get_device").get_device(name)
        device.select()
        self._settle(threads, device)
        return device

    def _settle(self, threads: int, device: Any, *, again: bool = False) -> None:
        """As many threads as asked for, on processors of their own, near the device."""
        if threads == self._threads and not again:
            return
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(threads)
            self._flush_denormals()
        near = device.near_processors()
        self._pinned = own("meters.conditions").pin(threads, self._processors, near)
        self._threads = threads

    def _flush_denormals(self) -> None:
        self._denormals_flushed = own("meters.conditions").flush_denormals()


def find(call: dict[str, Any]) -> Callable[[], Any]:
    """The function that a call names.

    Raises:
        NotThere: no such module or file, or nothing of that name in it.
    """
    if call["file"] is not None:
        path = Path(call["file"])
        if not path.is_file():
            raise NotThere(f"there is no {path}")
        module = _load(path)
    else:
        try:
            known = importlib.util.find_spec(call["module"]) is not None
        except ModuleNotFoundError as error:  # of a package above it
            if not (error.name and call["module"].startswith(error.name)):
                raise
            known = False
        if not known:
            raise NotThere(f"there is no module {call['module']!r}")
        module = importlib.import_module(call["module"])
    found: Any = module
    for part in call["function"].split("."):
        if not hasattr(found, part):
            raise NotThere(f"{module.__name__} has no {call['function']!r}")
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{call['function']} is no function that prepares a step")
    return found  # type: ignore[no-any-return]


def _load(path: Path) -> ModuleType:
    """The module that a file is, once a process; a side's own file has its folder on the path."""
    name = path.stem
    loaded = sys.modules.get(name)
    if loaded is not None and Path(str(loaded.__file__)).resolve() == path.resolve():
        return loaded
    if not path.is_absolute():
        sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:  # compiled here, so that nothing is left beside a file of the working tree
        exec(compile(path.read_bytes(), path.resolve(), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]  # as an import does
        raise
    return module


def seed() -> None:
    """Have every generator of random numbers that is there begin as on the other side."""
    random.seed(SEED)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(SEED)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(SEED)


def is_missing(error: BaseException) -> bool:
    """True if an error says that the side does not have what was asked for.

    A thing that is there and cannot be imported or built is not missing: it is broken.
    """
    if isinstance(error, NotThere):
        return True
    errors = sys.modules.get("gr_bench.errors")
    if errors is None or not isinstance(error, errors.RequestError):
        return False
    cause = error.__cause__
    if isinstance(cause, ModuleNotFoundError | AttributeError):
        # raised by the look-up of module:Name, not by what the module does
        last = traceback.extract_tb(cause.__traceback__)[-1].filename
        return Path(last).name in ("pkgutil.py", "<frozen importlib._bootstrap>")
    return cause is None and type(error) is errors.RequestError  # and not of a rule that it breaks


def described(error: BaseException) -> str:
    """An error in one line, with the last place in the side's code that led to it."""
    text = str(error) if isinstance(error, NotThere) else f"{type(error).__name__}: {error}"
    root = Path.cwd()  # the side's
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if root in Path(frame.filename).parents]
    if inside:
        text += f" ({Path(inside[-1].filename).relative_to(root)}, line {inside[-1].lineno})"
    return text


if __name__ == "__main__":
    main()
