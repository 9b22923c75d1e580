"""The version of gr-bench, from git's tag: a build writes it into a file beside this one."""

from pathlib import Path

UNKNOWN = "0+unknown"
WRITTEN = Path(__file__).with_name("version.txt")
"""Written by hatch-vcs when a wheel is built or a checkout is installed; never committed."""

__version__ = WRITTEN.read_text().strip() if WRITTEN.exists() else UNKNOWN
"""Per PEP 440; :data:`UNKNOWN` in a checkout that was never installed."""


def other_release(a: str, b: str) -> bool:
    """True of versions that are, or are on the way to, two releases.

    Commits between two releases have versions of their own (``0.2.dev7+g1a2b3c4``), which are no
    difference: the commit itself is recorded. Nor is one where a version is unknown.
    """
    from packaging.version import Version  # not needed to print the version

    one, other = (Version(Version(version).base_version) for version in (a, b))
    return UNKNOWN not in (a, b) and one != other
