"""Units of trainings are of about an hour's work, which is known before anything is trained."""

from __future__ import annotations

import pytest
from synthetic import training

from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.planning.work import (
    HOUR_FLOPS,
    runs_an_hour,
    training_flops,
)
from gr_bench.meters.counters import count_flops
from gr_bench.registry import build_dataset, build_model

EXPERIMENT = Generalization()
IMAGES = "random(shape=(3, 16, 16), num_classes=5, samples=64)"
MODELS = ["mlp(depth=3, width=16)", "resnet-8(width=8)", "wrn-16-4"]


@pytest.mark.parametrize("model", MODELS)
def test_the_estimate_is_three_forward_passes_a_gradient_as_pytorch_counts_them(model: str) -> None:
    data = build_dataset(IMAGES)
    network = build_model(model, data.input_shape, data.num_classes)
    forward = count_flops(lambda: network(data.train.inputs))  # of all examples at once
    for spec, gradients in (("sgd", 1), ("f-gr", 2), ("c-gr", 3), ("db-gr", 3)):
        cell = training(spec, model=model, dataset=IMAGES, epochs=7)
        assert training_flops(cell) == 3 * gradients * forward * 7


@pytest.mark.parametrize(
    "fields",
    [
        {"dataset": "plugged:nowhere"},
        {"model": "plugged:Nothing"},
        {"model": "plugged:Bare", "dataset": "random(shape=(3,), num_classes=3)"},
    ],
)
def test_of_what_cannot_be_counted_nothing_is_known(fields: dict[str, str]) -> None:
    cell = training(**fields)
    assert training_flops(cell) is None
    assert runs_an_hour(cell) is None


def cell_of(device: str, epochs: int) -> GeneralizationCell:
    return training("f-gr", model="mlp(depth=1)", dataset=IMAGES, epochs=epochs, device=device)


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
def test_runs_of_a_unit_are_about_an_hours_work_and_at_least_one(device: str) -> None:
    an_epoch = training_flops(cell_of(device, 1))
    assert an_epoch is not None
    hour = HOUR_FLOPS[device.partition(":")[0]]
    assert runs_an_hour(cell_of(device, int(hour / an_epoch / 5))) == 5
    assert runs_an_hour(cell_of(device, int(10 * hour / an_epoch))) == 1


@pytest.mark.parametrize(
    ("hours_a_run", "sizes"), [(1e-3, [40, 40, 20]), (0.045, [22] * 4 + [12]), (7, [1] * 100)]
)
def test_a_unit_has_fewer_runs_of_a_large_model(hours_a_run: float, sizes: list[int]) -> None:
    an_epoch = training_flops(cell_of("cpu", 1))
    assert an_epoch is not None
    grid = GeneralizationGrid(
        methods=["f-gr"],
        models=["mlp(depth=1)"],
        datasets=[IMAGES],
        batch_sizes=[32],
        seeds=list(range(100)),
        epochs=int(hours_a_run * HOUR_FLOPS["cpu"] / an_epoch),
    )
    cells = EXPERIMENT.cells(grid)
    (job,) = EXPERIMENT.pending(grid, cells, [])
    assert sorted((len(unit.cells) for unit in job.units), reverse=True) == sizes
    assert {cell for unit in job.units for cell in unit.cells} == set(cells)
