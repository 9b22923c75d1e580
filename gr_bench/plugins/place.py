"""Places of things that are not ours, ``package.module:Thing`` and ``my_file.py:Thing``."""

from __future__ import annotations

import hashlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from gr_bench.errors import RequestError
from gr_bench.plugins.source import is_installed_module
from gr_bench.spec import Spec, parse


@dataclass(frozen=True)
class PlugIn:
    """A thing that is not ours, with all that another process needs to find it."""

    kind: str
    name: str
    """In cells, tables and figures."""

    where: str
    """``package.module:Thing``, ``/absolute/my_file.py:Thing``, or an entry point's name."""

    source: str
    """A hash of its source (:func:`gr_bench.plugins.source.source_hash`)."""

    folder: str = ""
    """The folder in which its module or package lies; empty for an entry point."""


def stamp(plugin: PlugIn) -> str:
    """A plug-in as a cell has it: its kind, its name and its source, without a blank."""
    return f"{plugin.kind}:{plugin.name}@{plugin.source}"


def read_stamp(text: str) -> tuple[tuple[str, str], str]:
    """The kind and the name of a plug-in, and its source, from :func:`stamp`."""
    kind, _, rest = text.partition(":")
    name, _, source = rest.rpartition("@")
    return (kind, name), source


@dataclass
class Neighbourhood:
    """The folder of a suite that is being read, and the plug-ins that it has named so far."""

    folder: Path | None
    closed: bool = False
    """True if code outside of what is installed is refused, before it is imported."""

    found: dict[tuple[str, str], PlugIn] = field(default_factory=dict)


_NEAR: ContextVar[Neighbourhood | None] = ContextVar("neighbourhood", default=None)


@contextmanager
def beside(folder: Path | None, *, closed: bool = False) -> Iterator[Neighbourhood]:
    """Look for plug-ins in a suite's folder, too, and note which ones are named.

    Args:
        folder: that of the suite.
        closed: see :class:`Neighbourhood`.
    """
    near = Neighbourhood(folder, closed)
    token = _NEAR.set(near)
    try:
        yield near
    finally:
        _NEAR.reset(token)


def neighbourhood() -> Neighbourhood | None:
    """That of the suite that is being read; None outside of one."""
    return _NEAR.get()


GRID_KEYS = {"baseline": "method"}
"""Keys of a grid that are not called as a kind of thing, or its plural, and the kind they name."""


def renamed(plain: Any, names: Mapping[tuple[str, str], str], kind: str = "") -> Any:
    """A suite's grids as plain data, with plug-ins under other names.

    Args:
        plain: dictionaries, lists and specs.
        names: the new name by kind and by the one that they have.
        kind: of the specs.
    """
    if isinstance(plain, dict):
        kinds = {key: GRID_KEYS.get(key, key.removesuffix("s")) for key in plain}
        return {key: renamed(value, names, kinds[key]) for key, value in plain.items()}
    if isinstance(plain, list):
        return [renamed(value, names, kind) for value in plain]
    return _renamed(plain, names, kind) if isinstance(plain, str) else plain


def _renamed(text: str, names: Mapping[tuple[str, str], str], kind: str) -> str:
    try:
        spec = parse(text)
    except RequestError:
        return text
    parts = [spec]
    while parts[-1].inner is not None:
        parts.append(parts[-1].inner)
    whole: Spec | None = None
    for part in reversed(parts):
        own_kind = kind if part.inner is None else "combinator"
        whole = replace(part, name=names.get((own_kind, part.name), part.name), inner=whole)
    return text if whole is None or whole == spec else str(whole)


def is_place(name: str) -> bool:
    """True of ``package.module:Thing`` and ``my_file.py:Thing``; a name alone is none."""
    return ":" in name


def absolute(where: str) -> str:
    """The same place, a file's path made absolute: beside the suite if it is there, or from here.

    Raises:
        RequestError: there is no such file.
    """
    file, _, thing = where.rpartition(":")
    if not file.endswith(".py"):
        return where
    near = _NEAR.get()
    folders = [Path.cwd()] if near is None or near.folder is None else [near.folder, Path.cwd()]
    for folder in folders:
        if (folder / file).is_file():
            return f"{(folder / file).resolve()}:{thing}"
    places = " or ".join(dict.fromkeys(map(str, folders)))
    raise RequestError(f"{where!r}: there is no file {file} in {places}")


def refuse_closed(where: str) -> None:
    """Refuse code outside of what is installed, where a suite may have none; nothing is imported.

    Raises:
        RequestError: with the place.
    """
    near = _NEAR.get()
    module = where.rpartition(":")[0]
    if near is None or not near.closed:
        return
    if module.endswith(".py") or not is_installed_module(module):
        raise RequestError(
            f"{where!r} is code of the suite's own, which --no-plugins refuses: "
            "name what is installed, or leave --no-plugins out"
        )


def own_code(plugins: Iterable[PlugIn]) -> list[str]:
    """The files and modules of plug-ins that are not installed, each once."""
    found: dict[str, None] = {}
    for plugin in plugins:
        module = plugin.where.rpartition(":")[0]
        if plugin.folder:
            found[module if module.endswith(".py") else f"{module} in {plugin.folder}"] = None
    return list(found)


def load(where: str, folder: str = "") -> Any:
    """The thing that stands there, imported.

    Args:
        where: as :func:`absolute` has it.
        folder: searched last, as is that of the suite being read.

    Raises:
        Exception: whatever importing somebody's code raises.
    """
    module, _, thing = where.rpartition(":")
    if not module or not thing:
        raise ValueError("write my_file.py:Thing or package.module:Thing")
    loaded = load_module(module, folder)
    if module.endswith(".py"):
        try:
            return reduce(getattr, thing.split("."), loaded)
        except AttributeError:
            raise AttributeError(f"there is no {thing} in it") from None
    return pkgutil.resolve_name(where)


def load_module(name: str, folder: str = "") -> ModuleType:
    """The module of that name, or from that file, whose folder may then be imported from."""
    near = _NEAR.get()
    if name.endswith(".py"):
        _search(str(Path(name).parent))
        return _from_file(Path(name))
    _search(folder or str(near.folder if near and near.folder else ""))
    return pkgutil.resolve_name(f"{name}:")  # type: ignore[no-any-return]


def _search(folder: str) -> None:
    """Have modules looked for there, too, after all other places."""
    if folder and folder not in sys.path:
        sys.path.append(folder)


def _from_file(path: Path) -> ModuleType:
    """The module of a file, loaded once a process unless its text has changed since.

    Its name is its own, so that two files of one name do not meet.
    """
    text = path.read_bytes()
    key = hashlib.sha256(bytes(path) + b"\0" + text).hexdigest()[:12]
    name = f"gr_bench_plugin_{key}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: a dataclass looks its module up
    try:
        exec(compile(text, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module
