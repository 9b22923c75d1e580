"""Training methods that penalise or perturb by the gradient: values that fill ``p.grad``.

This folder knows nothing of the benchmark: it can be lifted into any PyTorch training code.

The convention throughout: the objective is L + (γ/2)·‖∇L‖², so the added direction is γ·Hg.
"""

from __future__ import annotations

import inspect
from difflib import get_close_matches

from gr_bench.methods.base import Method
from gr_bench.methods.central import CentralGR
from gr_bench.methods.double_backprop import DoubleBackpropGR
from gr_bench.methods.fleet import stack
from gr_bench.methods.flooding import Flooding
from gr_bench.methods.step import LossFunction, Step
from gr_bench.methods.two_point import (
    ASAM,
    GNP,
    SAM,
    SGD,
    BackwardGR,
    ForwardGR,
    TwoPoint,
    UnnormalizedSAM,
)

__all__ = [
    "ASAM",
    "GNP",
    "METHODS",
    "SAM",
    "SGD",
    "BackwardGR",
    "CentralGR",
    "DoubleBackpropGR",
    "Flooding",
    "ForwardGR",
    "LossFunction",
    "Method",
    "Step",
    "TwoPoint",
    "UnnormalizedSAM",
    "get",
    "stack",
]

METHODS: dict[str, type[Method]] = {
    cls.name: cls
    for cls in (
        SGD,
        SAM,
        ForwardGR,
        BackwardGR,
        DoubleBackpropGR,
        CentralGR,
        UnnormalizedSAM,
        GNP,
        ASAM,
        Flooding,
    )
}
"""The built-in methods by name, in the order in which tables and figures show them."""


def get(name: str, **parameters: float) -> Method:
    """The built-in method of that name: ``get("f-gr", gamma=0.1, epsilon=0.05)``.

    Raises:
        ValueError: no such method, no such parameter, or a value out of range.
    """
    if name not in METHODS:
        near = get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(METHODS)}"
        raise ValueError(f"no method {name!r}: {hint}")
    cls = METHODS[name]
    known = inspect.signature(cls).parameters
    for key in parameters:
        if key not in known:
            takes = ", ".join(known) or "no parameters"
            raise ValueError(f"method {name!r} has no parameter {key!r}: it takes {takes}")
    return cls(**parameters)
