"""What the documentation says of commands, suites, files and links is true."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gr_bench.cli import app
from gr_bench.methods import COMBINATORS
from gr_bench.registry import build_method
from gr_bench.runs.shipped import shipped
from gr_bench.runs.suite import build_suite
from gr_bench.spec import parse

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("results/*.md")])
COMMAND = re.compile(r"\bgr-bench ([a-z]+)((?: [^\n`|#&]*)?)")


def commands() -> Mapping[str, click.Command]:
    return app.commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_exists(page: Path) -> None:
    known = commands()
    for name, rest in COMMAND.findall(page.read_text()):
        if name not in known:
            assert not rest.strip().startswith("-"), f"{page.name}: gr-bench {name}"
            continue  # a sentence that goes on after the word gr-bench
        options = {o for p in known[name].params for o in (*p.opts, *p.secondary_opts)}
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert option in {*options, "--help"}, f"{page.name}: gr-bench {name} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_suite_that_is_run_ships(page: Path) -> None:
    for name in re.findall(r"gr-bench run ([\w-]+)(?![\w./-])", page.read_text()):
        assert name in {*shipped(), "SUITE"}, f"{page.name}: {name}"


def test_every_method_made_of_another_is_one_and_all_are_explained() -> None:
    text = (ROOT / "docs/combinators.md").read_text()
    spelled = re.findall(rf"`((?:{'|'.join(COMBINATORS)})\(.*?\))`", text)
    assert {parse(spec).name for spec in spelled} == set(COMBINATORS)
    for spec in spelled:
        build_method(spec)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a user's that suites in the documentation name, in the current directory."""
    monkeypatch.chdir(tmp_path)
    Path("flowers.csv").write_text("petal,sepal,species\n")
    Path("book.txt").write_text("It was a dark and stormy night.")
    np.savez("arrays.npz", x=np.eye(2), y=np.arange(2))
    for image in ("pets/cat/1.jpg", "pets/dog/1.jpg"):
        Path(image).parent.mkdir(parents=True)
        Path(image).touch()
    for folder, columns in {"digits-on-disk": ("image",), "table-on-disk": ("a", "b")}.items():
        Path(folder).mkdir()
        table = pa.table({column: [1] for column in (*columns, "label")})
        pq.write_table(table, Path(folder, "train-00000-of-00001.parquet"))


@pytest.mark.parametrize(
    "page",
    # tests of their own run these two
    [page for page in PAGES if page.name not in ("your-own.md", "own-experiment.md")],
    ids=lambda page: page.name,
)
def test_every_suite_in_toml_is_valid(page: Path, own_files: None) -> None:
    for text in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL):
        build_suite("documented", {"title": "Documented"} | tomllib.loads(text))
