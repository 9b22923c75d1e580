"""Whole searches in a world without processes: what every commit costs is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gr_bench.comparison import judge
from gr_bench.comparison.bisection import bisect, page
from gr_bench.comparison.bisection.bisect import FIRST_SHARE, LAST_SHARE, Bisector
from gr_bench.comparison.bisection.bisection import Bisection
from gr_bench.comparison.bisection.path import Commit
from gr_bench.comparison.compare import finite
from gr_bench.comparison.paired import Measured, Pair
from gr_bench.comparison.side import Side
from gr_bench.comparison.subject import Call, Subject
from gr_bench.errors import RequestError
from gr_bench.timing.clock import Samples

PAIR_S = 3.0
STEP, OTHER = Call("step", "prepare", module="bench"), Call("other", "prepare", module="bench")


class World:
    """A history in which time passes only while something is measured.

    Args:
        levels: by position, the log of the step's time.
        broken: positions that cannot be measured.
        noise: of a pair's log-ratio.
        counts: by counter and position, of the step.
        subjects: what is stepped.
        others: by position, the log of the other subject's time; it does not change by itself.
    """

    def __init__(
        self,
        levels: Sequence[float],
        *,
        broken: Collection[int] = (),
        noise: float = 0.003,
        counts: dict[str, Sequence[int]] | None = None,
        subjects: Sequence[Subject] = (STEP,),
        others: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        self.levels = levels
        self.broken = broken
        self.noise = noise
        self.counts = counts
        self.subjects = subjects
        self.others = others or [0.0] * len(levels)
        self.now = 0.0
        self.told: list[str] = []
        self.compared: list[tuple[int, int]] = []
        self.lies: dict[int, list[float]] = {}
        """By position: levels of its next pairs with GOOD."""

        self.other_noise = noise

        self.building_s = 0.0
        self._random = np.random.default_rng(seed)

    def search(self, *, budget_s: float = 900.0, threshold: float = 0.02) -> Bisection:
        path = [
            Commit(f"{p:040x}", f"c{p}", "2024-05-31", f"Change {p}")
            for p in range(len(self.levels))
        ]
        self.found = Bisection("good, 0", "bad, 1", path, threshold)
        self.bisector = Bisector(
            self.found,
            self.subjects,
            begin=0.0,
            budget_s=budget_s,
            timeout_s=1.0,
            progress=lambda spent_s, what, *, lasting=False: self.told.append(what),
        )
        self.bisector.run(self)  # type: ignore[arg-type]
        return self.found

    # --- in place of checkouts

    def side(self, position: int, name: str) -> Side:
        return Side(name, f"c{position}", Path(str(position)))

    def keep_only(self, positions: Collection[int]) -> None:
        assert {0, len(self.levels) - 1} <= set(positions)

    # --- in place of processes

    def measure(
        self,
        measured: Measured,
        sides: dict[str, Side],
        *,
        open_subjects: Callable[[Measured], Sequence[Subject]],
        budget_s: float,
        progress: Callable[..., None],
        **how: Any,
    ) -> None:
        base, head = (int(sides[side].folder.name) for side in ("base", "head"))
        self.compared.append((base, head))
        begin = self.now
        progress(0.0, "starting")
        self._check(sides)
        for name, position in (("base", base), ("head", head)):
            measured.processes[name] = {"torch": None}
            for subject in measured.subjects:
                measured.counters[name][subject.id] = [self._counted(position, subject)]
        while True:
            self.now += PAIR_S
            lies = self.lies.get(head) if base == 0 else None
            level = lies.pop(0) if lies else self.levels[head] - self.levels[base]
            levels = {STEP.id: level, OTHER.id: self.others[head] - self.others[base]}
            samples = {s.id: self._samples(s, levels[s.id]) for s in measured.subjects}
            measured.pairs.append(Pair("base", samples, 1, 0, 1, PAIR_S))
            if not open_subjects(measured) or self.now - begin + PAIR_S > budget_s:
                return

    def measure_step(self, *arguments: Any, **how: Any) -> None:
        assert how["counted_pairs"] == 0
        self.measure(*arguments, **how)

    def count_alone(self, side: Side, subject: Subject, timeout_s: float) -> dict[str, Any]:
        self._check({"head": side})
        position = int(side.folder.name)
        self.compared.append((position, position))
        self.now += PAIR_S
        return self._counted(position, subject)

    def _check(self, sides: dict[str, Side]) -> None:
        for side in sides.values():
            if int(side.folder.name) in self.broken:
                raise RequestError(f"{side}: step: SyntaxError: invalid syntax (a.py, line 1)")

    def _counted(self, position: int, subject: Subject) -> dict[str, Any]:
        if self.counts is None or subject is not STEP:
            return {"operators": {}}
        return {"operators": {}} | {key: of[position] for key, of in self.counts.items()}

    def _samples(self, subject: Subject, level: float) -> dict[str, Samples]:
        noise = self.other_noise if subject is OTHER else self.noise
        times = {"base": 1.0, "head": math.exp(self._random.normal(level, noise))}
        return {side: Samples(1, [t], [0.0], [t], [None], [0]) for side, t in times.items()}


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    def make(*arguments: Any, **options: Any) -> World:
        world = World(*arguments, **options)
        monkeypatch.setattr(judge, "measure", world.measure)
        monkeypatch.setattr(bisect, "measure", world.measure_step)
        monkeypatch.setattr(bisect, "count_alone", world.count_alone)
        monkeypatch.setattr(bisect, "time", SimpleNamespace(monotonic=lambda: world.now))
        return world

    return make


Pretended = Callable[..., World]


def one(last: int, culprit: int, rise: float = 0.03) -> list[float]:
    return [0.0] * culprit + [rise] * (last + 1 - culprit)


def text(found: Bisection) -> str:
    lines = page.lines(found)
    assert all(len(line) <= page.WIDTH for line in lines)
    return " ".join(line.strip() for line in lines)


@settings(
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_the_culprit_is_named_and_confirmed(pretended: Pretended, data: st.DataObject) -> None:
    last = data.draw(st.integers(1, 64))
    culprit = data.draw(st.integers(1, last))
    broken = data.draw(st.sets(st.integers(1, last - 1))) if last > 1 else set()
    world = pretended(one(last, culprit), broken=broken, seed=data.draw(st.integers(0, 99)))
    found = world.search()
    assert found.search is not None
    assert culprit in found.search.candidates
    assert found.is_confirmed
    if {culprit, culprit - 1} & broken:
        assert found.outcome == "skipped"
        assert not found.is_known
    else:
        assert found.outcome == "culprit"
        assert found.culprit == found.path[culprit]
        assert found.is_known
        assert f"c{culprit} 2024-05-31 Change {culprit}" in text(found)
        assert f"next: git show c{culprit}" in text(found)
    assert world.compared[0] == (0, last)
    assert world.compared[-1] == (found.search.low, found.search.high)
    json.dumps(finite(found.plain() | world.bisector.plain()), allow_nan=False)


def test_only_what_is_followed_is_stepped_in_between(pretended: Pretended) -> None:
    world = pretended(one(16, 9), subjects=[STEP, OTHER])
    assert world.search().outcome == "culprit"
    assert all(m.subjects == [STEP] for m in world.bisector._measured.values())
    assert world.found.alone is not None
    assert [f.name for f in world.found.alone.findings] == ["step", "other"]


def test_nothing_is_searched_for_where_nothing_is_worse(pretended: Pretended) -> None:
    world = pretended([0.0] * 17)
    found = world.search()
    assert found.outcome == "nothing"
    assert found.is_known
    assert page.lines(found)[0] == "bad, 1 is not slower or larger than good, 0 by 2 %."
    assert world.compared == [(0, 16)]


def test_a_noisy_comparison_is_no_clean_bill(pretended: Pretended) -> None:
    found = pretended([0.0] * 17, noise=0.2).search(budget_s=60)
    assert found.outcome == "open"
    assert not found.is_known
    assert page.lines(found)[0] == (
        "It is not known whether bad, 1 is slower or larger than good, 0 by 2 %."
    )
    assert "--budget" in page.lines(found)[-1]


def test_the_first_comparison_may_take_all_the_time_while_nothing_is_worse(
    pretended: Pretended,
) -> None:
    world = pretended([0.0] * 17, noise=0.2)
    world.search(budget_s=100)
    assert 100 - PAIR_S <= world.now <= 100


def test_the_first_comparison_ends_early_where_something_is_worse(pretended: Pretended) -> None:
    """The other subject is so noisy that no number of pairs decides."""
    world = pretended(one(16, 9, rise=0.1), subjects=[STEP, OTHER])
    world.other_noise = 0.3
    found = world.search(budget_s=300)
    assert found.outcome == "culprit"
    pairs = len(world.bisector.plain()["whole"]["pairs"])
    assert pairs == math.ceil(FIRST_SHARE * 300 / PAIR_S)
    assert world.now >= 300 - PAIR_S  # the last comparison has all that is left


def test_a_faster_end_is_no_regression(pretended: Pretended) -> None:
    assert pretended([0.0] * 8 + [-0.1] * 9).search().outcome == "nothing"


@pytest.mark.parametrize("seed", range(5))
def test_a_dip_before_the_rise_is_as_before(pretended: Pretended, seed: int) -> None:
    levels = [0.0] * 4 + [-0.2] * 6 + [0.04] * 7
    found = pretended(levels, seed=seed).search()
    assert found.culprit == found.path[10]
    assert found.outcome == "culprit"


@pytest.mark.parametrize("seed", range(5))
def test_of_two_rises_one_is_named_with_what_it_alone_costs(
    pretended: Pretended, seed: int
) -> None:
    levels = [0.0] * 5 + [0.04] * 10 + [0.08] * 18
    found = pretended(levels, seed=seed).search()
    assert found.culprit in (found.path[5], found.path[15])
    assert found.outcome == "culprit"
    assert found.is_part
    alone = found.finding(found.alone)
    assert alone is not None
    assert alone.ratio is not None
    assert alone.ratio.low < math.exp(0.04) < alone.ratio.high
    assert "It is a part of the whole: the rest came in other commits." in text(found)


@pytest.mark.parametrize("seed", range(5))
def test_a_rise_bit_by_bit_has_no_culprit(pretended: Pretended, seed: int) -> None:
    found = pretended([0.001 * p for p in range(65)], seed=seed).search()
    assert found.outcome == "spread"
    assert not found.is_known
    assert "bit by bit" in text(found)
    assert 10 <= len(found.search.candidates) <= 20


def test_a_range_is_named_where_no_commit_is_confirmed(pretended: Pretended) -> None:
    """Half of it comes in one commit, and the rest around that."""
    levels = [0.0] * 9 + [0.01] * 3 + [0.025] * 4 + [0.035] * 17
    counts = {"operator_calls": [7] * 12 + [8] * 21}
    found = pretended(levels, noise=0.0005, counts=counts).search()
    assert found.culprit == found.path[12]
    assert found.outcome == "unconfirmed"
    assert found.rising == (8, 16)
    assert "alone it was not shown to be worse by 2 %" in text(found)
    assert "It may have come in several of the 8 commits after c8 up to c16." in text(found)


def test_the_surest_slowdown_is_followed(pretended: Pretended) -> None:
    levels, others = one(16, 5, rise=0.03), one(16, 12, rise=0.2)
    found = pretended(levels, others=others, subjects=[STEP, OTHER]).search()
    assert found.target is not None
    assert found.target.subject is OTHER
    assert found.culprit == found.path[12]
    assert "Not by this commit: time of step." in text(found)


def test_a_wrong_answer_is_found_out_at_the_end_and_mended(pretended: Pretended) -> None:
    world = pretended(one(16, 11))
    world.lies = {8: [0.03, 0.03, 0.03, 0.0301, 0.0301, 0.03]}
    found = world.search()
    assert world.compared[1] == (0, 8)
    assert (7, 8) in world.compared  # the last comparison, which did not confirm it
    assert found.culprit == found.path[11]
    assert found.outcome == "culprit"


def test_what_did_not_confirm_one_commit_says_nothing_of_the_next(pretended: Pretended) -> None:
    world = pretended(one(16, 11))
    world.lies = {8: [0.03, 0.03, 0.03, 0.0301, 0.0301, 0.03]}
    measure = world.measure

    def interrupted(measured: Measured, sides: dict[str, Side], **how: Any) -> None:
        if sides["head"].asked == "c12":
            assert world.compared[-1] == (0, 8)
            raise KeyboardInterrupt
        measure(measured, sides, **how)

    bisect.measure = interrupted  # type: ignore[attr-defined]  # the fixture puts it back
    with pytest.raises(KeyboardInterrupt):
        world.search()
    assert world.found.alone is None
    assert [*world.found.search.candidates] == [*range(9, 17)]


def test_what_the_time_does_not_allow_is_left_open_with_the_range(pretended: Pretended) -> None:
    world = pretended(one(64, 50, rise=0.05), noise=0.01)
    found = world.search(budget_s=120)
    assert found.outcome == "open"
    assert found.search is not None
    low, high = found.search.low, found.search.high
    assert low < 50 <= high
    assert page.lines(found)[-1] == f"next: gr-bench bisect c{low} c{high}, with a larger --budget"
    assert "The time ran out" in text(found)
    assert world.now <= (1 - LAST_SHARE) * 120 + 2 * PAIR_S


@pytest.mark.parametrize("budget_s", [30, 60, 90, 200, 400])
def test_it_keeps_to_its_budget(pretended: Pretended, budget_s: float) -> None:
    world = pretended(one(64, 50), noise=0.02)
    world.search(budget_s=budget_s)
    assert world.now <= budget_s + 3 * PAIR_S


def test_building_is_not_a_part_of_the_budget(pretended: Pretended) -> None:
    world = pretended(one(64, 50))
    world.now = world.building_s = 10_000.0
    assert world.search().outcome == "culprit"


def test_steps_are_counted_down(pretended: Pretended) -> None:
    world = pretended(one(16, 9))
    world.search()
    starts = [what for what in world.told if "starting" in what]
    assert starts[0] == "step 1 of about 6: starting"
    assert starts[-1] == "step 6 of about 6: starting"


# --- counters


def test_a_counter_is_followed_without_timing_anything(pretended: Pretended) -> None:
    counts = {"flops": [100] * 20 + [110] * 13}
    world = pretended(one(32, 3), counts=counts, broken=[16])
    found = world.search()
    assert found.target is not None
    assert found.target.counter == "flops"
    assert found.culprit == found.path[20]
    assert found.outcome == "culprit"
    assert [pair for pair in world.compared if pair[0] != pair[1]] == [(0, 32), (19, 20)]
    assert "FLOPs 100 -> 110 (+10.00%)" in text(found)
    assert "more FLOPs" in text(found)
    assert "Not by this commit: time of step" in text(found)


def test_a_counter_that_grows_bit_by_bit_has_no_culprit(pretended: Pretended) -> None:
    found = pretended([0.0] * 33, counts={"flops": range(1000, 1033)}).search()
    assert found.outcome == "unconfirmed"
    assert "It may have come in several of the 32 commits after c0 up to c32." in text(found)


def test_the_counter_that_grew_most_is_followed(pretended: Pretended) -> None:
    counts = {"flops": [100] * 3 + [110] * 14, "peak_bytes": [100] * 13 + [150] * 4}
    found = pretended([0.0] * 17, counts=counts).search()
    assert found.culprit == found.path[13]
    assert found.outcome == "culprit"
    assert "Not by this commit: FLOPs of step." in text(found)


def test_another_counter_does_not_confirm_it(pretended: Pretended) -> None:
    """Peak bytes creep up; half way they do so in a commit that adds FLOPs, too."""
    counts = {"flops": [100] * 9 + [110] * 8, "peak_bytes": range(100, 117)}
    found = pretended([0.0] * 17, counts=counts).search()
    assert found.target is not None
    assert found.target.counter == "peak_bytes"
    assert found.culprit == found.path[9]
    assert found.outcome == "unconfirmed"


def test_of_two_growths_one_is_named_with_what_it_alone_adds(pretended: Pretended) -> None:
    counts = {"flops": [100] * 3 + [104] * 6 + [110] * 8}
    found = pretended([0.0] * 17, counts=counts).search()
    assert found.culprit == found.path[9]
    assert found.outcome == "culprit"
    assert "FLOPs 104 -> 110" in text(found)
    assert "It is a part of the whole" in text(found)


def test_counting_ends_with_the_time(pretended: Pretended) -> None:
    world = pretended([0.0] * 65, counts={"flops": [100] * 20 + [110] * 45})
    found = world.search(budget_s=24)
    assert found.outcome == "open"
    assert world.now <= 24


def test_a_commit_without_the_counter_is_passed_over(pretended: Pretended) -> None:
    world = pretended([0.0] * 5, counts={"flops": [1, 1, 1, 9, 9]})
    counted = world._counted

    def lacking(position: int, subject: Subject) -> dict[str, Any]:
        return {"operators": {}} if position == 2 else counted(position, subject)

    world._counted = lacking  # type: ignore[method-assign]
    found = world.search()
    assert found.tested[2].why_skipped == "it has no FLOPs"
    assert found.outcome == "skipped"


# --- errors


def test_a_long_reason_is_cut(pretended: Pretended) -> None:
    world = pretended(one(4, 3), broken=[2])

    def fails(sides: dict[str, Side]) -> None:
        if sides["head"].asked == "c2":
            raise RequestError("head (c2): make: error: " + "no such thing " * 20)

    world._check = fails  # type: ignore[method-assign]
    (line,) = (line for line in page.lines(world.search()) if line.startswith("c2  cannot"))
    assert len(line) == page.WIDTH
    assert line.endswith("...")


def test_why_a_commit_was_passed_over_is_told(pretended: Pretended) -> None:
    found = pretended(one(4, 3), broken=[2]).search()
    assert found.outcome == "skipped"
    said = text(found)
    assert "c2  cannot be measured: SyntaxError: invalid syntax (a.py, line 1)" in said
    assert "One of these 2 commits did it" in said
    assert "next: git log --patch c1..c3" in said


@pytest.mark.parametrize("position", [0, 4])
def test_ends_that_cannot_be_measured_are_errors(pretended: Pretended, position: int) -> None:
    with pytest.raises(RequestError, match=f"c{position}"):
        pretended(one(4, 3), broken=[position]).search()


def test_an_error_of_good_in_a_later_step_is_an_error(pretended: Pretended) -> None:
    world = pretended(one(4, 3))
    check = world._check

    def fails(sides: dict[str, Side]) -> None:
        world.broken = [0] if len(world.compared) > 1 else []
        check(sides)

    world._check = fails  # type: ignore[method-assign]
    with pytest.raises(RequestError, match=r"base \(c0\)"):
        world.search()
    assert len(world.compared) == 2


def test_a_commit_that_dies_on_the_way_has_no_ratio(pretended: Pretended) -> None:
    world = pretended(one(4, 3), noise=0.005)
    measure = world.measure

    def dies(measured: Measured, sides: dict[str, Side], **how: Any) -> None:
        measure(measured, sides, **how)
        raise RequestError(f"{sides['head']}: step: its process was killed by signal 9")

    bisect.measure = dies  # type: ignore[attr-defined]  # the fixture puts it back
    found = world.search()
    assert found.tested[2].log_ratios
    assert found.ratio(2) is None
    assert "c2  cannot be measured: its process was killed by signal 9" in text(found)


def test_the_end_is_confirmed_though_another_subject_fails_there(pretended: Pretended) -> None:
    world = pretended(one(16, 9), subjects=[STEP, OTHER])
    measure = world.measure

    def fails(measured: Measured, sides: dict[str, Side], **how: Any) -> None:
        if len(measured.subjects) == 2 and sides["base"].asked == "c8":
            raise RequestError("head (c9): other: KeyError: 7")
        measure(measured, sides, **how)

    judge.measure = fails  # type: ignore[attr-defined]  # the fixture puts it back
    found = world.search()
    assert found.outcome == "culprit"
    assert found.notes == ["only step was confirmed: head (c9): other: KeyError: 7"]
    assert found.notes[0] in text(found)
