from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest
from processes import Warm
from synthetic import cost, counted, diverged, failed, run_of, timed, trained, training

from gr_bench import load
from gr_bench.reports.page import DRAWN_OF_MORE, MOST_DRAWN, _drawn, write_report
from gr_bench.reports.pages import templates
from gr_bench.spec import parse

FIVE = (
    "sgd",
    "sam(rho=0.05)",
    "f-gr(gamma=0.1, epsilon=0.05)",
    "b-gr(gamma=0.1, epsilon=0.05)",
    "db-gr(gamma=0.1)",
)


@dataclass
class Page(HTMLParser):
    """What a browser would make of a page."""

    references: list[str] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    images: list[str] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    rows: dict[str, list[list[str]]] = field(default_factory=dict)
    """The tables that are built on opening, their heads first."""

    text: str = ""
    in_cell: bool = False
    script: str | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [v or "" for k, v in attributes if k == "href"]
        self.images += [v or "" for k, v in attributes if k in ("src", "srcset")]
        if tag == "script":
            self.script = dict(attributes).get("id") or ""
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.in_cell = False
        elif tag == "script":
            self.script = None

    def handle_data(self, data: str) -> None:
        if self.script is not None:
            if self.script:
                own = json.loads(data)
                self.rows[self.script] = [own["columns"], *own["rows"]]
            return
        self.text += data
        if self.in_cell:
            self.tables[-1][-1][-1] += data


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    return page


@pytest.fixture(scope="module")
def report(small_run, command: Warm) -> Path:
    ended = command("report", small_run.folder)
    folder = small_run.folder / "report"
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"{folder / 'report.html'}\n{folder / 'report.md'}\n"
    return folder


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return read(report / "report.html")


# --- the page


def test_a_run_with_failures_ends_with_1(small_run) -> None:
    assert (small_run.ended.code, small_run.ended.out) == (1, "runs/small\n")
    assert "of 28 cells in runs/small failed" in small_run.ended.err


def test_the_page_needs_nothing_but_itself(report: Path, page: Page) -> None:
    assert page.images
    assert all(image.startswith("data:") for image in page.images)
    for reference in page.references:
        assert reference.startswith("#") or (report / reference).is_file(), reference
    assert not page.tags & {"link", "iframe", "object"}
    html = re.sub(r"base64,[^\"]*", "", (report / "report.html").read_text())
    for name in ("tabulator.min.js", "tabulator.min.css"):
        vendored = resources.files("gr_bench.reports").joinpath("vendor", name).read_text()
        assert vendored in html
        assert "sourceMappingURL" not in vendored
        html = html.replace(vendored, "")
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert "url(" not in html


def test_every_figure_is_on_the_page_and_a_file_of_both_kinds(report: Path, page: Page) -> None:
    prefix = "data:image/svg+xml;base64,"
    embedded = {
        base64.b64decode(reference.removeprefix(prefix))
        for reference in page.images
        if reference.startswith(prefix)
    }
    drawn = sorted((report / "figures").glob("*.svg"))
    assert len(drawn) >= 7
    assert {path.read_bytes() for path in drawn} == embedded
    for path in drawn:
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        assert f"figures/{path.stem}.png" in (report / "report.md").read_text()


def test_every_method_is_in_every_table(page: Page) -> None:
    glance, steps, accuracies, failures = page.tables
    # time, memory, cost model, generalization, against SGD, to a target
    assert len(page.rows) == 6
    for table in (glance, *page.rows.values()):
        cells = {str(cell) for row in table for cell in row}
        if table is page.rows["data-comparison"]:
            cells.add("sgd")
        assert cells >= {*FIVE, "raises"}
        assert len({len(row) for row in table}) == 1
    short = {parse(spec).kind for spec in FIVE}
    assert {row[0] for row in steps} >= short
    assert {row[0] for row in accuracies} >= short - {"sgd"}
    assert len(failures) == 1 + 2 + 2  # its head, two batch sizes, two seeds


def test_every_method_is_in_every_table_of_the_plain_text(report: Path) -> None:
    text = (report / "report.md").read_text()
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(blocks) == 8
    for block in blocks[:-1]:
        assert all(method in block for method in FIVE if method != "sgd")
    for block in blocks:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_what_failed_is_shown_as_it_is(page: Page) -> None:
    assert "RuntimeError: <b>no</b> such" in page.text
    assert "| luck" in page.text
    assert "Both experiments, <i>with</i> accidents." in page.text
    assert not page.tags & {"b", "i"}


def test_what_is_between_backticks_is_code_and_nothing_else_is_markup() -> None:
    inline = templates().filters["inline"]
    assert inline("as `a<b`, not <i>") == "as <code>a&lt;b</code>, not &lt;i&gt;"
    assert inline("one ` alone") == "one ` alone"


def test_no_markdown_is_left_on_the_page(page: Page) -> None:
    assert "`" not in page.text


def test_the_first_picture_has_its_numbers_in_a_file(report: Path) -> None:
    rows = pd.read_csv(report / "figures" / "cost_and_gain.csv")
    assert {*rows["spec"]} >= {*FIVE} - {"sgd"}
    assert (rows["time_ratio_low"] <= rows["time_ratio"]).all()


def test_each_picture_is_linked_as_files_that_are_there(report: Path, page: Page) -> None:
    linked = {own for own in page.references if own.startswith("figures/")}
    there = {f"figures/{path.name}" for path in (report / "figures").iterdir()}
    assert linked == there


def test_figures_of_many_workloads_show_some_and_say_so() -> None:
    places = [(f"mlp(depth={n})", "digits") for n in range(MOST_DRAWN + 1)]
    table = pd.DataFrame(places, columns=["model", "dataset"])
    over = pd.DataFrame({"model": [None], "dataset": [None]})
    none = pd.DataFrame(columns=["model", "dataset", "n"])
    tables, left_out = _drawn(
        {"some": table, "none": none, "over": over, "other": pd.DataFrame({"n": [1]})}
    )
    assert len(tables["some"]) == DRAWN_OF_MORE
    assert list(tables["none"]) == ["model", "dataset", "n"]
    assert len(tables["over"]) == len(tables["other"]) == 1
    assert f"up to {MOST_DRAWN + 1}), figures show the first {DRAWN_OF_MORE};" in left_out
    other = pd.DataFrame({"model": ["linear"], "dataset": ["sparse"]})
    assert _drawn({"some": table, "own": other})[0]["own"] is other  # another experiment's
    few, nothing = _drawn({"some": table.head(MOST_DRAWN)})
    assert (len(few["some"]), nothing) == (MOST_DRAWN, "")


def test_diverged_runs_are_counted_at_a_glance(page: Page) -> None:
    head, *rows = page.tables[0]
    counts = {row[head.index("method")]: row[head.index("diverged")] for row in rows}
    assert counts["exploding(at=4)"] == "2 of 2"
    assert counts["sgd"] == "0 of 2"


def test_every_table_is_a_file_with_what_load_gives(small_run, report: Path) -> None:
    results = load(small_run.folder)
    written = {path.stem for path in (report / "tables").glob("*.csv")}
    assert written == set(results.tables)
    for name, table in results.tables.items():
        stored = pd.read_csv(report / "tables" / f"{name}.csv")
        pd.testing.assert_frame_equal(
            stored, table.convert_dtypes().astype(stored.dtypes), check_exact=True
        )


def test_tables_are_attributes(small_run) -> None:
    results = load(small_run.folder)
    assert len(results.step_cost) == 2 * 7  # six methods and the control
    assert len(results.generalization) == 14
    with pytest.raises(AttributeError, match="no table 'step_costs': available are step_cost"):
        _ = results.step_costs


# --- other runs

SGD, SAM = cost(), cost("sam")
SOMETHING = [
    counted(SGD),
    counted(SAM),
    timed(SGD, 0, [1.0, 1.1]),
    timed(SAM, 0, [2.0, 2.1]),
    timed(SGD, 1, [1.0, 1.1]),
    timed(SAM, 1, [2.0, 2.2]),
]
ODD = {
    "counters only": SOMETHING[:2],
    "one replicate": SOMETHING[:4],
    "a replicate half written": SOMETHING[:5],
    "without a baseline": [counted(SAM), timed(SAM, 0, [2.0])],
    "failures only": [failed(SGD), failed(SAM)],
    "training failures only": [failed(training()), failed(training("sam"))],
    "every training diverged": [diverged(training(), 3), diverged(training("sam"), 1)],
    "a single training": [trained(training(), train=(0.1, 1.0), test=(0.2, 0.9))],
    "an infinite gradient": [
        trained(training(), train=(0.1, 1.0), test=(0.2, 0.9), gradient_norm=math.inf)
    ],
    "no loss left": [
        trained(training(seed=0), train=(0.0, 1.0), test=(0.0, 1.0)),
        trained(training(seed=1), train=(0.1, 1.0), test=(0.2, 0.9)),
    ],
    "two of every setting": [
        record
        for change in (
            {},
            {"dtype": "float64"},
            {"threads": 2},
            {"compiled": True},
            {"allocator": "system"},
        )
        for cell in (cost(**change), cost("sam", **change))
        for record in (counted(cell), timed(cell, 0, [1.0]))
    ],
    "two of every training setting": [
        trained(training(method, **change), train=(0.1, 1.0), test=(0.2, 0.9))
        for change in ({}, {"augmentation": "crop-flip"})
        for method in ("sgd", "sam")
    ],
    "many plug-ins": [counted(cost(f"plugged:Plain(gamma={n})")) for n in range(12)],
}


@pytest.mark.parametrize("name", ODD)
def test_a_report_is_made_of_whatever_there_is(name: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, *ODD[name])
    (path,) = write_report(run, ["html"])
    page = read(path)
    cells = {cell for table in page.tables for row in table for cell in row}
    assert {record.cell.spec for record in ODD[name]} <= cells
    assert "running" in page.text


def test_a_second_report_takes_the_place_of_the_first(tmp_path: Path, command: Warm) -> None:
    run = run_of(tmp_path, trained(training(), train=(0.1, 1.0), test=(0.2, 0.9)))
    assert command("report", run, "--format", "html").code == 0
    stale = run / "report" / "figures" / "stale.png"
    stale.touch()
    run_of(tmp_path, trained(training("sam"), train=(0.1, 1.0), test=(0.2, 0.9)))
    assert command("report", run, "--format", "md").code == 0
    assert not stale.exists()
    assert not (run / "report" / "report.html").exists()
    assert "sam(rho=0.05)" in (run / "report" / "report.md").read_text()
    assert not list(run.glob(".report-*"))


def test_nothing_measured_gives_no_report(tmp_path: Path, command: Warm) -> None:
    run = run_of(tmp_path / "run")
    ended = command("report", run)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"gr-bench: {run} has no results yet\n"
    assert not (run / "report").exists()
