"""The lists that ``gr-bench list`` prints."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from functools import partial

from gr_bench import registry
from gr_bench.experiments import EXPERIMENTS
from gr_bench.runs.shipped import shipped


def _named(things: registry.Registry) -> Iterator[tuple[str, str]]:
    for name in things:
        yield name, things.summary(name)


def _suites() -> Iterator[tuple[str, str]]:
    for name, text in shipped().items():
        yield name, str(tomllib.loads(text)["title"])


KINDS: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "methods": partial(_named, registry.METHODS),
    "combinators": partial(_named, registry.COMBINATORS),
    "optimizers": partial(_named, registry.OPTIMIZERS),
    "models": partial(_named, registry.MODELS),
    "datasets": partial(_named, registry.DATASETS),
    "experiments": partial(_named, EXPERIMENTS),
    "suites": _suites,
}
"""The lists there are: each yields names and a line about each."""
