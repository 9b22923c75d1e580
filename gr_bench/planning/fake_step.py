"""A training step on fake tensors: its arithmetic and its memory, without running it or a GPU.

The cell's own training is built and stepped by the code that a run steps (:mod:`gr_bench.timing`),
from tensors that have a shape and a dtype and no data. Fake tensors are of the CPU, also where the
cell is for a GPU, since a build of PyTorch for CPUs cannot differentiate others; what a GPU does
otherwise is done here, too: the optimizer works on all parameters at once, and memory comes in
blocks of 512 bytes.

What a kernel takes for itself is not seen: the workspaces of cuDNN and cuBLAS are not in the peak;
on a CPU that of convolutions is known (:mod:`gr_bench.planning.scratch`).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.experiments.cell import Cell
from gr_bench.meters.counters import computes
from gr_bench.meters.cpu import CPU
from gr_bench.meters.device import Work
from gr_bench.meters.flops import FORMULAS, read_flops
from gr_bench.meters.memory import Memory, measure_memory
from gr_bench.methods import Method
from gr_bench.optimizers import SGD
from gr_bench.planning.live_storages import LiveStorages
from gr_bench.planning.outlines import fake_mode, outline
from gr_bench.planning.scratch import scratch_bytes
from gr_bench.spec import parse
from gr_bench.timing.step import TimedStep, build_step, require_supported
from gr_bench.timing.variant import CHANNELS_LAST, FUSED, PLAIN, switches

CUDA_BLOCK_BYTES = 512
"""PyTorch's CUDA allocator gives out whole blocks of this."""


PLAIN_GRADIENT = "sgd"
"""The method whose step is one gradient, as that of an evaluation is."""


class NotCounted(ValueError):
    """Arithmetic of a step that cannot be counted."""


@dataclass(frozen=True)
class StepCell:
    """The fields of a cell that its step's arithmetic and memory depend on."""

    spec: str
    model: str
    dataset: str
    batch_size: int
    device: str
    dtype: str
    compiled: bool = False
    variant: str = PLAIN
    optimizer: str = SGD

    @classmethod
    def of(cls, cell: Cell, spec: str | None = None) -> StepCell:
        """A cell's, for its method or another.

        ``cuda:1`` counts as ``cuda``; and a method whose numbers are drawn, as one with its usual
        numbers where these change nothing, since no two cells would be alike.
        """
        own = cell.spec
        if getattr(cell, "tuned", False):
            own = _with_usual_numbers(own)
        return cls(
            spec=spec or own,
            model=cell.model,
            dataset=cell.dataset,
            batch_size=cell.batch_size,
            device=cell.device.partition(":")[0],
            dtype=cell.dtype,
            compiled=cell.compiled,
            variant=cell.variant,
            optimizer=cell.optimizer,
        )

    @property
    def on_gpu(self) -> bool:
        """True if the step is for a GPU."""
        return self.device != "cpu"


@cache
def _with_usual_numbers(spec: str) -> str:
    """The method with the innermost numbers by default, if its steps take as many passes."""
    try:
        usual = registry.spell_method(parse(spec).frame)
        passes = [(registry.cycle(s), registry.gradient_evaluations(s)) for s in (usual, spec)]
    except RequestError:  # a number that has no default
        return spec
    return usual if passes[0] == passes[1] else spec


@dataclass(frozen=True)
class Footprint:
    """A steady-state step's counts: means over a method's cycle, memory at its worst step."""

    parameters: int
    """Numbers in the model's parameters."""

    flops: float
    """Of matrix products, convolutions and attention."""

    convolution_flops: float
    """Those of convolutions."""

    calls: float
    """Of operators that compute something."""

    touched_bytes: float
    """Read and written by these, every tensor once a call."""

    memory: Memory
    lasting_bytes: int
    """Alive between two steps: parameters, gradients, the optimizer's and the method's memory,
    buffers and the mini-batch."""


def footprint(cell: StepCell) -> Footprint:
    """The footprint of a cell's step. Equal steps are stepped once.

    Raises:
        RequestError: a name or value that the registry refuses, or data that cannot be had.
        Unsupported: the cell cannot work, by the nature of its parts.
        NotCounted: its arithmetic cannot be told.
        Exception: whatever the cell's code raises on fake tensors, as where it reads a value.
    """
    return _footprint(replace(cell, spec=alike(cell.spec)))


@cache
def alike(spec: str) -> str:
    """A method whose step is that of ``spec``: of its kind, the first that was asked for.

    Numbers of a method that can be stacked for a fleet are vectors there, one entry a run: they
    decide nothing but its passes. Of any other method all numbers count.
    """
    method = registry.build_method(spec)
    if not vars(type(method)).get("stackable"):
        return spec
    return _FIRST.setdefault(_kind(method), spec)


_FIRST: dict[tuple[Any, ...], str] = {}


def _kind(method: Method) -> tuple[Any, ...]:
    """The code that a method runs, but for its numbers: F-GR's and B-GR's is the same."""
    code = tuple(
        (name, id(member))
        for name, member in inspect.getmembers_static(type(method))
        if not name.startswith("__") and (inspect.isroutine(member) or isinstance(member, property))
    )
    passes = (method.gradient_evaluations, method.forward_passes, method.cycle)
    return (code, passes, method.keeps_gradient)


@cache
def _footprint(cell: StepCell) -> Footprint:
    device = _Pretended(cell.on_gpu)
    outline(cell.dataset)  # what must be read is read before nothing is real any more
    with fake_mode():
        step = _build(cell)
        training, cycle = step.training, step.training.method.cycle
        uncounted: set[str] = set()
        for _ in range(cycle):  # whatever lasts is there from now on
            uncounted.update(read_flops(step).uncounted)
        if uncounted:
            raise NotCounted(f"the FLOPs of {', '.join(sorted(uncounted))} are not counted")
        memories = [
            measure_memory(
                step, device, training.model, training.optimizer, training.method, step.batch
            )
            for _ in range(cycle)
        ]
        memory = max(memories, key=lambda memory: memory.peak_bytes)
        return Footprint(
            parameters=sum(p.numel() for p in training.model.parameters()),
            flops=device.flops / cycle,
            convolution_flops=device.convolution_flops / cycle,
            calls=device.calls / cycle,
            touched_bytes=device.touched_bytes / cycle,
            memory=memory,
            lasting_bytes=max(
                memory.peak_bytes - growth + memory.gradient_bytes
                for memory, growth in zip(memories, device.growths, strict=True)
            ),
        )


@cache
def forward_flops(cell: StepCell) -> int:
    """FLOPs of a mini-batch's forward pass, as an evaluation has it.

    Raises:
        Exception: as :func:`footprint` does.
    """
    outline(cell.dataset)
    with (
        fake_mode(),
        torch.no_grad(),
        FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter,
    ):
        step = _build(replace(cell, spec=PLAIN_GRADIENT))
        step.training.model.eval()
        step.training.loss_on(*step.batch)()
    return int(counter.get_total_flops())


class _Outlines:
    """The registry, with data sets that are shapes alone, and models that can be moved."""

    build_method = staticmethod(registry.build_method)
    build_dataset = staticmethod(outline)
    build_optimizer = staticmethod(registry.build_optimizer)

    @staticmethod
    def build_model(text: str, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        network = registry.build_model(text, input_shape, num_classes)
        network.to = partial(_to, network)  # type: ignore[method-assign]
        return network


def _to(
    network: nn.Module, device: object, dtype: torch.dtype, memory_format: torch.memory_format
) -> nn.Module:
    """``Module.to``, whose way to change a parameter in place is refused for fake ones."""
    moved: dict[int, nn.Parameter] = {}  # those that modules share stay shared

    def to(tensor: Tensor) -> Tensor:
        own = dtype if tensor.is_floating_point() else tensor.dtype
        layout = memory_format if tensor.ndim == 4 else torch.preserve_format
        return tensor.detach().to(dtype=own, memory_format=layout)

    for module in network.modules():
        for name, p in list(module._parameters.items()):
            if p is not None and id(p) not in moved:
                moved[id(p)] = nn.Parameter(to(p), p.requires_grad)
            module._parameters[name] = None if p is None else moved[id(p)]
        for name, buffer in list(module._buffers.items()):
            module._buffers[name] = None if buffer is None else to(buffer)
    return network


def _build(cell: StepCell) -> TimedStep:
    """The cell's step, as it runs on a CPU without being compiled or replayed.

    Raises:
        Unsupported: the cell cannot work as it is.
    """
    method = registry.build_method(cell.spec)
    require_supported(cell, method, outline(cell.dataset).input_shape)
    on = switches(cell.variant)
    variant = CHANNELS_LAST if CHANNELS_LAST in on else PLAIN
    plain = replace(cell, device="cpu", compiled=False, variant=variant)
    step = build_step(plain, _Outlines())
    step.training.scaler = None  # it has two numbers, and waits for one of them
    if cell.on_gpu and FUSED not in on:
        for group in step.training.optimizer.param_groups:
            if "foreach" in group:
                group["foreach"] = True  # PyTorch's own choice for parameters on a GPU
    return step


class _Pretended(CPU):
    """A device on which work is followed and not done; it counts over all its work."""

    def __init__(self, on_gpu: bool) -> None:
        super().__init__("cpu")
        self._on_gpu = on_gpu
        self.flops = self.convolution_flops = self.calls = self.touched_bytes = 0
        self.growths: list[int] = []
        """Bytes, one entry for each piece of work."""

    def peak_growth(self, work: Work) -> int:
        """The rise of the bytes alive above their level at the start while ``work`` runs."""
        live = LiveStorages(CUDA_BLOCK_BYTES) if self._on_gpu else LiveStorages(1, scratch_bytes)
        operators = _Operators()
        with FlopCounterMode(display=False, custom_mapping=FORMULAS) as products, operators, live:
            work()
        self.calls += operators.calls
        self.touched_bytes += operators.touched_bytes
        self.flops += products.get_total_flops()
        of_all = products.get_flop_counts().get("Global", {})
        self.convolution_flops += sum(
            count for operator, count in of_all.items() if "conv" in str(operator)
        )
        self.growths.append(live.peak_bytes)
        return live.peak_bytes


class _Operators(TorchDispatchMode):
    """Calls of operators that compute something, and the bytes that they touch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.touched_bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if computes(func):
            self.calls += 1
            leaves = tree_leaves((args, kwargs, out))
            self.touched_bytes += sum(leaf.nbytes for leaf in leaves if isinstance(leaf, Tensor))
        return out
