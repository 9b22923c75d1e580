"""The program of a process that steps with one revision's code.

    python -P gr_bench/comparison/worker.py PROCESSORS

It is run by path, from the coordinator's version, with the revision first on ``PYTHONPATH``, so
that ``gr_bench`` is the revision's. Of that it touches ``errors.RequestError``,
``registry.build_dataset``, ``build_method`` and ``build_model``, and of a method ``backward``: an
older revision, or a checkout of a package that only plugs into gr-bench, will do. Everything that
measures is the coordinator's, the same on both sides.

One JSON object a line comes in and one goes out. Its standard output belongs to the coordinator;
what the measured code prints goes to standard error.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import math
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

SEED = 0
WARM_UP_STEPS = 3


def main() -> None:
    """Answer requests until the input ends."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a stray print must not be taken for an answer
    worker = Worker(json.loads(sys.argv[1]))
    answer: dict[str, Any]
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": described(error), "lacks": worker.lacks(error)}
        out.write(json.dumps(answer) + "\n")


class Worker:
    """The requests there are, a method each.

    Args:
        processors: the numbers of those that it may use; None where the system does not tell.
    """

    def __init__(self, processors: list[int] | None) -> None:
        self._processors = None if processors is None else set(processors)
        self._steps: dict[str, tuple[Callable[[], object], Any, int]] = {}
        self._threads = 0
        self._clock = Clock()

    def hello(self) -> dict[str, Any]:
        """Import the revision; say what it is and what was done to keep times repeatable."""
        import gr_bench.registry

        self._registry = gr_bench.registry
        self._conditions = meter("conditions")
        self._devices = meter("device")
        return {
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "gr_bench": gr_bench.__version__,
            "folder": str(Path(gr_bench.__file__).parent),
            "conditions": self._conditions.hold_still("held"),
        }

    def lacks(self, error: Exception) -> bool:
        """Whether an error says that the revision does not have what was asked for.

        A thing that is there and cannot be imported or built is not lacking: it is broken.
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
        """Build a cell and step until its lasting state is there; seconds of the last step."""
        self._settle(cell["threads"])
        step, method = self._build(cell)
        device = self._devices.get_device(cell["device"])
        for _ in range(WARM_UP_STEPS):
            seconds = device.time(step).seconds
        if not math.isfinite(float(torch.as_tensor(step()))):
            raise ArithmeticError("the loss is not finite")
        self._steps[key] = step, device, cell["threads"]
        gc.collect()
        gc.freeze()  # a collection then looks at what came after, and takes no time
        gc.disable()
        return {"method": method, "seconds": seconds, "processors": self._pinned}

    def time(self, key: str, steps: int) -> dict[str, Any]:
        """Seconds a step in one sample of that many.

        ``waited_s``, the time that the process was ready to run and something else had its
        processor, is not among them. (Where several threads run, nobody can tell: it then is 0.)
        """
        step, device, threads = self._steps[key]
        self._settle(threads)

        def work() -> None:
            for _ in range(steps):
                step()

        gc.collect()
        if device.kind != "cpu" or threads > 1:
            return {"seconds": device.time(work).seconds / steps, "waited_s": 0.0}
        begin, waited_before = self._clock.now()
        work()
        end, waited = self._clock.now()
        waited -= waited_before
        return {"seconds": (end - begin - waited) / steps, "waited_s": waited / steps}

    def count(self, cell: dict[str, Any]) -> dict[str, Any]:
        """What does not depend on the clock.

        ``peak_bytes`` is the most that was allocated at once while the cell was built and stepped
        three times: whatever lasts is in it, whoever holds it.
        """
        self._settle(cell["threads"])
        cell = cell | {"compiled": False}  # the counters cannot look into compiled graphs
        device = self._devices.get_device(cell["device"])
        kept: list[Callable[[], object]] = []

        def life() -> None:
            kept.append(self._build(cell)[0])
            for _ in range(WARM_UP_STEPS):
                kept[0]()

        peak = device.peak_growth(life)
        (step,) = kept
        with FlopCounterMode(display=False) as flops:
            step()
        with Operators() as operators:
            step()
        return {
            "flops": int(flops.get_total_flops()),
            "peak_bytes": peak,
            "operator_calls": operators.calls.total(),
            "operators": dict(sorted(operators.calls.items())),
        }

    def _settle(self, threads: int) -> None:
        """As many threads as the cell says, on processors of their own."""
        if threads != self._threads:
            torch.set_num_threads(threads)
            self._pinned = self._conditions.pin(threads, self._processors)
            self._threads = threads

    def _build(self, cell: dict[str, Any]) -> tuple[Callable[[], object], str]:
        """A training step on the first batch of the data at learning rate 0, and its method.

        The optimizer does all its work, and the parameters stay as they are: every step, on either
        side, is the same arithmetic.
        """
        data = self._registry.build_dataset(cell["dataset"])
        method = self._registry.build_method(cell["method"])
        size, device = cell["batch_size"], cell["device"]
        if size > len(data.train.inputs):
            raise ValueError(f"the data has {len(data.train.inputs)} examples, not {size}")
        mixed = cell["dtype"] == "bfloat16-mixed"
        dtype = torch.float32 if mixed else getattr(torch, cell["dtype"])
        inputs = data.train.inputs[:size].clone().to(device)
        inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
        targets = data.train.targets[:size].clone().to(device)
        torch.manual_seed(SEED)
        network = self._registry.build_model(cell["model"], data.input_shape, data.num_classes)
        network = network.to(device, dtype)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9, weight_decay=1e-4)
        forward = torch.compile(network) if cell["compiled"] else network
        kind = torch.device(device).type

        def loss() -> torch.Tensor:
            with torch.autocast(kind, torch.bfloat16) if mixed else nullcontext():
                return F.cross_entropy(forward(inputs).flatten(0, -2), targets.flatten())

        def step() -> torch.Tensor:
            value: torch.Tensor = method.backward(loss, network.parameters())
            optimizer.step()
            return value

        return step, str(method)


class Operators(TorchDispatchMode):
    """Counts the operators that reach a kernel, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


class Clock:
    """Wall time, and how much of it this thread has waited for a processor.

    Linux keeps that account (``/proc/thread-self/schedstat``); elsewhere the waiting is always 0.
    """

    def __init__(self) -> None:
        self._account: int | None = None
        with suppress(OSError):
            self._account = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def now(self) -> tuple[float, float]:
        """Seconds by either; no waiting falls between the two readings."""
        while True:
            before = self._waited()
            now = time.perf_counter()
            if self._waited() == before:
                return now, before

    def _waited(self) -> float:
        if self._account is None:
            return 0.0
        return int(os.pread(self._account, 100, 0).split()[1]) * 1e-9


def meter(name: str) -> Any:
    """A module of the coordinator's ``meters``, beside the revision's own."""
    path = Path(__file__).parents[1] / "meters" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"coordinators_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
