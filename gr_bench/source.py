"""Signatures, docstrings and constants read from source, without importing what they belong to.

To know that ``f-gr`` takes γ and ε is no reason to import PyTorch, which takes seconds.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable
from functools import cache
from inspect import Parameter, Signature, _ParameterKind
from pathlib import Path
from typing import Any


def read_signature(where: str) -> Signature:
    """The signature of ``package.module:Thing``, without annotations.

    Args:
        where: a function, a class with an ``__init__`` of its own, or a dataclass. Fields of its
            bases are seen where these are in the same module. Defaults must be literals.

    Raises:
        ImportError: there is no such module or no such definition at its top level.
        ValueError: a default is no literal.
    """
    definition = _definition(where)
    if isinstance(definition, ast.FunctionDef):
        return Signature(_arguments(definition.args))
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return Signature(_arguments(node.args)[1:])
    fields = [
        _parameter(name, default, Parameter.POSITIONAL_OR_KEYWORD)
        for name, default in _variables(where, of_class=False).items()
        if not _is_no_parameter(default)
    ]
    return Signature(fields)


def read_constants(where: str) -> dict[str, Any]:
    """The class variables of ``package.module:Class`` that are annotated literals, by name.

    Those of its bases are seen where these are in the same module.

    Raises:
        ImportError: as in :func:`read_signature`.
    """
    return {
        name: value.value
        for name, value in _variables(where, of_class=True).items()
        if isinstance(value, ast.Constant)
    }


def read_annotations(where: str) -> dict[str, str]:
    """The annotations of the parameters of ``package.module:Thing``, by name; none of a dataclass.

    Raises:
        ImportError: as in :func:`read_signature`.
    """
    definition = _definition(where)
    if isinstance(definition, ast.ClassDef):
        made = [n for n in definition.body if getattr(n, "name", None) == "__init__"]
        if not made or not isinstance(made[0], ast.FunctionDef):
            return {}
        definition = made[0]
    given = [*definition.args.args, *definition.args.kwonlyargs]
    return {one.arg: ast.unparse(one.annotation) for one in given if one.annotation}


_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("a whole number", lambda v: isinstance(v, int) and not isinstance(v, bool)),
    "float": ("a number", lambda v: isinstance(v, int | float) and not isinstance(v, bool)),
    "bool": ("True or False", lambda v: isinstance(v, bool)),
    "str": ("a string", lambda v: isinstance(v, str)),
    "None": ("None", lambda v: v is None),
    "os.PathLike[str]": ("a path", lambda v: isinstance(v, str)),
    "Sequence[int]": (
        "whole numbers in brackets, as (3, 32, 32)",
        lambda v: isinstance(v, tuple | list) and all(type(one) is int for one in v),
    ),
    "Sequence[str]": (
        "strings in brackets, as ('a', 'b')",
        lambda v: isinstance(v, tuple | list) and all(isinstance(one, str) for one in v),
    ),
}
"""By an annotation of ours, its values in words and a test of one."""


def refused(annotation: str, value: object) -> str:
    """The values of an annotation in words; "" if this one is right, or nothing is known of it."""
    parts = annotation.split(" | ")
    if not all(part in _TYPES for part in parts) or any(_TYPES[part][1](value) for part in parts):
        return ""
    return " or ".join(dict.fromkeys(_TYPES[part][0] for part in parts))


def read_docstring(where: str) -> str:
    """The docstring of ``package.module:Thing``, as :func:`inspect.getdoc` has it; "" if none.

    Raises:
        ImportError: as in :func:`read_signature`.
    """
    return ast.get_docstring(_definition(where)) or ""


def _definition(where: str) -> ast.ClassDef | ast.FunctionDef:
    module, _, name = where.partition(":")
    for node in _parsed(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
    raise ImportError(f"module {module!r} defines no {name!r}")


def _variables(where: str, *, of_class: bool) -> dict[str, ast.expr | None]:
    """The annotated names in a class and its bases, and their values: class variables, or not."""
    return {
        line.target.id: line.value
        for cls in _lineage(where)
        for line in cls.body
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and ast.unparse(line.annotation).startswith("ClassVar") == of_class
    }


def _lineage(where: str) -> list[ast.ClassDef]:
    """A class and, before it, its bases in the same module."""
    module, _, _ = where.partition(":")
    definition = _definition(where)
    if not isinstance(definition, ast.ClassDef):
        return []
    here = {node.name for node in _parsed(module).body if isinstance(node, ast.ClassDef)}
    bases = [base.id for base in reversed(definition.bases) if isinstance(base, ast.Name)]
    found = [cls for base in bases if base in here for cls in _lineage(f"{module}:{base}")]
    return [*found, definition]


@cache
def _parsed(module: str) -> ast.Module:
    found = importlib.util.find_spec(module)  # imports the packages around the module alone
    if found is None or found.origin is None:
        raise ImportError(f"no source of module {module!r}")
    return ast.parse(Path(found.origin).read_text(encoding="utf-8"))


def _arguments(given: ast.arguments) -> list[Parameter]:
    without = len(given.args) - len(given.defaults)
    defaults: list[ast.expr | None] = [*[None] * without, *given.defaults]
    return [
        *(
            _parameter(argument.arg, default, Parameter.POSITIONAL_OR_KEYWORD)
            for argument, default in zip(given.args, defaults, strict=True)
        ),
        *(
            _parameter(argument.arg, default, Parameter.KEYWORD_ONLY)
            for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        ),
    ]


def _is_no_parameter(default: ast.expr | None) -> bool:
    """True of ``field(init=False)``."""
    return isinstance(default, ast.Call) and any(
        given.arg == "init" and ast.literal_eval(given.value) is False for given in default.keywords
    )


def _parameter(name: str, default: ast.expr | None, kind: _ParameterKind) -> Parameter:
    value = Parameter.empty if default is None else ast.literal_eval(default)
    return Parameter(name, kind, default=value)
