"""Masks: a method that leaves some of the parameters unperturbed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from torch import Tensor

from ..base import Method
from ..fleet import is_stacked
from ..step import LossFunction
from .combinator import Combinator

VECTORS = "vectors"
"""The pattern of parameters with one axis or none: biases, weights of normalisations."""

SHOWN = 6
"""Names in a refusal, at most."""


class FixedParameters:
    """A loss function that has methods leave some parameters where they are.

    Methods that are ``maskable`` perturb the others alone. All else is as with ``loss_fn``.

    Args:
        loss_fn: see :meth:`Method.backward`.
        fixed: the parameters.
    """

    def __init__(self, loss_fn: LossFunction, fixed: Iterable[Tensor]) -> None:
        self._loss_fn = loss_fn
        self.fixed: frozenset[int] = frozenset(map(id, fixed)) | getattr(loss_fn, "fixed", set())

    def __call__(self) -> Tensor:
        """The loss."""
        return self._loss_fn()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loss_fn, name)  # again, scaler and parts, where it has them


@dataclass(frozen=True)
class _Mask(Combinator):
    """A method on a part of the parameters, which :meth:`begin` finds by their names."""

    fixes: ClassVar[bool]
    """True if the parameters that are named are the ones that stay where they are."""

    method: Method
    names: str | tuple[str, ...] = "vectors"

    _fixed: dict[int, bool] = field(
        default_factory=dict, init=False, repr=False, compare=False, kw_only=True
    )
    """By the ``id`` of every parameter, True if it stays where it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.method.maskable:
            raise ValueError(f"{self.method.name} cannot leave parameters unperturbed")
        patterns = self._patterns
        if not patterns or not all(isinstance(one, str) and one for one in patterns):
            raise ValueError(f"names must be a pattern or a tuple of patterns, not {self.names!r}")

    @property
    def _patterns(self) -> tuple[str, ...]:
        return self.names if isinstance(self.names, tuple) else (self.names,)

    def begin(self, params: Mapping[str, Tensor], steps: int) -> None:
        """See :meth:`Method.begin`.

        Raises:
            ValueError: a pattern matches no parameter, or none is left to be perturbed.
        """
        axes = 1 + is_stacked(self)
        found: set[str] = set()
        for pattern in self._patterns:
            own = {
                name
                for name, p in params.items()
                if (p.ndim <= axes if pattern == VECTORS else fnmatchcase(name, pattern))
            }
            if not own:
                raise ValueError(
                    f"{self.name}: {pattern!r} matches none of the parameters, {_some([*params])}"
                )
            found |= own
        fixed = {id(p): (name in found) == self.fixes for name, p in params.items()}
        if all(fixed.values()):
            raise ValueError(f"{self.name}: no parameter is left to be perturbed")
        object.__setattr__(self, "_fixed", fixed)
        self.method.begin(params, steps)

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`.

        Raises:
            RuntimeError: :meth:`begin` was not called, or with other parameters.
        """
        params = list(params)
        if not all(id(p) in self._fixed for p in params):
            raise RuntimeError(
                f"{self.name} must know the parameters' names: call begin(params, steps) first"
            )
        fixed = FixedParameters(loss_fn, (p for p in params if self._fixed[id(p)]))
        return self.method.backward(fixed, params)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_fixed": {}}


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown}, ... ({len(names)} in all)"


@dataclass(frozen=True)
class Without(_Mask):
    """A method that leaves some parameters unperturbed: their θ' is θ.

    d = what the method makes of g and g', as always, with g' = ∇L(θ') taken with respect to all
    parameters; norms of g, as in SAM's ρ/‖g‖, are over the perturbed ones. For a penalty,
    (γ/2)·‖∇L‖² is over those alone.

    Args:
        method: of the library's own, or one that is ``maskable``.
        names: a pattern (``*.bias``, see :mod:`fnmatch`) that matches the whole of a parameter's
            name, or a tuple of several; ``vectors`` is those with one axis or none, that is biases
            and the weights of normalisations, whatever their names.
    """

    name: ClassVar[str] = "without"
    stackable: ClassVar[bool] = True
    fixes: ClassVar[bool] = True


@dataclass(frozen=True)
class Only(_Mask):
    """A method that perturbs some parameters alone: the others' θ' is θ.

    d = what the method makes of g and g', as in :class:`Without`. In a net whose convolutions have
    no bias, as our residual nets with batch norm, ``vectors`` are the normalisations and one bias.

    Args:
        method: of the library's own, or one that is ``maskable``.
        names: of the perturbed ones, as in :class:`Without`.

    Source: Müller, Vlaar, Rolnick & Hein, NeurIPS 2023 (arXiv 2306.04226): SAM on normalisation
    layers alone.
    """

    name: ClassVar[str] = "only"
    stackable: ClassVar[bool] = True
    fixes: ClassVar[bool] = False
