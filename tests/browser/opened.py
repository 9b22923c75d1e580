"""A page in headless Chromium, watched: what it says, asks for and shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pypdf import PdfReader

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright, Route

AXE = Path(__file__).parent / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OFFLINE = ("file:", "data:", "blob:", "about:")
"""Beginnings of what a page may ask for."""

GRAVE = ("serious", "critical")

IMAGES = """async () => {
  const images = [...document.images];
  for (const image of images) image.loading = "eager";
  await Promise.all(images.map(image => image.decode().catch(() => 0)));
  return images.map(image => [image.alt || image.src.slice(0, 80), image.naturalWidth]);
}"""
BEYOND = """width => [...document.body.querySelectorAll("*")].filter(element => {
  if (element.getBoundingClientRect().right <= width + 1) return false;
  for (let box = element.parentElement; box; box = box.parentElement)
    if (box !== document.body && getComputedStyle(box).overflowX !== "visible") return false;
  return true;
}).slice(0, 5).map(element => element.outerHTML.slice(0, 120))"""
LUMINANCE = """() => {
  const shown = [document.documentElement, document.body].map(e => getComputedStyle(e));
  const canvas = document.createElement("canvas").getContext("2d");
  canvas.fillStyle = matchMedia("(prefers-color-scheme: dark)").matches
    && getComputedStyle(document.documentElement).colorScheme.includes("dark") ? "#121212" : "#fff";
  canvas.fillRect(0, 0, 1, 1);
  for (const style of shown) {
    canvas.fillStyle = style.backgroundColor;
    canvas.fillRect(0, 0, 1, 1);
  }
  const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}"""
TABBABLE = """() => [...document.querySelectorAll(
  "a[href], button, input, select, textarea, summary, [tabindex]:not([tabindex='-1'])")]
  .filter(e => !e.disabled && e.tabIndex >= 0 && e.checkVisibility({visibilityProperty: true})
    && !(e.type === "radio" && !e.checked))
  .map((e, i) => { e.dataset.stop = i; return e.outerHTML.slice(0, 100); })"""
FOCUSED = """() => {
  const e = document.activeElement, style = getComputedStyle(e);
  if (e === document.body) return null;
  const seen = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0)
    || style.boxShadow !== "none";
  return [e.dataset.stop ?? null, seen, e.outerHTML.slice(0, 100)];
}"""


def chromium() -> str | None:
    """The path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def launch(playwright: Playwright) -> Browser:
    """A headless browser; root may not have Chromium's sandbox."""
    return playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])


class Opened:
    """A page that was opened.

    Attributes:
        page: playwright's page.
        faults: errors of scripts and on the console.
        asked: URLs of files that it asked for, its own among them.
        outside: URLs that only a network has; none was let through.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.outside: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda m: self.faults.append(m.text) if m.type == "error" else None)
        page.on("dialog", lambda dialog: (self.faults.append(dialog.message), dialog.dismiss()))
        page.context.route("**/*", self._route)

    def _route(self, route: Route) -> None:
        url = route.request.url
        if url.startswith(OFFLINE):
            if url.startswith("file:"):
                self.asked.append(url)
            route.continue_()
        else:
            self.outside.append(url)
            route.abort()

    def unfold(self) -> None:
        """Open all that a reader can open."""
        self.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        self.page.wait_for_timeout(300)  # tables may be built when they are opened

    def images(self) -> dict[str, int]:
        """The width in pixels of every image, 0 of one that could not be decoded, by its text."""
        return dict(self.page.evaluate(IMAGES))

    def beyond(self, width: int) -> list[str]:
        """What sticks out of a window of that width, outside of boxes that scroll themselves."""
        wide = self.page.evaluate("document.scrollingElement.scrollWidth")
        return [f"{wide} pixels", *self.page.evaluate(BEYOND, width)] if wide > width else []

    def luminance(self) -> float:
        """That of the background, from 0, black, to 1, white (WCAG's relative luminance)."""
        return float(self.page.evaluate(LUMINANCE))

    def violations(self) -> list[str]:
        """What axe-core finds to be serious or critical, each with the first place."""
        self.page.add_script_tag(path=str(AXE))
        found: dict[str, Any] = self.page.evaluate("axe.run({resultTypes: ['violations']})")
        grave = [rule for rule in found["violations"] if rule["impact"] in GRAVE]
        return [
            f"{rule['id']}, {len(rule['nodes'])} times: {rule['nodes'][0]['html'][:120]}"
            f" | {rule['nodes'][0]['failureSummary'][:200]}"
            for rule in grave
        ]

    def unreached_by_tab(self, most: int = 400) -> list[str]:
        """What can be used but is not reached with the tab key, or not seen to be reached."""
        expected = self.page.evaluate(TABBABLE)[:most]
        reached, unseen = set(), []
        for _ in range(3 * most):
            self.page.keyboard.press("Tab")
            focused = self.page.evaluate(FOCUSED)
            if focused is None or focused[0] in reached:
                break
            stop, seen, text = focused
            if stop is not None:
                reached.add(stop)
            if not seen:
                unseen.append(f"no sign of focus: {text}")
        missed = [text for stop, text in enumerate(expected) if str(stop) not in reached]
        return [*missed, *unseen]

    def headings(self) -> list[str]:
        """The headings of the first two levels that are shown, in words."""
        shown = "h => h.filter(x => x.checkVisibility()).map(x => x.innerText)"
        return [" ".join(text.split()) for text in self.page.eval_on_selector_all("h1, h2", shown)]

    def printed(self, file: Path) -> list[str]:
        """The text of each sheet, printed on A4 into a PDF file."""
        self.page.pdf(path=file, format="A4")
        return [sheet.extract_text() for sheet in PdfReader(file).pages]


@contextmanager
def opened(
    browser: Browser, file: Path, width: int = 1280, height: int = 900, dark: bool = False
) -> Iterator[Opened]:
    """A page from a file, in a window of this size."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        offline=True,
        reduced_motion="reduce",
    )
    try:
        page = Opened(context.new_page())
        page.page.goto(file.resolve().as_uri())
        yield page
    finally:
        context.close()
