"""Checks of the parameters that models and datasets are built with."""

from __future__ import annotations

from collections.abc import Sequence


def check_positive(**values: object) -> None:
    """Raise ValueError for the first value that is not a whole number of at least 1."""
    for name, value in values.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


def check_dropout(dropout: float) -> None:
    """Raise ValueError unless ``dropout`` is a probability below 1."""
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, not {dropout!r}")


def check_shape(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    """``sizes`` as a tuple; ValueError if it is empty or has an entry below 1."""
    shape = tuple(sizes)
    if not shape or any(not isinstance(size, int) or size < 1 for size in shape):
        raise ValueError(f"{name} must hold whole numbers of at least 1, not {list(shape)}")
    return shape
