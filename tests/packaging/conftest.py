"""A repository that the tests of packaging build from."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
sys.path[:0] = [HERE]

import sources  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def checkout() -> None:
    """What is committed is asked of git, which an unpacked sdist has not."""
    if shutil.which("git") is None or not (sources.ROOT / ".git").exists():
        pytest.skip("not a checkout of git's")


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository without tags; do not change it."""
    return sources.copied(tmp_path_factory.mktemp("sources") / "gr-bench")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> sources.Built:
    """Wheel and sdist of version 9.8.7."""
    return sources.built(tmp_path_factory.mktemp("built"), "v9.8.7")


@pytest.fixture
def repository(pristine: Path, tmp_path: Path) -> Path:
    """A repository without tags, to be changed."""
    return Path(shutil.copytree(pristine, tmp_path / "gr-bench", symlinks=True))


@pytest.fixture(autouse=True)
def no_version_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that would tell setuptools-scm the version are no matter of these tests."""
    for name in [name for name in os.environ if name.startswith("SETUPTOOLS_SCM")]:
        monkeypatch.delenv(name)
