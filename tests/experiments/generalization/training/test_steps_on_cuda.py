"""Training steps with their mini-batches on the pretended CUDA devices: no wait and no copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import torch
from synthetic import training
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from gr_bench import registry
from gr_bench.experiments.generalization.training.fleet import Fleet
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.experiments.generalization.training.trainer import Trainer
from gr_bench.meters.get_device import get_device
from gr_bench.timing.step import load_data

pytestmark = pytest.mark.usefixtures("pretended_cuda")

SETTINGS: dict[str, Any] = {
    "model": "mlp(depth=3, width=8)",
    "batch_size": 16,
    "augmentation": "crop-flip",
    "device": "cuda",
    "weight_decay": 1e-3,
}
NORMS = "resnet-8(width=4)"
RATES = {"alike": [0.1, 0.1, 0.1], "apart": [0.1, 0.03, 0.01]}


def build(how: str, method: str, steps: int = 2, **settings: Any) -> Trainer:
    """A trainer that has stepped before, so that all lasting state is there."""
    images = f"random(shape=(3, 8, 8), num_classes=3, samples={16 * steps})"
    cell = training(method, dataset=images, **SETTINGS | settings)
    data, device = load_data(cell, registry), get_device("cuda")
    if how == "loop":
        trainer: Trainer = Loop(cell, data, device)
    else:
        cells = [replace(cell, seed=i, learning_rate=rate) for i, rate in enumerate(RATES[how])]
        trainer = Fleet(cells, data, device)
    trainer.step(*next(trainer.batches()), 0.5)
    return trainer


def traced_epoch(trainer: Trainer, step: Callable[..., object]) -> tuple[Counter[str], ...]:
    """Waits and copies of an epoch's steps, from when its first mini-batch is made."""
    from pretended_cuda import Trace

    going = trainer.batches()
    first = next(going)
    with Trace() as trace:
        step(*first, 0.5)
        for batch in going:
            step(*batch, 0.5)
    assert trace.launches > 0
    return trace.waits, trace.copies


@pytest.mark.parametrize("how", ["loop", *RATES])
def test_steps_with_their_mini_batches_wait_for_nothing_and_copy_nothing(how: str) -> None:
    """Every way of a method to its numbers, and a net with buffers; losses stay there too."""
    cases = [(method, SETTINGS["model"]) for method in ("sgd", "sam", "gnp", "db-gr", "flooding")]
    with FakeTensorMode():
        for method, model in [*cases, ("f-gr", NORMS)]:
            trainer = build(how, method, model=model)
            assert traced_epoch(trainer, trainer.step) == ({}, {}), (method, model)
            loss = trainer.step(*next(trainer.batches()), 0.5)
            assert loss.device == torch.device("cuda:0")


def test_a_hidden_read_in_a_step_is_seen() -> None:
    with FakeTensorMode():
        trainer = build("loop", "sgd")
        seen: list[float] = []
        with suppress(DataDependentOutputException):
            waits, _ = traced_epoch(trainer, lambda *step: seen.append(float(trainer.step(*step))))
            assert waits


@pytest.mark.parametrize("how", ["loop", *RATES])
def test_an_epoch_copies_its_order_and_its_draws_and_nothing_else(how: str) -> None:
    """Two copies, however many steps and runs."""
    from pretended_cuda import Trace

    with FakeTensorMode():
        for steps in (2, 4):
            trainer = build(how, "sgd", steps)
            with Trace() as trace:
                for batch in trainer.batches():
                    trainer.step(*batch, 0.5)
            assert trace.copies == {"_to_copy": 2}


def test_a_fleet_of_one_learning_rate_descends_in_launches_for_all_parameters_at_once() -> None:
    from pretended_cuda import Trace

    launches = {}
    with FakeTensorMode():
        for how in RATES:
            trainer = build(how, "sgd")
            assert isinstance(trainer, Fleet)
            with Trace() as trace:
                trainer._optimizer.step(0.5 * trainer._rates)
            launches[how] = trace.launches
    parameters = len(trainer.params)
    assert launches["alike"] == 4
    assert launches["apart"] <= parameters + 6


@pytest.mark.parametrize("method", ["f-gr", "b-gr", "unnormalized-sam"])
def test_a_fleet_whose_numbers_are_alike_perturbs_all_parameters_at_once(method: str) -> None:
    """And not in a launch for each parameter, as with numbers of their own."""
    from pretended_cuda import Trace

    with FakeTensorMode():
        trainer = build("alike", method)
        batch = next(trainer.batches())
        with Trace() as trace:
            trainer.step(*batch, 0.5)
    assert trace.operators["_foreach_copy_"] == 1
    assert "addcmul" not in trace.operators
