"""The documentation's site in a browser: from disk, offline, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from built_site import build

if TYPE_CHECKING:
    from opened import Opened

PAGES = (
    *("index", "tutorial", "gallery", "methods", "step-cost", "scoreboard"),
    *("reference/cli", "reference/api", "reference/tables"),
)
See = Callable[..., AbstractContextManager["Opened"]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_offline_and_fits_a_phone(site: Path, see: See, name: str) -> None:
    with see(site / f"{name}.html", width=400) as opened:
        assert all(opened.images().values())
        opened.page.wait_for_timeout(500)
        assert opened.beyond(400) == []
        assert opened.outside == [] and opened.faults == []


QUICKLY = ("index", "tutorial", "reference/cli", "gallery")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    "name",
    [own if own in QUICKLY else pytest.param(own, marks=pytest.mark.slow) for own in PAGES],
)
def test_a_page_can_be_read_by_everybody(site: Path, see: See, name: str, dark: bool) -> None:
    with see(site / f"{name}.html", dark=dark) as opened:
        assert (opened.luminance() < 0.2) == dark
        assert opened.violations() == []


def test_the_palette_can_be_changed(site: Path, see: See) -> None:
    with see(site / "index.html") as opened:
        bright = opened.luminance()
        opened.page.get_by_title("Dark").first.click()
        opened.page.wait_for_timeout(500)
        assert opened.luminance() < bright


def test_search_works_without_a_server(site: Path, see: See) -> None:
    with see(site / "index.html") as opened:
        opened.page.get_by_role("textbox", name="Search").fill("double backpropagation")
        result = opened.page.locator(".md-search-result__item a").first
        result.wait_for(timeout=10_000)
        assert opened.outside == [] and opened.faults == []
