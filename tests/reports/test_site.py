"""A static site of many runs: whole, brought up to date, and never in the way of other things."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nights import night
from outcomes import block
from processes import Warm
from synthetic import cost, failed, run_of

from gr_bench.errors import RequestError
from gr_bench.reports.site import write_site
from gr_bench.runs.store import locked

HOSTILE = "</script><script>alert(1)</script>"


def simple(folder: Path, ratio: float = 2.0) -> Path:
    return run_of(folder, *block(ratios={"sgd": 1.0, "sam": ratio}))


def entries(index: Path) -> dict[str, dict[str, Any]]:
    text = index.read_text().partition('id="entries">')[2].partition("</script>")[0]
    return {own["run"]: own for own in json.loads(text)}


def test_every_run_has_a_line_and_a_page(tmp_path: Path) -> None:
    one, two = simple(tmp_path / "one"), simple(tmp_path / "two", 1.5)
    site = write_site([one, two], tmp_path / "site")
    assert (site.written, site.notes) == (2, ())
    found = entries(site.index)
    assert set(found) == {"one", "two"}
    assert found["one"]["methods"] == ["sgd", "sam"]
    assert found["two"]["models"] == ["mlp"]
    assert "1.50 times SGD's time" in found["two"]["says"]
    for own in found.values():
        page = (site.index.parent / own["page"]).read_text()
        assert '<a href="../../index.html">All runs</a>' in page
    assert "side-by-side/synthetic/side-by-side.html" in site.index.read_text()


def test_only_what_changed_is_drawn_anew(tmp_path: Path) -> None:
    one, two = simple(tmp_path / "one"), simple(tmp_path / "two")
    write_site([one, two], tmp_path / "site")
    page = tmp_path / "site/runs/one/report.html"
    before = page.stat().st_mtime_ns
    more = run_of(tmp_path / "more", *block(ratios={"sgd": 1.0, "f-gr": 3.0}))
    with open(two / "journal.jsonl", "ab") as journal:
        journal.write((more / "journal.jsonl").read_bytes())
    site = write_site([one, two], tmp_path / "site")
    assert site.written == 1
    assert page.stat().st_mtime_ns == before
    assert write_site([one, two], tmp_path / "site").written == 0
    page.unlink()
    assert write_site([one, two], tmp_path / "site").written == 1
    assert page.exists()


def test_a_run_that_is_not_named_any_more_is_taken_out(tmp_path: Path) -> None:
    one, two = simple(tmp_path / "one"), simple(tmp_path / "two")
    write_site([one, two], tmp_path / "site")
    site = write_site([one], tmp_path / "site")
    assert set(entries(site.index)) == {"one"}
    assert not (tmp_path / "site/runs/two").exists()
    assert (tmp_path / "two/run.json").exists()


def test_a_site_that_is_broken_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = simple(tmp_path / "one"), simple(tmp_path / "two")

    def interrupt_at(number: int) -> Callable[[int, int], None]:
        def interrupt(done: int, total: int) -> None:
            if done == number:
                raise KeyboardInterrupt

        return interrupt

    for number, left in ((0, 2), (1, 1)):
        with pytest.raises(KeyboardInterrupt):
            write_site([one, two], tmp_path / f"site{number}", interrupt_at(number))
        assert write_site([one, two], tmp_path / f"site{number}").written == left


def test_a_run_without_results_is_there_with_the_reason(tmp_path: Path, command: Warm) -> None:
    simple(tmp_path / "one")
    run_of(tmp_path / "empty")
    ended = command("site", "one", "empty", cwd=tmp_path)
    assert ended.code == 1
    assert "Note: empty: empty has no results yet" in ended.err
    assert ended.out == "site/index.html\n"
    found = entries(tmp_path / "site/index.html")
    assert found["empty"]["page"] is None
    assert found["empty"]["note"] == "empty has no results yet"


def test_failures_are_counted_in_the_index(tmp_path: Path) -> None:
    run = run_of(tmp_path / "one", *block(ratios={"sgd": 1.0, "sam": 2.0}), failed(cost("f-gr")))
    assert entries(write_site([run], tmp_path / "site").index)["one"]["failed"] == 1


def test_a_suite_with_several_runs_has_its_history(tmp_path: Path) -> None:
    times = [{"sgd": 1.0, "f-gr": 2.0 if n < 3 else 2.4} for n in range(6)]
    runs = [night(tmp_path / f"night{n}", n, times=own) for n, own in enumerate(times)]
    site = write_site(runs, tmp_path / "site")
    assert "history/synthetic/history.html" in site.index.read_text()
    assert (tmp_path / "site/history/synthetic/history.html").exists()


def test_words_of_others_stay_words(tmp_path: Path) -> None:
    run = simple(tmp_path / "one")
    about = json.loads((run / "run.json").read_text())
    about["title"] = about["status"] = HOSTILE
    (run / "run.json").write_text(json.dumps(about))
    index = write_site([run], tmp_path / "site").index
    assert HOSTILE not in index.read_text()
    assert entries(index)["one"]["suite"] == HOSTILE


def test_wrong_requests_end_in_a_line_and_touch_nothing(tmp_path: Path, command: Warm) -> None:
    simple(tmp_path / "one")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/index.html").write_text("my page")
    for argv, words in {
        ("one", "one"): "one is given twice",
        ("one", "nowhere"): "nowhere is not a run's folder",
        ("one", "--out", "mine"): "mine holds something else",
        ("one", "--out", "one/run.json"): "it is not a folder",
        ("one", "--out", "."): ". is the current folder",
        (): "Missing argument 'RUN...'",
    }.items():
        ended = command("site", *argv, cwd=tmp_path)
        assert ended.code == 2, argv
        assert words in ended.err
        assert len(ended.err.splitlines()) == 1
    assert (tmp_path / "mine/index.html").read_text() == "my page"
    assert sorted(os.listdir(tmp_path)) == ["mine", "one"]
    with pytest.raises(RequestError, match="differ in punctuation"):
        write_site([simple(tmp_path / "a b"), simple(tmp_path / "a-b")], tmp_path / "site")


def test_a_record_of_the_site_that_cannot_be_read_makes_all_anew(tmp_path: Path) -> None:
    run = simple(tmp_path / "one")
    write_site([run], tmp_path / "site")
    wrong = ("[]", '{"one": 1}', '{"one": {"stamp": "x", "entry": {"run": 1}}}')
    by = '{"made by": "gr-bench"'
    for content in (by, *(f'{by}, "runs": {own}}}' for own in wrong)):
        (tmp_path / "site/made-from.json").write_text(content)
        assert write_site([run], tmp_path / "site").written == 1


def test_a_run_in_the_sites_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    write_site([simple(tmp_path / "one")], tmp_path / "site")
    inside = simple(tmp_path / "site/runs/two")
    with pytest.raises(RequestError, match="is inside of the site's folder"):
        write_site([inside], tmp_path / "site")
    assert (inside / "journal.jsonl").exists()


def test_a_name_of_punctuation_alone_costs_nobody_a_page(tmp_path: Path) -> None:
    site = write_site([simple(tmp_path / "one"), simple(tmp_path / "!!!")], tmp_path / "site")
    for own in entries(site.index).values():
        assert (site.index.parent / own["page"]).exists()
    write_site([tmp_path / "one"], tmp_path / "site")
    assert (tmp_path / "site/runs/one/report.html").exists()


def test_names_in_a_sites_record_never_lead_out_of_it(tmp_path: Path) -> None:
    run = simple(tmp_path / "one")
    write_site([run], tmp_path / "site")
    record = tmp_path / "site/made-from.json"
    record.write_text(record.read_text().replace('"one": {', '"../../one": {', 1))
    write_site([run], tmp_path / "site")
    assert (run / "journal.jsonl").exists()


def test_files_of_a_web_server_and_of_git_may_be_beside_the_pages(tmp_path: Path) -> None:
    run = simple(tmp_path / "one")
    write_site([run], tmp_path / "site")
    for name in ("CNAME", ".git"):
        (tmp_path / "site" / name).write_text("mine")
    assert write_site([run], tmp_path / "site").written == 0
    assert (tmp_path / "site/.git").read_text() == "mine"


def test_two_at_once_do_not_write_one_site(tmp_path: Path) -> None:
    run = simple(tmp_path / "one")
    write_site([run], tmp_path / "site")
    with locked(tmp_path / "site"), pytest.raises(RequestError, match="is in use"):
        write_site([run], tmp_path / "site")


def test_suites_that_are_not_there_any_more_are_taken_out(tmp_path: Path) -> None:
    one, two = simple(tmp_path / "one"), simple(tmp_path / "two")
    write_site([one, two], tmp_path / "site")
    assert (tmp_path / "site/side-by-side/synthetic").exists()
    about = json.loads((two / "run.json").read_text())
    (two / "run.json").write_text(json.dumps(about | {"name": "other"}))
    (tmp_path / "site/history/gone").mkdir(parents=True)
    write_site([one, two], tmp_path / "site")
    assert not (tmp_path / "site/history/gone").exists()
