"""The house keeps its order: imports point down, no circles, no room is too large."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import gr_bench

ROOT = Path(gr_bench.__file__).parent
ROOMS = (
    ("cli", "__main__"),
    ("",),  # gr_bench/__init__.py, the front door
    ("comparison", "claims", "reports", "doctor"),
    ("runs", "workers"),
    ("experiments",),
    ("registry", "timing", "source", "peers"),
    ("methods", "workloads", "meters", "suites"),
    ("stats", "spec", "version", "units", "files", "errors"),
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


def imported(name: str, file: Path, *, top_level_only: bool = False) -> set[str]:
    """The modules of gr_bench that a module imports, those for type checkers left out."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(file.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    hidden = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }
    found = set()
    for node in nodes:
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
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


def test_modules_do_not_import_each_other_in_circles() -> None:
    edges = {
        name: imported(name, file, top_level_only=True) - {name} for name, file in MODULES.items()
    }
    # a package's own __init__ is there whenever a part of it is: it counts as its parts' parent
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for other in sorted(edges[name]):
            visit(other)
        path.pop()
        done.add(name)

    for name in edges:
        visit(name)


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
