"""The version comes from the tag, wherever there is one to come from."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from packaging.version import Version
from sources import built_version, git


def test_a_tag_is_the_version_and_a_later_commit_is_on_the_way_to_the_next(
    repository: Path,
) -> None:
    git("tag", "v1.4.0", cwd=repository)
    assert built_version(repository) == "1.4.0"
    (repository / "README.md").write_text("Changed.\n")
    git("commit", "--quiet", "--all", "--message", "A change", cwd=repository)
    assert re.fullmatch(r"1\.4\.1\.dev1\+g[0-9a-f]+", built_version(repository))


def test_the_tag_that_moves_along_for_users_of_the_action_is_no_version(repository: Path) -> None:
    git("tag", "v0.3.1", cwd=repository)
    git("tag", "--annotate", "--message", "the newest 0.x", "v0", cwd=repository)
    assert built_version(repository) == "0.3.1"


def test_a_clone_without_tags_has_a_development_version(repository: Path) -> None:
    assert re.fullmatch(r"0\.1\.dev1\+g[0-9a-f]+", built_version(repository))


def test_an_archive_of_a_commit_knows_its_tag_without_git(repository: Path, tmp_path: Path) -> None:
    """As the runner of GitHub Actions gets an action, and as a release's source has it."""
    git("tag", "v1.4.0", cwd=repository)
    git(
        "archive",
        "--prefix",
        "unpacked/",
        "--output",
        str(tmp_path / "a.tar"),
        "HEAD",
        cwd=repository,
    )
    subprocess.run(["tar", "-xf", "a.tar"], cwd=tmp_path, check=True)
    assert built_version(tmp_path / "unpacked") == "1.4.0"


def test_sources_that_know_nothing_can_be_built_all_the_same(
    repository: Path, tmp_path: Path
) -> None:
    git(
        "archive",
        "--prefix",
        "unpacked/",
        "--output",
        str(tmp_path / "a.tar"),
        "HEAD",
        cwd=repository,
    )
    subprocess.run(["tar", "-xf", "a.tar"], cwd=tmp_path, check=True)
    assert built_version(tmp_path / "unpacked") == "0.0"
    (tmp_path / "unpacked/.git_archival.txt").unlink()
    assert built_version(tmp_path / "unpacked") == "0.0"


def test_the_program_says_what_the_build_wrote_and_otherwise_that_it_does_not_know(
    repository: Path,
) -> None:
    def said() -> str:
        program = "import gr_bench.version as v; print(v.__version__)"
        command = [sys.executable, "-c", program]
        return subprocess.run(
            command, cwd=repository, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert said() == "0+unknown"
    (repository / "gr_bench/version.txt").write_text("1.4.0\n")
    assert said() == "1.4.0"
    assert git("status", "--porcelain", cwd=repository) == ""  # what a build writes is ignored
    assert Version("0+unknown") < Version("0.0.1")
