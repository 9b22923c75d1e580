"""CHANGELOG.md has the form of https://keepachangelog.com/en/1.1.0/."""

from __future__ import annotations

import re
import tomllib
from datetime import date

import pytest
from packaging.version import Version
from sources import ROOT

KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
HEADING = re.compile(r"\[Unreleased\]|\[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})(?: \[YANKED\])?")


def faults(text: str, repository: str) -> list[str]:
    """Departures of a changelog from the form."""
    found = []
    versions: list[Version] = []
    dates: list[date] = []
    names: list[str] = []
    kinds: list[str] = []
    lines = text.splitlines()
    if lines[0] != "# Changelog":
        found.append("the title")
    for line in lines[1:]:
        level, _, heading = line.partition(" ")
        if level == "##":
            kinds = []
            match = HEADING.fullmatch(heading)
            if match is None:
                found.append(line)
            elif match[1] is None:
                if names:
                    found.append(f"{line} is not first")
                names.append("unreleased")
            else:
                versions.append(Version(match[1]))
                dates.append(date.fromisoformat(match[2]))
                names.append(match[1])
        elif level == "###":
            if heading not in KINDS or heading in kinds or not names:
                found.append(line)
            kinds.append(heading)
        elif level.startswith("#"):
            found.append(line)
        elif line.startswith("- ") and not kinds:
            found.append(f"an entry without a kind: {line}")
    if versions != sorted(set(versions), reverse=True):
        found.append("the order of versions")
    if dates != sorted(dates, reverse=True):
        found.append("the order of dates")
    links = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", text, re.MULTILINE))
    if [name.lower() for name in links] != names:
        found.append("links for the versions")
    found += [url for url in links.values() if not url.startswith(f"{repository}/")]
    return found


def source() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["urls"]["Source"])


def test_the_changelog_has_the_form() -> None:
    assert faults((ROOT / "CHANGELOG.md").read_text(), source()) == []


GOOD = """# Changelog

## [Unreleased]

### Added

- One.

## [0.2.0] - 2024-02-01

### Fixed

- Two.

## [0.1.0] - 2024-01-01

### Added

- Three.

[unreleased]: https://here/compare/v0.2.0...HEAD
[0.2.0]: https://here/compare/v0.1.0...v0.2.0
[0.1.0]: https://here/releases/tag/v0.1.0
"""


def test_a_changelog_of_that_form_has_no_faults() -> None:
    assert faults(GOOD, "https://here") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# Changelog\n", "# History\n"),
        ("## [Unreleased]", "## Unreleased"),
        ("## [0.2.0] - 2024-02-01", "## [0.2.0] (2024-02-01)"),
        ("2024-02-01", "01.02.2024"),
        ("2024-02-01", "2023-02-01"),
        ("[0.2.0] -", "[0.0.2] -"),
        ("### Fixed", "### Repaired"),
        ("### Fixed", "#### Fixed"),
        ("### Added\n\n- Three", "- Three"),
        ("### Fixed\n\n- Two.", "### Fixed\n\n- Two.\n\n### Fixed\n\n- Again."),
        ("[0.1.0]: ", "0.1.0: "),
        ("https://here/releases", "https://there/releases"),
    ],
)
def test_a_departure_from_it_is_found(old: str, new: str) -> None:
    assert old in GOOD
    assert faults(GOOD.replace(old, new, 1), "https://here") != []
