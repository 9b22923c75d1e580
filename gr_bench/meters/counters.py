"""Counts of a step that do not depend on the clock: floating-point operations, operator calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .device import Work
from .flops import read_flops


def count_flops(step: Work) -> int | None:
    """FLOPs of matrix products, convolutions and attention in ``step``, a product-sum as two; None
    if some operator's are not known (:func:`gr_bench.meters.flops.read_flops` names it).

    Elementwise work (normalisation, activations, the optimizer's update) is not counted.
    """
    return read_flops(step).total


def count_operators(step: Work) -> dict[str, int]:
    """Calls of every operator that reaches a kernel in ``step``, by name, in alphabetical order."""
    with _Operators() as operators:
        step()
    return dict(sorted(operators.calls.items()))


def count_launches(step: Work) -> int:
    """Calls of operators in ``step`` that launch something on a GPU, one kernel or more each.

    Views and fresh memory launch nothing. An operator on lists of tensors counts once.
    """
    seen = _Launches()
    with seen:
        step()
    return seen.count


def launches(func: Any, args: Any, kwargs: Any, out: Any) -> bool:
    """True if a call of an operator launches something on a GPU."""
    leaves = tree_leaves((args, kwargs, out)) if computes(func) else []
    return any(isinstance(leaf, Tensor) and leaf.is_cuda for leaf in leaves)


def computes(func: Any) -> bool:
    """True of an operator that does something to numbers: no view, and no fresh memory."""
    name = func.overloadpacket.__name__
    return not (func.is_view or name in _NO_LAUNCH or name.startswith(("empty", "new_empty")))


class _Launches(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.count += launches(func, args, kwargs, out)
        return out


_NO_LAUNCH = frozenset(
    ("_reshape_alias", "_unsafe_view", "device", "is_same_size", "lift_fresh", "prim", "set_")
)
"""Operators that launch nothing and do not declare themselves views."""


class _Operators(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))
