"""Links and pictures of pages that lead out of ``docs/``, and the part of the README on the site.

Pages are written for the code host, where ``../results/README.md`` is a file. On the site such a
link leads to the repository, and a picture is copied when the site is built.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PICTURES = "pictures"
"""The folder of the site for pictures from outside ``docs/``."""

README = "<!-- README.md: the picture and the answers -->"
"""The place of a page where :func:`answers` are put."""

CODE = re.compile(r"(^(```+|~~~+)[^\n]*\n.*?^\2[^\n]*$)", re.MULTILINE | re.DOTALL)
IMAGE = re.compile(rf'<img [^>]*?src="([^"]*\b{PICTURES}/[^"]+)"[^>]*>')
DIALOG = 'data-md-component="search" role="dialog"'
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def answers(readme: str) -> str:
    """The README from its first picture to its section on installation, as a page of ``docs/``.

    Raises:
        ValueError: the README has no such part.
    """
    found = re.search(r"^!\[.*?(?=^## Install$)", readme, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError("README.md has no picture before its section Install")

    def from_docs(path: str) -> str:
        return posixpath.relpath(path, "docs")

    return each_link(found[0], lambda path, anchor: f"]({from_docs(path)}{anchor})")


def each_link(markdown: str, written: Callable[[str, str], str]) -> str:
    """The text with every relative link outside blocks of code as ``written(path, anchor)``."""
    parts, end = [], 0
    for block in CODE.finditer(markdown):
        parts += [markdown[end : block.start()], block[0]]
        end = block.end()
    parts.append(markdown[end:])
    for place in range(0, len(parts), 2):
        parts[place] = LINK.sub(lambda link: written(link[1], link[2] or ""), parts[place])
    return "".join(parts)


def is_picture(path: str) -> bool:
    """True for a file that a page shows."""
    return path.endswith((".png", ".svg"))


def outside(path: str, page: str) -> str | None:
    """The path in the repository of a file outside ``docs/``; None of one inside.

    Args:
        path: as the link has it.
        page: the page that it is on, in ``docs/``.
    """
    target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), path))
    return None if target.startswith("docs/") or target == "docs" else target


def for_site(markdown: str, page: str, repository: str) -> str:
    """The text of a page with its links out of ``docs/`` as the site has them."""

    def written(path: str, anchor: str) -> str:
        target = outside(path, page)
        if target is None:
            return f"]({path}{anchor})"
        if is_picture(target):
            here = posixpath.dirname(page) or "."
            return f"]({posixpath.relpath(posixpath.join(PICTURES, target), here)})"
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        return f"]({repository.rstrip('/')}/{kind}/main/{target}{anchor})"

    return each_link(markdown, written)


def pictures(markdown: str, page: str) -> list[str]:
    """The paths in the repository of the pictures outside ``docs/`` that a page shows."""
    found: list[str] = []

    def seen(path: str, anchor: str) -> str:
        target = outside(path, page)
        if target is not None and is_picture(target):
            found.append(target)
        return ""

    each_link(markdown, seen)
    return found


def text_of(page: str) -> str:
    """The text of a page as it is written, with the README's part."""
    markdown = (ROOT / "docs" / page).read_text(encoding="utf-8")
    if README in markdown:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        markdown = markdown.replace(README, answers(readme))
    return markdown


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The site's files, with the pictures that pages show from outside ``docs/``."""
    from mkdocs.structure.files import File

    shown = {
        target
        for file in files.documentation_pages()
        for target in pictures(text_of(file.src_uri), file.src_uri)
    }
    for target in sorted(shown):
        source = os.fspath(ROOT / target)
        files.append(File.generated(config, f"{PICTURES}/{target}", abs_src_path=source))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The text of a page with the README's part, and its links as the site has them."""
    if README in markdown:
        markdown = text_of(page.file.src_uri)
    return for_site(markdown, page.file.src_uri, config.repo_url or "")


def in_full(html: str) -> str:
    """A page with every picture from outside ``docs/`` as a link to itself, in its own size."""
    return IMAGE.sub(lambda image: f'<a href="{image[1]}">{image[0]}</a>', html)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with pictures that open in full."""
    return in_full(html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """The page with a name for the theme's dialog, which screen readers say."""
    return output.replace(DIALOG, f'{DIALOG} aria-label="Search"')
