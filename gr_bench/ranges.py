"""Ranges, ``log(0.01, 0.5)``: numbers that are drawn, and not listed."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass

from gr_bench.errors import RequestError

SCALES = ("log", "uniform")
DIGITS = 3
"""Significant digits of what is drawn, so that spellings stay short."""


@dataclass(frozen=True)
class Range:
    """A range to draw from: ``log(0.01, 0.5)``, alike in the logarithm, or ``uniform(0.8, 0.99)``.

    Raises:
        RequestError: its ends are no finite numbers in rising order; of ``log``, above 0.
    """

    scale: str
    low: float
    high: float

    def __post_init__(self) -> None:
        ends = (self.low, self.high)
        is_log = self.scale == "log"
        if not (all(map(math.isfinite, ends)) and self.low < self.high):
            raise RequestError(f"{self} is no range: give its low end, then its high end")
        if is_log and self.low <= 0:
            raise RequestError(f"{self} is no range: of log, both ends are above 0")

    def at(self, part: float) -> float:
        """The number that ``part`` of the way, from 0 to 1, leads to, to :data:`DIGITS` digits.

        low·(high/low)^part of ``log``, low + part·(high - low) of ``uniform``; never past an end.
        """
        if self.scale == "log":
            exact = self.low * (self.high / self.low) ** part
        else:
            exact = self.low + part * (self.high - self.low)
        return min(max(float(f"{exact:.{DIGITS}g}"), self.low), self.high)

    def __repr__(self) -> str:
        return f"{self.scale}({_short(self.low)}, {_short(self.high)})"


def _short(number: float) -> str:
    """The shortest form that reads back as the number."""
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)


def is_range(node: ast.AST) -> bool:
    """True of a call with two numbers, which :func:`from_call` reads."""
    return isinstance(node, ast.Call) and len(node.args) == 2 and not node.keywords


def from_call(node: ast.AST) -> Range:
    """The range that a call spells.

    Raises:
        RequestError: another name, or bad ends.
        ValueError: it is no call of a name with two numbers.
    """
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and is_range(node)):
        raise ValueError("no range")
    low, high = map(ast.literal_eval, node.args)
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high)):
        raise ValueError("no numbers")
    if node.func.id not in SCALES:
        raise RequestError(
            f"there is no range {node.func.id!r}: write log({low}, {high}) or "
            f"uniform({low}, {high})"
        )
    return Range(node.func.id, float(low), float(high))


def parse_range(text: str) -> Range:
    """Read ``log(0.01, 0.5)``.

    Raises:
        RequestError: it is no range.
    """
    try:
        return from_call(ast.parse(text.strip(), mode="eval").body)
    except RequestError:
        raise
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise RequestError(
            f"cannot read {text!r}: write a range as log(0.01, 0.5) or uniform(0.8, 0.99)"
        ) from error
