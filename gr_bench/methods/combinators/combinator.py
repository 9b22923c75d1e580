"""The base of methods that are made of another method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from torch import Tensor

from ..base import Method
from ..spelling import spell

INSIDE = "method"
"""The field of a combinator that holds the method inside, and its entry in a state."""


@dataclass(frozen=True)
class Combinator(Method):
    """A method made of another one, which prints as ``late(sam(rho=0.05), share=0.2)``.

    It takes a copy of the method that it is given, with no memory of any training. Subclasses
    declare ``method: Method`` as their first field, and their numbers after it; what they do not
    say otherwise is as in the method inside.
    """

    common: ClassVar[tuple[str, ...]] = ()
    """Numbers that all runs of a fleet must have alike."""

    method: Method

    def __post_init__(self) -> None:
        if not isinstance(self.method, Method):
            raise ValueError(f"{self.name} takes a method first, not {self.method!r}")
        self.put_inside(replace(self.method))
        super().__post_init__()

    def put_inside(self, method: Method) -> None:
        """Have ``method`` as the one inside, and its workspace; for a value that is being made."""
        object.__setattr__(self, INSIDE, method)
        object.__setattr__(self, "workspace", method.workspace)

    @property
    def parameters(self) -> dict[str, Any]:
        """Its own numbers by name, in order; those of :attr:`method` are not among them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init and f.name != INSIDE}

    def __str__(self) -> str:
        return spell(self.name, self.parameters, str(self.method))

    # --- what is as in the method inside

    @property
    def needs_second_derivatives(self) -> bool:  # type: ignore[override]
        """See :attr:`Method.needs_second_derivatives`."""
        return self.method.needs_second_derivatives

    @property
    def scalable(self) -> bool:  # type: ignore[override]
        """See :attr:`Method.scalable`."""
        return self.method.scalable

    @property
    def maskable(self) -> bool:  # type: ignore[override]
        """See :attr:`Method.maskable`."""
        return self.method.maskable

    @property
    def clippable(self) -> bool:  # type: ignore[override]
        """See :attr:`Method.clippable`."""
        return self.method.clippable

    @property
    def cycle(self) -> int:
        """See :attr:`Method.cycle`."""
        return self.method.cycle

    @property
    def repeats(self) -> bool:
        """See :attr:`Method.repeats`."""
        return self.method.repeats

    @property
    def gradient_evaluations(self) -> float:
        """See :attr:`Method.gradient_evaluations`."""
        return self.method.gradient_evaluations

    @property
    def forward_passes(self) -> float:
        """See :attr:`Method.forward_passes`."""
        return self.method.forward_passes

    @property
    def keeps_gradient(self) -> bool:
        """See :attr:`Method.keeps_gradient`."""
        return self.method.keeps_gradient

    def passes_in(self, done: int, steps: int) -> float:
        """See :meth:`Method.passes_in`."""
        return self.method.passes_in(done, steps)

    def begin(self, params: Mapping[str, Tensor], steps: int) -> None:
        """See :meth:`Method.begin`."""
        self.method.begin(params, steps)

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`Method.state_dict`; that of the method inside is its entry ``method``."""
        return self.state | {INSIDE: self.method.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`Method.load_state_dict`."""
        super().load_state_dict({key: value for key, value in state.items() if key != INSIDE})
        self.method.load_state_dict(state.get(INSIDE, {}))
