"""The sides of a comparison made ready: checked out, built, in environments of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gr_bench.comparison.own_environment import build, install, make_environment
from gr_bench.comparison.revisions import (
    PREFIX,
    SIDES,
    Revision,
    check_out,
    has_file,
    repository,
    resolve,
    temporary_home,
)
from gr_bench.comparison.side import Side
from gr_bench.comparison.subject import Call
from gr_bench.errors import RequestError

PIP = "pip:"
"""``pip:REQUIREMENT`` is a release of a package, installed into an environment of its own."""

KINDS = f"{PREFIX}REVISION or {PIP}REQUIREMENT"


@dataclass(frozen=True)
class Asked:
    """The two sides as they were asked for, found but not yet made ready."""

    root: Path | None
    """The repository that revisions are of; None if there is none."""

    names: Mapping[str, str]
    """By side, ``git:REVISION`` or ``pip:REQUIREMENT``."""

    revisions: Mapping[str, Revision]
    """By side, of those that are revisions."""

    def label(self, side: str) -> str:
        """The side in words."""
        revision = self.revisions.get(side)
        if revision is None:
            return self.names[side]
        return f"{revision.name}, {revision.commit[:10]}"


def is_code(name: str) -> bool:
    """True if a side is a revision or a release, and no run's folder."""
    return name.startswith((PREFIX, PIP))


def look_up(names: Mapping[str, str]) -> Asked:
    """Find the revisions that are asked for.

    Args:
        names: by side, ``git:REVISION`` or ``pip:REQUIREMENT``.

    Raises:
        RequestError: no repository here, or no such revision.
    """
    of_git = [side for side in SIDES if names[side].startswith(PREFIX)]
    root = repository() if of_git else None
    revisions = {side: resolve(root, side, names[side]) for side in of_git} if root else {}
    return Asked(root, names, revisions)


def placed(call: Call, asked: Asked) -> tuple[Call, str | None]:
    """A call with its file where each side finds it, and a note if there is something to know.

    A file that both revisions have is each one's own. One that a revision lacks, or that lies
    outside of the repository, is the one on disk, for both sides alike.

    Raises:
        RequestError: there is no such file.
    """
    if call.file is None:
        return call, None
    path = Path(call.file)
    if asked.root is not None and asked.root.resolve() in path.parents:
        inside = path.relative_to(asked.root.resolve()).as_posix()
        lacking = [side for side in SIDES if not _has(asked, side, inside)]
        if not lacking:
            return replace(call, file=inside), None
        if path.is_file():
            who = " and ".join(lacking)
            return call, f"{inside} is the working tree's on both sides: {who} lacks it"
    if not path.is_file():
        raise RequestError(f"call {call.label!r}: there is no file {path}")
    return call, None


def _has(asked: Asked, side: str, path: str) -> bool:
    revision = asked.revisions.get(side)
    return asked.root is not None and revision is not None and has_file(asked.root, revision, path)


@contextmanager
def made_ready(
    asked: Asked, pythons: Mapping[str, str], build_command: str | None
) -> Iterator[dict[str, Side]]:
    """Sides that can be run, by name; what was made for them is removed again at the end.

    Args:
        asked: both sides.
        pythons: the interpreter of either side.
        build_command: a shell command that builds a checkout, each in an environment of its own.

    Raises:
        RequestError: a side that cannot be checked out, installed or built.
    """
    with temporary_home(asked.root) as home:
        yield {side: make_ready(side, asked, home, pythons[side], build_command) for side in SIDES}


def make_ready(side: str, asked: Asked, home: Path, python: str, command: str | None) -> Side:
    """A side that can be run, its checkout or its environment in ``home``.

    Args:
        side: ``base`` or ``head``.
        asked: at least that side.
        home: what is in it is to be removed by others.
        python: the interpreter.
        command: a shell command that builds a checkout, in an environment of its own.

    Raises:
        RequestError: it cannot be checked out, installed or built.
    """
    revision = asked.revisions.get(side)
    foreign = () if asked.root is None else (asked.root.resolve(),)
    environment = home / f"{side}-environment"
    made = Side(side, asked.label(side), home / side, python, foreign=foreign)
    try:
        if revision is None:
            made.folder.mkdir()
            interpreter = make_environment(environment, python)
            install(interpreter, asked.names[side].removeprefix(PIP))
            return replace(made, python=str(interpreter), own=(environment,))
        assert asked.root is not None
        check_out(asked.root, home, revision)
        code = _code(made.folder)
        if command is None:
            return replace(made, first=code, own=(made.folder,))
        interpreter = make_environment(environment, python)
        build(interpreter, command, made.folder)
        # what is built is installed, and the checkout has sources alone: it comes last
        own = (made.folder, environment)
        return replace(made, python=str(interpreter), last=code, own=own)
    except RequestError as error:
        raise RequestError(f"{made}: {error}") from error


def _code(folder: Path) -> tuple[Path, ...]:
    return folder, folder / "src"


def check_origins(sides: Mapping[str, Side], origins: Mapping[str, Mapping[str, object]]) -> None:
    """Refuse a comparison that would compare a thing with itself, or the wrong thing.

    Args:
        sides: both.
        origins: by side, what :meth:`gr_bench.workers.side_worker.SideWorker.origins` found.

    Raises:
        RequestError: no module that was imported is of either side, and it is not two interpreters
            that are compared; or a module came from the working tree.
    """
    for name, side in sides.items():
        check_not_foreign(side, origins[name])
    other_pythons = len({side.python for side in sides.values()}) > 1
    if other_pythons and not any(side.has_environment for side in sides.values()):
        return  # the interpreters and what they have installed are compared
    if not any(origins[name]["own"] for name in sides):
        raise RequestError(
            "nothing of what was stepped comes from either side, so they cannot differ: name "
            "a function of your repository's that prepares a step, with "
            "--call package.module:function or --call file.py:function"
        )


def check_not_foreign(side: Side, origins: Mapping[str, object]) -> None:
    """Raise RequestError if a module that a side has imported came from the working tree."""
    foreign = origins["foreign"]
    assert isinstance(foreign, Mapping)
    for module, file in foreign.items():
        raise RequestError(
            f"{side}: module {module!r} came from the working tree ({file}), since {side.name} has "
            "no such module: compare revisions that have it"
        )
