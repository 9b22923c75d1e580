"""At the top of the repository lies what CONTRIBUTING.md says, and nothing that strayed there."""

from __future__ import annotations

import re

from sources import ROOT, git


def told() -> list[str]:
    """The names in the table of the section "The top level"."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## The top level\n")[2]
    section = section.partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_only_what_belongs_there_is_committed_at_the_top_level() -> None:
    committed = {name.partition("/")[0] for name in git("ls-files").splitlines()}
    assert committed <= set(told()), sorted(committed - set(told()))


def test_what_is_told_of_is_there_once() -> None:
    assert sorted(told()) == sorted(set(told()))
    assert [name for name in told() if not (ROOT / name).exists()] == []
