"""FLOPs of a step, and the operators in it whose FLOPs are not known.

PyTorch's counter (``torch.utils.flop_counter``) has formulas for matrix products, convolutions and
attention, and takes every other operator for nothing. That is right of elementwise work,
reductions and moving data, where each element that is read or written costs a few operations at
most: they are left out by convention. It is wrong of an operator that does more than that and has
no formula, such as a Fourier transform or a recurrent layer in one kernel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from .device import Work

Shape = Sequence[int]

OUT_OF_SIGHT = "a kernel that is no operator"
"""The name of whatever fills memory and was not seen."""


@dataclass(frozen=True)
class Flops:
    """The FLOPs of a step, as far as they are known."""

    counted: int
    """Of the operators that have a formula, a product-sum as two."""

    uncounted: tuple[str, ...] = ()
    """The names of operators that do arithmetic and have none, in alphabetical order."""

    @property
    def total(self) -> int | None:
        """Those of the whole step; None if some are not counted."""
        return None if self.uncounted else self.counted


def read_flops(step: Work) -> Flops:
    """The FLOPs of one call of ``step``.

    A formula that is registered with ``torch.utils.flop_counter.register_flop_formula`` counts
    like PyTorch's own. Arithmetic that no operator shows is not seen: NumPy's, for instance. A
    kernel of somebody's own is noticed by the memory that it fills.
    """
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    # entered first, it is asked last: for what the counter could not take apart any further
    with _Uncounted(counter.flop_registry) as seen, counter:
        step()
    return Flops(int(counter.get_total_flops()), tuple(sorted(seen.names)))


def is_arithmetic(namespace: str, name: str) -> bool:
    """True if an operator does more than a few operations for each element, by its name.

    PyTorch's own operators are told by the words in their names: products of matrices,
    convolutions, recurrent layers, attention, Fourier transforms, linear algebra, distances of all
    pairs. Of operators from elsewhere nothing is known: they do, unless they are known to send or
    to note something only.
    """
    if namespace != "aten":
        return namespace not in _IDLE
    return name not in _CHEAP and any(map(_WORD.fullmatch, name.split("_")))


_WORD = re.compile(
    r"\w*mm|matmul|mv|addmv|linear|trilinear"
    r"|conv|conv\dd|conv_?tbc|convolution|depthwise\dd"
    r"|rnn|lstm|gru|attention|transformer"
    r"|fft|linalg|cholesky|qr|geqrf|ormqr|svd|eig|eigh|lu|\w*solve|lstsq|inverse|euclidean|cdist|pdist"
)
_CHEAP = frozenset(
    (
        *("_thnn_fused_lstm_cell", "_thnn_fused_lstm_cell_backward", "_thnn_fused_gru_cell"),
        *("_thnn_fused_lstm_cell_backward_impl", "_thnn_fused_gru_cell_backward"),
        *("linalg_vector_norm", "linalg_cross", "_linalg_check_errors", "lu_unpack"),
        *("_cudnn_rnn_flatten_weight", "_use_cudnn_rnn_flatten_weight", "slice_inverse"),
    )
)
"""Elementwise work, reductions and moving data, in spite of a word in the name."""

_IDLE = frozenset(("prim", "profiler", "c10d", "_c10d_functional"))
"""Namespaces of operators that calculate nothing, or sums over workers."""


def _layer(inputs: Shape, weight: Shape, recurrent: Shape, *_: Any, **__: Any) -> int:
    """One layer and direction of a recurrent net: at every position of every sequence a product
    with either matrix of weights.
    """
    return 2 * math.prod(inputs[:-1]) * (math.prod(weight) + math.prod(recurrent))


def _layer_backward(*shapes: Any, **more: Any) -> int:
    """The gradients of inputs and weights, all of which the kernel makes whoever asks."""
    return 2 * _layer(*shapes, **more)


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(
    gradient: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any
) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))


def _matrix_vector(matrix: Shape, *_: Any, **__: Any) -> int:
    return 2 * math.prod(matrix)


def _added_matrix_vector(_: Shape, matrix: Shape, *__: Any, **___: Any) -> int:
    return 2 * math.prod(matrix)


_aten = torch.ops.aten
FORMULAS = {
    _aten.mkldnn_rnn_layer: _layer,
    _aten.mkldnn_rnn_layer_backward: _layer_backward,
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    _aten.mv: _matrix_vector,
    _aten.addmv: _added_matrix_vector,
}
"""Formulas by shapes that PyTorch lacks: of the CPU's kernels for recurrent layers and attention
(whose backward pass makes the forward's products once more), and for products with a vector."""


class _Uncounted(TorchDispatchMode):
    """Notes the operators without a formula that do arithmetic, by their names."""

    supports_higher_order_operators = True

    def __init__(self, known: Any) -> None:
        super().__init__()
        self.names: set[str] = set()
        self._known = known
        self._unfilled: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if isinstance(func, torch._ops.HigherOrderOperator):
            if func not in self._known:
                self.names.add(func.name())
            return NotImplemented
        out = func(*args, **(kwargs or {}))
        packet, name = func._overloadpacket, func._overloadpacket.__name__
        if packet not in self._known and is_arithmetic(func.namespace, name):
            self.names.add(f"{func.namespace}::{name}")
        self._follow(func, args, kwargs or {}, out)
        return out

    def _follow(self, func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        """Note if memory is read that no operator has filled: something else has."""
        name = func._overloadpacket.__name__
        if func.is_view or name in _READ_NOTHING:
            return
        made, read, written = _storages(out), set[int](), set[int]()
        for place, argument in enumerate(func._schema.arguments):
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            (written if argument.is_write else read).update(_storages(value))
        if name.startswith(_UNFILLED):
            self._unfilled |= made
            return
        if not name.endswith("_like") and self._unfilled & (read - written):
            self.names.add(OUT_OF_SIGHT)
            written |= read  # it is said once
        self._unfilled -= made | written


_READ_NOTHING = frozenset(("_unsafe_view", "device", "is_same_size", "lift_fresh", "set_"))
"""Operators that look at no element, and do not declare themselves views."""

_UNFILLED = ("empty", "new_empty")


def _storages(values: Any) -> set[int]:
    """The storages of all tensors in it that have elements."""
    tensors = (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and leaf.numel())
    return {tensor.untyped_storage()._cdata for tensor in tensors}
