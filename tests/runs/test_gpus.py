"""A worker process a GPU, which sees that one alone; time that is given anew with every sign."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from numbers_experiment import STUCK, NumberCell, Square

from gr_bench.errors import RequestError
from gr_bench.experiments.experiment import Job, Unit
from gr_bench.experiments.record import Progress
from gr_bench.runs import executor
from gr_bench.runs.executor import Crashed, Event, Finished, LocalExecutor, Measured, Started
from gr_bench.runs.places import Place, places_for, visible_gpus

TWO = ["GPU-4a1b", "MIG-77"]


def units(*devices: str, numbers: Sequence[int] = (2, 3)) -> tuple[Unit[NumberCell], ...]:
    """A unit for each of the numbers on each of the devices."""
    return tuple(
        Unit(
            (
                NumberCell(
                    spec="sgd",
                    model="none",
                    dataset="none",
                    batch_size=1,
                    device=device,
                    dtype="float32",
                    threads=1,
                    number=number,
                    noted=True,
                ),
            )
        )
        for number in numbers
        for device in devices
    )


def squares(events: Sequence[Event]) -> list[Square]:
    results = [event.result for event in events if isinstance(event, Measured)]
    return [result for result in results if isinstance(result, Square)]


# --- places


def test_a_gpu_has_one_place_and_every_core_one() -> None:
    job = Job(units("cpu", "cuda:0", "cuda:1"))
    assert places_for(job, processes=3, gpus=TWO) == [
        *3 * [Place()],
        Place(TWO[0], frozenset({"cuda:0", "cuda"})),
        Place(TWO[1], frozenset({"cuda:1"})),
    ]


def test_gpus_that_no_unit_is_for_have_no_place() -> None:
    (place,) = places_for(Job(units("cuda:1")), gpus=TWO)
    assert (place.gpu, place.device) == (TWO[1], "cuda:0")


@pytest.mark.parametrize(("any_gpu", "used"), [(False, TWO[:1]), (True, TWO)])
def test_cuda_is_the_first_gpu_or_any_where_that_is_allowed(any_gpu: bool, used: list[str]) -> None:
    places = places_for(Job(units("cuda"), any_gpu=any_gpu), gpus=TWO)
    assert [place.gpu for place in places] == used


def test_with_one_gpu_fewer_what_may_be_on_any_goes_on_on_the_other() -> None:
    job = Job(units("cuda"), any_gpu=True)
    assert [place.gpu for place in places_for(job, gpus=TWO[1:])] == TWO[1:]


@pytest.mark.parametrize("device", ["cuda:1", "cuda:7"])
def test_a_gpu_that_is_not_here_is_refused(device: str) -> None:
    with pytest.raises(
        RequestError, match=f"device '{device}' does not exist here: 1 GPUs are visible"
    ):
        places_for(Job(units(device)), gpus=TWO[:1])


@pytest.mark.usefixtures("pretended_cuda")
@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ["0", "1"]),
        ("3,1", ["3", "1"]),
        ("GPU-4a1b, MIG-77", ["GPU-4a1b", "MIG-77"]),
        ("2,5,6", ["2", "5"]),  # the driver knows two
    ],
)
def test_gpus_go_by_the_names_that_they_have_been_made_visible_by(
    given: str | None, names: list[str]
) -> None:
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    if given is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = given
    assert visible_gpus() == names


# --- processes


@pytest.mark.usefixtures("numbers_installed")
def test_two_gpus_get_a_worker_each_at_the_same_time_and_units_of_one_follow_each_other(
    tmp_path: Path,
) -> None:
    job = Job(units("cuda:0", "cuda:1"))
    events = list(LocalExecutor(tmp_path, gpus=TWO).run(job, 300.0))
    assert [type(event) for event in events[:2]] == [Started, Started]
    for index, name in enumerate(TWO):
        own = [s for s in squares(events) if s.cell.device == f"cuda:{index}"]
        assert [s.cell.number for s in own] == [2, 3]
        assert len({s.process for s in own}) == 1
        assert {s.visible for s in own} == {name}
        assert {s.device for s in own} == {"cuda:0"}
        assert {s.conditions and s.conditions.gpu for s in own} == {name}
        of_gpu = [e for e in events if e.unit.cells[0].device == f"cuda:{index}"]
        kinds = [type(e) for e in of_gpu if not isinstance(e, Measured)]
        assert kinds == 2 * [Started, Finished]


@pytest.mark.usefixtures("numbers_installed")
def test_a_crash_is_blamed_on_the_cell_by_its_own_device(tmp_path: Path) -> None:
    job = Job(units("cuda:1", numbers=(-1, 2)))
    events = list(LocalExecutor(tmp_path, gpus=TWO).run(job, 300.0))
    (crash,) = [event for event in events if isinstance(event, Crashed)]
    assert crash.culprits == job.units[0].cells
    assert [s.square for s in squares(events)] == [4]


@pytest.mark.usefixtures("numbers_installed")
def test_an_exclusive_job_has_one_process_at_a_time_and_the_cpu_sees_no_gpu(
    tmp_path: Path,
) -> None:
    job = Job(units("cuda:1", "cpu", numbers=(2,)), exclusive=True)
    events = list(LocalExecutor(tmp_path, gpus=TWO).run(job, 300.0))
    kinds = [type(event) for event in events if not isinstance(event, Measured)]
    assert kinds == 2 * [Started, Finished]
    assert [(s.device, s.visible) for s in squares(events)] == [("cuda:0", TWO[1]), ("cpu", "")]


@pytest.mark.usefixtures("numbers_installed")
def test_a_process_is_started_with_the_variables_of_its_job(tmp_path: Path) -> None:
    job = Job(units("cpu", numbers=(2,)), variables={"GR_BENCH_TEST": "a"})
    (found,) = squares(list(LocalExecutor(tmp_path).run(job, 300.0)))
    assert found.variable == "a"


@pytest.mark.usefixtures("numbers_installed")
@pytest.mark.parametrize("numbers", [(2, 3, 4, 5), (2, 3, STUCK, 5)])
def test_a_unit_has_its_time_anew_with_every_result_and_ends_when_it_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: tuple[int, ...]
) -> None:
    """With a clock that leaps by most of the time-out at every sign of the unit's."""
    ahead_s, timeout_s = 0.0, 1e4
    clock = executor.time.monotonic
    monkeypatch.setattr(executor, "time", SimpleNamespace(monotonic=lambda: clock() + ahead_s))
    cells = tuple(cell for unit in units("cpu", numbers=numbers) for cell in unit.cells)
    events: list[Any] = []
    for event in LocalExecutor(tmp_path).run(Job((Unit(cells),)), timeout_s):
        events.append(event)
        if isinstance(event, Measured):
            stuck = isinstance(event.result, Progress) and squares(events)[-1].square == STUCK**2
            ahead_s += (1.1 if stuck else 0.9) * timeout_s
    if STUCK not in numbers:
        assert [s.cell.number for s in squares(events)] == [2, 3, 4, 5]
        assert isinstance(events[-1], Finished)
        return
    assert [s.cell.number for s in squares(events)] == [2, 3, STUCK]
    assert events[-1].reason == "made no progress for 166.667 minutes"
