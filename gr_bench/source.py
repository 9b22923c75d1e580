"""Signatures and docstrings read from source text, without importing what they belong to.

To know that ``f-gr`` takes γ and ε is no reason to import PyTorch, which takes seconds.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from inspect import Parameter, Signature, _ParameterKind
from pathlib import Path


def read_signature(where: str) -> Signature:
    """The signature of ``package.module:Thing``, without annotations.

    Args:
        where: a function, a class with an ``__init__``, or a dataclass whose fields stand in its
            own body (those of its bases are not seen). Defaults must be literals.

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
    return Signature(_fields(definition))


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


def _fields(definition: ast.ClassDef) -> list[Parameter]:
    return [
        _parameter(node.target.id, node.value, Parameter.POSITIONAL_OR_KEYWORD)
        for node in definition.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not ast.unparse(node.annotation).startswith("ClassVar")
    ]


def _parameter(name: str, default: ast.expr | None, kind: _ParameterKind) -> Parameter:
    value = Parameter.empty if default is None else ast.literal_eval(default)
    return Parameter(name, kind, default=value)
