"""One replicate of a block, inside its process: build, warm up, and read in rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch.nn.modules.conv import _ConvNd

from ..meters.device import Device, Work
from ..meters.device_state import DeviceState
from ..meters.get_device import get_device
from ..meters.operators import Operator, operators
from ..optimizers import SGD
from .clock import Sample, Samples, joules, settle_and_warm_up, take_sample, whole_cycles
from .first_step import StillParameters, first_step
from .rounds import collector_at_rest, in_building_order, interleave
from .shared_state import kept_shared_state
from .step import StepFields, StepRegistry, TimedStep, build_step, product_dtype

MATRIX_PRODUCT = "matrix product"

PROFILED_STEPS = 5
"""Steps that are profiled, at least."""


class BlockCell(StepFields, Protocol):
    """A cell of a block."""

    @property
    def id(self) -> str:
        """Its identity."""

    @property
    def is_baseline(self) -> bool:
        """True if the others are divided by it."""

    @property
    def is_control(self) -> bool:
        """True if it is the baseline a second time."""


C = TypeVar("C", bound=BlockCell)
R = TypeVar("R")


class StepFailed(Exception):
    """A step raised; its ``__cause__`` says why."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class BlockReplicate(Generic[C]):
    """Every cell of a block, and a matrix product of the machine, read in the same rounds.

    Args:
        cells: of one block, on one device.
        registry: what their names stand for.
        replicate: which freshly started process this is; it decides the orders.
        at_work: told whose code is about to run, in case it never comes back.
    """

    def __init__(
        self,
        cells: Sequence[C],
        registry: StepRegistry,
        replicate: int,
        at_work: Callable[[C], None],
    ) -> None:
        self._cells = {cell.id: cell for cell in cells}
        self._registry = registry
        self._replicate = replicate
        self._at_work = at_work
        self._device: Device | None = None
        self._steps: dict[str, Work] = {}
        self._samples: dict[str, Samples] = {}
        self._still: dict[str, StillParameters] = {}
        self.state_before = self.state_after = DeviceState()

    def measure(self, budget_s: float, least_rounds: int) -> Iterator[tuple[C, Exception]]:
        """Read rounds for about ``budget_s`` seconds; yields the cells that fail, and why.

        Once an error is let go, nothing is left of the step that raised it.

        A cell that fails is left out, and the rounds are begun anew for the others. The budget
        counts from the moment when all steps are built; warm-up gets at most a third of it.
        """
        failed: list[tuple[C, Exception]] = []  # emptied before whoever asks is told
        for cell in in_building_order(list(self._cells.values()), self._replicate):
            self._at_work(cell)
            try:
                self._steps[cell.id] = self._settled(cell)
            except Exception as error:  # the others of the block go on
                failed.append((cell, error))
            if failed:
                yield failed.pop()
        if self._device is None or not self._steps:
            return
        while any(name in self._cells for name in self._steps):
            try:
                self._read(self._device, budget_s, least_rounds)
            except StepFailed as error:
                del self._steps[error.name]
                assert isinstance(error.__cause__, Exception)
                failed.append((self._cells[error.name], error.__cause__))
            if not failed:
                break
            yield failed.pop()

    def _settled(self, cell: C) -> TimedStep:
        """The cell's step, taken once."""
        self._device = get_device(cell.device)
        with kept_shared_state(cell.spec, is_ours=_is_ours(cell)):
            step = build_step(cell, self._registry)
            with first_step(step.training):
                self._device.time(step.settle)  # what fails on a GPU fails here
        if getattr(cell, "method_source", "") and cell.optimizer == SGD:
            self._still[cell.id] = StillParameters(step.training)
        return step

    def _read(self, device: Device, budget_s: float, least_rounds: int) -> None:
        self._samples = {}
        begin = time.monotonic()
        first = self._cells[next(iter(self._steps))]
        if MATRIX_PRODUCT not in self._steps:
            self._steps[MATRIX_PRODUCT] = matrix_product(
                device, first.dtype, like_convolutions=has_convolutions(self._steps[first.id])
            )
        each_s = budget_s / 3 / len(self._steps)
        counts = {
            name: self._guarded(name, settle_and_warm_up, device, step, each_s)
            for name, step in self._steps.items()
        }

        def take(name: str, steps: int) -> Sample:
            return self._guarded(name, take_sample, device, self._steps[name], steps)

        def state() -> DeviceState:
            def work() -> None:
                for _ in range(counts[first.id]):
                    self._steps[first.id]()

            return self._guarded(first.id, device.state, work)

        self.state_before = state()
        with collector_at_rest():
            self._samples = interleave(
                [list(self._steps)],
                take,
                counts,
                until=begin + budget_s,
                least_rounds=least_rounds,
                seed=self._replicate,
            )
        self.state_after = state()

    def _guarded(self, name: str, work: Callable[..., R], *arguments: object) -> R:
        """The result of ``work``, with the name of the step told before and after an exception."""
        cell = self._cells.get(name)
        if cell is not None:
            self._at_work(cell)
        try:
            with kept_shared_state(cell.spec if cell else name, is_ours=_is_ours(cell)):
                result = work(*arguments)
            if name in self._still:  # a look at them is no part of a sample
                self._still[name].check()
            return result
        except Exception as error:
            raise StepFailed(name) from error

    @property
    def samples(self) -> dict[C, Samples]:
        """The samples of every cell that did not fail."""
        return {self._cells[n]: own for n, own in self._samples.items() if n in self._cells}

    @property
    def machine_flops_per_s(self) -> float:
        """FLOP rate of the matrix product."""
        assert self._device is not None
        flops = 2 * self._device.matrix_size**3
        return flops / statistics.median(self._samples[MATRIX_PRODUCT].step_s)

    @property
    def in_samples_s(self) -> float:
        """Seconds inside samples, the matrix product's among them."""
        return sum(sum(own.elapsed_s) * own.steps for own in self._samples.values())

    def profile(self) -> dict[C, list[Operator]]:
        """Every cell's operators, from a few steps more."""
        return {
            cell: operators(
                self._steps[cell.id],
                whole_cycles(self._steps[cell.id], PROFILED_STEPS),
                device=torch.device(cell.device),
            )
            for cell in self.samples
        }

    def energy_j(self) -> dict[C, float | None]:
        """Joules a step of every cell, from a few seconds of steps more; None: not counted."""
        if self._device is None:
            return {}
        return {
            cell: joules(self._device, self._steps[cell.id], statistics.median(own.step_s))
            for cell, own in self.samples.items()
        }

    def sequential(self) -> dict[C, list[float]]:
        """Seconds a step of the baseline and its control, all samples of one before the other's."""
        found = {}
        for cell, own in self.samples.items():
            if cell.is_baseline or cell.is_control:
                device, step = get_device(cell.device), self._steps[cell.id]
                found[cell] = [take_sample(device, step, own.steps).elapsed_s for _ in own.position]
        return found


def _is_ours(cell: object) -> bool:
    """True if nothing in the cell is a plug-in; the matrix product's cell is None."""
    return not getattr(cell, "sources", None)


def has_convolutions(step: object) -> bool:
    """True if the step's model has convolutions, whose precision cuDNN's switches decide."""
    training = getattr(step, "training", None)
    return training is not None and any(
        isinstance(module, _ConvNd) for module in training.model.modules()
    )


def matrix_product(device: Device, dtype: str, *, like_convolutions: bool = False) -> Work:
    """A product of two square matrices: as near to the machine's best as PyTorch gets.

    Args:
        device: where.
        dtype: the cell's, which the matrices have too.
        like_convolutions: on a GPU, use TF32 where convolutions do, and not where products do: the
            switches are two, and have different defaults.
    """
    shape = (device.matrix_size, device.matrix_size)
    a, b = (
        torch.randn(shape, device=device.torch_device, dtype=product_dtype(dtype)) for _ in range(2)
    )
    out = torch.empty_like(a)
    if device.kind != "cuda" or not like_convolutions:
        return lambda: torch.mm(a, b, out=out)

    def product() -> None:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
        try:
            torch.mm(a, b, out=out)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before

    return product
