"""Specs, ``name(key=value)``: the spelling of things in suites, tables and on the command line."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from gr_bench.errors import RequestError
from gr_bench.ranges import Range, from_call, is_range

_NAME = re.compile(r"\s*([\w.:/-]+)\s*")
_KEYWORD = re.compile(r"\s*(?:[^\W\d]\w*\s*=|\)|\*\*)")
"""The beginning of a spec's arguments where they hold no spec first."""

_PIECE = re.compile(
    r"""\"{3}(?:\\.|(?!\"{3})[^\\])*\"{3}|'{3}(?:\\.|(?!'{3})[^\\])*'{3}"""
    r"""|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^"']""",
    re.DOTALL,
)
"""A string, or one character outside of strings."""


@dataclass(frozen=True)
class Spec:
    """A name and its parameters, as in ``mlp(depth=4, width=512)``, or with a spec inside, as in
    ``late(sam(rho=0.1), share=0.2)``.

    Values are Python literals; a sequence is written as a tuple, since a list stands for several
    specs (see :func:`expand`). A range (:mod:`gr_bench.ranges`) stands for numbers to be drawn.
    """

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()
    inner: Spec | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """Its own parameters by name."""
        return dict(self.arguments)

    @property
    def kind(self) -> str:
        """The names alone: ``late(sam)``. Specs of one kind differ in their numbers."""
        return self.name if self.inner is None else f"{self.name}({self.inner.kind})"

    @property
    def frame(self) -> str:
        """All but the numbers of the innermost spec: ``late(sam, share=0.2)``,
        ``SAM(adaptive=True)``. Methods of one frame take as long, and can be trained together.
        """
        if self.inner is None:
            return str(replace(self, arguments=tuple(p for p in self.arguments if _decides(p[1]))))
        return str(replace(self, inner=Spec(self.inner.frame)))

    @property
    def all_parameters(self) -> dict[str, Any]:
        """The parameters of the innermost spec, then those of the others, from the inside out.

        One whose name is taken further inside is called ``NAME_key``, NAME that of its own spec.
        """
        found = {} if self.inner is None else self.inner.all_parameters
        for key, value in self.arguments:
            while key in found:
                key = f"{self.name}_{key}"
            found[key] = value
        return found

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The ranges among its values, from the inside out."""
        inside = () if self.inner is None else self.inner.ranges
        return (*inside, *(value for _, value in self.arguments if isinstance(value, Range)))

    def drawn(self, parts: Iterator[float]) -> Spec:
        """The spec with every range replaced by the number that the next of ``parts`` leads to."""
        inner = None if self.inner is None else self.inner.drawn(parts)
        pairs = (
            (key, value.at(next(parts)) if isinstance(value, Range) else value)
            for key, value in self.arguments
        )
        return replace(self, arguments=tuple(pairs), inner=inner)

    def with_ranges_of(self, other: Spec) -> Spec:
        """The spec with the ranges of another one that is made of the same things."""
        own = {key: value for key, value in other.arguments if isinstance(value, Range)}
        inner = self.inner
        if inner is not None and other.inner is not None:
            inner = inner.with_ranges_of(other.inner)
        pairs = ((key, own.get(key, value)) for key, value in self.arguments)
        return replace(self, arguments=tuple(pairs), inner=inner)

    def __str__(self) -> str:
        arguments = [f"{key}={value!r}" for key, value in self.arguments]
        inside = ", ".join(arguments if self.inner is None else [str(self.inner), *arguments])
        return f"{self.name}({inside})" if inside else self.name


def _decides(value: object) -> bool:
    """True of a value that says what is done, and not how much: a string, a truth value, None."""
    return any(map(_decides, value)) if isinstance(value, tuple) else not _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_number(name: str) -> bool:
    """True of what was read as a name and is a number, as in ``sam(0.1)``."""
    try:
        float(name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def parse(text: str) -> Spec:
    """Read one spec. The last few thousand are remembered: tables ask for the same ones row by row.

    Raises:
        RequestError: the text is not of the form ``name(key=value, ...)`` or
            ``name(spec, key=value, ...)``, or a range in it has bad ends.
    """
    try:
        spec, end = _read(text, 0)
    except RequestError as error:
        raise RequestError(f"{text!r}: {error}") from error
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise _not_a_spec(text) from error
    if end != len(text):
        raise _not_a_spec(text)
    return spec


def _read(text: str, start: int) -> tuple[Spec, int]:
    """The spec that begins at ``start``, and its end, spaces after it included.

    Raises:
        ValueError: there is none; and what ``ast.literal_eval`` raises.
    """
    found = _NAME.match(text, start)
    if found is None:
        raise ValueError("no name")
    end = found.end()
    if not text.startswith("(", end):
        return Spec(found[1]), end
    place, inner = end + 1, None
    if _KEYWORD.match(text, place) is None:
        inner, place = _read(text, place)
        if text.startswith(",", place):
            place += 1
        elif not text.startswith(")", place):
            raise ValueError("neither a comma nor a bracket after a spec")
    end = _closing(text, place)
    spaces = len(text[end + 1 :]) - len(text[end + 1 :].lstrip())
    return Spec(found[1], _keywords(text[place:end]), inner), end + 1 + spaces


def _closing(text: str, start: int) -> int:
    """The place of the bracket that closes one opened before ``start``."""
    depth = 0
    for piece in _PIECE.finditer(text, start):
        if piece[0] == ")" and depth == 0:
            return piece.start()
        depth += (piece[0] in "([{") - (piece[0] in ")]}")
    raise ValueError("no closing bracket")


def _keywords(text: str) -> tuple[tuple[str, Any], ...]:
    """``key=value, ...`` read."""
    call = ast.parse(f"_({text})", mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise ValueError("no keywords")
    pairs = [(str(k.arg), _value(k.value)) for k in call.keywords if k.arg]
    if len(pairs) != len(call.keywords) or len(dict(pairs)) != len(pairs):
        raise ValueError("no keyword, or one twice")
    return tuple(pairs)


def _value(node: ast.expr) -> Any:
    """A literal, or a range."""
    return from_call(node) if is_range(node) else ast.literal_eval(node)


def expand(text: str) -> list[Spec]:
    """Read a spec in which a list stands for several: ``f-gr(gamma=[0.1, 0.3])`` gives two.

    Raises:
        RequestError: as in :func:`parse`, or a list is empty.
    """
    found = _expanded(parse(text))
    if not found:
        raise RequestError(f"{text!r} has an empty list: give at least one value")
    return found


def _expanded(spec: Spec) -> list[Spec]:
    """The specs that one stands for, its last key varying fastest; none if a list is empty."""
    inside = [None] if spec.inner is None else _expanded(spec.inner)
    choices = [value if isinstance(value, list) else [value] for _, value in spec.arguments]
    keys = [key for key, _ in spec.arguments]
    return [
        Spec(spec.name, tuple(zip(keys, values, strict=True)), inner)
        for inner, *values in itertools.product(inside, *choices)
    ]


def _not_a_spec(text: str) -> RequestError:
    return RequestError(f"cannot read {text!r}: write name(key=value), as in mlp(depth=4)")
