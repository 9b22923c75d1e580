"""Specs, ``name(key=value)``: the spelling of things in suites, tables and on the command line."""

from __future__ import annotations

import ast
import itertools
import re
from dataclasses import dataclass
from typing import Any

from gr_bench.errors import RequestError

_SHAPE = re.compile(r"\s*(?P<name>[\w.:/-]+)\s*(?:\((?P<arguments>.*)\))?\s*", re.DOTALL)


@dataclass(frozen=True)
class Spec:
    """A name and its parameters, as in ``mlp(depth=4, width=512)``.

    Values are Python literals; a sequence is written as a tuple, since a list stands for several
    specs (see :func:`expand`).
    """

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name."""
        return dict(self.arguments)

    def __str__(self) -> str:
        inner = ", ".join(f"{key}={value!r}" for key, value in self.arguments)
        return f"{self.name}({inner})" if inner else self.name


def parse(text: str) -> Spec:
    """Read one spec.

    Raises:
        RequestError: the text is not of the form ``name(key=value, ...)``.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise _not_a_spec(text)
    try:
        call = ast.parse(f"_({match['arguments'] or ''})", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise _not_a_spec(text)
        pairs = [(str(k.arg), ast.literal_eval(k.value)) for k in call.keywords if k.arg]
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise _not_a_spec(text) from error
    if len(pairs) != len(call.keywords) or len(dict(pairs)) != len(pairs):
        raise _not_a_spec(text)
    return Spec(match["name"], tuple(pairs))


def expand(text: str) -> list[Spec]:
    """Read a spec in which a list stands for several: ``f-gr(gamma=[0.1, 0.3])`` gives two.

    Raises:
        RequestError: as in :func:`parse`, or a list is empty.
    """
    spec = parse(text)
    choices = [value if isinstance(value, list) else [value] for _, value in spec.arguments]
    if not all(choices):
        raise RequestError(f"{text!r} has an empty list: give at least one value")
    keys = [key for key, _ in spec.arguments]
    return [
        Spec(spec.name, tuple(zip(keys, values, strict=True)))
        for values in itertools.product(*choices)
    ]


def _not_a_spec(text: str) -> RequestError:
    return RequestError(f"cannot read {text!r}: write name(key=value), as in mlp(depth=4)")
