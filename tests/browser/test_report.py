"""A report's tables are sorted, filtered and read with the mouse and with the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Shelf
    from opened import Opened
    from playwright.sync_api import Locator

See = Callable[..., AbstractContextManager["Opened"]]

TIME = "time (ms)"
MOST_BYTES = 3 * 10**6
"""Of a page, so that it can be sent by mail and opens at once."""


@pytest.fixture(
    params=["report-hostile", pytest.param("report-quick", marks=pytest.mark.slow)], scope="module"
)
def report(request: pytest.FixtureRequest, shelf: Shelf, browser: object) -> Path:
    """The file of a report whose first table has the times of steps."""
    return shelf[request.param]


class Rows:
    """The first of these tables with every row, opened."""

    def __init__(self, opened: Opened, details: str = "details.rows") -> None:
        self.details = opened.page.locator(details).first
        if self.details.get_attribute("open") is None:
            self.details.locator("summary").first.click()
        self.details.get_by_role("columnheader").first.wait_for()

    def heading(self, title: str) -> Locator:
        return self.details.get_by_role("columnheader", name=title).first

    def titles(self) -> list[str]:
        """Of the columns that are shown."""
        return [text.strip() for text in self.details.get_by_role("columnheader").all_inner_texts()]

    def column(self, title: str) -> list[str]:
        """What stands in a column, in the order shown."""
        cells = self.details.get_by_role("gridcell").all_inner_texts()
        titles = self.titles()
        return [text.strip() for text in cells[titles.index(title) :: len(titles)]]

    def times(self) -> list[float]:
        """Those of the rows that have one."""
        return [float(text.replace(",", "")) for text in self.column(TIME) if text != "nan"]


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_heading_sorts_by_number_and_then_the_other_way_round(
    report: Path, see: See, by: str
) -> None:
    with see(report) as opened:
        rows = Rows(opened)
        unsorted = rows.times()
        assert len(set(unsorted)) > 1
        for order in ("ascending", "descending"):
            if by == "mouse":
                rows.heading(TIME).get_by_text(TIME).click()
            else:
                rows.heading(TIME).locator("[tabindex='0']").focus()
                opened.page.keyboard.press("Enter")
            assert rows.heading(TIME).get_attribute("aria-sort") == order
            assert rows.times() == sorted(unsorted, reverse=order == "descending")


def test_what_is_typed_above_a_column_keeps_the_rows_that_have_it(report: Path, see: See) -> None:
    with see(report) as opened:
        rows = Rows(opened)
        before = rows.column("method")
        box = rows.details.get_by_label("filter method")
        box.press_sequentially("f-gr")
        opened.page.wait_for_timeout(700)  # while somebody types, nothing is filtered
        assert rows.column("method") == [name for name in before if "f-gr" in name]
        assert 0 < len(rows.column("method")) < len(before)
        for _ in "f-gr":
            box.press("Backspace")
        opened.page.wait_for_timeout(700)
        assert rows.column("method") == before


def test_a_column_that_is_hidden_at_first_can_be_had(report: Path, see: See) -> None:
    with see(report) as opened:
        opened.unfold()  # boxes for columns are made when a table is
        with_more = opened.page.locator("details.rows:has(.controls input)").first
        rows = Rows(opened, f"#{with_more.get_attribute('id')}")
        box = rows.details.locator(".controls").get_by_role("checkbox").first
        title = box.locator("xpath=..").inner_text().strip()
        assert title not in rows.titles()
        box.check()
        assert title in rows.titles()
        box.uncheck()
        assert title not in rows.titles()


def test_a_number_leads_to_its_rows_and_back_to_all(report: Path, see: See) -> None:
    with see(report) as opened:
        link = opened.page.locator("a[data-where*='f-gr']").first
        target = opened.page.locator(str(link.get_attribute("href")))
        assert target.get_attribute("open") is None
        link.click()
        status = target.get_by_role("status")
        status.wait_for()
        methods = target.get_by_role("gridcell").filter(has_text="f-gr").count()
        assert methods == target.get_by_role("row").count() - 1 > 0  # but for the headings
        assert "f-gr" in status.inner_text()
        status.get_by_role("button").click()
        assert target.get_by_role("row").count() - 1 > methods


def test_small_tables_show_ratios_or_what_was_measured(report: Path, see: See) -> None:
    with see(report) as opened:
        pivot = opened.page.locator(".pivot").first
        cell = pivot.locator("td", has=opened.page.locator("a")).last
        ratio = cell.inner_text()
        pivot.get_by_role("radio").last.check()
        assert cell.inner_text() not in ("", ratio)
        pivot.get_by_role("radio").first.check()
        assert cell.inner_text() == ratio


def test_every_file_that_the_page_offers_is_there(report: Path, see: See) -> None:
    with see(report) as opened:
        opened.unfold()
        links = [
            str(link.get_attribute("href"))
            for link in opened.page.locator("a[href]:not([href^='http'])").all()
        ]
        files = [link for link in links if not link.startswith("#")]
        assert {Path(link).suffix for link in files} >= {".svg", ".png", ".csv"}
        assert [link for link in files if not (report.parent / link).is_file()] == []
        named = [link.removeprefix("#") for link in links if link.startswith("#")]
        missing = [name for name in named if not opened.page.locator(f"[id='{name}']").count()]
        assert named and missing == []


def test_the_page_is_small_enough_to_be_sent(report: Path) -> None:
    assert report.stat().st_size < MOST_BYTES


def test_the_answers_are_on_the_first_screen(report: Path, see: See) -> None:
    with see(report, width=1280, height=900) as opened:
        answers = opened.page.locator(".answers article")
        unasked = "".join(opened.page.locator(".first > p.caption").all_inner_texts())
        assert answers.count() + unasked.count("?") == 3
        for answer in answers.all():
            box = answer.bounding_box()
            assert box is not None and box["y"] + box["height"] < 900


def test_words_of_others_are_shown_and_never_run(shelf: Shelf, see: See) -> None:
    hostile = shelf.HOSTILE
    with see(shelf["report-hostile"]) as opened:
        opened.unfold()
        assert opened.faults == []
        text = " ".join(opened.page.locator("body").inner_text().split())
        assert opened.page.title() == hostile
        assert opened.page.locator("h1").inner_text() == hostile
        assert text.count(hostile) >= 3  # as the title, as the description, as a failure's reason
