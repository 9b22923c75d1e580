"""Names to things: methods, models, datasets and experiments, built in or from other packages.

A package adds to them by entry points in the groups ``gr_bench.methods``, ``gr_bench.models``,
``gr_bench.datasets`` and ``gr_bench.experiments``; a thing that is not packaged can be named where
it stands, as ``my_module:MyMethod``.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from torch import nn

from gr_bench.errors import RequestError, unknown
from gr_bench.methods import METHODS as BUILT_IN_METHODS
from gr_bench.methods import Method
from gr_bench.spec import Spec, parse
from gr_bench.workloads.datasets import DATASETS as BUILT_IN_DATASETS
from gr_bench.workloads.datasets import Dataset
from gr_bench.workloads.models import MODELS as BUILT_IN_MODELS


@dataclass(frozen=True)
class Registry:
    """One kind of thing by name."""

    kind: str
    built_in: Mapping[str, Callable[..., Any]]

    def __iter__(self) -> Iterator[str]:
        yield from self.built_in
        yield from (entry.name for entry in self._entries() if entry.name not in self.built_in)

    def find(self, name: str) -> Callable[..., Any]:
        """The class or function of that name.

        Raises:
            RequestError: there is none, or it cannot be imported.
        """
        if name in self.built_in:
            return self.built_in[name]
        entries = [entry for entry in self._entries() if entry.name == name]
        try:
            if entries:
                return entries[0].load()  # type: ignore[no-any-return]
            if ":" in name:
                return pkgutil.resolve_name(name)  # type: ignore[no-any-return]
        except Exception as error:  # importing runs somebody's code
            raise RequestError(f"{self.kind} {name!r} cannot be imported: {error}") from error
        raise unknown(self.kind, name, self)

    def resolve(self, spec: Spec, *, given: int = 0) -> Callable[..., Any]:
        """The thing with the spec's parameters checked by name.

        Args:
            spec: name and parameters.
            given: how many leading positional arguments the caller will supply.

        Raises:
            RequestError: no such thing, or no such parameter.
        """
        found = self.find(spec.name)
        try:
            known = list(inspect.signature(found).parameters)[given:]
        except (TypeError, ValueError) as error:
            raise RequestError(f"{self.kind} {spec.name!r} is not one: {error}") from error
        for key in spec.parameters:
            if key not in known:
                takes = ", ".join(known) or "no parameters"
                raise RequestError(
                    f"{self.kind} {spec.name!r} has no parameter {key!r}: it takes {takes}"
                )
        return found

    def _entries(self) -> tuple[EntryPoint, ...]:
        return added(f"gr_bench.{self.kind}s")


@cache
def added(group: str) -> tuple[EntryPoint, ...]:
    """The entry points that installed packages add to a group, looked up once a process."""
    return tuple(entry_points(group=group))


METHODS = Registry("method", BUILT_IN_METHODS)
MODELS = Registry("model", BUILT_IN_MODELS)
DATASETS = Registry("dataset", BUILT_IN_DATASETS)


def build_method(text: str) -> Method:
    """The method spelled ``text``.

    Raises:
        RequestError: unknown name or parameter, or a value out of range.
    """
    spec = parse(text)
    cls = METHODS.resolve(spec)
    try:
        method = cls(**spec.parameters)
    except (TypeError, ValueError) as error:
        raise RequestError(f"method {text!r}: {error}") from error
    if not isinstance(method, Method):
        raise RequestError(f"method {text!r} is no gr_bench.methods.Method")
    return method


def spell_method(text: str) -> str:
    """``text`` with every parameter given, under the name by which it was found.

    Raises:
        RequestError: as in :func:`build_method`.
    """
    method = build_method(text)
    return parse(text).name + str(method).removeprefix(method.name)


def build_model(text: str, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """A fresh model spelled ``text`` for inputs of that shape.

    Raises:
        RequestError: unknown name or parameter, or a value or shape that the model cannot take.
    """
    spec = parse(text)
    cls = MODELS.resolve(spec, given=2)
    try:
        return cls(input_shape, num_classes, **spec.parameters)  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        raise RequestError(f"model {text!r}: {error}") from error


@cache
def build_dataset(text: str) -> Dataset:
    """The dataset spelled ``text``, read or made once a process; do not change it.

    Raises:
        RequestError: unknown name or parameter, or data that cannot be had.
    """
    spec = parse(text)
    function = DATASETS.resolve(spec)
    try:
        return function(**spec.parameters)  # type: ignore[no-any-return]
    except (TypeError, ValueError, OSError) as error:
        raise RequestError(f"dataset {text!r}: {error}") from error
