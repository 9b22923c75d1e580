"""A task's attempt on its node, and what it says: with a real mailbox and real workers."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from synthetic import training

from gr_bench.experiments.experiment import Job, Unit
from gr_bench.experiments.generalization.options import TrainingOptions
from gr_bench.experiments.lines import decode
from gr_bench.runs.cluster.mailbox import Begun, Letter, Mailbox
from gr_bench.runs.cluster.task import _Attempt, _Caller, as_order
from gr_bench.workers.request import unit_as_plain, unit_from_plain

OPTIONS = TrainingOptions(trainer="loop", checkpoint_s=0)
CELLS = tuple(
    training(seed=s, model="mlp(depth=1)", dataset="random(shape=(2,), samples=64)", batch_size=8)
    for s in range(3)
)


class Here:
    """The mailbox as an actor's handle, in this process."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._mailbox, name)
        return type("Method", (), {"remote": staticmethod(method)})


def attempt(mailbox: Mailbox, begun: Begun, scratch: Path) -> list[Letter]:
    units = [Unit(CELLS, OPTIONS, Path("unit")), Unit((training(seed=9),), OPTIONS)]
    plain = tuple(map(unit_as_plain, units))
    order = as_order(7, Job(tuple(units)), plain, [], 60.0, None, None)
    scratch.mkdir()
    _Attempt(
        order,
        [unit_from_plain(own) for own in order.units],
        scratch,
        begun,
        _Caller(Here(mailbox), asyncio.run, 7, begun),
    ).run()
    return asyncio.run(mailbox.take(0))


def test_a_unit_goes_to_another_machine_and_back_as_it_is() -> None:
    unit = Unit(CELLS, OPTIONS, Path("unit"))
    again = unit_from_plain(unit_as_plain(unit))
    assert asdict(again) | {"worker": None} == asdict(unit) | {"worker": None}
    assert [cell.id for cell in again.cells] == [cell.id for cell in unit.cells]


@pytest.mark.slow
def test_what_has_a_record_is_not_measured_again_and_what_has_ended_is_not_begun(
    tmp_path: Path,
) -> None:
    mailbox = Mailbox(tmp_path / "unfinished")
    begun = asyncio.run(mailbox.begin(7, "one", ["unit"], None))
    assert begun is not None
    again = Begun(begun.attempt, frozenset({1}), frozenset({CELLS[0].id}))
    letters = attempt(mailbox, again, tmp_path / "scratch")
    assert {letter.unit for letter in letters if letter.kind != "log"} == {0}
    records = [decode(letter.content) for letter in letters if letter.kind == "record"]
    assert [record.cell.id for record in records] == [cell.id for cell in CELLS[1:]]
    assert [letter.kind for letter in letters if letter.kind != "log"][-1] == "finished"
    assert (tmp_path / "unfinished" / "unit" / "pieces.json").exists()


def test_a_unit_whose_cells_all_have_records_is_finished_without_a_process(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "unfinished")
    begun = asyncio.run(mailbox.begin(7, "one", ["unit"], None))
    assert begun is not None
    again = Begun(begun.attempt, frozenset({1}), frozenset(cell.id for cell in CELLS))
    letters = attempt(mailbox, again, tmp_path / "scratch")
    assert [letter.kind for letter in letters] == ["begun", "finished"]
