"""The commits between two revisions, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gr_bench.comparison.pages.words import one_line
from gr_bench.comparison.revisions import Revision, git
from gr_bench.errors import RequestError

_FORMAT = "%H%x00%h%x00%as%x00%s"


@dataclass(frozen=True)
class Commit:
    """A commit as it is told of."""

    hash: str
    short: str
    date: str
    """The author's, as ``2024-05-31``."""

    subject: str


def first_parent_path(root: Path, good: Revision, bad: Revision) -> list[Commit]:
    """GOOD and every commit after it up to BAD, the oldest first, by first parents alone.

    A branch that was merged is one commit of the path, its merge.

    Args:
        root: the repository.
        good: the older one.
        bad: the younger one.

    Raises:
        RequestError: there is no such path; it says what would be right.
    """
    if not _is_ancestor(root, good.commit, bad.commit):
        raise RequestError(_no_path(root, good, bad))
    after = _listed(root, "--first-parent", "--reverse", f"{good.commit}..{bad.commit}")
    if not after:
        raise RequestError(f"{good.name} and {bad.name} are the same commit: nothing to search")
    parent = git("rev-parse", f"{after[0].hash}^1", cwd=root)
    if parent != good.commit:
        raise RequestError(
            f"{good.name} came into {bad.name} by a merge, and only first parents are followed: "
            f"the commit from which it branched off would be right, {parent[:10]}"
        )
    return [*_listed(root, "--max-count=1", good.commit), *after]


def _is_ancestor(root: Path, first: str, second: str) -> bool:
    try:
        git("merge-base", "--is-ancestor", first, second, cwd=root)
    except RequestError:
        return False
    return True


def _no_path(root: Path, good: Revision, bad: Revision) -> str:
    text = f"{good.name} is no ancestor of {bad.name}"
    if _is_ancestor(root, bad.commit, good.commit):
        return f"{text}, it comes after it: give the older one, which is good, first"
    try:
        parted = git("merge-base", good.commit, bad.commit, cwd=root)
    except RequestError:
        hint = "they have no commit in common"
        if git("rev-parse", "--is-shallow-repository", cwd=root) == "true":
            hint = "this clone is shallow: git fetch --unshallow"
        return f"{text}: {hint}"
    return f"{text}: the commit in which they parted would be right, {parted[:10]}"


def _listed(root: Path, *what: str) -> list[Commit]:
    lines = git("rev-list", f"--format={_FORMAT}", *what, cwd=root).splitlines()
    fields = [line.split("\0") for line in lines if "\0" in line]
    return [Commit(full, short, date, one_line(text)) for full, short, date, text in fields]
