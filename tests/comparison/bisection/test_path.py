"""Paths between commits of small real repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gr_bench.comparison.bisection.path import Commit, first_parent_path
from gr_bench.comparison.revisions import resolve
from gr_bench.errors import RequestError


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=b", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Commits a, b, c, a merge m of a branch with x and y that left at a, and d; all are tags.

    ``other`` left at b, and ``apart`` has nothing in common with them.
    """
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch", "main")

    def commit(name: str) -> None:
        git(root, "commit", "--quiet", "--allow-empty", "--message", f"Subject of {name}")
        git(root, "tag", name)

    commit("a")
    git(root, "checkout", "--quiet", "-b", "side")
    commit("x")
    commit("y")
    git(root, "checkout", "--quiet", "main")
    commit("b")
    git(root, "checkout", "--quiet", "-b", "aside")
    commit("other")
    git(root, "checkout", "--quiet", "main")
    commit("c")
    git(root, "merge", "--quiet", "--no-ff", "-m", "Merge\tthe side", "side")
    git(root, "tag", "m")
    commit("d")
    git(root, "checkout", "--quiet", "--orphan", "alone")
    commit("apart")
    git(root, "checkout", "--quiet", "main")
    return root


def path(root: Path, good: str, bad: str) -> list[Commit]:
    return first_parent_path(root, resolve(root, "base", good), resolve(root, "head", bad))


def subjects(root: Path, good: str, bad: str) -> list[str]:
    return [commit.subject for commit in path(root, good, bad)]


def test_it_begins_with_good_and_follows_first_parents(root: Path) -> None:
    found = path(root, "a", "git:d")
    names = ["Subject of a", "Subject of b", "Subject of c", "Merge the side", "Subject of d"]
    assert [commit.subject for commit in found] == names
    tags = "abcmd"
    assert [commit.hash for commit in found] == [git(root, "rev-parse", tag) for tag in tags]
    assert all(commit.hash.startswith(commit.short) for commit in found)
    assert {commit.date for commit in found} == {git(root, "log", "-1", "--format=%as")}


def test_the_next_commit_alone(root: Path) -> None:
    assert subjects(root, "c", "m") == ["Subject of c", "Merge the side"]


def test_a_merged_branch_can_be_searched_by_itself(root: Path) -> None:
    assert subjects(root, "a", "y") == ["Subject of a", "Subject of x", "Subject of y"]


def test_the_working_tree_comes_last(root: Path) -> None:
    (root / "new").write_text("x")
    found = path(root, "c", "git:WORKTREE")
    assert [commit.subject for commit in found[1:3]] == ["Merge the side", "Subject of d"]
    assert len(found) == 4


def test_subjects_are_made_printable(root: Path) -> None:
    git(
        root,
        "commit",
        "--quiet",
        "--allow-empty",
        "--message",
        "\x1b[31mred\x00 é\u202e".replace("\x00", ""),
    )
    assert path(root, "d", "main")[-1].subject == "[31mred é"


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ("d", "a", "d is no ancestor of a, it comes after it: give the older one"),
        ("other", "d", "other is no ancestor of d: the commit in which they parted"),
        ("apart", "d", "they have no commit in common"),
        ("d", "main", "the same commit"),
        ("x", "d", "x came into d by a merge"),
    ],
)
def test_ends_without_a_path(root: Path, good: str, bad: str, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        path(root, good, bad)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_proposed_is_right(root: Path) -> None:
    for good in ("other", "x"):
        with pytest.raises(RequestError) as caught:
            path(root, good, "d")
        assert path(root, str(caught.value).split()[-1], "d")[-1].subject == "Subject of d"


def test_a_shallow_clone_is_told_of(root: Path, tmp_path: Path) -> None:
    git(root, "tag", "old", "a")
    clone = tmp_path / "clone"
    git(root, "clone", "--quiet", "--depth", "1", f"file://{root}", str(clone))
    git(clone, "fetch", "--quiet", "--depth", "1", "origin", "tag", "old")
    with pytest.raises(RequestError, match="git fetch --unshallow"):
        path(clone, "old", "main")
