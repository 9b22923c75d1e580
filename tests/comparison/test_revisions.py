"""Revisions of small real repositories."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from gr_bench.comparison.revisions import (
    FOLDER,
    Revision,
    check_out,
    has_file,
    repository,
    resolve,
    temporary_home,
)
from gr_bench.errors import RequestError


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=b", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two commits; ``old`` is the first."""
    root = tmp_path / "some repository"
    root.mkdir()
    git(root, "init", "--quiet")
    for text in ("old", "new"):
        (root / "file").write_text(text)
        (root / ".gitignore").write_text("ignored\n")
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--message", text)
    git(root, "tag", "old", "HEAD~")
    return root


def worktrees(root: Path) -> int:
    return len(git(root, "worktree", "list").splitlines())


@contextmanager
def checked_out(root: Path, revisions: Sequence[Revision]) -> Iterator[dict[str, Path]]:
    with temporary_home(root) as home:
        yield {revision.side: check_out(root, home, revision) for revision in revisions}


def two(root: Path) -> list[Revision]:
    return [resolve(root, "base", "git:old"), resolve(root, "head", "git:HEAD")]


def test_each_side_has_the_files_of_its_revision(root: Path) -> None:
    with checked_out(root, two(root)) as folders:
        texts = {side: (folder / "file").read_text() for side, folder in folders.items()}
        assert texts == {"base": "old", "head": "new"}
        assert worktrees(root) == 3
    assert worktrees(root) == 1
    assert not any(folder.parent.exists() for folder in folders.values())


@pytest.mark.parametrize("error", [RequestError("wrong"), KeyboardInterrupt(), OSError(28, "full")])
def test_worktrees_are_removed_whatever_happens(root: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), checked_out(root, two(root)) as folders:
        (folders["base"] / "left by a process").write_text("x")
        raise error
    assert worktrees(root) == 1
    assert not folders["base"].parent.exists()


def test_being_told_to_end_is_ctrl_c(root: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), checked_out(root, two(root)):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert worktrees(root) == 1
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_revision_that_cannot_be_checked_out_leaves_none(root: Path) -> None:
    revisions = [*two(root)[:1], Revision("head", "gone", "0" * 40)]
    with pytest.raises(RequestError), checked_out(root, revisions):
        pass
    assert worktrees(root) == 1


def test_others_worktrees_stay(root: Path, tmp_path: Path) -> None:
    git(root, "worktree", "add", "--quiet", "--detach", str(tmp_path / "theirs"))
    (tmp_path / "theirs").rename(tmp_path / "on a disk that is not mounted now")
    with checked_out(root, two(root)):
        pass
    assert worktrees(root) == 2


def test_hooks_do_not_run(root: Path) -> None:
    hook = root / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch '{root}/ran'\n")
    hook.chmod(0o755)
    with checked_out(root, two(root)):
        pass
    assert not (root / "ran").exists()


def test_the_working_tree_is_taken_as_it_stands_and_left_so(root: Path) -> None:
    (root / "file").write_text("staged")
    git(root, "add", "file")
    (root / "file").write_text("changed")
    (root / "untracked").write_text("too")
    (root / "ignored").write_text("not")
    before = git(root, "status", "--porcelain"), git(root, "diff", "--cached")
    revision = resolve(root, "head", "git:WORKTREE")
    with checked_out(root, [revision]) as folders:
        names = sorted(path.name for path in folders["head"].iterdir())
        assert names == [".git", ".gitignore", "file", "untracked"]
        assert (folders["head"] / "file").read_text() == "changed"
    assert (git(root, "status", "--porcelain"), git(root, "diff", "--cached")) == before
    assert git(root, "branch", "--contains", "HEAD").count("\n") == 0


def test_a_hooks_environment_does_not_mislead(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    monkeypatch.chdir(root)
    assert repository() == root
    with checked_out(root, two(root)) as folders:
        assert (folders["base"] / "file").read_text() == "old"


@pytest.mark.parametrize(
    "name", ["nowhere", "", "HEAD~9", "-h", "--all", "old:file", "a b", "HEAD^{tree}"]
)
def test_an_unknown_revision_is_named(root: Path, name: str) -> None:
    with pytest.raises(RequestError, match="no revision") as caught:
        resolve(root, "base", f"git:{name}")
    assert repr(f"git:{name}") in str(caught.value)


def test_a_shallow_clone_is_told_of(root: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(root, "clone", "--quiet", "--depth", "1", f"file://{root}", str(clone))
    with pytest.raises(RequestError, match="git fetch --unshallow"):
        resolve(clone, "base", "git:HEAD~")


def test_a_file_of_a_revision_is_known(root: Path) -> None:
    (root / "later").write_text("x")
    base, head = two(root)
    assert has_file(root, base, "file")
    assert not has_file(root, base, "later")
    assert not has_file(root, head, "later")
    assert has_file(root, resolve(root, "head", "git:WORKTREE"), "later")


def test_what_a_killed_comparison_has_left_is_removed_by_the_next(root: Path) -> None:
    """Without worktrees, too: releases and environments alone."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{gone.pid}-"))
    own = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
    (left / "base-environment").mkdir()
    with temporary_home(None) as home:
        assert home.is_dir()
        assert not left.exists()
        assert own.is_dir()
    assert not home.exists()
    own.rmdir()
