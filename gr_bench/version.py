"""The version of gr-bench, from git's tag: a build writes it into a file beside this one."""

from pathlib import Path

WRITTEN = Path(__file__).with_name("version.txt")
"""Written by hatch-vcs when a wheel is built or a checkout is installed; never committed."""

__version__ = WRITTEN.read_text().strip() if WRITTEN.exists() else "0+unknown"
"""Per PEP 440; ``0+unknown`` in a checkout that was never installed."""
