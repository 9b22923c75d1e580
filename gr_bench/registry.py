"""Names to things: methods, models, datasets and experiments, built in or from other packages.

A package adds to them by entry points in the groups ``gr_bench.methods``, ``gr_bench.models``,
``gr_bench.datasets`` and ``gr_bench.experiments``; a thing that is not packaged can be named where
it stands, as ``my_module:MyMethod``.

Of what is built in, names, parameters and docstrings are known without importing it, and with it
PyTorch: to list it, to check a suite or to refuse a wrong request takes milliseconds.
"""

from __future__ import annotations

import inspect
import os
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import gr_bench.methods
import gr_bench.peers
import gr_bench.workloads.datasets
import gr_bench.workloads.models
from gr_bench.errors import RequestError, unknown
from gr_bench.methods.spelling import spell
from gr_bench.peers import PEERS
from gr_bench.source import read_constants, read_docstring, read_signature
from gr_bench.spec import Spec, parse
from gr_bench.workloads.datasets.content import content_hash

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from torch import nn

    from gr_bench.methods import Method
    from gr_bench.workloads.datasets import Dataset


@dataclass(frozen=True)
class Registry:
    """One kind of thing by name.

    Attributes:
        kind: the word for one of them.
        built_in: each name with the thing itself, or with where it stands, in which case it is
            imported when it is built: ``package.module:Thing``, or ``package.module:Thing(key=1)``
            with the parameters that the name fixes. See :func:`gr_bench.source.read_signature` for
            what can be read of it there.
        unlisted: the same of things that are found by these names, and not among what there is.
    """

    kind: str
    built_in: Mapping[str, str | Callable[..., Any]]
    unlisted: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        yield from self.built_in
        yield from (entry.name for entry in self._entries() if entry.name not in self.built_in)

    def own(self, name: str) -> str | Callable[..., Any] | None:
        """The thing of that name that is ours, or where it stands; None if none is."""
        return self.built_in.get(name) or self.unlisted.get(name)

    def find(self, name: str) -> Callable[..., Any]:
        """The class or function of that name, imported.

        Raises:
            RequestError: there is none, or it cannot be imported.
        """
        if own := self.own(name):
            return _load(parse(own)) if isinstance(own, str) else own
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
        """The spec's parameters checked by name, and what builds it.

        Args:
            spec: name and parameters.
            given: how many leading positional arguments the caller will supply.

        Returns:
            A function of the ``given`` arguments. What is built in is imported when it is called.

        Raises:
            RequestError: no such thing, no such parameter, or one that it needs is not given.
        """
        taken = list(self.signature(spec.name).parameters.values())[given:]
        known = [parameter.name for parameter in taken]
        for key in spec.parameters:
            if key not in known:
                takes = ", ".join(known) or "no parameters"
                raise RequestError(
                    f"{self.kind} {spec.name!r} has no parameter {key!r}: it takes {takes}"
                )
        for parameter in taken:
            if _is_needed(parameter) and parameter.name not in spec.parameters:
                raise RequestError(f"{self.kind} {str(spec)!r} lacks its {parameter.name}")
        return partial(self._build, spec.name, **spec.parameters)

    def signature(self, name: str) -> inspect.Signature:
        """The parameters of the thing of that name; what is built in is not imported for it.

        Raises:
            RequestError: as in :meth:`find`, or it is nothing that can be called.
        """
        thing = self.own(name)
        if isinstance(thing, str):
            where = parse(thing)
            return _without(read_signature(where.name), where.parameters)
        found = self.find(name)
        try:
            return inspect.signature(found)
        except (TypeError, ValueError) as error:
            raise RequestError(f"{self.kind} {name!r} is not one: {error}") from error

    def summary(self, name: str) -> str:
        """The first line of its docstring; what is built in is not imported for it.

        Raises:
            RequestError: as in :meth:`find`.
        """
        thing = self.own(name)
        if isinstance(thing, str):
            text = read_docstring(parse(thing).name)
        else:
            found = self.find(name)
            text = inspect.getdoc(found.func if isinstance(found, partial) else found) or ""
        return text.partition("\n")[0]

    def _build(self, name: str, /, *positional: Any, **parameters: Any) -> Any:
        return self.find(name)(*positional, **parameters)

    def _entries(self) -> tuple[EntryPoint, ...]:
        return plugin_entry_points(f"gr_bench.{self.kind}s")


def _load(where: Spec) -> Callable[..., Any]:
    """The thing that stands there, with its fixed parameters.

    Unlike with ``functools.partial``, a fixed parameter cannot be passed again (TypeError) and
    leaves the signature: a ``resnet-8`` of depth 20 would be recorded under a wrong name.
    """
    thing: Callable[..., Any] = pkgutil.resolve_name(where.name)
    if not where.parameters:
        return thing

    def build(*positional: Any, **parameters: Any) -> Any:
        return thing(*positional, **where.parameters, **parameters)

    signature = _without(inspect.signature(thing), where.parameters)
    build.__signature__ = signature  # type: ignore[attr-defined]
    build.__doc__ = thing.__doc__
    return build


def _is_needed(parameter: inspect.Parameter) -> bool:
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in several


def _without(signature: inspect.Signature, fixed: Mapping[str, object]) -> inspect.Signature:
    free = [p for name, p in signature.parameters.items() if name not in fixed]
    return signature.replace(parameters=free)


def plugin_entry_points(group: str) -> tuple[EntryPoint, ...]:
    """The entry points that installed packages add to a group."""
    return tuple(_select_entry_points()(group=group))


@cache
def _select_entry_points() -> Callable[..., Iterable[EntryPoint]]:
    """The selection of them by group: every package's file is read for it, so once a process."""
    if not any(map(_may_add, sys.path)):
        return lambda **_: ()
    from importlib.metadata import entry_points  # it takes longer than all else in here

    return entry_points().select


def _may_add(place: str) -> bool:
    """True if some package that is installed there may have an entry point for us, at a glance.

    What is no folder is not looked into, and may.
    """
    if not os.path.isdir(place):
        return os.path.exists(place)
    files = Path(place).glob("*.*-info/entry_points.txt")
    return any(b"[gr_bench." in file.read_bytes() for file in files)


def _in(package: ModuleType, table: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{package.__name__}{where}" for name, where in table.items()}


METHODS = Registry(
    "method",
    _in(gr_bench.methods, gr_bench.methods.BUILT_IN),
    {f"gr_bench.peers:{name}": where for name, where in _in(gr_bench.peers, PEERS).items()},
)
MODELS = Registry("model", _in(gr_bench.workloads.models, gr_bench.workloads.models.MODELS))
DATASETS = Registry(
    "dataset", _in(gr_bench.workloads.datasets, gr_bench.workloads.datasets.DATASETS)
)


@cache
def method_parameters() -> tuple[str, ...]:
    """The names of the built-in methods' parameters, each once: those of most methods first."""
    counts = Counter(key for name in METHODS.built_in for key in METHODS.signature(name).parameters)
    return tuple(sorted(counts, key=lambda key: (-counts[key], key)))


def build_method(text: str) -> Method:
    """The method spelled ``text``.

    Raises:
        RequestError: unknown name or parameter, or a value out of range.
    """
    build = METHODS.resolve(parse(text))
    from gr_bench.methods import Method

    try:
        method = build()
    except (TypeError, ValueError) as error:
        raise RequestError(f"method {text!r}: {error}") from error
    if not isinstance(method, Method):
        raise RequestError(f"method {text!r} is no gr_bench.methods.Method")
    return method


def check_method(text: str) -> None:
    """Build the method spelled ``text``, which imports PyTorch, to see that its values are right.

    Raises:
        RequestError: as in :func:`build_method`.
    """
    build_method(text)


def spell_method(text: str) -> str:
    """``text`` with every parameter given, under the name by which it was found.

    A method of ours is not imported for it, and values out of its range go unnoticed: see
    :func:`check_method`.

    Raises:
        RequestError: unknown name or parameter; for a method from elsewhere, as in
            :func:`build_method`.
    """
    spec = parse(text)
    if METHODS.own(spec.name) is None:
        method = build_method(text)
        return spec.name + str(method).removeprefix(method.name)
    METHODS.resolve(spec)
    defaults = {key: p.default for key, p in METHODS.signature(spec.name).parameters.items()}
    return spell(spec.name, defaults | spec.parameters)


def gradient_evaluations(text: str) -> int:
    """Those of a step of the method spelled ``text``, which is not imported for it if it is ours.

    Raises:
        RequestError: as in :func:`spell_method`.
    """
    spec = parse(spell_method(text))
    where = METHODS.own(spec.name)
    if not isinstance(where, str):
        return build_method(text).gradient_evaluations
    constants = read_constants(where)
    off = spec.parameters.get(constants.get("penalty", "")) == 0
    return 1 if off else int(constants["passes"])


def build_model(text: str, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """A fresh model spelled ``text`` for inputs of that shape.

    Raises:
        RequestError: unknown name or parameter, or a value or shape that the model cannot take.
    """
    build = MODELS.resolve(parse(text), given=2)
    try:
        return build(input_shape, num_classes)  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        raise RequestError(f"model {text!r}: {error}") from error


def build_dataset(text: str) -> Dataset:
    """The dataset spelled ``text``, read or made once a process; do not change it.

    One that is read from a user's files is read again when these have changed.

    Raises:
        RequestError: unknown name or parameter, or data that cannot be had.
    """
    DATASETS.resolve(parse(text))
    return _build_dataset(text, content_hash(text))


@cache
def _build_dataset(text: str, content: str | None) -> Dataset:
    build = DATASETS.resolve(parse(text))
    try:
        return build()  # type: ignore[no-any-return]
    except (TypeError, ValueError, OSError) as error:
        raise RequestError(f"dataset {text!r}: {error}") from error
