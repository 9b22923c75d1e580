"""The spelling of a method and its numbers: ``f-gr(gamma=0.1, epsilon=0.05)``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import TypeGuard


def spell(name: str, parameters: Mapping[str, object], inside: str = "") -> str:
    """A name with its parameters, each number in the shortest form that reads back as its value.

    Args:
        name: of a method.
        parameters: its own.
        inside: the spelling of the method that it is made of, if it is.
    """
    arguments = [f"{key}={_short(value)}" for key, value in parameters.items()]
    listed = ", ".join([inside, *arguments] if inside else arguments)
    return f"{name}({listed})" if listed else name


def is_number(value: object) -> TypeGuard[float]:
    """True if a value is a finite real number; a truth value is none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _short(value: object) -> str:
    """1 for 1, for 1.0 and for NumPy's 1."""
    if isinstance(value, Real) and is_number(value):
        number = float(value)
        return f"{number:g}" if float(f"{number:g}") == number else repr(number)
    return repr(value)
