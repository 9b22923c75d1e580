"""The cost model: matrix products and memory of a step, from the layers' shapes.

One forward product of a layer takes F FLOPs, two for each multiplication with its addition. The
backward pass takes another F for the weight's gradient and, unless the layer is the first one, F
for the input's. Differentiating the loss and that backward pass once more (double backpropagation)
takes six further products of a later layer, and two of a first one:

| layer                            | SGD     | two gradients (F-GR, SAM) | double backpropagation |
|----------------------------------|---------|---------------------------|------------------------|
| linear, first                    | 2F      | 4F                        | 4F                     |
| linear, later                    | 3F      | 6F                        | 9F                     |
| convolution, first               | 2F      | 4F                        | 5F                     |
| convolution, later               | 3F      | 6F                        | 9F + (F⁺ - F)          |
| product of two activations       | 3F      | 6F                        | 9F                     |

A net of L equal linear layers so costs 3L - 1, 6L - 2 and 9L - 5 products, for which the paper has
3L, 6L and 9L. A first convolution has one more, a product that PyTorch makes and nobody needs. F⁺
belongs to strides: a weight's second gradient is made by a convolution whose result is larger than
the kernel where the stride leaves some of the input over, and is then cut.

Source: Karakida et al., ICML 2023 (arXiv 2210.02720), on the computational cost; PyTorch's
``_convolution_double_backward``. The tests hold it to ``FlopCounterMode``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gr_bench.meters.counters import count_flops
from gr_bench.meters.memory import nbytes, optimizer_tensors, saved_bytes
from gr_bench.methods import (
    GSAM,
    CentralGR,
    Combinator,
    DoubleBackpropGR,
    Flooding,
    FriendlySAM,
    LookSAM,
    Method,
    MomentumSAM,
    Schedule,
    SingleStepSAM,
    TwoPoint,
)
from gr_bench.optimizers.convention import Convention
from gr_bench.timing.step import Training
from gr_bench.workloads.models.transformer import SelfAttention

RANDOM_STATE_BYTES = torch.get_rng_state().nbytes
"""State that a method with two passes keeps, to draw the same random numbers twice."""


ELSEWHERE = (TwoPoint, CentralGR, GSAM, FriendlySAM, LookSAM, MomentumSAM, SingleStepSAM)
"""Methods with a gradient at a θ' of their own."""

BLOCK_BYTES = 512
"""PyTorch's CUDA allocator gives out whole blocks of this."""


@dataclass(frozen=True)
class Product:
    """One layer's forward product on a mini-batch."""

    forward: int
    """F, in FLOPs."""

    first: bool
    """True if no gradient of its input is asked for."""

    double: int
    """FLOPs of a step with double backpropagation, all passes together."""

    @property
    def single(self) -> int:
        """FLOPs of a step with one gradient."""
        return (2 if self.first else 3) * self.forward


def _linear(layer: nn.Linear, inputs: Tensor, outputs: Tensor) -> list[Product]:
    forward = 2 * outputs.numel() * layer.in_features
    first = not inputs.requires_grad
    return [Product(forward, first, (4 if first else 9) * forward)]


def _convolution(layer: nn.Conv1d | nn.Conv2d, inputs: Tensor, outputs: Tensor) -> list[Product]:
    if layer.groups != 1 or set(layer.dilation) != {1} or isinstance(layer.padding, str):
        return []  # not known, which the sum will tell
    kernel = math.prod(layer.kernel_size)
    a_position = 2 * outputs.numel() * layer.in_channels
    first = not inputs.requires_grad
    if first:
        return [Product(a_position * kernel, True, 5 * a_position * kernel)]
    lengths = zip(inputs.shape[2:], outputs.shape[2:], layer.padding, layer.stride, strict=True)
    # the kernel, and what the stride leaves over at the far end of each axis
    uncut = math.prod(
        length + 2 * padding - (reached - 1) * stride
        for length, reached, padding, stride in lengths
    )
    return [Product(a_position * kernel, False, a_position * (8 * kernel + uncut))]


def _attention(layer: SelfAttention, inputs: Tensor, _: Tensor) -> list[Product]:
    """QKᵀ and the weighting of V: each head multiplies all pairs of positions."""
    *batch, positions, width = inputs.shape
    forward = 2 * math.prod(batch) * positions**2 * width
    return 2 * [Product(forward, False, 9 * forward)]


RULES: dict[type[nn.Module], Any] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    SelfAttention: _attention,
}


@contextmanager
def _noting(model: nn.Module) -> Iterator[list[Product]]:
    """The products of every layer that is called inside the ``with``."""
    found: list[Product] = []

    def note(
        layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], outputs: Tensor
    ) -> None:
        (given,) = (*inputs, *named.values())
        found.extend(RULES[type(layer)](layer, given, outputs))

    handles = [
        module.register_forward_hook(note, with_kwargs=True)
        for module in model.modules()
        if type(module) in RULES
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def products(training: Training, batch: tuple[Tensor, Tensor]) -> list[Product] | None:
    """Every layer's product in a forward pass; None where there are others, of unknown layers."""
    with _noting(training.model) as found:
        counted = count_flops(training.loss_on(*batch))
    return found if counted == sum(product.forward for product in found) else None


def step_flops(layers: Sequence[Product], method: Method) -> Fraction:
    """FLOPs of one step of ``method``, matrix products alone; the mean over a cycle."""
    if isinstance(method, Schedule):
        single = Fraction(sum(layer.single for layer in layers))
        return single + method.part * (step_flops(layers, method.method) - single)
    if isinstance(method, Combinator):
        return step_flops(layers, method.method)
    return Fraction(_step_flops(layers, method))


def _step_flops(layers: Sequence[Product], method: Method) -> float:
    if method.parameters.get("gamma") == 0:
        return sum(layer.single for layer in layers)
    if method.needs_second_derivatives:
        return sum(layer.double for layer in layers)
    return round(method.gradient_evaluations * sum(layer.single for layer in layers))


@dataclass(frozen=True)
class MemoryBounds:
    """Bounds of a step's peak; ``None``: no bound.

    With P the bytes of the parameters: a method that takes its second gradient elsewhere needs θ',
    one P, at all times: its memory is kept from step to step, on a GPU too. If it also combines
    both gradients, it holds the first one, another P, through the second pass, in place of what SGD
    has of its gradient at its own peak: nothing if that lies at the start of the backward pass, and
    everything if it lies in the optimizer. So does one that needs the first gradient for its state,
    which itself is there at all times; one that projects a gradient makes products of the size of
    the largest parameter. Double backpropagation has the graphs of both backward passes, g and γ·g
    alive at once and, at the end, g, γ·g, the new gradient and, on a CPU, one more of the largest
    parameter.
    """

    extra_low_bytes: int | None = None
    """Over SGD's peak."""

    extra_high_bytes: int | None = None
    peak_low_bytes: int | None = None
    """Of the method's own peak."""


def memory_bounds(training: Training, batch: tuple[Tensor, Tensor]) -> MemoryBounds:
    """The bounds for the training's method; run a step before, so that its lasting state is there.

    Other methods than gr-bench's own have none, and neither has one without a penalty. The
    optimizer's memory is alike behind all methods: extra memory does not depend on it.
    """
    method, params = training.method, list(training.model.parameters())
    size, buffers = nbytes(params), nbytes(training.model.buffers())
    kept = RANDOM_STATE_BYTES + 2 * buffers
    on_gpu = any(p.is_cuda for p in params)
    if on_gpu:  # θ' and the norms, every tensor of them in whole blocks
        kept += 2 * BLOCK_BYTES * (len(params) + 2)
    if method.parameters.get("gamma") == 0:
        return MemoryBounds()
    if isinstance(method, ELSEWHERE):
        memory = nbytes(t for t in tree_leaves(method.state_dict()) if isinstance(t, Tensor))
        held = 2 if method.keeps_gradient else 1
        if isinstance(method, GSAM | LookSAM):
            kept += max(p.nbytes for p in params)
        return MemoryBounds(size + memory, held * size + memory + kept)
    if isinstance(method, Flooding):
        return MemoryBounds(0, kept)
    if not isinstance(method, DoubleBackpropGR):
        return MemoryBounds()
    loss = training.loss_on(*batch)

    def backward() -> object:
        return torch.autograd.grad(loss(), params, create_graph=True, allow_unused=True)

    state = nbytes(optimizer_tensors(training.optimizer))
    lasting = size + state + nbytes(batch) + buffers
    graphs = saved_bytes(backward) - size - nbytes(batch)
    at_the_end = 3 * size + (0 if on_gpu else max(p.nbytes for p in params))
    return MemoryBounds(peak_low_bytes=lasting + max(2 * size + graphs, at_the_end))


@dataclass(frozen=True)
class Prediction:
    """The cost model's fields of a cell's counters; None where it says nothing."""

    predicted_flops: int | None
    predicted_extra_low_bytes: int | None
    predicted_extra_high_bytes: int | None
    predicted_peak_low_bytes: int | None


def predict(training: Training, batch: tuple[Tensor, Tensor]) -> Prediction:
    """Arithmetic and bounds of the memory of a training's step.

    Nothing is known of one whose optimizer evaluates the loss itself, as often as it likes.
    """
    if training.convention is not Convention.PLAIN:
        return Prediction(None, None, None, None)
    layers = products(training, batch)
    bounds = memory_bounds(training, batch)
    return Prediction(
        predicted_flops=None if layers is None else round(step_flops(layers, training.method)),
        predicted_extra_low_bytes=bounds.extra_low_bytes,
        predicted_extra_high_bytes=bounds.extra_high_bytes,
        predicted_peak_low_bytes=bounds.peak_low_bytes,
    )
