"""The rehearsal of a suite: its plug-ins tried on two examples, and nothing measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedParameter

from gr_bench import registry
from gr_bench.errors import RequestError, Unsupported
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.grid import Grid
from gr_bench.runs.suite import Suite
from gr_bench.spec import parse
from gr_bench.timing.first_step import ContractBroken, first_step
from gr_bench.timing.step import Training, build_training
from gr_bench.workloads.datasets import Dataset

EXAMPLES = 2

MOST_PARAMETERS = 20_000_000
"""A larger model is built, and no step made on it."""

MOST_STEPS = 100
"""A method whose cycle is longer is not followed through it."""

NEARBY = {
    "cifar10": "random(shape=(3, 32, 32), num_classes=10)",
    "cifar100": "random(shape=(3, 32, 32), num_classes=100)",
}
"""Stand-ins for built-in data that would have to be fetched."""


def faults(suite: Suite) -> Iterator[str]:
    """Everything that is wrong with the plug-ins of a suite, a line each.

    Data sets are read, models built and asked for logits, and every method steps on every model
    that it meets, on the CPU. What hangs on a broken part is not tried.
    """
    if not suite.plugins:
        return
    broken: set[tuple[str, str]] = set()
    cells = [cell for p in suite.plans if isinstance(p.grid, Grid) for cell in p.cells]
    for kind, trial in (("dataset", _try_dataset), ("model", _try_model), ("method", _try_method)):
        tried = set()
        for cell in cells:
            names = {own: _name(cell, own) for own in _CONCERNED["method"]}
            parts = {own: names[own] for own in _CONCERNED[kind]}
            key = (*parts.values(), cell.batch_size if kind == "dataset" else 0)
            of_plugins = ["method" if of == "combinator" else of for of, _ in cell.sources]
            own_kinds = [of for of in of_plugins if of in parts]
            if not own_kinds or key in tried or broken & set(parts.items()):
                continue
            tried.add(key)
            try:
                trial(cell)
            except Unsupported:
                pass
            except (Exception, SystemExit) as error:  # somebody's code
                broken.add((kind, names[kind]))
                guilty = kind if kind in own_kinds else own_kinds[-1]
                (things,) = (own for own in registry.REGISTRIES if own.kind == guilty)
                yield f"{guilty} {things.placed(names[guilty])}: {_in_words(error)}"


_CONCERNED = {
    "dataset": ("dataset",),
    "model": ("dataset", "model"),
    "method": ("dataset", "model", "optimizer", "method"),
}
"""The parts that a trial of each kind of thing is made with."""


class _Fault(Exception):
    """A plug-in that does not do what it must, in words."""


def _in_words(error: BaseException) -> str:
    if isinstance(error, RequestError | _Fault | ContractBroken):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _name(cell: Cell, kind: str) -> str:
    """The spec of a part; of a method its names alone, whose first numbers stand for all."""
    return parse(cell.spec).kind if kind == "method" else str(getattr(cell, kind))


def _data(cell: Cell) -> Dataset:
    return registry.build_dataset(NEARBY.get(cell.dataset, cell.dataset))


def _try_dataset(cell: Cell) -> None:
    data = _data(cell)
    for name in ("train", "validation", "test"):
        part = getattr(data, name)
        shape, targets = tuple(part.inputs.shape[1:]), part.targets
        if not len(part):
            raise _Fault(f"its {name} part is empty")
        if shape != data.input_shape:
            raise _Fault(f"inputs of {name} are {shape}, those of train {data.input_shape}")
        if targets.dtype != torch.int64:
            raise _Fault(f"targets of {name} are {targets.dtype}: write targets.long()")
        if not (targets.min() >= 0 and targets.max() < data.num_classes):
            raise _Fault(f"targets of {name} leave 0 to num_classes - 1 = {data.num_classes - 1}")
    if cell.batch_size > len(data.train):
        raise _Fault(f"{len(data.train)} training examples are fewer than one batch")


def _try_model(cell: Cell) -> None:
    data = _data(cell)
    model = registry.build_model(cell.model, data.input_shape, data.num_classes)
    if any(isinstance(p, UninitializedParameter) for p in model.parameters()):
        raise _Fault(
            "parameters must exist from the start: write nn.Linear instead of nn.LazyLinear"
        )
    batch = data.train.inputs[:EXAMPLES]
    with torch.no_grad():
        logits = model.eval()(batch)
    expected = (*data.train.targets[:EXAMPLES].shape, data.num_classes)
    found = tuple(getattr(logits, "shape", ()))
    if found != expected:
        what = found if isinstance(logits, Tensor) else type(logits).__name__
        raise _Fault(f"gives {what} for {len(batch)} examples: it must give logits {expected}")


def _try_method(cell: Cell) -> None:
    data = _data(cell)
    here = replace(cell, device="cpu", dtype="float32", compiled=False, variant="plain")
    data = data.to(dtype=torch.float32)
    training = build_training(here, data, registry)
    if sum(p.numel() for p in training.model.parameters()) > MOST_PARAMETERS:
        return
    training.model.train()
    batch = data.train.inputs[:EXAMPLES], data.train.targets[:EXAMPLES]
    calls = _count_calls(training)
    method = training.method
    with first_step(training):
        loss: Any = training.step(*batch)
    if not isinstance(loss, Tensor) or loss.shape != () or loss.requires_grad:
        raise _Fault("backward must return the detached loss at θ: write return loss.detach()")
    if method.cycle > MOST_STEPS:
        return
    for _ in range(method.cycle - 1):
        training.step(*batch)
    counted, declared = calls() / method.cycle, method.forward_passes
    if abs(counted - declared) > 1e-9:
        raise _Fault(
            f"calls the loss function {counted:g} times a step and says {declared:g}: write "
            f"passes: ClassVar[int] = {counted:g}"
        )


def _count_calls(training: Training) -> Callable[[], int]:
    """The number of forward passes of a training from now on."""
    count, own = 0, training.loss_on

    def loss_on(inputs: Tensor, targets: Tensor) -> Callable[[], Tensor]:
        loss_fn = own(inputs, targets)

        def loss() -> Tensor:
            nonlocal count
            count += 1
            return loss_fn()

        return loss

    training.loss_on = loss_on  # type: ignore[method-assign, assignment]
    return lambda: count
