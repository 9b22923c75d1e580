from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from gr_bench.source import read_constants, read_docstring, read_signature

MODULE = '''
from dataclasses import dataclass, field
from typing import ClassVar
import no_such_module_at_all

def function(a, b=(1, -2.5), *, c, d="x", e=None):
    """A function.

        Indented.
    """

class Built(Exception):
    def other(self, x): ...
    def __init__(self, size: int = 3, *, loud: bool = True) -> None: ...

@dataclass(frozen=True)
class Value:
    """A value."""
    gamma: float = 0.1
    name: ClassVar[str] = "value"
    needed: int = 2
    shared = 4
    limit: ClassVar[int | None] = None
    made: ClassVar[dict] = {}

@dataclass(frozen=True)
class Derived(Value, Exception):
    """A derived value."""
    gamma: float = 0.2
    more: bool = True
    name: ClassVar[str] = "derived"
    kept: dict = field(default_factory=dict, init=False)

def computed(a=1 + x): ...
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module whose import fails, and one of the same text, "importable", whose does not."""
    (tmp_path / "read_alone.py").write_text(MODULE)
    text = MODULE.replace("import no_such_module_at_all", "x = 1")
    (tmp_path / "importable.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return "read_alone"


@pytest.mark.parametrize("name", ["function", "Built", "Value", "Derived"])
def test_signature_and_docstring_are_those_that_the_imported_thing_has(
    module: str, name: str
) -> None:
    thing = getattr(importlib.import_module("importable"), name)
    parameters = inspect.signature(thing).parameters.values()
    expected = [p.replace(annotation=p.empty) for p in parameters]
    assert list(read_signature(f"{module}:{name}").parameters.values()) == expected
    own = thing.__doc__ if name != "Built" else ""  # what a base says is not read
    assert read_docstring(f"{module}:{name}") == inspect.cleandoc(own)


def test_constants_of_a_class_are_its_own_and_those_of_its_bases(module: str) -> None:
    assert read_constants(f"{module}:Value") == {"name": "value", "limit": None}
    assert read_constants(f"{module}:Derived") == {"name": "derived", "limit": None}


@pytest.mark.parametrize("where", ["read_alone:Missing", "no_such_module_at_all:Thing"])
def test_what_is_not_there_is_an_import_error(module: str, where: str) -> None:
    with pytest.raises(ImportError):
        read_signature(where)


def test_a_default_that_must_be_computed_is_refused(module: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        read_signature(f"{module}:computed")
