"""Names to things: methods, models, datasets and experiments, built in or from elsewhere.

A package adds to them by entry points in the groups ``gr_bench.methods``, ``gr_bench.models``,
``gr_bench.datasets`` and ``gr_bench.experiments``. A thing that is not packaged is named where it
stands, as ``my_file.py:MyMethod`` (beside the suite or in the current folder, or an absolute path)
or ``my_module:MyMethod``. A plug-in is a class or a function:

- a method: a frozen dataclass derived from :class:`gr_bench.methods.Method`, whose fields are its
  numbers, or a function ``def method(**parameters) -> Method``;
- a model: ``def model(input_shape, num_classes, **parameters) -> nn.Module``;
- a dataset: ``def data(**parameters) -> gr_bench.workloads.datasets.Dataset``.

Where it was found is no part of a cell: in cells, tables and figures it goes by its displayed name
(:meth:`Registry.admit`), beside a hash of its source.

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
from gr_bench.plugins import place, rules
from gr_bench.plugins.place import PlugIn
from gr_bench.plugins.source import is_installed, root_folder, source_hash
from gr_bench.source import read_constants, read_docstring, read_signature
from gr_bench.spec import Spec, parse

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
    admitted: dict[str, PlugIn] = field(default_factory=dict, compare=False)
    """Plug-ins by the names that cells have for them (:meth:`admit`), the last of each name."""

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
        if plugin := self.admitted.get(name):
            return self._find_admitted(plugin)
        if self._entry(name) or place.is_place(name):
            return self._import(name)[0]  # type: ignore[no-any-return]
        raise unknown(self.kind, name, self)

    def admit(self, name: str) -> str:
        """The name by which cells, tables and figures have a thing; it then finds it, too.

        That of what is built in, and that of an entry point, is as it is. What is named where it
        stands goes by its class's own ``name`` or, without one, by that of the class or function.

        Raises:
            RequestError: as in :meth:`find`; it breaks a rule of :mod:`gr_bench.plugins.rules`; or
                the suite at hand has another thing of that name.
        """
        near = place.neighbourhood()
        if self.own(name) is not None:
            return name
        entry = self._entry(name)
        if entry is None and not place.is_place(name):
            known = self.admitted.get(name)
            if known is None or not (near is None or (self.kind, name) in near.found):
                raise unknown(self.kind, name, self)
            return name
        where = name if entry else place.absolute(name)
        thing, module = self._import(where)
        shown = name if entry else rules.displayed_name(self.kind, thing, where)
        if not entry and shown in self:
            if self.find(shown) is thing:
                return self.admit(shown)
            raise RequestError(
                f"{self.kind} {where!r} goes by the name {shown!r}, which is taken: "
                'write name: ClassVar[str] = "another-name"'
            )
        self._check(thing, where)
        folder = "" if module is None else root_folder(module)
        if is_installed(Path(folder)):
            folder = ""
        source = source_hash(thing, module)
        if _SOURCES.setdefault(id(thing), source) != source:
            raise RequestError(
                f"{self.kind} {where!r} has changed since it was imported here: start Python anew"
            )
        plugin = PlugIn(self.kind, shown, where, source, folder)
        _LOADED[plugin] = thing
        if near is not None:
            other = near.found.setdefault((self.kind, shown), plugin)
            if other.where != where and self._import(other.where)[0] is not thing:
                raise RequestError(
                    f"{self.kind}s {other.where!r} and {where!r} both go by the name {shown!r}: "
                    'write name: ClassVar[str] = "another-name" in one of them'
                )
        self.admitted[shown] = plugin
        return shown

    def source(self, name: str) -> str:
        """The stamp of a plug-in that was admitted (:func:`gr_bench.plugins.place.stamp`), with
        the hash of its source; empty for what is built in.
        """
        plugin = self.admitted.get(name)
        return place.stamp(plugin) if plugin and self.own(name) is None else ""

    def placed(self, text: str) -> str:
        """The spec ``text`` with a plug-in's name replaced by the place where it stands."""
        spec = parse(text)
        plugin = self.admitted.get(spec.name)
        if plugin is None or self.own(spec.name) is not None:
            return text
        return str(Spec(plugin.where, spec.arguments))

    def _check(self, thing: Any, where: str) -> None:
        if self.kind == "method" and inspect.isclass(thing):
            rules.check_method_class(thing, where)
        elif self.kind != "experiment":
            rules.check_signature(self.kind, where, self._signature_of(where, thing))

    def _find_admitted(self, plugin: PlugIn) -> Callable[..., Any]:
        """The thing that was admitted, here or in the process that began the run.

        Raises:
            RequestError: it cannot be imported, or its source is another one by now.
        """
        if plugin not in _LOADED:
            thing, module = self._import(plugin.where, plugin.folder)
            if source_hash(thing, module) != plugin.source:
                raise RequestError(
                    f"source of {plugin.where} has changed while the run was going on: run it again"
                )
            _LOADED[plugin] = thing
        return _LOADED[plugin]  # type: ignore[no-any-return]

    def _import(self, where: str, folder: str = "") -> tuple[Any, ModuleType | None]:
        """The thing at a place, and the module by which it is named; None for an entry point.

        Raises:
            RequestError: it cannot be imported.
        """
        try:
            if entry := self._entry(where):
                return entry.load(), None
            where = place.absolute(where)
            thing = place.load(where, folder)
            return thing, place.load_module(where.rpartition(":")[0])
        except (Exception, SystemExit) as error:  # importing runs somebody's code
            if isinstance(error, RequestError):
                raise
            why = rules.import_hint(error)
            raise RequestError(f"{self.kind} {where!r} cannot be imported: {why}") from error

    def resolve(self, spec: Spec, *, given: int = 0) -> Callable[..., Any]:
        """The spec's parameters checked by name, and what builds it.

        Args:
            spec: name and parameters.
            given: how many leading positional arguments the caller will supply.

        Returns:
            A function of the ``given`` arguments. What is built in is imported when it is called.

        Raises:
            RequestError: no such thing, or no such parameter.
        """
        signature = self.signature(spec.name)
        free = list(signature.parameters.values())[given:]
        known = [p.name for p in free if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        takes_any = any(p.kind is p.VAR_KEYWORD for p in free)
        for key in spec.parameters:
            if key not in known and not takes_any:
                takes = ", ".join(known) or "no parameters"
                raise RequestError(
                    f"{self.kind} {spec.name!r} has no parameter {key!r}: it takes {takes}"
                )
        try:
            signature.bind(*range(given), **spec.parameters)
        except TypeError as error:
            raise RequestError(f"{self.kind} {spec.name!r}: {error}") from error
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
        return self._signature_of(name, self.find(name))

    def _signature_of(self, name: str, thing: Any) -> inspect.Signature:
        try:
            return inspect.signature(thing)
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

    def _entry(self, name: str) -> EntryPoint | None:
        return next((entry for entry in self._entries() if entry.name == name), None)

    def _entries(self) -> tuple[EntryPoint, ...]:
        return plugin_entry_points(f"gr_bench.{self.kind}s")


_LOADED: dict[PlugIn, Any] = {}
"""Plug-ins that this process has imported: a run goes on with them, whatever becomes of files."""

_SOURCES: dict[int, str] = {}
"""By the ``id`` of a thing, the hash of its source when it was first asked for."""


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

REGISTRIES = (METHODS, MODELS, DATASETS)


def admitted(*more: Registry) -> list[PlugIn]:
    """The plug-ins that this process goes by name, for another one to :func:`adopt`."""
    return [plugin for things in (*REGISTRIES, *more) for plugin in things.admitted.values()]


def adopt(plugins: Iterable[PlugIn], *more: Registry) -> None:
    """Have plug-ins found by the names that they were admitted under; none is imported for it."""
    for plugin in plugins:
        for things in (*REGISTRIES, *more):
            if things.kind == plugin.kind:
                things.admitted[plugin.name] = plugin


@cache
def method_parameters() -> tuple[str, ...]:
    """The names of the built-in methods' parameters, each once: those of most methods first."""
    counts = Counter(key for name in METHODS.built_in for key in METHODS.signature(name).parameters)
    return tuple(sorted(counts, key=lambda key: (-counts[key], key)))


def build_method(text: str) -> Method:
    """The method spelled ``text``.

    Raises:
        RequestError: unknown name or parameter, a value out of range, or a class that breaks a rule
            (:func:`gr_bench.plugins.rules.check_method_class`).
    """
    spec = parse(text)
    build = METHODS.resolve(spec)
    ours = METHODS.own(spec.name) is not None
    if not ours and inspect.isclass(thing := METHODS.find(spec.name)):
        rules.check_method_class(thing, spec.name)
    from gr_bench.methods import Method

    try:
        method = build()
    except (TypeError, ValueError, SystemExit) as error:
        raise RequestError(f"method {text!r}: {str(error) or type(error).__name__}") from error
    if not isinstance(method, Method):
        raise RequestError(f"method {text!r} is no gr_bench.methods.Method")
    if not (ours or type(method).__module__.startswith("gr_bench.")):
        rules.check_method_class(type(method), spec.name)
    return method


def check_method(text: str) -> None:
    """Build the method spelled ``text``, which imports PyTorch, to see that its values are right.

    Raises:
        RequestError: as in :func:`build_method`.
    """
    build_method(text)


def spell_method(text: str) -> str:
    """``text`` with every parameter given, under the name that tables have for the method.

    A method of ours is not imported for it, and values out of its range go unnoticed: see
    :func:`check_method`. One from elsewhere is admitted (:meth:`Registry.admit`).

    Raises:
        RequestError: unknown name or parameter; for a method from elsewhere, as in
            :meth:`Registry.admit` and :func:`build_method`.
    """
    spec = parse(text)
    if METHODS.own(spec.name) is None:
        spec = Spec(METHODS.admit(spec.name), spec.arguments)
        method, thing = build_method(str(spec)), METHODS.find(spec.name)
        parameters = method.parameters
        if not inspect.isclass(thing):
            takes = inspect.signature(thing).parameters
            defaults = {key: p.default for key, p in takes.items() if p.default is not p.empty}
            parameters = defaults | spec.parameters
        rules.check_parameters(text, parameters)
        return spell(spec.name, parameters)
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
        model = build(input_shape, num_classes)
    except (TypeError, ValueError) as error:
        raise RequestError(f"model {text!r}: {error}") from error
    from torch import nn

    if not isinstance(model, nn.Module):
        raise RequestError(f"model {text!r} gives a {type(model).__name__}, and no nn.Module")
    return model


def build_dataset(text: str) -> Dataset:
    """The dataset spelled ``text``, read or made once a process; do not change it.

    Raises:
        RequestError: unknown name or parameter, or data that cannot be had.
    """
    return _build_dataset(text, DATASETS.source(parse(text).name))


@cache
def _build_dataset(text: str, source: str) -> Dataset:
    build = DATASETS.resolve(parse(text))
    try:
        dataset = build()
    except (TypeError, ValueError, OSError) as error:
        raise RequestError(f"dataset {text!r}: {error}") from error
    from gr_bench.workloads.datasets import Dataset

    if not isinstance(dataset, Dataset):
        raise RequestError(
            f"dataset {text!r} gives a {type(dataset).__name__}, and no "
            "gr_bench.workloads.datasets.Dataset"
        )
    return dataset
