"""SGD under other names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gr_bench.methods import SGD


@dataclass(frozen=True)
class Twin(SGD):
    """SGD."""

    name: ClassVar[str] = "twin"
    stackable: ClassVar[bool] = True
    passes: ClassVar[int] = 1


@dataclass(frozen=True)
class SecondTwin(SGD):
    """SGD."""

    name: ClassVar[str] = "second-twin"
    stackable: ClassVar[bool] = True
    passes: ClassVar[int] = 1


@dataclass(frozen=True)
class TwoStepTwin(SGD):
    """SGD of which two steps count as one: at equal gradient evaluations it is SGD.

    It is given its second step by whoever trains it, as so many epochs more.
    """

    name: ClassVar[str] = "two-step-twin"
    stackable: ClassVar[bool] = True
    passes: ClassVar[int] = 2


TWINS = {twin.name: twin for twin in (Twin, SecondTwin, TwoStepTwin)}


def place(twin: type[SGD]) -> str:
    """The place of a twin, by which a suite would name it."""
    return f"{__name__}:{twin.__name__}"
