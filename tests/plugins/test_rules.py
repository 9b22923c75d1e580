"""Plug-ins that would be measured wrong are refused, with the line that is right."""

from __future__ import annotations

import pytest
from plugin_files import Write

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.registry import DATASETS, MODELS

HEAD = """
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar
from gr_bench.methods import SGD, Method
from gr_bench.workloads.datasets.random import random_images
"""
FIELDS = "its numbers as fields: scale: float = 1.0"
REFUSED = {
    "a class with an __init__": (
        "class Mine(SGD):\n    def __init__(self, scale=1.0): super().__init__()",
        rf"__init__ of its own: write @dataclass\(frozen=True\) above class Mine, .*{FIELDS}",
    ),
    "a dataclass with an __init__": (
        "@dataclass(frozen=True)\nclass Mine(SGD):\n    def __init__(self): super().__init__()",
        "has an __init__ of its own",
    ),
    "no dataclass": (
        "class Mine(SGD):\n    scale: float = 1.0",
        rf"is no frozen dataclass: write @dataclass\(frozen=True\) above class Mine, .*{FIELDS}",
    ),
    "no method": ("class Mine: pass", r"write class Mine\(Method\)"),
    "memory in a field": (
        "@dataclass(frozen=True)\nclass Mine(SGD):\n"
        "    mean: list = field(default_factory=list, init=False)",
        r'mean of class Mine would be lost .* write self.state\["mean"\]',
    ),
    "a list": (
        "@dataclass(frozen=True)\nclass Mine(SGD):\n    scales: list = field(default_factory=list)",
        "scales is a list: a parameter must be a number",
    ),
    "a list in a tuple": (
        "@dataclass(frozen=True)\nclass Mine(SGD):\n    scales: tuple = (1, [2])",
        "scales is a tuple: a parameter must be a number",
    ),
    "no passes": (
        "@dataclass(frozen=True)\nclass Mine(Method):\n"
        "    def backward(self, loss_fn, params): return loss_fn()",
        r"write passes: ClassVar\[int\] = 2 in class Mine",
    ),
    "a name that is a field": (
        '@dataclass(frozen=True)\nclass Mine(SGD):\n    name: str = "mine"',
        r"write name: ClassVar\[str\] = \.\.\.",
    ),
    "a name that cannot be spelled": (
        '@dataclass(frozen=True)\nclass Mine(SGD):\n    name: ClassVar[str] = "my method"',
        "its name 'my method' must be a letter and then",
    ),
    "a function with a list": (
        "def Mine(scales=[1]): return SGD()",
        "scales is a list: a parameter must be a number",
    ),
    "a function that makes such a class": (
        "class Own(SGD):\n    def __init__(self): super().__init__()\ndef Mine(): return Own()",
        "class Own has an __init__ of its own",
    ),
    "a parameter that is needed": (
        "@dataclass(frozen=True)\nclass Mine(SGD):\n    scale: float",
        "'mine.py:Mine' lacks its scale",
    ),
    "a constructor that ends the program": ("def Mine(): raise SystemExit", "SystemExit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_method_that_would_be_measured_wrong_is_refused(write: Write, case: str) -> None:
    text, words = REFUSED[case]
    write("mine.py", HEAD + text)
    with pytest.raises(RequestError, match=words) as caught:
        registry.spell_method("mine.py:Mine")
    assert "\n" not in str(caught.value)


ACCEPTED = {
    "state of its own": (
        "@dataclass(frozen=True)\nclass Mine(SGD):\n"
        "    mean: list = field(default_factory=list, init=False)\n"
        "    def state_dict(self): return {'mean': self.mean}",
        "Mine",
    ),
    "plain values of every kind": (
        "@dataclass(frozen=True)\nclass Mine(SGD):\n    a: int = 1\n    b: str = 'x'\n"
        "    c: bool = True\n    d: Any = None\n    e: tuple = (1, (2.5, 'y'))",
        "Mine(a=1, b='x', c=True, d=None, e=(1, (2.5, 'y')))",
    ),
    "passes that it counts itself": (
        "@dataclass(frozen=True)\nclass Mine(Method):\n"
        "    def backward(self, loss_fn, params): return loss_fn()\n"
        "    @property\n    def gradient_evaluations(self): return 1.5",
        "Mine",
    ),
    "keywords of any name": ("def Mine(**numbers): return SGD()", "Mine"),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_method_that_is_right_is_not(write: Write, case: str) -> None:
    text, spelled = ACCEPTED[case]
    write("mine.py", HEAD + text)
    assert registry.spell_method("mine.py:Mine") == spelled
    assert str(registry.build_method(spelled)).startswith(("Mine", "sgd"))


def test_a_spelling_reads_back_as_the_same_value(write: Write) -> None:
    write("mine.py", HEAD + ACCEPTED["plain values of every kind"][0])
    text = "mine.py:Mine(a=3, b='it\\'s', c=False, e=(1, ()))"
    assert registry.build_method(registry.spell_method(text)) == registry.build_method(text)


@pytest.mark.parametrize("text", ["def net(depth=2): ...", "def net(input_shape): ..."])
def test_a_model_that_takes_no_shape_is_refused(write: Write, text: str) -> None:
    write("mine.py", text)
    with pytest.raises(RequestError, match=r"write def .*\(input_shape, num_classes\)"):
        MODELS.admit("mine.py:net")


def test_a_model_and_a_data_set_of_another_type_are_refused(write: Write) -> None:
    write("mine.py", "def net(input_shape, num_classes): return 3\ndef data(): return {}")
    MODELS.admit("mine.py:net")
    DATASETS.admit("mine.py:data")
    with pytest.raises(RequestError, match=r"model 'net' gives a int, and no nn.Module"):
        registry.build_model("net", (3,), 2)
    with pytest.raises(RequestError, match=r"dataset 'data' gives a dict, and no .*Dataset"):
        registry.build_dataset("data")
