"""The index of a site, used: its filters, its order, and where its links lead."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Shelf
    from opened import Opened

See = Callable[..., AbstractContextManager["Opened"]]


def names(opened: Opened) -> list[str]:
    cells = opened.page.locator("#runs .tabulator-cell[tabulator-field='run']")
    return [text.strip() for text in cells.all_inner_texts()]


def test_filters_leave_the_runs_that_fit_and_can_be_taken_back(see: See, shelf: Shelf) -> None:
    with see(shelf["site"]) as opened:
        page = opened.page
        assert sorted(names(opened)) == ["laptop", "server"]
        page.get_by_label("method").select_option("f-gr")
        assert len(names(opened)) == 2
        page.get_by_label("from").fill("2100")
        page.get_by_label("from").dispatch_event("change")
        assert names(opened) == []
        assert page.locator("#count").inner_text() == "0 of 2 runs"
        page.get_by_role("button", name="Show all").click()
        page.wait_for_function("document.getElementById('count').textContent === '2 runs'")
        assert sorted(names(opened)) == ["laptop", "server"]
        assert opened.faults == []


def test_a_click_on_a_head_sorts(see: See, shelf: Shelf) -> None:
    with see(shelf["site"]) as opened:
        title = opened.page.locator(
            "#runs .tabulator-col[tabulator-field='run'] .tabulator-col-title"
        )
        title.click()
        assert names(opened) == ["laptop", "server"]
        title.click()
        assert names(opened) == ["server", "laptop"]


def test_links_lead_to_pages_and_back(see: See, shelf: Shelf) -> None:
    index = shelf["site"]
    with see(index) as opened:
        opened.page.get_by_role("link", name="laptop", exact=True).click()
        assert opened.page.url == (index.parent / "runs/laptop/report.html").as_uri()
        opened.page.get_by_role("link", name="All runs").click()
        assert opened.page.url == index.as_uri()
        opened.page.get_by_role("link", name="synthetic, side by side").click()
        assert "2 runs side by side" in opened.page.title()
        opened.page.get_by_label("milliseconds").check()
        assert opened.page.locator("td .absolute").first.is_visible()
