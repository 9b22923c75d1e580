"""Memory that PyTorch's convolutions take on a CPU beside their results, while they run.

oneDNN computes in blocks of 16 channels (8 without AVX-512). Its operands are copied into that
layout, channels padded to whole blocks, and so is its result before it is copied back:

| pass | alive at once, beside what goes in |
|---|---|
| forward | x' + w' + y', then y' + y |
| gradient of the input | g' + w' + x', then x' + x; with a stride, three of x |
| gradient of the weight | x' + g' + w', then w' + w |

where an input of fewer channels than a block is not copied, nor its weight's gradient padded. What
is not contiguous, as in double backpropagation, is copied first. In float64 there is no oneDNN, and
the input is unfolded: every position with the whole patch that the kernel sees. Read off the
profiler's allocator events in PyTorch 2.13; ``results/trust/plan_memory.md`` shows how well it
holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

_ATEN = torch.ops.aten


def scratch_bytes(func: Any, args: Sequence[Any]) -> int:
    """Bytes beside its results that a call of an operator has alive at its worst moment.

    Those of convolutions, without groups and not transposed; 0 for everything else.
    """
    if func is _ATEN.convolution.default:
        inputs, weight, _, stride, padding, dilation, transposed, _, groups = args
        if groups == 1 and not transposed and not _channels_last(inputs):
            own = _forward(inputs, weight, stride, padding, dilation)
            return own + _made_contiguous(inputs, weight)
    elif func is _ATEN.convolution_backward.default:
        gradient, inputs, weight, _, stride, _, _, transposed, _, groups, wanted = args
        if groups == 1 and not transposed and not _channels_last(inputs):
            own = _backward(gradient, inputs, weight, stride, wanted)
            return own + _made_contiguous(gradient, inputs, weight)
    return 0


def _channels_last(images: Tensor) -> bool:
    if images.ndim != 4 or images.is_contiguous():
        return False
    return images.is_contiguous(memory_format=torch.channels_last)


def _made_contiguous(*tensors: Tensor) -> int:
    """Bytes of copies of those that are not contiguous."""
    return sum(tensor.nbytes for tensor in tensors if not tensor.is_contiguous())


def _forward(
    inputs: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> int:
    sizes = zip(inputs.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    positions = math.prod((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)
    examples, channels = len(inputs), len(weight)
    if inputs.dtype == torch.float64:
        return _unfolded(weight, examples * positions)
    result = examples * channels * positions * inputs.itemsize
    blocked = examples * _padded(channels) * positions * inputs.itemsize
    copies = _blocked_input(inputs) + _blocked_weight(weight)
    return max(copies + blocked - result, blocked)


def _backward(
    gradient: Tensor, inputs: Tensor, weight: Tensor, stride: Sequence[int], wanted: Sequence[bool]
) -> int:
    if inputs.dtype == torch.float64:
        return _unfolded(weight, len(gradient) * math.prod(gradient.shape[2:]))
    blocked_gradient, blocked_weight = _blocked(gradient), _blocked_weight(weight)
    to_input, to_weight, _ = wanted
    most = made = 0
    if to_input:
        made += inputs.nbytes
        blocked = _blocked(inputs)
        most = max(blocked_gradient + blocked_weight + blocked, blocked + inputs.nbytes)
        if math.prod(stride) > 1:
            most = max(most, 3 * inputs.nbytes)
    if to_weight:
        copies = _blocked_input(inputs) + blocked_gradient
        if weight.shape[1] < _block():
            blocked_weight = weight.nbytes // len(weight) * _padded(len(weight))
        most = max(most, made + blocked_weight + max(copies, weight.nbytes))
        made += weight.nbytes
    return max(0, most - made)


def _unfolded(weight: Tensor, positions: int) -> int:
    return positions * weight[0].numel() * weight.itemsize


def _blocked(images: Tensor) -> int:
    return images.nbytes // images.shape[1] * _padded(images.shape[1])


def _blocked_input(images: Tensor) -> int:
    return 0 if images.shape[1] < _block() else _blocked(images)


def _blocked_weight(weight: Tensor) -> int:
    outputs, inputs = weight.shape[:2]
    return weight.nbytes // (outputs * inputs) * _padded(outputs) * _padded(inputs)


def _padded(channels: int) -> int:
    return -(-channels // _block()) * _block()


@cache
def _block() -> int:
    return 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8
