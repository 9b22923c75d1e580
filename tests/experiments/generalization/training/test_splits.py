"""Runs on several splits: each sees its own parts, alone or in a fleet, and its record says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import training
from torch import Tensor

from gr_bench import registry
from gr_bench.experiments.generalization.bits import decode_bits
from gr_bench.experiments.generalization.cell import GeneralizationCell, TrainerChoice
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.generalization.training import splits
from gr_bench.experiments.generalization.training.fleet import Fleet
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.experiments.generalization.training.splits import SplitLoader
from gr_bench.experiments.generalization.training.train import train_all
from gr_bench.experiments.record import Failure, Progress
from gr_bench.meters.get_device import get_device
from gr_bench.workloads.label_noise import with_label_noise

SETTINGS: dict[str, Any] = {
    "model": "mlp(depth=2, width=8)",
    "dataset": "plugged:drawn",
    "batch_size": 16,
    "epochs": 2,
    "dtype": "float64",
}
IMAGES = {"model": "resnet-8(width=4)", "dataset": "plugged:drawn(shape=(1, 8, 8), samples=90)"}
SPLITS = (0, 3, 3, 1)
"""Two runs share a split, and they are out of order."""


def runs(method: str = "f-gr", **settings: Any) -> list[GeneralizationCell]:
    first = training(method, **SETTINGS | settings)
    return [replace(first, seed=seed, split_seed=split) for seed, split in enumerate(SPLITS)]


def results(found: Iterator[Training | Failure | Progress]) -> dict[str, Training]:
    return {r.cell.id: r for r in found if isinstance(r, Training)}


def by_hand(cell: GeneralizationCell) -> list[tuple[Tensor, Tensor]]:
    """The parts of a cell's split, labels noisy as it says."""
    data = registry.build_dataset(cell.dataset).redrawn(cell.split_seed).to(dtype=torch.float64)
    data = with_label_noise(data, cell.label_noise, cell.split_seed)
    return [(part.inputs, part.targets) for part in (data.train, data.validation, data.test)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"label_noise": 0.3},
        {**IMAGES, "augmentation": "crop-flip"},
    ],
)
@pytest.mark.parametrize("method", ["sgd", "sam"])
def test_a_fleet_takes_the_steps_that_each_run_takes_alone_on_its_split(
    method: str, settings: dict[str, Any]
) -> None:
    cells, device = runs(method, **settings), get_device("cpu")
    data = SplitLoader(cells).load(cells)
    fleet = Fleet(cells, data, device)
    alone = [Loop(cell, SplitLoader([cell]).load([cell]), device) for cell in cells]
    for _ in range(3):
        for batches in zip(fleet.batches(), *(loop.batches() for loop in alone), strict=True):
            (inputs, targets), *own = batches
            for run, (own_inputs, own_targets) in enumerate(own):
                assert torch.equal(inputs[run], own_inputs[0])
                assert torch.equal(targets[run], own_targets[0])
                alone[run].step(own_inputs, own_targets, 0.5)
            fleet.step(inputs, targets, 0.5)
    for run, loop in enumerate(alone):
        for name, p in loop.training.model.named_parameters():
            torch.testing.assert_close(fleet.params[name][run], p, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("settings", [{}, {"label_noise": 0.3, "sharpness": True}, IMAGES])
def test_fleet_and_loop_give_the_same_records_on_several_splits(settings: dict[str, Any]) -> None:
    cells = runs(**settings)
    fleet, loop = results(train_all(cells, "fleet")), results(train_all(cells, "loop"))
    assert fleet.keys() == loop.keys() == {cell.id for cell in cells}
    for cell_id, own in fleet.items():
        other = loop[cell_id]
        assert own.runs_together == 4 and other.runs_together == 1
        for left, right in zip(own.curve, other.curve, strict=True):
            assert astuple(left) == pytest.approx(astuple(right), rel=1e-8)
        assert own.test_loss == pytest.approx(other.test_loss, rel=1e-8)
        for key in ("test_accuracy", "test_part", "test_hits", "split", "split_hash"):
            assert getattr(own, key) == getattr(other, key)
        if own.cell.sharpness:
            assert own.sharpness is not None and other.sharpness is not None
            found, expected = own.sharpness.largest_eigenvalue, other.sharpness.largest_eigenvalue
            assert found == pytest.approx(expected, rel=1e-4)
    hashes = [fleet[cell.id].split_hash for cell in cells]
    assert hashes[1] == hashes[2] and len({*hashes}) == 3


def test_each_run_is_evaluated_on_the_parts_of_its_split() -> None:
    """By PyTorch's own functions, on the split's parts, in several pieces."""
    cells, device = runs(label_noise=0.2), get_device("cpu")
    fleet = Fleet(cells, SplitLoader(cells).load(cells), device)
    fleet.piece = lambda graphs=1: 7  # type: ignore[method-assign]
    found = {
        "train": fleet.evaluate(fleet.parts.train, with_gradient=True),
        "validation": fleet.evaluate(fleet.parts.validation),
        "test": fleet.evaluate(fleet.parts.test, with_hits=True),
    }
    for run, cell in enumerate(cells):
        model = fleet.model(run)
        for (inputs, targets), own in zip(by_hand(cell), found.values(), strict=True):
            logits = model(inputs)
            loss = torch.nn.functional.cross_entropy(logits, targets)
            right = logits.argmax(1) == targets
            assert own[run].loss == pytest.approx(loss.item(), rel=1e-12)
            assert own[run].accuracy == pytest.approx(float(right.double().mean()), rel=1e-6)
        hits = found["test"][run].hits
        assert hits is not None and hits.tolist() == right.tolist()
        model.zero_grad()
        inputs, targets = by_hand(cell)[0]
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()
        norm = torch.cat(
            [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        ).norm()
        assert found["train"][run].gradient_norm == pytest.approx(float(norm), rel=1e-9)


@pytest.mark.parametrize("how", ["loop", "fleet"])
def test_records_have_the_test_part_and_its_hits(how: TrainerChoice) -> None:
    cells = runs()
    for record in results(train_all(cells, how)).values():
        data = registry.build_dataset(record.cell.dataset).redrawn(record.cell.split_seed)
        assert data.places is not None
        assert record.test_part is not None and record.test_hits is not None
        mask = decode_bits(record.test_part, data.places.samples)
        assert np.flatnonzero(mask).tolist() == data.places.test.tolist()
        hits = decode_bits(record.test_hits, int(mask.sum()))
        assert hits.mean() == pytest.approx(record.test_accuracy, rel=1e-6)
        assert record.split == data.split and record.split_hash == data.places.hash


@pytest.mark.parametrize("how", ["loop", "fleet"])
def test_candidates_have_no_test_part_and_no_hits(how: TrainerChoice) -> None:
    cells = [replace(cell, role="candidate") for cell in runs()]
    for record in results(train_all(cells, how)).values():
        assert record.test_part is record.test_hits is record.test_accuracy is None
        assert record.split_hash is not None


@pytest.mark.parametrize(
    ("model", "dataset"),
    [
        ("mlp(depth=1)", "plugged:blobs"),
        ("char-transformer(depth=1, width=16, heads=2)", "random-tokens(length=8, samples=64)"),
    ],
)
def test_data_that_do_not_say_and_sequences_have_no_bits(model: str, dataset: str) -> None:
    cells = [replace(cell, split_seed=0) for cell in runs(model=model, dataset=dataset)]
    found = results(train_all(cells, "fleet"))
    assert len(found) == 4
    assert {(r.test_part, r.test_hits, r.split_hash) for r in found.values()} == {(None,) * 3}
    assert all(r.test_accuracy is not None for r in found.values())


@pytest.mark.parametrize("how", ["loop", "fleet"])
def test_a_training_on_several_splits_goes_on_to_the_same_result(
    how: TrainerChoice, tmp_path: Path
) -> None:
    cells = runs("sam", epochs=4, label_noise=0.1)
    whole = results(train_all(cells, how))
    going = train_all(cells, how, tmp_path, 0.0)
    for _ in range(3):
        assert isinstance(next(going), Progress)
    going.close()  # type: ignore[attr-defined]
    torch.manual_seed(99)
    again = results(train_all(cells, how, tmp_path, 0.0))
    for cell_id, record in whole.items():
        assert replace(again[cell_id], training_s=0.0) == replace(record, training_s=0.0)


def test_a_run_that_diverges_leaves_runs_on_other_splits_alone() -> None:
    cells = runs()
    wild = [cells[0], replace(cells[1], learning_rate=1e200), *cells[2:]]
    found, calm = results(train_all(wild, "fleet")), results(train_all(cells, "fleet"))
    lost = found[wild[1].id]
    assert lost.diverged and lost.test_part is lost.test_hits is None
    for cell in (wild[0], *wild[2:]):
        assert found[cell.id].test_hits == calm[cell.id].test_hits
        assert found[cell.id].curve[-1].train_loss == pytest.approx(
            calm[cell.id].curve[-1].train_loss, rel=1e-9
        )


def shapes_of(found: dict[str, Training], cells: Sequence[GeneralizationCell]) -> list[int]:
    return [found[cell.id].runs_together for cell in cells]


def test_splits_that_take_too_much_memory_are_trained_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = runs()
    together = results(train_all(cells, "fleet"))
    monkeypatch.setattr(splits, "MOST_BYTES", 3 * 150 * (2 * 8 + 8) - 1)
    apart = results(train_all(cells, "fleet"))
    assert shapes_of(together, cells) == [4] * 4
    assert shapes_of(apart, cells) == [1, 2, 2, 1]
    for cell_id, record in apart.items():
        assert record.test_hits == together[cell_id].test_hits
        assert record.test_loss == pytest.approx(together[cell_id].test_loss, rel=1e-8)
    loader = SplitLoader(cells)
    for group in loader.groups(cells):
        data = loader.load(group)
        with pytest.raises(KeyError):  # no other split is kept
            data.of(next(cell for cell in cells if cell.split_seed != group[0].split_seed))


def test_splits_of_other_shapes_are_trained_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A category that only one sample has is an input where that sample is in the train part."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{index},{'only' if index == 7 else 'often'},{index % 2}" for index in range(60)]
    Path("x.csv").write_text("number,word,y\n" + "\n".join(rows))
    text = "csv(path='x.csv', target='y')"
    data = registry.build_dataset(text)
    wide = {seed: data.redrawn(seed).input_shape[0] for seed in range(12)}
    seeds = [next(s for s in wide if wide[s] == width) for width in (2, 3, 2)]
    first = training(**SETTINGS | {"dataset": text, "dtype": "float32"})
    cells = [
        replace(first, seed=seed, split_seed=split) for seed, split in enumerate(seeds, start=1)
    ]
    found = results(train_all(cells, "fleet"))
    assert shapes_of(found, cells) == [2, 1, 2]


def test_parts_that_are_fixed_fail_in_one_line() -> None:
    cell = replace(training(**SETTINGS | {"dataset": "plugged:blobs"}), split_seed=1)
    with pytest.raises(Exception, match="the parts of dataset 'blobs' are fixed") as caught:
        list(train_all([cell], "loop"))
    assert "\n" not in str(caught.value)
