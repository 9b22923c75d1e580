"""Revisions of a git repository, checked out beside each other for a while."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from gr_bench.errors import RequestError

PREFIX = "git:"
WORKING_TREE = "WORKTREE"
"""``git:WORKTREE`` is the working tree as it stands, uncommitted and untracked files included."""

FOLDER = "gr-bench-compare-"
"""The start of the worktrees' folder's name; the number of the process that made it follows."""

SIDES = ("base", "head")
"""Names of the two revisions and of their folders: of equal length, since the
length of a path alone can move what a process keeps in memory."""


@dataclass(frozen=True)
class Revision:
    """One side of a comparison."""

    side: str
    name: str
    """As it was asked for."""

    commit: str
    """For the working tree, that of a snapshot which no branch has."""

    def __str__(self) -> str:
        return f"{self.side} ({self.name}, {self.commit[:10]})"


def repository() -> Path:
    """The top folder of the repository around the current directory.

    Raises:
        RequestError: there is none.
    """
    try:
        return Path(git("rev-parse", "--show-toplevel", cwd=Path.cwd()))
    except RequestError as error:
        raise RequestError(f"{Path.cwd()} is in no git repository: {error}") from error


def resolve(root: Path, side: str, text: str) -> Revision:
    """The revision that ``git:NAME`` stands for; ``git:A...B`` is where A and B parted.

    Raises:
        RequestError: there is no such commit.
    """
    name = text.removeprefix(PREFIX)
    if name == WORKING_TREE:
        return Revision(side, name, _snapshot(root))
    first, parted, second = name.partition("...")
    try:
        commit = _commit(root, first)
        if parted:
            commit = git("merge-base", commit, _commit(root, second), cwd=root)
        return Revision(side, name, commit)
    except RequestError as error:
        hint = f"give a commit, branch or tag, or {PREFIX}{WORKING_TREE} for the working tree"
        if git("rev-parse", "--is-shallow-repository", cwd=root) == "true":
            hint = "this clone is shallow and may lack it: git fetch --unshallow"
        raise RequestError(f"no revision {text!r} in {root}: {hint}") from error


def _commit(root: Path, name: str) -> str:
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name or '?'}^{{commit}}")
    return git(*asked, cwd=root)


def has_file(root: Path, revision: Revision, path: str) -> bool:
    """True if a revision has a file of that path."""
    try:
        git("cat-file", "-e", f"{revision.commit}:{path}", cwd=root)
    except RequestError:
        return False
    return True


@contextmanager
def temporary_home(root: Path | None) -> Iterator[Path]:
    """A temporary folder for worktrees and environments, removed again at the end.

    That a process is told to end counts as Ctrl-C here, so that it ends in good order. What one
    that was killed has left is removed by the next.

    Args:
        root: the repository that the worktrees are of; None if there is none.
    """
    _sweep(root)
    home = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
    with _ending_is_ctrl_c():
        try:
            yield home
        finally:
            with _undisturbed():
                remove(root, home)


def check_out(root: Path, home: Path, revision: Revision) -> Path:
    """A worktree of the revision in ``home``; :func:`temporary_home` removes it.

    Raises:
        RequestError: git cannot make it.
    """
    folder = home / revision.side
    git("worktree", "add", "--detach", str(folder), revision.commit, cwd=root)
    return folder


def remove(root: Path | None, home: Path) -> None:
    """Remove a folder, and the worktrees in it, as far as they are there.

    Args:
        root: the repository that the worktrees are of; None if there is none.
        home: the folder.
    """
    shutil.rmtree(home, ignore_errors=True)
    if root is None:
        return
    trees: list[Path] = []
    with suppress(RequestError):  # the repository is gone, too
        trees = _worktrees(root)
    for tree in trees:
        if home.resolve() in tree.parents:
            with suppress(RequestError):  # another process was quicker
                git("worktree", "remove", "--force", "--force", str(tree), cwd=root)


def _worktrees(root: Path) -> list[Path]:
    listed = git("worktree", "list", "--porcelain", cwd=root).splitlines()
    return [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")]


def _sweep(root: Path | None) -> None:
    """Remove what comparisons that were killed have left."""
    homes = set(Path(tempfile.gettempdir()).glob(f"{FOLDER}*"))
    if root:
        homes |= {above for tree in _worktrees(root) for above in tree.parents}
    for home in homes:
        owner = re.fullmatch(rf"{FOLDER}(\d+)-.*", home.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            remove(root, home)


def _snapshot(root: Path) -> str:
    """A commit of the working tree, made without touching the index or any branch."""
    with tempfile.TemporaryDirectory(prefix="gr-bench-") as home:
        index = {"GIT_INDEX_FILE": str(Path(home, "index"))}
        who = {
            f"GIT_{role}_{what}": "gr-bench"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        git("read-tree", "HEAD", cwd=root, environment=index)
        git("add", "--all", cwd=root, environment=index)
        tree = git("write-tree", cwd=root, environment=index)
        message = ("-p", "HEAD", "-m", "The working tree as gr-bench compare found it")
        return git("commit-tree", tree, *message, cwd=root, environment=who)


def git(*arguments: str, cwd: Path, environment: dict[str, str] | None = None) -> str:
    """The output of git. Hooks do not run, and a terminal's Ctrl-C does not reach it.

    Raises:
        RequestError: git's last words.
    """
    # a hook that calls us has these set, for the repository and the index that it is about
    own = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
    inherited = {key: value for key, value in os.environ.items() if key not in own}
    try:
        ended = subprocess.run(
            ["git", "-c", f"core.hooksPath={os.devnull}", *arguments],
            cwd=cwd,
            env=inherited | (environment or {}),
            capture_output=True,
            text=True,
            errors="surrogateescape",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise RequestError("git is not installed") from error
    if ended.returncode:
        last = ended.stderr.strip().splitlines()[-1:] or [f"git exited with {ended.returncode}"]
        raise RequestError(last[0].removeprefix("fatal: "))
    return ended.stdout.strip()


@contextmanager
def _ending_is_ctrl_c() -> Iterator[None]:
    with _handling((signal.SIGTERM, signal.SIGHUP), signal.default_int_handler):
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    with _handling((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), signal.SIG_IGN):
        yield


@contextmanager
def _handling(signals: Sequence[signal.Signals], handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only that one gets signals
        yield
        return
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
