"""Hashes of plug-ins' sources: a plug-in that was changed is another thing to measure."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

DIGITS = 12


def source_hash(thing: Any, module: ModuleType | None) -> str:
    """A hash of the source that a thing is made of.

    That is the file of the module in which it is defined and of the one by which it was named,
    with the files beside these that they import; of an installed package, its version and the
    module's file. What is imported from further away is not seen.

    Args:
        thing: a class or a function.
        module: by which it was named; None for an entry point.
    """
    thing = getattr(thing, "func", thing)  # of a functools.partial
    defining = sys.modules.get(getattr(thing, "__module__", None) or "")
    parts: list[bytes] = []
    for one in dict.fromkeys(m for m in (module, defining) if m is not None):
        file = getattr(one, "__file__", None)
        if file is None:  # built into the interpreter, or typed in at its prompt
            parts.append(one.__name__.encode())
            continue
        path = Path(file).resolve()
        if is_installed(path):
            parts += [_version(one.__name__).encode(), path.read_bytes()]
        else:
            parts += [own.read_bytes() for own in _files(path)]
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:DIGITS]


def is_installed(path: Path) -> bool:
    """True of a file that a package manager has put there."""
    return any(part in ("site-packages", "dist-packages") for part in path.parts)


def is_installed_module(name: str) -> bool:
    """True of a module of Python's, of an installed package, and of ours; not imported for it."""
    top = name.partition(".")[0]
    if top == "gr_bench" or top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return True
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None and top in sys.modules:
        file = getattr(sys.modules[top], "__file__", None)
    if file is None and top not in sys.modules:
        found = importlib.util.find_spec(top)
        file = None if found is None else found.origin
    return file is not None and is_installed(Path(file).resolve())


def defining_module(thing: Any) -> str:
    """The name of the module in which a class or a function is defined, not that which names it.

    That of an object is its class's.
    """
    for one in (thing, getattr(thing, "__objclass__", None)):
        name = getattr(one, "__module__", None)
        if isinstance(name, str):
            return name
    return type(thing).__module__


def root_folder(module: ModuleType) -> str:
    """The folder from which a module is found, which holds it or its package; "" if none does."""
    file = getattr(module, "__file__", None)
    if file is None:
        return ""
    path = Path(file).resolve()
    inside = module.__name__.count(".") + (path.stem == "__init__")
    return str(path.parents[inside])


def _version(module: str) -> str:
    """The version of the package that a module belongs to; "" if it is not known."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    for package in packages_distributions().get(module.partition(".")[0], ()):
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return ""


def _files(path: Path) -> list[Path]:
    """A module's file, and those in its folder that it imports, directly or not, in order."""
    found, waiting = [path], [path]
    while waiting:
        for file in _imported_beside(waiting.pop()):
            if file not in found:
                found.append(file)
                waiting.append(file)
    return [path, *sorted(found[1:])]


def _imported_beside(path: Path) -> Iterator[Path]:
    """The files in a module's folder, or below it, that it imports."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # no source, such as an extension module
        return
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level <= 1:
            base = node.module or ""
            names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
        for name in filter(None, names):
            if name.partition(".")[0] == "gr_bench":
                continue
            inside = path.parent.joinpath(*name.split("."))
            for file in (inside.with_suffix(".py"), inside / "__init__.py"):
                if file.is_file():
                    yield file.resolve()
