"""The documentation's site, built as ``make docs`` builds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NEEDED = ("mkdocs", "mkdocs_click", "material", "mkdocstrings_handlers.python")


def build(folder: Path) -> Path:
    """The folder with the site in it; the test is skipped where MkDocs is not installed."""
    for module in NEEDED:
        pytest.importorskip(module, reason=f"no {module} here: pip install -e '.[docs]'")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return folder
