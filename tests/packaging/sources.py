"""Copies of this repository's sources, as somebody else would have them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")


def git(*arguments: str, cwd: Path = ROOT) -> str:
    return subprocess.run(
        ["git", *IDENTITY, *arguments], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout


def present() -> list[str]:
    """The files that are committed here or would be by ``git add --all``, changed or not."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    return sorted(name for name in set(listed) if name and (ROOT / name).is_file())


def copied(folder: Path) -> Path:
    """A repository of one commit without tags, with all but the kept runs; its folder."""
    folder.mkdir()
    for name in present():
        if not name.startswith("results/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    git("init", "--quiet", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--message", "All of it", cwd=folder)
    return folder


def built_version(folder: Path) -> str:
    """The version that a build of these sources has."""
    command = [sys.executable, "-m", "hatchling", "version"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@dataclass(frozen=True)
class Built:
    """A wheel and the sdist that it was built from."""

    wheel: Path
    sdist: Path


def built(home: Path, tag: str) -> Built:
    """Both, from sources in a folder with this tag, without a network."""
    sources = copied(home / "gr-bench")
    git("tag", tag, cwd=sources)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(home), "."]
    ended = subprocess.run(command, cwd=sources, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (wheel,), (sdist,) = home.glob("*.whl"), home.glob("*.tar.gz")
    return Built(wheel, sdist)
