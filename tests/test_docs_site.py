"""The documentation's site: it can be built, needs no network, and leaves nothing out."""

from __future__ import annotations

import importlib.util
import inspect
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import pytest
import yaml
from built_site import build

import gr_bench
from gr_bench.cli import app
from gr_bench.runs.shipped import shipped

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PUBLIC = [name for name in gr_bench.__all__ if not name.startswith("_")]
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


def hook(name: str) -> ModuleType:
    """A file of ``docs/hooks/``, as MkDocs would load it."""
    spec = importlib.util.spec_from_file_location(f"docs_hooks_{name}", DOCS / f"hooks/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


links, docstrings, commands, reference = map(hook, ("links", "docstrings", "commands", "reference"))


class Settings(yaml.SafeLoader):
    """``mkdocs.yml`` without the functions that it names."""


Settings.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def settings() -> dict[str, Any]:
    return yaml.load((ROOT / "mkdocs.yml").read_text(), Settings)


def in_nav(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in in_nav(part)]


class Page(HTMLParser):
    """The addresses that a page fetches and leads to, its anchors, its paragraphs' text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.paragraphs: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.open.append(tag)
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        leads = tag == "a" or given.get("rel") in ("canonical", "next", "prev", "edit")
        if leads and "href" in given:
            self.links.append(given["href"])
        elif FETCHED.get(tag) in given:
            self.fetched.append(given[FETCHED[tag]])
        if tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "p" in self.open and "code" not in self.open:
            self.paragraphs[-1] += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {
        file.relative_to(site).as_posix(): Page(file.read_text())
        for file in site.rglob("*.html")
        if file.name != "404.html"
    }


def test_the_site_fetches_nothing_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        outside = [a for a in page.fetched if urlsplit(a).scheme not in ("", "data")]
        assert outside == [] and page.fetched, name
        # the theme's own would ask the code host for stars and releases
        assert 'data-md-component="source"' not in (site / name).read_text()
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text()), style


def test_every_link_and_picture_of_the_site_is_there(site: Path, pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        for address in [*page.links, *page.fetched]:
            parts = urlsplit(address)
            if parts.scheme or not parts.path:
                continue
            target = (site / name).parent / unquote(parts.path)
            assert (target / "index.html" if target.is_dir() else target).is_file(), (name, address)


def test_no_markup_is_left_in_the_text(pages: dict[str, Page]) -> None:
    left = re.compile(r"^(?:- |\d+\. |\||```)|\]\(|\*\*|:[a-z]+:`|<!--", re.MULTILINE)
    for name, page in pages.items():
        for text in page.paragraphs:
            assert not left.search(text), f"{name}: {text}"


def test_every_command_and_option_is_in_the_reference(site: Path, pages: dict[str, Page]) -> None:
    text = (site / "reference/cli.html").read_text()
    assert "Sentinel" not in text
    told = [paragraph.split()[:5] for paragraph in pages["reference/cli.html"].paragraphs]
    for name, command in app.commands.items():
        assert f"gr-bench-{name}" in pages["reference/cli.html"].ids
        last = inspect.cleandoc(command.help or "").split("\n\n")[-1]
        assert last.split()[:5] in told, name
        for option in (o for o in command.params if isinstance(o, click.Option)):
            assert f"<code>{option.opts[0]}</code>" in text, f"{name} {option.opts[0]}"


def test_every_public_function_is_in_the_reference(pages: dict[str, Page]) -> None:
    ids = pages["reference/api.html"].ids
    assert {f"gr_bench.{name}" for name in PUBLIC} <= ids
    assert "gr_bench.runs.results.Results" in ids


def test_every_suite_and_table_is_in_the_reference(pages: dict[str, Page]) -> None:
    assert shipped().keys() <= pages["reference/suites.html"].ids
    named = {"failures", *(table for own in reference.tables().values() for table in own)}
    assert named <= pages["reference/tables.html"].ids


def test_the_front_page_has_the_picture_and_the_answers(site: Path) -> None:
    text = (site / "index.html").read_text()
    assert "pictures/results/" in text
    assert text.count("<li><strong>") + text.count("<li>\n<p><strong>") >= 3


def test_every_page_is_in_the_navigation_once() -> None:
    written = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    assert sorted(in_nav(settings()["nav"])) == sorted(written)


def test_the_site_names_the_repository_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert settings()["repo_url"] == project["urls"]["Source"]


def test_the_reference_names_every_public_function() -> None:
    text = (DOCS / "reference/api.md").read_text()
    assert {f"gr_bench.{name}" for name in PUBLIC} <= set(re.findall(r"^::: (\S+)", text, re.M))


def test_the_front_page_has_its_part_of_the_readme() -> None:
    found = links.answers((ROOT / "README.md").read_text())
    assert found.startswith("![") and found.count("\n- **") == 3
    assert "](../results/" in found and "## " not in found


def test_a_readme_without_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="Install"):
        links.answers("# gr-bench\n\n## Install\n")


@pytest.mark.parametrize(
    ("page", "written", "expected"),
    [
        ("index.md", "[a](../CONTRIBUTING.md#x)", "[a](REPO/blob/main/CONTRIBUTING.md#x)"),
        ("index.md", "[a](../results)", "[a](REPO/tree/main/results)"),
        ("index.md", "[a](data.md#csv)", "[a](data.md#csv)"),
        ("reference/api.md", "[a](../data.md)", "[a](../data.md)"),
        ("reference/api.md", "[a](../../README.md)", "[a](REPO/blob/main/README.md)"),
        ("index.md", "[a](https://b.c/d) [e](#f)", "[a](https://b.c/d) [e](#f)"),
        ("index.md", "![a](../results/b.png)", "![a](pictures/results/b.png)"),
        ("reference/x.md", "![a](../../results/b.png)", "![a](../pictures/results/b.png)"),
        ("index.md", "```md\n[a](../README.md)\n```\n", "```md\n[a](../README.md)\n```\n"),
        ("index.md", "[`a`](../README.md)", "[`a`](REPO/blob/main/README.md)"),
    ],
)
def test_links_out_of_the_documentation(page: str, written: str, expected: str) -> None:
    assert links.for_site(written, page, "REPO/") == expected


def test_pictures_from_outside_are_found_and_those_of_code_are_not() -> None:
    text = "![a](../results/b.png) [c](d.md) ![e](f.png)\n```\n![g](../results/h.png)\n```\n"
    assert links.pictures(text, "index.md") == ["results/b.png"]


def test_every_picture_of_a_page_is_a_file_of_the_repository() -> None:
    shown = [
        picture
        for page in DOCS.rglob("*.md")
        for picture in links.pictures(
            links.text_of(page.relative_to(DOCS).as_posix()), page.relative_to(DOCS).as_posix()
        )
    ]
    assert len(shown) > 10
    assert [picture for picture in shown if not (ROOT / picture).is_file()] == []


def test_a_picture_leads_to_itself() -> None:
    image = '<img alt="a" src="../pictures/results/b.png" />'
    assert links.in_full(image) == f'<a href="../pictures/results/b.png">{image}</a>'
    assert links.in_full('<img src="own.png">') == '<img src="own.png">'


def test_roles_and_examples_of_docstrings() -> None:
    written = "See :func:`~a.b.c` and :class:`d.e`; ``f``.\n\nExample:\n    >>> 1\n"
    read = "See `c` and `d.e`; ``f``.\n\nExamples:\n    >>> 1\n"
    assert docstrings.readable(written) == read


def test_the_documented_commands_show_what_help_shows() -> None:
    run = commands.documented(app).commands["run"]
    options = {o.opts[0]: o for o in run.params if isinstance(o, click.Option)}
    assert options["--out"].default == "runs/SUITE" and options["--out"].type.name == "DIR"
    assert options["--executor"].default == "local"
    assert options["--fresh"].default == commands.NOTHING
    assert "gr-bench run quick" in (run.help or "")
    ours = {o.opts[0]: o for o in app.commands["run"].params if isinstance(o, click.Option)}
    assert ours["--fresh"].default != commands.NOTHING  # a copy was documented


def test_every_column_has_a_unit_and_every_unit_a_column() -> None:
    tables = {table: c for own in reference.tables().values() for table, c in own.items()}
    tables["failures"] = list(reference.build_table([], reference.FAILURE).columns)
    for table, columns in tables.items():
        assert table in reference.MADE_BY or table == "failures", f"docs/hooks: {table}"
        for column in columns:
            assert reference.unit(table, column), column
    there = {column for columns in tables.values() for column in columns}
    quantities = there | {column.removesuffix("_low") for column in there}
    assert {c for columns in reference.OF.values() for c in columns} <= quantities
    assert {(t, c) for t, c in reference.ELSEWHERE if c not in tables[t]} == set()
    assert set(reference.MADE_BY) <= set(tables)


def test_a_column_without_a_unit_is_an_error() -> None:
    with pytest.raises(LookupError, match="colour"):
        reference.unit("step_cost", "colour")
