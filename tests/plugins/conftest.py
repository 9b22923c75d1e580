"""What the tests of plug-ins share: files with plug-ins, and no names from other tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_files import METHOD, Write

from gr_bench import registry


@pytest.fixture(autouse=True)
def no_names() -> Iterator[None]:
    """Names are those that a test admits itself."""
    before = [(things.admitted, dict(things.admitted)) for things in registry.REGISTRIES]
    for admitted, _ in before:
        admitted.clear()
    yield
    for admitted, names in before:
        admitted.clear()
        admitted.update(names)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file of a folder, which is the current one."""
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, text: str = METHOD) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_file
