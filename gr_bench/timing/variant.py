"""Variants of a step: switches beside the method, which change its speed and not its results.

A variant is :data:`PLAIN`, PyTorch as it comes, or some of :data:`SWITCHES` joined by ``+``.
Whoever tunes for a GPU turns several at once, and a grid over all their combinations would mostly
measure what nobody asked for: so a suite lists the variants that it wants.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import RequestError, Unsupported, unknown

if TYPE_CHECKING:
    import torch

    from .step import StepFields

PLAIN = "plain"

TF32, NO_TF32 = "tf32", "no-tf32"
CUDNN_BENCHMARK = "cudnn-benchmark"
DETERMINISTIC = "deterministic"
CHANNELS_LAST = "channels-last"
FUSED = "fused"
REDUCE_OVERHEAD = "reduce-overhead"
CUDA_GRAPH = "cuda-graph"

SWITCHES = {
    TF32: "float32 matrix products and convolutions in TF32",
    NO_TF32: "neither in TF32; as it comes, PyTorch has convolutions in TF32 and products not",
    CUDNN_BENCHMARK: "cuDNN chooses its algorithms by trying them",
    DETERMINISTIC: "torch.use_deterministic_algorithms",
    CHANNELS_LAST: "images and convolutions with their channels last in memory",
    FUSED: "the optimizer as one fused kernel",
    REDUCE_OVERHEAD: "forward and backward passes under torch.compile, replayed as CUDA graphs",
    CUDA_GRAPH: "the whole step captured once, and replayed as one CUDA graph",
}
"""The switches, in the order in which they are spelled, and what each turns on."""

EXCLUSIVE = ((TF32, NO_TF32), (REDUCE_OVERHEAD, CUDA_GRAPH))
OF_CUDA = {
    TF32: "TF32 is a precision of GPUs",
    NO_TF32: "TF32 is a precision of GPUs",
    CUDNN_BENCHMARK: "cuDNN is of GPUs",
    REDUCE_OVERHEAD: "CUDA graphs are of GPUs",
    CUDA_GRAPH: "CUDA graphs are of GPUs",
}
"""Switches that a CPU has not, and why."""

REPEATABLE = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""The environment variable without which cuBLAS is not deterministic. It looks once, early on."""


def switches(variant: str) -> frozenset[str]:
    """The switches that a variant turns on."""
    return frozenset() if variant == PLAIN else frozenset(variant.split("+"))


def spell_variant(text: str) -> str:
    """A variant in its one spelling, ``tf32+fused``, checked.

    Raises:
        RequestError: no such switch, one named twice, or two that exclude each other.
    """
    names = [name.strip() for name in text.split("+")]
    if names == [PLAIN]:
        return PLAIN
    for name in names:
        if name not in SWITCHES:
            raise unknown("switch of a variant", name, [PLAIN, *SWITCHES])
        if names.count(name) > 1:
            raise RequestError(f"variant {text!r}: {name} is named twice")
    for pair in EXCLUSIVE:
        if {*pair} <= {*names}:
            raise RequestError(f"variant {text!r}: choose {pair[0]} or {pair[1]}, not both")
    return _spelled(names)


def without_graphs(variant: str) -> str:
    """The variant without replays of CUDA graphs."""
    return _spelled(switches(variant) - {REDUCE_OVERHEAD, CUDA_GRAPH})


def _spelled(names: Collection[str]) -> str:
    return "+".join(name for name in SWITCHES if name in names) or PLAIN


def refuse(cell: StepFields, method: Any, input_shape: tuple[int, ...]) -> None:
    """Raise if a variant cannot work.

    Args:
        cell: whose variant it is.
        method: its method.
        input_shape: of one example.

    Raises:
        Unsupported: it cannot, by the nature of its parts; the message says why.
    """
    for name in sorted(switches(cell.variant)):
        reason = _obstacle(name, cell, method, input_shape)
        if reason:
            raise Unsupported(f"{name}: {reason}")


def _obstacle(name: str, cell: StepFields, method: Any, input_shape: tuple[int, ...]) -> str | None:
    if name in OF_CUDA and not cell.device.startswith("cuda"):
        return f"{OF_CUDA[name]}, and this cell is on the {cell.device}"
    if name in (TF32, NO_TF32) and cell.dtype in ("float64", "bfloat16"):
        return f"TF32 stands for float32, and this cell is in {cell.dtype}"
    if name == CHANNELS_LAST and len(input_shape) != 3:
        return f"it is for images, and an example here has the shape {input_shape}"
    if name == REDUCE_OVERHEAD:
        if cell.compiled:
            return "it compiles by itself; it is measured where compiled is false"
        if method.needs_second_derivatives:
            return f"{method.name} differentiates twice, which torch.compile does not allow"
        if method.keeps_gradient:
            return (
                f"{method.name} needs the gradient of its first pass after the second, whose "
                "replay takes that memory back; cuda-graph captures the whole step"
            )
    if name == CUDA_GRAPH and not getattr(method, "repeats", True):
        return f"the steps of {method.name} differ, and a graph replays one of them"
    if name == CUDA_GRAPH and cell.dtype == "float16-mixed" and FUSED not in cell.variant:
        return (
            "the gradient scaler waits for the device in every step unless the optimizer is fused"
        )
    return None


def variables(variant: str) -> dict[str, str]:
    """Environment variables that a process must be started with to step as a variant does."""
    return REPEATABLE if DETERMINISTIC in switches(variant) else {}


@contextmanager
def in_force(variant: str) -> Iterator[None]:
    """Have PyTorch's process-wide settings as a variant has them, inside the ``with``.

    What must be set before the process starts is in :func:`variables`.

    Raises:
        Unsupported: an operation inside has no deterministic implementation, and must have.
    """
    on = switches(variant)
    if not on & {TF32, NO_TF32, CUDNN_BENCHMARK, DETERMINISTIC}:
        yield
        return
    import torch

    products, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    tf32, benchmark = (products.allow_tf32, cudnn.allow_tf32), cudnn.benchmark
    deterministic = torch.get_deterministic_debug_mode()
    try:
        if on & {TF32, NO_TF32}:
            products.allow_tf32 = cudnn.allow_tf32 = TF32 in on
        if CUDNN_BENCHMARK in on:
            cudnn.benchmark = True
        if DETERMINISTIC in on:
            # the same as use_deterministic_algorithms, which imports the compiler to tell it too
            torch.set_deterministic_debug_mode("error")
        yield
    except RuntimeError as error:
        if DETERMINISTIC in on and "deterministic implementation" in str(error):
            raise Unsupported(f"{DETERMINISTIC}: {str(error).partition('.')[0]}") from error
        raise
    finally:
        products.allow_tf32, cudnn.allow_tf32 = tf32
        cudnn.benchmark = benchmark
        if DETERMINISTIC in on:
            torch.set_deterministic_debug_mode(deterministic)


def memory_format(variant: str) -> torch.memory_format:
    """Of images and of the weights of convolutions; tensors of other shapes keep theirs."""
    import torch

    on = CHANNELS_LAST in switches(variant)
    return torch.channels_last if on else torch.preserve_format
