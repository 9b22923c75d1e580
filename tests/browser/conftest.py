"""A browser, and the pages that gr-bench writes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path[:0] = [str(Path(__file__).parent)]

from nights import night  # noqa: E402
from outcomes import block  # noqa: E402
from processes import Warm  # noqa: E402
from synthetic import cost, counted, failed, run_of, timed, trained, training  # noqa: E402

if TYPE_CHECKING:
    from opened import Opened
    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, once a file: while Playwright runs, no test here can run an event loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here")
    pytest.importorskip("pypdf", reason="no pypdf here")
    from opened import NAMES, chromium, launch

    if chromium() is None:
        pytest.skip(f"none of {', '.join(NAMES)} here")
    with playwright.sync_playwright() as started:
        browser = launch(started)
        yield browser
        browser.close()


@pytest.fixture
def see(browser: Browser) -> Callable[..., AbstractContextManager[Opened]]:
    """``with see(file, width=400, dark=True) as opened:`` a page in a window."""
    import opened

    def seen(file: Path, **window: int) -> AbstractContextManager[Opened]:
        return opened.opened(browser, file, **window)

    return seen


class Shelf:
    """The pages, each written when it is first asked for."""

    HOSTILE = "</script></title><script>alert('run')</script><img src=x onerror=alert('run')> & <b>"

    def __init__(self, folder: Path, command: Warm) -> None:
        self.folder = folder
        self.command = command
        self.written: dict[str, Path] = {}

    def __getitem__(self, name: str) -> Path:
        if name not in self.written:
            self.written[name] = getattr(self, "_" + name.replace("-", "_"))()
        return self.written[name]

    def _kept(self, name: str) -> Path:
        return Path(shutil.copytree(ROOT / "results" / name, self.folder / name))

    def _asked(self, *argv: str | Path) -> None:
        ended = self.command(*map(str, argv), cwd=self.folder)
        assert ended.code == 0, ended.err

    def _report(self, run: Path) -> Path:
        self._asked("report", run)
        return run / "report/report.html"

    def _report_quick(self) -> Path:
        return self._report(self._kept("quick"))

    def _report_generalization(self) -> Path:
        return self._report(self._kept("generalization-quick"))

    def _report_hostile(self) -> Path:
        """Of a run that failed in part, with markup wherever somebody else writes words."""
        records = [failed(cost("sam"), self.HOSTILE)]
        for factor, method in enumerate(("sgd", "f-gr"), start=1):
            records += [counted(cost(method))]
            records += [timed(cost(method), n, [0.01 * factor] * 3) for n in range(5)]
            records += [
                trained(training(method, seed=n), train=(0.1, 0.9), test=(0.2, 0.8))
                for n in range(2)
            ]
        records += [timed(cost("sgd", control=True), n, [0.01] * 3) for n in range(5)]
        run = run_of(self.folder / "hostile", *records)
        about = (run / "run.json").read_text()
        spelled = self.HOSTILE.replace('"', '\\"')
        about = about.replace('"Synthetic"', f'"{spelled}"')
        (run / "run.json").write_text(
            about.replace('"description": ""', f'"description": "{spelled}"')
        )
        return self._report(run)

    def _runs(self) -> list[Path]:
        """Two of one suite."""
        folders = [self.folder / name for name in ("laptop", "server")]
        for folder, ratio in zip(folders, (2.0, 1.8), strict=True):
            if not folder.exists():
                run_of(folder, *block(ratios={"sgd": 1.0, "sam": ratio, "f-gr": ratio - 0.1}))
                about = (folder / "run.json").read_text()
                (folder / "run.json").write_text(about.replace('"now"', '"2026-11-27T12:00:00"'))
        return folders

    def _side_by_side(self) -> Path:
        self._asked("report", *self._runs(), "--out", "both")
        return self.folder / "both/side-by-side.html"

    def _site(self) -> Path:
        self._asked("site", *self._runs(), "--out", "site")
        return self.folder / "site/index.html"

    def _claims(self) -> Path:
        self._asked("claims", self._kept("claims-quick"), "--out", "claims")
        return self.folder / "claims/claims.html"

    def _history(self) -> Path:
        times = [{"sgd": 1.0, "f-gr": 2.0 if number < 6 else 2.3} for number in range(12)]
        runs = [night(self.folder / f"night{n}", n, times=t) for n, t in enumerate(times)]
        self._asked("history", *runs, "--out", "history")
        return self.folder / "history/history.html"


@pytest.fixture(scope="session")
def shelf(command: Warm, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """``shelf["report-quick"]``: the file of a page."""
    return Shelf(tmp_path_factory.mktemp("shelf"), command)
