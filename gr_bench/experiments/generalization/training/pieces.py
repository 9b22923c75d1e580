"""Evaluation of a whole part in pieces: how many examples at a time the memory allows."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from gr_bench.meters.memory import saved_bytes
from gr_bench.workloads.datasets import Part
from gr_bench.workloads.loss import cross_entropy

MOST_EXAMPLES = 1024
"""Examples in the largest piece: more would gain nothing."""

DOUBLE_BACKPROP_GRAPHS = 4
"""Graphs of a forward pass that double backpropagation keeps: about as many, by its peak memory."""


def bytes_an_example(model: nn.Module, part: Part) -> int:
    """Bytes that autograd keeps of one example's loss for the backward pass; at least 1.

    The difference between two examples and one: what does not grow with them, as parameters, is
    not in it.

    Args:
        model: in evaluation mode.
        part: of the data that the model is for, on the model's device.
    """

    def loss(examples: int) -> Tensor:
        return cross_entropy(model(part.inputs[:examples]), part.targets[:examples])

    one, two = (saved_bytes(partial(loss, examples)) for examples in (1, 2))
    return max(1, two - one)


def piece_size(examples: int) -> int:
    """The size of a piece where ``examples`` fit into the memory: a power of two.

    It so does not change with every byte that is free, and results not with it in their last
    digits.
    """
    return 1 << (min(max(1, examples), MOST_EXAMPLES).bit_length() - 1)
