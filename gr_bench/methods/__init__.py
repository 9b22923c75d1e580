"""Training methods that penalise or perturb by the gradient: values that fill ``p.grad``.

This folder knows nothing of the benchmark: it can be lifted into any PyTorch training code. A class
is imported, and PyTorch with it, when it is first asked for.

The convention throughout: the objective is L + (γ/2)·‖∇L‖², so the added direction is γ·Hg.
"""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Method
    from .central import CentralGR
    from .combinators.accumulation import Accumulated, DivisibleLoss
    from .combinators.clipping import Clipped
    from .combinators.combinator import Combinator
    from .combinators.masks import Only, Without
    from .combinators.micro_batches import MicroBatches
    from .combinators.schedules import Early, Every, Late, Ramp, Schedule, Warmup
    from .data_parallel import PerWorker
    from .double_backprop import DoubleBackpropGR
    from .fleet import stack
    from .flooding import Flooding
    from .friendly import FriendlySAM
    from .gsam import GSAM
    from .looksam import LookSAM
    from .scaling import ScaledLoss, scaled_step
    from .single_pass import MomentumSAM, SingleStepSAM
    from .step import LossFunction, Step
    from .two_point import (
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
    "BUILT_IN",
    "COMBINATORS",
    "GNP",
    "GSAM",
    "METHODS",
    "SAM",
    "SGD",
    "Accumulated",
    "BackwardGR",
    "CentralGR",
    "Clipped",
    "Combinator",
    "DivisibleLoss",
    "DoubleBackpropGR",
    "Early",
    "Every",
    "Flooding",
    "ForwardGR",
    "FriendlySAM",
    "Late",
    "LookSAM",
    "LossFunction",
    "Method",
    "MicroBatches",
    "MomentumSAM",
    "Only",
    "PerWorker",
    "Ramp",
    "ScaledLoss",
    "Schedule",
    "SingleStepSAM",
    "Step",
    "TwoPoint",
    "UnnormalizedSAM",
    "Warmup",
    "Without",
    "get",
    "scaled_step",
    "stack",
]

BUILT_IN = {
    "sgd": ".two_point:SGD",
    "sam": ".two_point:SAM",
    "f-gr": ".two_point:ForwardGR",
    "b-gr": ".two_point:BackwardGR",
    "db-gr": ".double_backprop:DoubleBackpropGR",
    "c-gr": ".central:CentralGR",
    "unnormalized-sam": ".two_point:UnnormalizedSAM",
    "gnp": ".two_point:GNP",
    "asam": ".two_point:ASAM",
    "gsam": ".gsam:GSAM",
    "friendly-sam": ".friendly:FriendlySAM",
    "looksam": ".looksam:LookSAM",
    "momentum-sam": ".single_pass:MomentumSAM",
    "single-step-sam": ".single_pass:SingleStepSAM",
    "flooding": ".flooding:Flooding",
}
"""The built-in methods by name, in the order in which tables and figures show them, each with its
module in this package and its class."""

COMBINATORS = {
    "warmup": ".combinators.schedules:Warmup",
    "late": ".combinators.schedules:Late",
    "early": ".combinators.schedules:Early",
    "every": ".combinators.schedules:Every",
    "ramp": ".combinators.schedules:Ramp",
    "without": ".combinators.masks:Without",
    "only": ".combinators.masks:Only",
    "clipped": ".combinators.clipping:Clipped",
    "accumulated": ".combinators.accumulation:Accumulated",
    "micro-batches": ".combinators.micro_batches:MicroBatches",
}
"""The methods that are made of another one, which is their first argument, by name."""

METHODS: dict[str, type[Method]]
"""The classes of :data:`BUILT_IN` by name."""

_PUBLIC = {
    where.partition(":")[2]: where for where in (*BUILT_IN.values(), *COMBINATORS.values())
} | {
    "Combinator": ".combinators.combinator:Combinator",
    "DivisibleLoss": ".combinators.accumulation:DivisibleLoss",
    "Schedule": ".combinators.schedules:Schedule",
    "LossFunction": ".step:LossFunction",
    "Method": ".base:Method",
    "PerWorker": ".data_parallel:PerWorker",
    "ScaledLoss": ".scaling:ScaledLoss",
    "Step": ".step:Step",
    "TwoPoint": ".two_point:TwoPoint",
    "scaled_step": ".scaling:scaled_step",
    "stack": ".fleet:stack",
}


def get(name: str, *inside: Method, **parameters: Any) -> Method:
    """The built-in method of that name: ``get("f-gr", gamma=0.1, epsilon=0.05)``, or one made of
    another: ``get("late", get("sam", rho=0.1), share=0.2)``.

    Raises:
        ValueError: no such method, no such parameter, or a value out of range; a method is missing
            inside, or there is one too many.
    """
    places = BUILT_IN | COMBINATORS
    if name not in places:
        near = get_close_matches(name, places, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(places)}"
        raise ValueError(f"no method {name!r}: {hint}")
    if len(inside) != (name in COMBINATORS):
        takes = "one method" if name in COMBINATORS else "no method"
        raise ValueError(f"{name!r} takes {takes} inside, not {len(inside)}")
    cls: type[Method] = _load(places[name])
    known = [*inspect.signature(cls).parameters][len(inside) :]
    for key in parameters:
        if key not in known:
            takes = ", ".join(known) or "no parameters"
            raise ValueError(f"method {name!r} has no parameter {key!r}: it takes {takes}")
    return cls(*inside, **parameters)


def _load(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(import_module(module, __name__), name)


if not TYPE_CHECKING:  # a type checker would take every name for one of this module's

    def __getattr__(name: str) -> Any:
        if name == "METHODS":
            value = {method: _load(where) for method, where in BUILT_IN.items()}
        elif name in _PUBLIC:
            value = _load(_PUBLIC[name])
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
