"""Counts of a step that do not depend on the clock: floating-point operations, operator calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from .device import Work


def count_flops(step: Work) -> int:
    """FLOPs of matrix products, convolutions and attention in ``step``, a product-sum as two.

    Elementwise work (normalisation, activations, the optimizer's update) is not counted.
    """
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def count_operators(step: Work) -> dict[str, int]:
    """Calls of every operator that reaches a kernel in ``step``, by name, in alphabetical order."""
    with _Operators() as operators:
        step()
    return dict(sorted(operators.calls.items()))


class _Operators(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))
