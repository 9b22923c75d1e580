"""A fleet trains every run as the loop trains it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from synthetic import training
from torch import Tensor, nn

from gr_bench import registry
from gr_bench.experiments.generalization.cell import GeneralizationCell, TrainerChoice
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.generalization.training import fleet_or_loop
from gr_bench.experiments.generalization.training.fleet import Fleet
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.experiments.generalization.training.train import train_all
from gr_bench.meters.get_device import get_device
from gr_bench.methods import METHODS, SAM
from gr_bench.timing.step import load_data

SETTINGS: dict[str, Any] = {"batch_size": 16, "epochs": 3, "dtype": "float64", "weight_decay": 1e-3}
IMAGES = "random(shape=(1, 8, 8), num_classes=3, samples=64)"
NETS = {
    "mlp(depth=2, width=8)": "plugged:blobs",
    "resnet-8(width=4)": IMAGES,
    "vit(depth=1, width=16, heads=2, patch=4)": IMAGES,
    "char-transformer(depth=1, width=16, heads=2)": "random-tokens(length=8, vocabulary=5, "
    "samples=64)",
}


def runs(method: str, **settings: Any) -> list[GeneralizationCell]:
    """Four runs of different seeds, learning rates and method numbers."""
    first = training(method, **SETTINGS | settings)
    numbers = {"gamma": 0.02, "rho": 0.02, "level": 0.9}
    keys = [key for key in numbers if f"{key}=" in first.spec]
    other = f"{method}({keys[0]}={numbers[keys[0]]})" if keys else method
    second = training(other, **SETTINGS | settings)
    return [
        first,
        replace(first, seed=1, learning_rate=0.03),
        replace(second, seed=2),
        replace(second, seed=1, learning_rate=0.01),
    ]


def after(steps: int, trainer: Fleet | Loop) -> None:
    done = 0
    while done < steps:
        for batch in trainer.batches():
            trainer.step(*batch, rate=1 - done / (2 * steps))
            done += 1


def check(cells: Sequence[GeneralizationCell], steps: int = 50) -> None:
    device, data = get_device("cpu"), load_data(cells[0], registry)
    fleet = Fleet(cells, data, device)
    after(steps, fleet)
    for run, cell in enumerate(cells):
        loop = Loop(cell, data, device)
        after(steps, loop)
        for name, value in loop.training.model.state_dict().items():
            stacked = fleet.params[name] if name in fleet.params else fleet.buffers[name]
            torch.testing.assert_close(stacked[run], value, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_fifty_steps_lead_to_the_same_parameters(method: str) -> None:
    check(runs(method, model="mlp(depth=2, width=8)", dataset="plugged:blobs"))


def test_every_run_has_its_own_weight_decay() -> None:
    decays = (0.0, 1e-3, 0.1, 0.3)
    cells = runs("sam", model="mlp(depth=2, width=8)", dataset="plugged:blobs")
    check([replace(c, weight_decay=decay) for c, decay in zip(cells, decays, strict=True)])


@pytest.mark.parametrize("method", ["sgd", "sam", "b-gr", "c-gr"])
@pytest.mark.parametrize("model", list(NETS)[1:])
def test_steps_with_batch_norm_and_attention_lead_to_the_same_parameters(
    method: str, model: str
) -> None:
    """Buffers included."""
    check(runs(method, model=model, dataset=NETS[model]), steps=12)


def test_steps_of_double_backpropagation_with_batch_norm_lead_to_the_same_parameters() -> None:
    check(runs("db-gr", model="resnet-8(width=4)", dataset=IMAGES), steps=12)


def test_augmentation_is_each_runs_own() -> None:
    model = "resnet-8(width=4)"
    check(runs("sgd", model=model, dataset=IMAGES, augmentation="crop-flip"), steps=8)


def records(cells: Sequence[GeneralizationCell], how: TrainerChoice) -> dict[str, Training]:
    return {r.cell.id: r for r in train_all(cells, how) if isinstance(r, Training)}


def without_numbers(record: Training) -> Training:
    """The record but for its means and for what rounding changes."""
    return replace(
        record,
        training_s=0.0,
        trainer="loop",
        runs_together=1,
        curve=(),
        test_loss=None,
        test_accuracy=None,
    )


def numbers(record: Training) -> list[list[float]]:
    curve = [list(astuple(point)) for point in record.curve]
    tests = (record.test_loss, record.test_accuracy)
    return [*curve, [value for value in tests if value is not None]]


def same(one: dict[str, Training], other: dict[str, Training]) -> None:
    assert one.keys() == other.keys()
    for cell_id, record in one.items():
        pairs = zip(numbers(record), numbers(other[cell_id]), strict=True)
        for left, right in pairs:
            assert left == pytest.approx(right, rel=1e-8, abs=1e-10)
        assert without_numbers(record) == without_numbers(other[cell_id])


@pytest.mark.parametrize("model", ["mlp(depth=2, width=8)", "resnet-8(width=4)"])
def test_fleet_and_loop_give_the_same_records(model: str) -> None:
    cells = runs("f-gr", model=model, dataset=NETS[model])
    found = records(cells, "fleet")
    same(found, records(cells, "loop"))
    assert {record.trainer for record in found.values()} == {"fleet"}


def test_a_run_that_diverges_leaves_the_others_alone() -> None:
    calm, *rest = runs("sam", model="mlp(depth=2, width=8)", dataset="plugged:blobs")
    wild = [replace(cell, learning_rate=1e200) for cell in rest[:2]]
    cells = [wild[0], calm, wild[1], rest[2]]
    found = records(cells, "fleet")
    assert [found[cell.id].diverged for cell in cells] == [True, False, True, False]
    same(found, records(cells, "loop"))


def test_a_fleet_that_diverges_as_a_whole_ends() -> None:
    cells = [replace(c, learning_rate=1e200) for c in runs("sgd", dataset="plugged:blobs")]
    same(records(cells, "fleet"), records(cells, "loop"))


def test_runs_beyond_the_memory_are_trained_in_a_further_fleet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = runs("sam", model="mlp(depth=2, width=8)", dataset="plugged:blobs")
    whole = records(cells, "fleet")
    assert {record.runs_together for record in whole.values()} == {4}
    monkeypatch.setattr(
        fleet_or_loop, "_bytes_a_run", lambda _: get_device("cpu").spare_bytes() // 3
    )
    cut = records(cells, "fleet")
    assert {record.runs_together for record in cut.values()} == {2}
    same(whole, cut)


def test_the_memory_of_a_run_is_that_of_its_activations_and_copies() -> None:
    cell = training("sgd", model="mlp(depth=2, width=8)", dataset="plugged:blobs", batch_size=32)
    device, data = get_device("cpu"), load_data(cell, registry)
    loop = Loop(cell, data, device)
    found = fleet_or_loop._bytes_a_run(loop)
    features, classes = data.train.inputs[0].numel(), data.num_classes
    parameters = 4 * (features * 8 + 8 + 8 * classes + classes)
    copies = fleet_or_loop.COPIES["sgd"]
    assert found > copies * parameters
    activations = 4 * cell.batch_size * (features + 8 + 2 * classes)
    assert found < copies * parameters + 3 * activations + 8 * cell.batch_size * 4


class Data(nn.Module):
    """A model that decides by a value, which cannot be vectorised."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.linear(inputs.flatten(1)[:, :2])
        return logits if float(logits.detach().sum()) > 0 else 2 * logits


def test_what_cannot_be_vectorised_is_trained_by_the_loop(capsys: Any) -> None:
    cells = runs("sgd", model=f"{__name__}:Data", dataset="plugged:blobs")
    found = records(cells, "auto")
    assert {record.trainer for record in found.values()} == {"loop"}
    assert "vmap" in capsys.readouterr().err


class Replacing(nn.Module):
    """A model that replaces its buffer instead of changing it, which stacking would lose."""

    seen: Tensor

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2, num_classes)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.seen = self.seen + 1
        logits: Tensor = self.linear(inputs.flatten(1)[:, :2])
        return logits


@dataclass(frozen=True)
class OneNorm(SAM):
    """SAM whose norm would be that of all runs together, if it were stacked."""

    name: ClassVar[str] = "one-norm"

    def scale(self, gradients: list[Tensor]) -> Tensor:
        return self.rho / torch.nn.utils.get_total_norm(gradients)


@pytest.mark.parametrize(
    ("method", "model", "reason"),
    [
        ("sgd", f"{__name__}:Replacing", "seen differs from the loop's"),
        (f"{__name__}:OneNorm", "mlp(depth=2, width=8)", "not stackable"),
        ("sgd", "mlp(depth=2, width=32, dropout=0.5)", "gradient of "),
    ],
)
def test_what_a_fleet_would_train_otherwise_is_trained_by_the_loop(
    method: str, model: str, reason: str, capsys: Any
) -> None:
    found = records(runs(method, model=model, dataset="plugged:blobs"), "auto")
    assert {record.trainer for record in found.values()} == {"loop"}
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("method", ["f-gr", "asam", "db-gr", "flooding"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fleet_that_steps_as_the_loop_does_is_taken(
    method: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the time: that is not asserted here."""
    monkeypatch.setattr(fleet_or_loop, "GAIN", 0.0)
    cells = runs(method, model="resnet-8(width=4)", dataset=IMAGES, dtype=dtype)
    found = records(cells, "auto")
    assert {record.trainer for record in found.values()} == {"fleet"}


def test_dropout_draws_one_mask_for_both_passes_and_another_for_every_run() -> None:
    """With a zero radius SAM's second pass is the first once more; a new mask would tell."""
    settings = {"model": "mlp(depth=2, width=32, dropout=0.5)", "dataset": "plugged:blobs"}
    fleets = {}
    for method in ("sgd", "sam(rho=0)"):
        cell = training(method, **SETTINGS | settings)
        device, data = get_device("cpu"), load_data(cell, registry)
        fleets[method] = Fleet([cell, cell], data, device)
        torch.manual_seed(3)
        after(6, fleets[method])
    for name, sgd in fleets["sgd"].params.items():
        assert torch.equal(sgd, fleets["sam(rho=0)"].params[name])
    weights = fleets["sgd"].params["classifier.weight"]
    assert not torch.allclose(weights[0], weights[1])


@pytest.mark.parametrize(
    "method",
    [
        "late(sam(rho={}), share=0.5)",
        "ramp(f-gr(gamma={}))",
        "clipped(every(f-gr(gamma={}), k=2), norm=0.5)",
        "without(sam(rho={}))",
        "only(warmup(db-gr(gamma={})))",
    ],
)
@pytest.mark.parametrize("model", ["mlp(depth=2, width=8)", "resnet-8(width=4)"])
def test_methods_made_of_others_train_together(method: str, model: str) -> None:
    settings = SETTINGS | {"model": model, "dataset": NETS[model]}
    check([training(method.format(n), seed=seed, **settings) for seed, n in enumerate((0.02, 0.1))])


def test_runs_that_differ_outside_the_innermost_numbers_are_trained_apart() -> None:
    key = {
        text: training(text).fleet_key
        for text in ("late(sam(rho=1))", "late(sam(rho=2))", "late(sam(rho=1), share=0.1)")
    }
    first, numbers, share = key.values()
    assert first == numbers != share
