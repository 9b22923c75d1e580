from __future__ import annotations

import io

from rich.console import Console
from synthetic import failed, trained, training

from gr_bench.errors import Unsupported
from gr_bench.experiments.experiment import Unit
from gr_bench.experiments.record import Progress, failure
from gr_bench.runs.executor import Crashed, Event, Finished, Measured, Started
from gr_bench.runs.progress import Display
from gr_bench.runs.tally import Tally

FIRST, SECOND = Unit((training(),)), Unit((training("sam"),))
EVENTS: list[Event] = [
    Started(FIRST),
    Started(SECOND),
    Measured(FIRST, Progress(0.5)),
    Measured(FIRST, trained(training(), train=(0.1, 1.0), test=(0.2, 0.9))),
    Finished(FIRST),
    Crashed(SECOND, "worker killed by signal 9 (SIGKILL)"),
]


def shown(events: list[Event], *, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    with Display(console) as display:
        display.remaining_units({"generalization": 2}, None)
        for event in events:
            display.event(event)
    return console.file.getvalue()


def test_the_tally_counts_what_is_done_and_what_is_left() -> None:
    tally = Tally()
    tally.remaining_units({"step_cost times": 2, "generalization": 3}, None)
    assert (tally.completed, tally.total) == (0, 5)
    assert "left" not in tally.clock()
    tally.done("step_cost times")
    assert (tally.completed, tally.total) == (1, 5)
    assert "at least" in tally.clock()  # nothing is known of trainings
    tally.done("generalization")
    assert "left" in tally.clock()
    assert "at least" not in tally.clock()
    tally.remaining_units({"generalization": 0}, None)
    assert (tally.completed, tally.total) == (2, 2)
    assert "left" not in tally.clock()


def test_of_a_budget_no_more_is_left_than_it_has() -> None:
    tally = Tally()
    tally.remaining_units({"generalization": 1000}, 3600.0)
    assert "at most 1h00m left" in tally.clock() or "at most 59m" in tally.clock()
    tally.remaining_units({"generalization": 0}, 3600.0)
    assert "left" not in tally.clock()


def test_without_a_terminal_there_are_lines_of_text() -> None:
    text = shown(EVENTS)
    assert "\x1b" not in text
    assert f"failed: {SECOND}: worker killed by signal 9 (SIGKILL)" in text
    assert "2/2" in text.splitlines()[-1]


def test_a_terminal_shows_the_same_failures() -> None:
    assert "SIGKILL" in shown(EVENTS, terminal=True)


def test_words_of_a_failure_are_shown_as_they_are() -> None:
    events = [Started(FIRST), Measured(FIRST, failed(training(), "[bold]no[/bold]: [0, 1]"))]
    assert "[bold]no[/bold]: [0, 1]" in shown(events)


def test_what_cannot_work_is_not_called_failed() -> None:
    record = failure(training(), Unsupported("not with torch.compile"))
    text = shown([Started(FIRST), Measured(FIRST, record), Finished(FIRST)])
    assert "unsupported: " in text
    assert "failed" not in text
