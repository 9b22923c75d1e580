"""What the tests of runs share: an experiment that another package brings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gr_bench import registry


@pytest.fixture
def numbers_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The experiment ``numbers`` as an installed package's, here and in worker processes."""
    site = tmp_path / "site"
    metadata = site / "numbers-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: numbers\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[gr_bench.experiments]\nnumbers = numbers_experiment:Numbers\n"
    )
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ["PYTHONPATH"]]))
    registry._select_entry_points.cache_clear()
    yield
    registry._select_entry_points.cache_clear()
