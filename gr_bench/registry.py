"""Names to things: methods, optimizers, models, datasets, experiments, built in or from elsewhere.

A package adds to them by entry points in the groups ``gr_bench.methods``,
``gr_bench.combinators``, ``gr_bench.optimizers``, ``gr_bench.models``, ``gr_bench.datasets``,
``gr_bench.meters`` and ``gr_bench.experiments``. A thing that is not packaged is named where it
stands, as ``my_file.py:MyMethod`` (beside the suite or in the current folder, or an absolute path)
or ``my_module:MyMethod``. A plug-in is a class or a function:

- a method: a frozen dataclass derived from :class:`gr_bench.methods.Method`, whose fields are its
  numbers, or a function ``def method(**parameters) -> Method``; one that is made of another method
  derives from :class:`gr_bench.methods.Combinator`;
- an optimizer: ``def optimizer(params, lr, **parameters) -> torch.optim.Optimizer``; one that wraps
  another (:mod:`gr_bench.peers.wrapped`) is a method;
- a model: ``def model(input_shape, num_classes, **parameters) -> nn.Module``;
- a dataset: ``def data(**parameters) -> gr_bench.workloads.datasets.Dataset``;
- a meter: ``def meter(model, data, **parameters) -> float | dict[str, float]``, read off a
  trained model (:mod:`gr_bench.experiments.generalization.training.meters`);
- an experiment: a class derived from :class:`gr_bench.experiments.experiment.Experiment`.

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
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import gr_bench.methods
import gr_bench.optimizers
import gr_bench.peers
import gr_bench.workloads.datasets
import gr_bench.workloads.models
from gr_bench.errors import RequestError, Unsupported, unknown
from gr_bench.methods.spelling import spell
from gr_bench.peers import BASE_OPTIMIZER, PEERS
from gr_bench.plugins import place, rules
from gr_bench.plugins.place import PlugIn
from gr_bench.plugins.source import is_installed, root_folder, source_hash
from gr_bench.source import (
    read_annotations,
    read_constants,
    read_docstring,
    read_signature,
    refused,
)
from gr_bench.spec import Spec, is_number, parse
from gr_bench.workloads.datasets.content import content_hash

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import torch
    from torch import Tensor, nn

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
        adapt: makes a thing of this kind of one from elsewhere, given its name and itself.
    """

    kind: str
    built_in: Mapping[str, str | Callable[..., Any]]
    unlisted: Mapping[str, str] = field(default_factory=dict)
    adapt: Callable[[str, Callable[..., Any]], Callable[..., Any]] = lambda _, thing: thing
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
            return self.adapt(name, self._import(name)[0])
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
        raw, module = self._import(where)
        thing = self.adapt(where, raw)
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
        source = source_hash(raw, module)
        if _SOURCES.setdefault(id(raw), source) != source:
            raise RequestError(
                f"{self.kind} {where!r} has changed since it was imported here: start Python anew"
            )
        plugin = PlugIn(self.kind, shown, where, source, folder)
        _LOADED[plugin] = thing
        if near is not None:
            other = near.found.setdefault((self.kind, shown), plugin)
            if other.where != where and self._import(other.where)[0] is not raw:
                raise RequestError(
                    f"{self.kind}s {other.where!r} and {where!r} both go by the name {shown!r}: "
                    'write name: ClassVar[str] = "another-name" in one of them'
                )
        self.admitted[shown] = plugin
        return shown

    def source(self, text: str) -> str:
        """The stamps of plug-ins that were admitted (:func:`gr_bench.plugins.place.stamp`) and of
        which the spec ``text`` is made, with the hashes of their sources; empty if all is built in.
        """
        plugins = [_plugin(things, spec) for things, spec in self._parts(parse(text))]
        return " ".join(place.stamp(plugin) for plugin in plugins if plugin is not None)

    def placed(self, text: str) -> str:
        """The spec ``text`` with plug-ins' names replaced by the places where they stand."""
        placed: Spec | None = None
        for things, spec in reversed([*self._parts(parse(text))]):
            plugin = _plugin(things, spec)
            placed = replace(spec, name=plugin.where if plugin else spec.name, inner=placed)
        return str(placed)

    def _parts(self, spec: Spec) -> Iterator[tuple[Registry, Spec]]:
        """A spec and those inside it, from the outside in, each with the registry of its name."""
        if spec.inner is None:
            yield self, spec
        else:
            yield COMBINATORS, spec
            yield from self._parts(spec.inner)

    def _check(self, thing: Any, where: str) -> None:
        if self.kind in ("method", "combinator") and inspect.isclass(thing):
            rules.check_method_class(thing, where)
        elif self.kind != "experiment":
            rules.check_signature(self.kind, where, self._signature_of(where, thing))

    def _find_admitted(self, plugin: PlugIn) -> Callable[..., Any]:
        """The thing that was admitted, here or in the process that began the run.

        Raises:
            RequestError: it cannot be imported, or its source is another one by now.
        """
        if plugin not in _LOADED:
            raw, module = self._import(plugin.where, plugin.folder)
            if source_hash(raw, module) != plugin.source:
                raise RequestError(
                    f"source of {plugin.where} has changed while the run was going on: run it again"
                )
            _LOADED[plugin] = self.adapt(plugin.where, raw)
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
            place.refuse_closed(where)
            thing = place.load(where, folder)
            rules.check_result(self.kind, thing, where)
            return thing, place.load_module(where.rpartition(":")[0])
        except (Exception, SystemExit) as error:  # importing runs somebody's code
            if isinstance(error, RequestError):
                raise
            why = rules.import_hint(error)
            raise RequestError(f"{self.kind} {where!r} cannot be imported: {why}") from error

    def resolve(self, spec: Spec, *, given: int = 0, complete: bool = True) -> Callable[..., Any]:
        """The spec's parameters checked by name, and what builds it.

        Args:
            spec: name and parameters.
            given: how many leading positional arguments the caller will supply.
            complete: False if the caller will supply more by name, and looks for what is missing.

        Returns:
            A function of the ``given`` arguments. What is built in is imported when it is called.

        Raises:
            RequestError: no such thing, no such parameter, or one that it needs is not given.
        """
        if spec.inner is not None:
            raise RequestError(
                f"{self.kind} {spec.name!r} takes nothing inside: write {spec.name}(key=value), "
                f"not {str(spec)!r}"
            )
        taken = list(self.signature(spec.name).parameters.values())[given:]
        known = [p.name for p in taken if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        takes_any = any(p.kind is p.VAR_KEYWORD for p in taken)
        for key in spec.parameters:
            if key not in known and not takes_any:
                takes = ", ".join(known) or "no parameters"
                raise RequestError(
                    f"{self.kind} {spec.name!r} has no parameter {key!r}: it takes {takes}"
                )
        if ranges := spec.ranges:
            raise RequestError(
                f"{self.kind} {str(spec)!r} has the range {ranges[0]}: only a generalization with "
                "trials draws from ranges, and for methods; list numbers, as [0.1, 0.3]"
            )
        for parameter in taken:
            if complete and _is_needed(parameter) and parameter.name not in spec.parameters:
                raise RequestError(f"{self.kind} {str(spec)!r} lacks its {parameter.name}")
        return partial(self._build, spec.name, **spec.parameters)

    def check_values(self, spec: Spec) -> None:
        """Look whether a spec's values are of their parameters' types, if it is of ours; it is not
        imported for it.

        Raises:
            RequestError: a value that its parameter cannot take, with those that it can.
        """
        where = self.own(spec.name)
        if not isinstance(where, str):
            return
        types = read_annotations(parse(where).name)
        for key, value in spec.parameters.items():
            if right := refused(types.get(key, ""), value):
                raise RequestError(
                    f"{self.kind} {str(spec)!r}: {key} must be {right}, not {value!r}"
                )

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


def _plugin(things: Registry, spec: Spec) -> PlugIn | None:
    """The plug-in of a spec's name; None if it is ours."""
    return None if things.own(spec.name) is not None else things.admitted.get(spec.name)


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


def _as_method(name: str, thing: Callable[..., Any]) -> Callable[..., Any]:
    """A method class of an optimizer that wraps another; anything else as it is.

    Raises:
        RequestError: it is an optimizer, and wraps none.
    """
    import torch

    from gr_bench.methods import Method

    if isinstance(thing, type) and issubclass(thing, Method):
        return thing
    try:
        takes = inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return thing
    if BASE_OPTIMIZER & takes.keys():
        from gr_bench.peers.wrapped import as_method

        return as_method(thing)  # type: ignore[arg-type]  # it is hashable
    if isinstance(thing, type) and issubclass(thing, torch.optim.Optimizer):
        raise RequestError(
            f"method {name!r} is an optimizer without a base optimizer: name it among optimizers"
        )
    return thing


METHODS = Registry(
    "method",
    _in(gr_bench.methods, gr_bench.methods.BUILT_IN),
    {f"gr_bench.peers:{name}": where for name, where in _in(gr_bench.peers, PEERS).items()},
    _as_method,
)
COMBINATORS = Registry("combinator", _in(gr_bench.methods, gr_bench.methods.COMBINATORS))
"""Methods that are made of another one: ``late(sam(rho=0.1), share=0.2)``."""

OPTIMIZERS = Registry("optimizer", _in(gr_bench.optimizers, gr_bench.optimizers.BUILT_IN))
MODELS = Registry("model", _in(gr_bench.workloads.models, gr_bench.workloads.models.MODELS))
DATASETS = Registry(
    "dataset", _in(gr_bench.workloads.datasets, gr_bench.workloads.datasets.DATASETS)
)

METERS = Registry("meter", {})
"""Quantities that are read off a trained model."""

REGISTRIES = (METHODS, COMBINATORS, OPTIMIZERS, MODELS, DATASETS, METERS)


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
    return _build_method(parse(text))


def _build_method(spec: Spec) -> Method:
    things, build = _method_builder(spec)
    inside = [] if spec.inner is None else [_build_method(spec.inner)]
    ours = things.own(spec.name) is not None
    if not ours and inspect.isclass(thing := things.find(spec.name)):
        rules.check_method_class(thing, spec.name)
    from gr_bench.methods import Method

    try:
        method = build(*inside)
    except (TypeError, ValueError, SystemExit) as error:
        why = str(error) or type(error).__name__
        raise RequestError(f"method {str(spec)!r}: {why}") from error
    if not isinstance(method, Method):
        raise RequestError(f"method {str(spec)!r} is no gr_bench.methods.Method")
    if not (ours or type(method).__module__.startswith("gr_bench.")):
        rules.check_method_class(type(method), spec.name)
    return method


def _method_builder(spec: Spec) -> tuple[Registry, Callable[..., Any]]:
    """The registry of a method and what builds it: of the method inside, if there is one.

    Raises:
        RequestError: no such method or parameter; a method is missing inside, or out of place.
    """
    if spec.inner is None:
        if spec.name in COMBINATORS.built_in:
            raise RequestError(f"{spec.name!r} is made of another method, as in {spec.name}(sam)")
        return METHODS, METHODS.resolve(spec)
    if METHODS.own(spec.name) is not None:
        if is_number(spec.inner.name):
            first = next(iter(METHODS.signature(spec.name).parameters), None)
            if first is None:
                raise RequestError(f"method {spec.name!r} has no numbers: write {spec.name}")
            right = f"{spec.name}({first}={spec.inner.name})"
            raise RequestError(f"method {spec.name!r} takes its numbers by name, as in {right}")
        known = ", ".join(COMBINATORS.built_in)
        raise RequestError(f"method {spec.name!r} takes no method inside; these do: {known}")
    return COMBINATORS, COMBINATORS.resolve(replace(spec, inner=None), given=1)


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
    return _spell_method(parse(text))


def _spell_method(spec: Spec) -> str:
    things, _ = _method_builder(spec)
    inside = "" if spec.inner is None else _spell_method(spec.inner)
    if things.own(spec.name) is None:
        name = things.admit(spec.name)
        spec = replace(spec, name=name, inner=parse(inside) if inside else None)
        method, thing = _build_method(spec), things.find(name)
        takes = [*inspect.signature(thing).parameters.values()][bool(inside) :]
        if inspect.isclass(thing):
            parameters = {p.name: getattr(method, p.name) for p in takes}
        else:
            defaults = {p.name: p.default for p in takes if p.default is not p.empty}
            parameters = defaults | spec.parameters
        rules.check_parameters(str(spec), parameters)
        return spell(name, parameters, inside)
    free = [*things.signature(spec.name).parameters.items()][bool(inside) :]
    return spell(spec.name, {key: p.default for key, p in free} | spec.parameters, inside)


def gradient_evaluations(text: str) -> float:
    """Those of a step of the method spelled ``text``, the mean over a cycle where steps differ.

    A method of ours is not imported for it, unless it is made of another one.

    Raises:
        RequestError: as in :func:`spell_method`.
    """
    spec = parse(spell_method(text))
    where = None if spec.inner is not None else METHODS.own(spec.name)
    if not isinstance(where, str):
        return build_method(text).gradient_evaluations
    constants = read_constants(where)
    if spec.parameters.get(constants.get("penalty", "")) == 0:
        return 1
    passes = int(constants["passes"])
    return 1 + (passes - 1) / cycle(text) if constants.get("period") else passes


def cycle(text: str) -> int:
    """Steps after which the method spelled ``text`` does the same again, known as
    :func:`gradient_evaluations` are.

    Raises:
        RequestError: as in :func:`spell_method`.
    """
    spec = parse(spell_method(text))
    where = METHODS.own(spec.name)
    if not isinstance(where, str):
        return build_method(text).cycle
    period = read_constants(where).get("period")
    return int(spec.parameters[period]) if period else 1


def admit_optimizer(text: str) -> str:
    """``text`` under the name by which cells have the optimizer (:meth:`Registry.admit`).

    Raises:
        RequestError: as in :meth:`Registry.admit` and :func:`resolve_optimizer`.
    """
    spec = parse(text)
    resolve_optimizer(text)
    return str(replace(spec, name=OPTIMIZERS.admit(spec.name)))


def resolve_optimizer(text: str) -> Callable[..., Any]:
    """A function of parameters and ``lr`` that builds the optimizer spelled ``text``.

    One of ours is not imported for it, and values out of its range go unnoticed.

    Raises:
        RequestError: unknown name or parameter, or one that is missing.
    """
    spec = parse(text)
    build = OPTIMIZERS.resolve(spec, given=1, complete=False)
    free = list(OPTIMIZERS.signature(spec.name).parameters.values())[1:]
    any_name = any(p.kind is p.VAR_KEYWORD for p in free)
    if "lr" in spec.parameters:
        raise RequestError(f"optimizer {text!r}: leave lr out, learning_rates has them")
    if not any_name and "lr" not in {p.name for p in free}:
        raise RequestError(f"optimizer {text!r} takes no lr, by which it would get a learning rate")
    required = [p.name for p in free if _is_needed(p)]
    if missing := [name for name in required if name not in {"lr", *spec.parameters}]:
        hint = ": name it among methods" if BASE_OPTIMIZER & {*missing} else ""
        raise RequestError(f"optimizer {text!r} needs {' and '.join(missing)}{hint}")
    return build


def check_optimizer(text: str) -> None:
    """Build the optimizer spelled ``text`` of a small matrix, to see that its values are right.

    Raises:
        RequestError: as in :func:`build_optimizer`.
    """
    import torch

    build_optimizer(text, [torch.nn.Parameter(torch.eye(2))], 0.1)


def build_optimizer(
    text: str, params: Iterable[Tensor], learning_rate: float, /, **settings: Any
) -> torch.optim.Optimizer:
    """The optimizer spelled ``text``, of parameters.

    Args:
        text: its spelling, without the learning rate.
        params: of a model.
        learning_rate: given to it as ``lr``.
        settings: further arguments, where ``text`` does not say otherwise.

    Raises:
        RequestError: unknown name or parameter, one that is missing, or it cannot be built.
        Unsupported: it takes none of one of the ``settings``.
    """
    build, spec = resolve_optimizer(text), parse(text)
    for key in settings:
        if key not in OPTIMIZERS.signature(spec.name).parameters:
            raise Unsupported(f"optimizer {spec.name!r} takes no {key}")
    import torch

    try:
        optimizer = build(params, **{"lr": learning_rate, **settings, **spec.parameters})
    except Exception as error:  # building runs somebody's code
        raise RequestError(f"optimizer {text!r}: {error}") from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise RequestError(f"optimizer {text!r} is no torch.optim.Optimizer")
    return optimizer


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

    One that is read from a user's files is read again when these have changed.

    Raises:
        RequestError: unknown name or parameter, or data that cannot be had.
    """
    DATASETS.resolve(parse(text))
    return _build_dataset(text, DATASETS.source(text), content_hash(text))


@cache
def _build_dataset(text: str, source: str, content: str | None) -> Dataset:
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
