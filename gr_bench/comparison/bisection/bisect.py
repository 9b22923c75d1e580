"""``gr-bench bisect``: from two revisions to the commit between them that did it."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from gr_bench.comparison.bisection.bisection import Bisection, Target, Tested
from gr_bench.comparison.bisection.checkouts import Checkouts
from gr_bench.comparison.bisection.path import first_parent_path
from gr_bench.comparison.bisection.search import Search, judged, narrow
from gr_bench.comparison.compare import json_keeper, suite_for
from gr_bench.comparison.findings import COUNTERS, Comparison
from gr_bench.comparison.judge import CALL_TIMEOUT_S, compare_ready, evaluate, plain, subjects_of
from gr_bench.comparison.paired import Measured, ProgressCallback, count_alone, measure
from gr_bench.comparison.revisions import PREFIX, temporary_home
from gr_bench.comparison.sides import PIP, look_up
from gr_bench.comparison.subject import Subject, read_calls
from gr_bench.errors import RequestError
from gr_bench.runs import environment

FIRST_SHARE = 0.4
"""After this part of the budget, GOOD against BAD ends as soon as something is known to be worse.
It may take all of it: as long as nothing is, there is nothing to search for."""

LAST_SHARE = 0.2
"""The part of the budget that is kept for the culprit against its parent."""

CONFIDENCE = 0.99
"""Of an answer on a commit, however often one looks."""

CONFIDENCE_AGAIN = 0.999
"""Of an answer that is asked for again, since what follows from it was not confirmed."""


def bisect(
    good: str,
    bad: str,
    *,
    suite: str | None,
    calls: Sequence[str],
    only: str | None,
    device: str | None,
    threads: int,
    threshold: float,
    budget_s: float,
    build: str | None,
    python: str,
    json_file: Path | None,
    progress: ProgressCallback,
) -> Bisection:
    """Find the commit after GOOD, up to BAD, that made something slower or larger.

    Args:
        good: a revision, with ``git:`` before it or not.
        bad: a later one.
        suite: whose step-cost cells are stepped where there are no calls.
        calls: functions that prepare steps.
        only: a pattern; only cells that match are measured.
        device: the place of the steps.
        threads: that calls compute with.
        threshold: relative, the smallest difference that matters.
        budget_s: the most time that it may take, building left out.
        build: a shell command that builds a checkout.
        python: the interpreter that runs the commits.
        json_file: gets everything that was measured, whatever ends the search.
        progress: told how it goes on.

    Raises:
        RequestError: whatever is wrong with the request, with GOOD or with BAD.
    """
    begin = time.monotonic()
    keep = json_keeper(json_file)
    if shutil.which(python) is None:
        raise RequestError(f"--python {python}: there is no such program")
    names = {"base": _revision(good), "head": _revision(bad)}
    of_calls = read_calls(calls, device=device or "cpu", threads=threads)
    of_suite = suite_for(of_calls, suite, only, device)
    asked = look_up(names)
    assert asked.root is not None
    revisions = asked.revisions
    path = first_parent_path(asked.root, revisions["base"], revisions["head"])
    subjects, notes = subjects_of(asked, of_suite, of_calls)
    device = subjects[0].cell.device if subjects[0].cell else of_calls[0].device
    about = {
        "suite": of_suite.resolved if of_suite else None,
        "budget_s": budget_s,
        "environment": environment.describe(device),
    }
    found = Bisection(asked.label("base"), asked.label("head"), path, threshold)
    bisector = Bisector(
        found,
        subjects,
        notes=notes,
        begin=begin,
        budget_s=budget_s,
        timeout_s=of_suite.timeout_s if of_suite else CALL_TIMEOUT_S,
        progress=progress,
    )
    status = "failed"
    try:
        with temporary_home(asked.root) as home:
            ends = revisions["base"].name, revisions["head"].name
            bisector.run(Checkouts(asked.root, home, path, ends, python, build))
        status = "done"
    except KeyboardInterrupt:
        found.interrupted = True
        status = "interrupted"
    finally:
        keep({"status": status, **found.plain(), **about, "measured": bisector.plain()})
    return found


def _revision(name: str) -> str:
    if name.startswith(PIP):
        raise RequestError(f"{name}: releases have no commits between them: give git revisions")
    return PREFIX + name.removeprefix(PREFIX)


class Bisector:
    """A search on its way.

    Args:
        found: gets all that is found.
        subjects: what is stepped.
        notes: on them.
        begin: when the time began to run, by ``time.monotonic()``.
        budget_s: the most time that it may take.
        timeout_s: a process that does not answer for so long is given up.
        progress: told how it goes on.
    """

    def __init__(
        self,
        found: Bisection,
        subjects: Sequence[Subject],
        *,
        notes: Sequence[str] = (),
        begin: float,
        budget_s: float,
        timeout_s: float,
        progress: ProgressCallback,
    ) -> None:
        self._found = found
        self._subjects = subjects
        self._notes = notes
        self._begin = begin
        self._budget_s = budget_s
        self._timeout_s = timeout_s
        self._progress = progress
        self._step = self._about = 0
        self._measured: dict[int, Measured] = {}
        self._compared: dict[str, dict[str, Any]] = {}

    def plain(self) -> dict[str, Any]:
        """Everything that was measured, as plain data."""
        compared = {name: kept.get("measured") for name, kept in self._compared.items()}
        steps = {position: plain(measured) for position, measured in self._measured.items()}
        return {**compared, "steps": steps}

    def run(self, checkouts: Checkouts) -> None:
        """From the first comparison to the last."""
        self._checkouts = checkouts
        last = len(self._found.path) - 1
        self._next_step(Search(last, 0.0, 1.0).steps_left + 1)
        self._found.whole = whole = self._compare("whole", 0, last, self._subjects)
        self._found.target = target = _target(whole, self._subjects)
        if target is None:
            return
        self._found.search = search = Search(last, target.good, target.bad)
        ask = self._ask_time if target.counter is None else self._ask_counter
        while narrow(search, ask):
            self._confirm()
            if self._found.is_confirmed or not self._doubts():
                return
            self._found.alone = None

    # --- answers on one commit

    def _ask_counter(self, position: int) -> bool:
        target, search = self._followed()
        assert target.counter is not None
        tested = self._begin_step(position)
        if tested is None:
            return False
        try:
            side = self._checkouts.side(position, "head")
            self._tell("memory and FLOPs")
            counted = count_alone(side, target.subject, self._timeout_s)
            if counted.get(target.counter) is None:
                raise RequestError(f"{side}: it has no {COUNTERS[target.counter]}")
        except RequestError as error:
            self._skip(tested, error)
        else:
            tested.count = int(counted[target.counter])
            worse = tested.count > sum(search.levels) / 2
            search.record(position, "slower" if worse else "as before")
        return True

    def _ask_time(self, position: int) -> bool:
        _, search = self._followed()
        tested = self._begin_step(position)
        if tested is None:
            return False
        try:
            return self._answer(position, CONFIDENCE, self._left_s() / max(search.steps_left, 1))
        except RequestError as error:
            self._skip(tested, error)
            return True

    def _answer(
        self, position: int, confidence: float, share_s: float, least_pairs: int = 0
    ) -> bool:
        """Measure a commit until it is clear on which side of the rise it is; record the answer.

        Args:
            position: the commit.
            confidence: of the answer.
            share_s: the time that it may take before it takes what others would have.
            least_pairs: before it is clear.

        Returns:
            False if there was no time to make it clear.
        """
        target, search = self._followed()
        subject, tested = target.subject, self._found.tested[position]
        measured = self._measured.setdefault(position, Measured([subject]))
        sides = {"base": self._checkouts.side(0, "base")}
        sides["head"] = self._checkouts.side(position, "head")

        def open_subjects(so_far: Measured) -> list[Subject]:
            tested.log_ratios = logs = so_far.log_ratios(subject)
            enough = len(logs) >= least_pairs and judged(logs, search.levels, confidence)
            return [] if enough else [subject]

        while open_subjects(measured):
            if self._left_s() <= 0:
                return False
            measure(
                measured,
                sides,
                open_subjects=open_subjects,
                budget_s=min(share_s, self._left_s()),
                timeout_s=self._timeout_s,
                progress=lambda spent_s, what, *, lasting=False: self._tell(what),
                counted_pairs=0,
            )
            share_s = self._left_s()
        answer = judged(tested.log_ratios, search.levels, confidence)
        assert answer is not None
        if answer == "between":
            search.record_between(position, sum(tested.log_ratios) / len(tested.log_ratios))
        else:
            search.record(position, answer)
        return True

    def _doubts(self) -> bool:
        """Measure the range's ends again, with at least as many fresh pairs as there are, and
        surer than before; True if an answer has changed.
        """
        target, search = self._followed()
        if target.counter is not None:
            return False
        changed = False
        for position in (search.low, search.high):
            if position in self._measured and self._left_s() > 0:
                before = search.answers[position]
                pairs = len(self._measured[position].pairs)
                self._next_step(1)
                with suppress(RequestError):  # then what was measured before stands
                    self._answer(position, CONFIDENCE_AGAIN, self._left_s() / 2, 2 * pairs)
                changed = changed or search.answers[position] != before
        return changed

    def _begin_step(self, position: int) -> Tested | None:
        """The record of a commit that is tested next; None if there is no use or no time."""
        _, search = self._followed()
        if self._found.is_spread or self._left_s() <= 0:
            return None
        self._checkouts.keep_only({0, search.low, search.high, search.last})
        self._next_step(search.steps_left)
        self._tell("checking out")
        return self._found.tested.setdefault(position, Tested(position))

    def _skip(self, tested: Tested, error: RequestError) -> None:
        """Pass a commit over that cannot be measured; the base's errors are errors."""
        side, _, why = str(error).partition("): ")
        if not side.startswith("head ("):
            raise error
        target, search = self._followed()
        tested.why_skipped = why.removeprefix(f"{target.subject.name}: ")
        search.record(tested.position, "skipped")

    def _followed(self) -> tuple[Target, Search]:
        assert self._found.target is not None
        assert self._found.search is not None
        return self._found.target, self._found.search

    # --- comparisons of all subjects

    def _confirm(self) -> None:
        """Compare the ends of the range; at last they are the culprit's parent and the culprit."""
        target, search = self._followed()
        assert self._found.whole is not None
        both = {finding.name for finding in self._found.whole.findings}
        subjects = [subject for subject in self._subjects if subject.name in both]
        self._next_step(0)
        ends = search.low, search.high
        try:
            alone = self._compare("alone", *ends, subjects)
        except RequestError as error:
            if len(subjects) == 1:
                raise
            self._found.notes.append(f"only {target.subject.name} was confirmed: {error}")
            alone = self._compare("alone", *ends, [target.subject])
        self._found.alone = alone

    def _compare(
        self, name: Literal["whole", "alone"], base: int, head: int, subjects: Sequence[Subject]
    ) -> Comparison:
        """Compare two commits of the path on all subjects; kept by name."""
        kept = self._compared[name] = {}
        self._tell("checking out")
        sides = {"base": self._checkouts.side(base, "base")}
        sides["head"] = self._checkouts.side(head, "head")
        threshold = self._found.threshold

        def is_enough(so_far: Measured) -> bool:
            if name == "alone" or self._spent_s < FIRST_SHARE * self._budget_s:
                return False
            return evaluate(so_far, sides, threshold).regressed

        return compare_ready(
            sides,
            subjects,
            threshold=threshold,
            budget_s=self._left_s(reserve=False),
            timeout_s=self._timeout_s,
            keep=kept.update,
            about={},
            notes=self._notes if name == "whole" else (),
            progress=lambda spent_s, what, *, lasting=False: self._tell(what, lasting=lasting),
            is_enough=is_enough,
        )

    # --- time

    def _left_s(self, *, reserve: bool = True) -> float:
        """Seconds that are left, those kept for the last comparison not among them."""
        reserved = LAST_SHARE * self._budget_s if reserve else 0.0
        return self._budget_s - reserved - self._spent_s

    @property
    def _spent_s(self) -> float:
        return time.monotonic() - self._begin - self._checkouts.building_s

    def _next_step(self, after: int) -> None:
        """Begin a step.

        Args:
            after: how many are likely to follow.
        """
        self._step += 1
        self._about = self._step + after

    def _tell(self, what: str, *, lasting: bool = False) -> None:
        text = f"step {self._step} of about {self._about}: {what}"
        self._progress(self._spent_s, text, lasting=lasting)


def _target(whole: Comparison, subjects: Sequence[Subject]) -> Target | None:
    """The quantity to follow: the counter that grew most, as it is exact; else the surest slowdown.
    None if nothing is worse.
    """
    by_name = {subject.name: subject for subject in subjects}
    grown = [(f, c) for f in whole.findings for c in f.changes if c.regression]
    if grown:
        finding, change = max(grown, key=lambda of: of[1].head / max(of[1].base, 1))
        return Target(by_name[finding.name], change.counter, change.base, change.head)
    slower = [(f.p_value, f.name, f.ratio) for f in whole.findings if f.verdict == "slower"]
    if not slower:
        return None
    _, name, ratio = min(slower)
    assert ratio is not None
    return Target(by_name[name], None, 0.0, math.log(ratio.center))
