"""Hashes of plug-ins' sources."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from plugin_files import METHOD, Write

from gr_bench import registry
from gr_bench.plugins import source
from gr_bench.plugins.place import load, load_module


def hashed(where: str) -> str:
    module = where.rpartition(":")[0]
    return source.source_hash(load(where), load_module(module))


def test_it_is_that_of_the_file_and_of_what_it_imports_beside_it(write: Write) -> None:
    texts = {
        "mine.py": "import helpers\nfrom parts import one\n" + METHOD,
        "helpers.py": "import further",
        "further.py": "",
        "parts/__init__.py": "",
        "parts/one.py": "",
    }
    files = {name: write(f"src/{name}", text) for name, text in texts.items()}
    write("src/stranger.py", "1")
    where = f"{files['mine.py']}:Mine"
    first = hashed(where)
    write("src/stranger.py", "2")
    assert hashed(where) == first
    for name, text in texts.items():
        files[name].write_text(text + "\n# changed\n")
        assert hashed(where) != first, name
        files[name].write_text(text)
        assert hashed(where) == first, name


def test_it_does_not_depend_on_where_the_file_lies(write: Write) -> None:
    one, other = write("a/mine.py"), write("b/c/another.py")
    assert hashed(f"{one}:Mine") == hashed(f"{other}:Mine")


def test_files_that_import_each_other_are_hashed_once(write: Write) -> None:
    write("ping.py", "import pong\n" + METHOD)
    path = write("pong.py", "import ping")
    assert [file.name for file in source._files(path)] == ["pong.py", "ping.py"]


def test_gr_bench_is_no_part_of_a_plug_in(write: Write) -> None:
    write("gr_bench/methods/__init__.py", "")
    path = write("mine.py")
    assert source._files(path) == [path]


def test_of_an_installed_package_it_is_the_version_and_the_module(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = write("site-packages/packaged_method.py", METHOD)
    metadata = "site-packages/packaged_method-{}.dist-info"
    write(f"{metadata.format('1.0')}/METADATA", "Name: packaged-method\nVersion: 1.0\n")
    write(f"{metadata.format('1.0')}/top_level.txt", "packaged_method\n")
    monkeypatch.syspath_prepend(module.parent)
    first = hashed("packaged_method:Mine")
    Path(metadata.format("1.0"), "METADATA").write_text("Name: packaged-method\nVersion: 1.1\n")
    second = hashed("packaged_method:Mine")
    module.write_text(METHOD + "\n")
    assert len({first, second, hashed("packaged_method:Mine")}) == 3
    del sys.modules["packaged_method"]


def test_what_is_ours_has_none() -> None:
    registry.spell_method("sam")
    assert registry.METHODS.source("sam") == registry.METHODS.source("f-gr") == ""
