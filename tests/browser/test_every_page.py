"""Every page that gr-bench writes can be opened, read, used and printed by anyone, offline."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Shelf
    from opened import Opened

See = Callable[..., AbstractContextManager["Opened"]]

PHONE = 400
"""Pixels."""

QUICKLY = ("report-hostile", "history", "side-by-side", "site")
SLOWLY = ("report-quick", "report-generalization", "claims")


@pytest.fixture(
    params=[*QUICKLY, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOWLY)],
    scope="module",
)
def page(request: pytest.FixtureRequest, shelf: Shelf, browser: object) -> Path:
    """The file of a page; it is not even written where there is no browser."""
    return shelf[request.param]


def test_no_error_and_no_request_but_for_the_page_itself(page: Path, see: See) -> None:
    with see(page) as opened:
        opened.unfold()
        assert opened.faults == []
        assert opened.outside == []
        assert opened.asked == [page.as_uri()]


def test_every_image_is_decoded(page: Path, see: See) -> None:
    with see(page) as opened:
        opened.unfold()
        images = opened.images()
        assert images or page.name in ("claims.html", "index.html")
        assert [name for name, width in images.items() if width == 0] == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(page: Path, see: See, dark: bool) -> None:
    with see(page, dark=dark) as opened:
        opened.unfold()
        assert opened.violations() == []


def test_it_is_dark_where_that_is_asked_for(page: Path, see: See) -> None:
    with see(page, dark=True) as opened:
        assert opened.luminance() < 0.1
        opened.page.emulate_media(media="print", color_scheme="dark")  # paper is white
        assert opened.luminance() > 0.8
        assert opened.violations() == []
    with see(page) as opened:
        assert opened.luminance() > 0.8


def test_nothing_sticks_out_of_a_phone(page: Path, see: See) -> None:
    with see(page, width=PHONE, height=800) as opened:
        assert opened.beyond(PHONE) == []
        opened.unfold()
        assert opened.beyond(PHONE) == []


def test_all_that_can_be_used_is_reached_with_the_tab_key_and_seen(page: Path, see: See) -> None:
    with see(page) as opened:
        assert opened.unreached_by_tab() == []


def test_all_headings_are_printed(page: Path, see: See, tmp_path: Path) -> None:
    with see(page) as opened:
        printed = letters("".join(opened.printed(tmp_path / "page.pdf")))
        headings = opened.headings()
        assert headings
        assert [text for text in headings if letters(text) not in printed] == []


def letters(text: str) -> str:
    """A text without spaces, which lines and pages break, and without ligatures."""
    return "".join(unicodedata.normalize("NFKC", text).split())
