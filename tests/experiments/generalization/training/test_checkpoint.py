"""A training that is broken off goes on to the same result, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pytest
import torch
from synthetic import training

from gr_bench import load
from gr_bench.experiments.generalization.cell import GeneralizationCell, TrainerChoice
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.generalization.training import checkpoint as checkpoints
from gr_bench.experiments.generalization.training import train
from gr_bench.experiments.generalization.training.checkpoint import Checkpoint
from gr_bench.experiments.record import Progress
from gr_bench.runs.executor import Crashed, Event, LocalExecutor
from gr_bench.runs.runner import Unwatched, run_suite
from gr_bench.runs.suite import build_suite

EPOCHS = 4
RANDOM_STATE = ("get_rng_state", "get_rng_state_all", "set_rng_state", "set_rng_state_all")
SETTINGS: dict[str, Any] = {"batch_size": 16, "epochs": EPOCHS, "weight_decay": 1e-3}
IMAGES = {"dataset": "random(shape=(1, 8, 8), num_classes=3, samples=64)"}
CASES = {
    "plain": ("f-gr", {"model": "mlp(depth=2, width=8)", "dataset": "plugged:blobs"}),
    "batch norm": ("b-gr", {"model": "resnet-8(width=4)", **IMAGES}),
    "augmentation": ("sam", {"model": "resnet-8(width=4)", **IMAGES, "augmentation": "crop-flip"}),
    "dropout": ("sam", {"model": "plugged:Dropping", **IMAGES}),
    "no momentum": ("db-gr", {"model": "mlp(depth=2, width=8)", **IMAGES, "momentum": 0.0}),
    "late": ("late(sam, share=0.4)", {"model": "mlp(depth=2, width=8)", **IMAGES}),
    "ramp": ("ramp(every(f-gr, k=3))", {"model": "mlp(depth=2, width=8)", **IMAGES}),
    "mask": ("without(late(sam))", {"model": "resnet-8(width=4)", **IMAGES}),
    "a method's state": (
        "plugged:Remembering",
        {"model": "mlp(depth=2, width=8)", "dataset": "plugged:blobs"},
    ),
    "diverging": ("plugged:Exploding(at=9)", {"model": "mlp(depth=1)", **IMAGES}),
}


def cells(case: str, runs: int) -> list[GeneralizationCell]:
    method, settings = CASES[case]
    first = training(method, **SETTINGS | settings)
    return [replace(first, seed=seed) for seed in range(runs)]


def results(found: Iterator[Training | Progress]) -> list[Training]:
    """The records, but for how long it took."""
    return [replace(one, training_s=0.0) for one in found if isinstance(one, Training)]


def break_off(
    asked: Sequence[GeneralizationCell], how: TrainerChoice, folder: Path, epochs: int
) -> None:
    """Train until so many epochs are done, and no further."""
    going = train.train_all(asked, how, folder, 0.0)
    for _ in range(epochs):
        assert isinstance(next(going), Progress)
    going.close()  # type: ignore[attr-defined]
    torch.manual_seed(99)  # another process's generators are elsewhere


@pytest.mark.parametrize("case", [case for case in CASES if case != "diverging"])
@pytest.mark.parametrize("how", ["loop", "fleet"])
@pytest.mark.parametrize("broken_off_after", [(1,), (2, 1)])
def test_a_training_that_is_broken_off_ends_with_the_same_records(
    case: str, how: TrainerChoice, broken_off_after: tuple[int, ...], tmp_path: Path
) -> None:
    asked = cells(case, 1 if how == "loop" else 3)
    whole = results(train.train_all(asked, how))
    for epochs in broken_off_after:
        break_off(asked, how, tmp_path, epochs)
    assert results(train.train_all(asked, how, tmp_path, 0.0)) == whole


def test_a_training_goes_on_between_two_evaluations(tmp_path: Path) -> None:
    asked = cells("batch norm", 3)
    whole = results(train.train_all(asked, "fleet", evaluate_every=3))
    going = train.train_all(asked, "fleet", tmp_path, 0.0, evaluate_every=3)
    next(going)
    going.close()  # type: ignore[attr-defined]
    assert results(train.train_all(asked, "fleet", tmp_path, 0.0, evaluate_every=3)) == whole
    assert [point.epoch for point in whole[0].curve] == [3, 4]


def test_epochs_that_are_done_are_not_done_again(tmp_path: Path) -> None:
    asked = cells("plain", 3)
    break_off(asked, "fleet", tmp_path, 3)
    going_on = train.train_all(asked, "fleet", tmp_path, 0.0)
    assert [result.part for result in going_on if isinstance(result, Progress)] == [1.0]


def test_a_training_that_diverged_does_not_go_on(tmp_path: Path) -> None:
    asked = cells("diverging", 1)
    whole = results(train.train_all(asked, "loop", tmp_path, 0.0))
    again = list(train.train_all(asked, "loop", tmp_path, 0.0))
    assert whole[0].diverged_step == 9
    assert not [one for one in again if isinstance(one, Progress)]
    assert results(iter(again)) == whole


def test_the_rest_of_a_fleet_is_trained_in_the_company_that_it_had(tmp_path: Path) -> None:
    """A kill between two records of a fleet leaves some of its runs without one."""
    asked = cells("batch norm", 3)
    whole = results(train.train_all(asked, "fleet"))
    break_off(asked, "fleet", tmp_path, 2)
    rest = results(train.train_all(asked[1:], "fleet", tmp_path, 0.0))
    assert rest == whole[1:]
    assert {record.runs_together for record in rest} == {3}


def test_what_is_trained_together_is_decided_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = cells("plain", 4)
    monkeypatch.setattr(train, "divide", lambda *_: [asked[:3], asked[3:]])
    break_off(asked, "auto", tmp_path, 1)
    monkeypatch.undo()
    going_on = list(train.train_all(asked, "auto", tmp_path, 0.0))
    together = [r.runs_together for r in going_on if isinstance(r, Training)]
    assert together == [3, 3, 3, 1]


def test_nothing_is_saved_before_it_is_time(tmp_path: Path) -> None:
    list(train.train_all(cells("plain", 1), "loop", tmp_path, 3600.0))
    assert [path.name for path in tmp_path.iterdir()] == ["pieces.json"]


def test_a_disk_that_is_full_costs_the_checkpoint_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = Checkpoint(tmp_path / "not there" / "0.pt", 0.0, torch.device("cpu"))
    checkpoint.save_if_due(lambda: {"epoch": 1})
    assert "no checkpoint: " in capsys.readouterr().err
    assert checkpoint.load() is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full_on_the_way_costs_the_checkpoint_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def onto_a_full_disk(path: Path, write: Callable[[IO[bytes]], object]) -> None:
        with open("/dev/full", "wb", buffering=0) as file:
            write(file)

    monkeypatch.setattr(checkpoints, "write_whole", onto_a_full_disk)
    checkpoint = Checkpoint(tmp_path / "0.pt", 0.0, torch.device("cpu"))
    checkpoint.save_if_due(lambda: {"epoch": 1})
    assert "no checkpoint: " in capsys.readouterr().err
    assert checkpoint.load() is None


# --- the random state of a GPU


def test_a_checkpoint_of_a_training_on_the_cpu_leaves_cuda_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("CUDA would be initialised")

    for name in RANDOM_STATE:
        monkeypatch.setattr(torch.cuda, name, fail)
    checkpoint = Checkpoint(tmp_path / "0.pt", 0.0, torch.device("cpu"))
    checkpoint.save_if_due(lambda: {"epoch": 1})
    assert checkpoint.load() == {"epoch": 1}


@pytest.mark.usefixtures("pretended_cuda")
def test_a_training_on_a_gpu_goes_on_on_another_where_there_are_fewer(tmp_path: Path) -> None:
    """Of two GPUs, the second one's training; then on the only one."""
    states = [torch.full((16,), index, dtype=torch.uint8) for index in range(2)]
    torch.cuda.get_rng_state = lambda device: states[torch.device(device).index]
    torch.cuda.get_rng_state_all = lambda: states
    path = tmp_path / "0.pt"
    Checkpoint(path, 0.0, torch.device("cuda:1")).save_if_due(lambda: {"epoch": 1})

    def only_one(state: torch.Tensor, device: torch.device) -> None:
        left[torch.device(device).index] = state

    left = [torch.zeros(16, dtype=torch.uint8)]
    torch.cuda.set_rng_state = only_one
    torch.cuda.set_rng_state_all = lambda new: [only_one(s, i) for i, s in enumerate(new)]
    assert Checkpoint(path, 0.0, torch.device("cuda:0")).load() == {"epoch": 1}
    assert left[0].equal(states[1])


# --- in processes


@pytest.mark.slow
def test_the_same_suite_gives_the_same_tables(tmp_path: Path) -> None:
    grid = {
        "methods": ["sgd", "f-gr(gamma=[0.1, 0.3])"],
        "models": ["mlp(depth=2, width=8)"],
        "datasets": ["random(shape=(2,), num_classes=3, samples=64)"],
        "batch_sizes": [16],
        "epochs": 2,
        "select": True,
        "equal_cost": True,
        "trainer": "fleet",
    }
    suite = build_suite("twice", {"title": "Twice", "generalization": [grid]})
    tables = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        run_suite(suite, folder, lambda own: LocalExecutor(own, workers=1), Unwatched())
        tables.append(load(folder).tables)
    assert set(tables[0]["generalization"]["trainer"]) == {"fleet"}
    for name, table in tables[0].items():
        other = tables[1][name]
        pd.testing.assert_frame_equal(
            table.drop(columns="training_s", errors="ignore"),
            other.drop(columns="training_s", errors="ignore"),
        )


def test_a_killed_process_costs_no_epoch_that_was_saved(tmp_path: Path) -> None:
    """The method kills its process in the third epoch, once; the unit is then tried once more."""
    grid = {
        "methods": ["sgd", f"plugged:DiesOnce(path={str(tmp_path / 'died')!r}, at=9)"],
        "models": ["mlp(depth=2, width=8)"],
        "datasets": ["random(shape=(2,), num_classes=3, samples=64)"],
        "batch_sizes": [16],
        "epochs": EPOCHS,
        "seeds": [0],
        "checkpoint_seconds": 0.0,
    }
    suite = build_suite("dies", {"title": "Dies", "generalization": [grid]})

    folder = tmp_path / "run"

    class Watcher(Unwatched):
        def event(self, event: Event) -> None:
            if isinstance(event, Crashed):
                (own,) = (folder / "unfinished").iterdir()
                left.update(path.name for path in own.iterdir())

    left: set[str] = set()
    outcome = run_suite(suite, folder, lambda own: LocalExecutor(own, workers=1), Watcher())
    assert outcome.failed == 0
    assert left == {"pieces.json", "0.pt"}
    assert not (folder / "unfinished").exists()
    table = load(folder).generalization.set_index("method")
    assert list(table["status"]) == ["ok", "ok"]
    one, other = table.loc["sgd"], table.loc["dies-once"]
    for column in ("train_loss", "test_loss", "gradient_norm", "parameter_norm"):
        assert one[column] == other[column]
    steps = json.loads((tmp_path / "died").read_text())
    assert steps == {"died_at": 9, "went_on_with": 16 - 2 * 4}
