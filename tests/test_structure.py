"""The house keeps its order: imports point down, no circles, no room is too large."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import gr_bench

ROOT = Path(gr_bench.__file__).parent
ROOMS = (
    ("cli", "__main__"),
    ("",),  # gr_bench/__init__.py, the front door
    ("comparison", "claims", "reports", "doctor", "checks", "planning"),
    ("runs", "workers"),
    ("experiments",),
    ("registry", "timing", "source", "peers", "plugins"),
    ("methods", "workloads", "meters", "suites", "optimizers"),
    ("stats", "crossed", "spec", "version", "units", "files", "errors"),
)
"""From the top down; a room may use those on its own floor and on the floors below."""

FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
LARGEST = 1 / 8
"""Of all lines, what a folder's own files may have."""


def modules() -> dict[str, Path]:
    """Every module by its full name."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = ("gr_bench", *file.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def imported(name: str, file: Path) -> set[str]:
    """The modules of gr_bench that a module imports, at its top or inside a function.

    Those for type checkers are left out. What a module imports from a package is the module inside
    it, where there is one of that name, and not the package, which is there in any case.
    """
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(file.read_text())
    hidden = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            inside = {alias.name: f"{base}.{alias.name}" for alias in node.names}
            found |= {there if there in MODULES else base for there in inside.values()}
    return found & MODULES.keys()


def room(name: str) -> str:
    """The top-level folder or file that a module is in."""
    return ".".join(name.split(".")[1:2])


def test_every_room_has_a_floor() -> None:
    assert {room(name) for name in MODULES} <= FLOOR.keys()


def test_imports_point_down() -> None:
    up = [
        f"{name} -> {other}"
        for name, file in MODULES.items()
        for other in imported(name, file)
        if other != "gr_bench" and FLOOR[room(other)] < FLOOR[room(name)]
    ]
    assert up == []


def test_nothing_below_the_front_door_goes_through_it_but_for_the_version() -> None:
    """The version is the package's; the four functions are for those above."""
    for name, file in MODULES.items():
        if FLOOR[room(name)] > FLOOR[""]:
            text = file.read_text()
            assert not any(
                f"gr_bench.{f}(" in text for f in ("run", "load", "compare", "report")
            ) or name.startswith("gr_bench.cli"), name


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """The sets of modules that lead to each other."""
    reached = {name: set(others) for name, others in edges.items()}
    for through in edges:
        for name in edges:
            if through in reached[name]:
                reached[name] |= reached[through]
    found = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in edges
        if name in reached[name]
    }
    return sorted(map(set, found), key=sorted)


def test_modules_do_not_import_each_other_in_circles() -> None:
    edges = {name: imported(name, file) - {name} for name, file in MODULES.items()}
    for name, others in edges.items():
        if FLOOR[room(name)] > FLOOR[""]:
            others.discard("gr_bench")  # for its version
    assert circles(edges) == []


def test_circles_are_found_wherever_they_are_entered() -> None:
    edges = {"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": {"e"}, "e": set()}
    assert circles(edges) == [{"b", "c"}]


QUESTION = re.compile(r"(What|Where|Whether|How|When|Which|Why|Who|Whose)\b")


def docstrings(file: Path) -> Iterator[str]:
    """Those of a module, its classes, functions and attributes."""
    for node in ast.walk(ast.parse(file.read_text())):
        body = getattr(node, "body", [])
        for line in body if isinstance(body, list) else []:
            if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
                yield str(line.value.value)


@pytest.mark.parametrize("folder", [ROOT, ROOT.parent / "benchmarks"], ids=lambda path: path.name)
def test_a_docstring_says_what_a_thing_is_and_asks_no_question(folder: Path) -> None:
    questions = [
        f"{file.name}: {text.strip()[:60]}"
        for file in sorted(folder.rglob("*.py"))
        for text in docstrings(file)
        if QUESTION.match(text.strip()) or "?" in text.strip().partition("\n\n")[0]
    ]
    assert questions == []


def test_methods_know_nothing_of_the_benchmark() -> None:
    for name, file in MODULES.items():
        if room(name) == "methods":
            assert all(room(other) == "methods" for other in imported(name, file)), name


def test_no_folder_has_more_than_an_eighth_of_the_lines() -> None:
    lines: dict[Path, int] = defaultdict(int)
    for file in MODULES.values():
        lines[file.parent] += file.read_text().count("\n")
    total = sum(lines.values())
    large = {str(p.relative_to(ROOT)): n for p, n in lines.items() if n > LARGEST * total}
    assert large == {}
