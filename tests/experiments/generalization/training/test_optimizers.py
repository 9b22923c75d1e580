"""Trainings with other optimizers than SGD: the loop is PyTorch, and the fleet is the loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic import training
from torch import nn

from gr_bench import registry
from gr_bench.errors import Unsupported
from gr_bench.experiments.generalization.cell import GeneralizationCell, TrainerChoice, has_fleet
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.generalization.training.fleet import Fleet
from gr_bench.experiments.generalization.training.fleet_optimizers import (
    OF_FLEETS,
    FleetAdamW,
    FleetSGD,
)
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.experiments.generalization.training.train import train_all
from gr_bench.experiments.record import Failure, Progress
from gr_bench.meters.get_device import get_device
from gr_bench.timing.step import load_data

EPOCHS = 3
SETTINGS: dict[str, Any] = {
    "batch_size": 16,
    "epochs": EPOCHS,
    "dtype": "float64",
    "model": "mlp(depth=2, width=8)",
    "dataset": "plugged:blobs",
    "learning_rate": 0.01,
    "momentum": None,
    "weight_decay": None,
}
ADAMW = "adamw(betas=(0.8, 0.9), weight_decay=0.3, eps=0.001)"


def runs(method: str, optimizer: str, count: int = 4) -> list[GeneralizationCell]:
    """Runs of different seeds and learning rates."""
    first = training(method, optimizer=optimizer, **SETTINGS)
    return [replace(first, seed=i, learning_rate=0.01 * (1 + i // 2)) for i in range(count)]


def after(trainer: Fleet | Loop, epochs: int = EPOCHS) -> None:
    step = 0
    for _ in range(epochs):
        for batch in trainer.batches():
            trainer.step(*batch, rate=1 - step / 50)
            step += 1


def loop(cell: GeneralizationCell) -> Loop:
    return Loop(cell, load_data(cell, registry), get_device("cpu"))


def fleet(cells: list[GeneralizationCell]) -> Fleet:
    return Fleet(cells, load_data(cells[0], registry), get_device("cpu"))


@pytest.mark.parametrize(
    ("optimizer", "build"),
    [
        ("sgd(momentum=0.5, nesterov=True)", lambda p, lr: torch.optim.SGD(
            p, lr, momentum=0.5, nesterov=True)),
        (ADAMW, lambda p, lr: torch.optim.AdamW(
            p, lr, betas=(0.8, 0.9), weight_decay=0.3, eps=0.001)),
        ("torch.optim:RMSprop(momentum=0.9)", lambda p, lr: torch.optim.RMSprop(
            p, lr, momentum=0.9)),
        ("plugged_optimizers:averaging(beta=0.7)", lambda p, lr: torch.optim.SGD(
            p, lr, momentum=0.7)),
    ],
)  # fmt: skip
def test_a_loop_steps_as_pytorch_does_by_hand(optimizer: str, build: Any) -> None:
    cell = runs("sgd", optimizer, 1)[0]
    trainer, other = loop(cell), loop(cell)
    after(trainer)
    model = other.training.model.train()
    by_hand = build(model.parameters(), cell.learning_rate)
    step = 0
    for _ in range(EPOCHS):
        for inputs, targets in other.batches():
            by_hand.param_groups[0]["lr"] = (1 - step / 50) * cell.learning_rate
            by_hand.zero_grad()
            nn.functional.cross_entropy(model(inputs[0]), targets[0]).backward()
            by_hand.step()
            step += 1
    for p, q in zip(trainer.training.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("alike", [False, True], ids=["rates of their own", "one rate"])
@pytest.mark.parametrize("method", ["sgd", "sam", "db-gr"])
def test_a_fleet_of_adamw_moves_every_run_as_pytorch_does(method: str, alike: bool) -> None:
    cells = runs(method, ADAMW)
    if alike:
        cells = [replace(cell, learning_rate=0.01) for cell in cells]
    together = fleet(cells)
    after(together)
    for run, cell in enumerate(cells):
        alone = loop(cell)
        after(alone)
        for name, value in alone.training.model.named_parameters():
            own = together.params[name][run]
            torch.testing.assert_close(own, value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("alike", [False, True], ids=["rates of their own", "one rate"])
def test_every_run_of_adamw_has_its_own_weight_decay(alike: bool) -> None:
    decays = (None, 0.0, 0.1, 0.9)
    pairs = zip(runs("sgd", "adamw(betas=(0.8, 0.9))"), decays, strict=True)
    cells = [replace(cell, weight_decay=decay) for cell, decay in pairs]
    if alike:
        cells = [replace(cell, learning_rate=0.01) for cell in cells]
    together = fleet(cells)
    after(together)
    for run, (cell, decay) in enumerate(zip(cells, decays, strict=True)):
        alone = loop(cell)
        assert alone.training.optimizer.defaults["weight_decay"] == (
            0.01 if decay is None else decay
        )
        after(alone)
        for name, value in alone.training.model.named_parameters():
            torch.testing.assert_close(together.params[name][run], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OF_FLEETS)
def test_a_parameter_without_a_gradient_stays_and_counts_no_step(name: str) -> None:
    """As in PyTorch: bias correction counts the steps that a parameter took."""
    theirs = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[name]
    settings: dict[str, Any] = {
        "sgd": {"momentum": 0.9, "weight_decay": 0.1},
        "adamw": {"betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1},
    }[name]
    torch.manual_seed(0)
    start = [torch.randn(2, 3, dtype=torch.float64) for _ in range(2)]
    stacked = [nn.Parameter(t.clone()) for t in start]
    ours = OF_FLEETS[name](stacked, settings)
    alone = [[nn.Parameter(t[run].clone()) for t in start] for run in range(2)]
    optimizers = [
        theirs(params, lr=rate, **settings)  # type: ignore[operator]
        for params, rate in zip(alone, (0.1, 0.2), strict=True)
    ]
    for step in range(6):
        for i, p in enumerate(stacked):
            given = torch.randn_like(p) if i == 0 or step % 2 else None
            p.grad = given
            for run in range(2):
                alone[run][i].grad = None if given is None else given[run]
        ours.step(torch.tensor([0.1, 0.2], dtype=torch.float64))
        for each in optimizers:
            each.step()
    for i, p in enumerate(stacked):
        for run in range(2):
            torch.testing.assert_close(p[run], alone[run][i], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "has"),
    [
        ("sgd", True),
        ("sgd(momentum=0.5)", True),
        ("sgd(momentum=0.9, nesterov=True)", False),
        (ADAMW, True),
        ("adamw(amsgrad=True)", False),
        ("muon", False),
        ("torch.optim:SGD", False),
    ],
)
def test_only_what_a_fleet_steps_as_pytorch_does_is_trained_in_one(
    optimizer: str, has: bool
) -> None:
    assert has_fleet(optimizer) is has
    cells = runs("sgd", optimizer, 2)
    if has:
        assert isinstance(fleet(cells)._optimizer, FleetAdamW if optimizer == ADAMW else FleetSGD)
        return
    with pytest.raises(Unsupported, match="one by one"):
        fleet(cells)
    found = list(train_all(cells, "auto"))
    assert [r.trainer for r in found if isinstance(r, Training)] == ["loop", "loop"]
    assert not [r for r in found if isinstance(r, Failure)]


def results(found: Any) -> list[Training]:
    return [replace(one, training_s=0.0) for one in found if isinstance(one, Training)]


@pytest.mark.parametrize(
    ("method", "optimizer", "how"),
    [
        ("sam", "adamw", "fleet"),
        ("sam", "adamw", "loop"),
        ("sam", "muon", "loop"),
        ("sgd", "torch.optim:LBFGS(max_iter=3, history_size=4)", "loop"),
        ("pytorch_optimizer:FriendlySAM", "adamw", "loop"),
    ],
)
def test_a_training_that_is_broken_off_goes_on_bit_for_bit(
    method: str, optimizer: str, how: TrainerChoice, tmp_path: Path
) -> None:
    if method.startswith("pytorch_optimizer"):
        pytest.importorskip("pytorch_optimizer")
    cells = runs(method, optimizer, 3 if how == "fleet" else 1)
    whole = results(train_all(cells, how))
    assert len(whole) == len(cells)
    assert not any(record.diverged for record in whole)
    going = train_all(cells, how, tmp_path, 0.0)
    for _ in range(2):
        assert isinstance(next(going), Progress)
    going.close()  # type: ignore[attr-defined]
    torch.manual_seed(99)
    assert results(train_all(cells, how, tmp_path, 0.0)) == whole


def test_a_state_that_cannot_be_read_again_costs_the_checkpoint_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = runs("sgd", "plugged_optimizers:Remembering", 1)
    whole = results(train_all(cells, "loop"))
    going = train_all(cells, "loop", tmp_path, 0.0)
    next(going)
    going.close()  # type: ignore[attr-defined]
    assert results(train_all(cells, "loop", tmp_path, 0.0)) == whole
    assert "no checkpoint: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "optimizer", "a_step"),
    [
        ("sgd", "plugged_optimizers:ClosureSAM", 2),
        ("sam", "plugged_optimizers:GradientFirstSAM", 4),
        ("sam", "adamw", 2),
        ("plugged_optimizers:Doubling", "adamw", 1),
    ],
)
def test_gradient_evaluations_are_those_that_were_made(
    method: str, optimizer: str, a_step: int
) -> None:
    (record,) = results(train_all(runs(method, optimizer, 1), "loop"))
    assert record.gradient_evaluations == a_step * record.steps


def test_sam_inside_the_optimizer_is_sam_before_it() -> None:
    """Without momentum: the closure's two passes are the method's."""
    inside = loop(runs("sgd", "plugged_optimizers:ClosureSAM(rho=0.1)", 1)[0])
    before = loop(runs("sam(rho=0.1)", "torch.optim:SGD", 1)[0])
    for trainer in (inside, before):
        after(trainer)
    for p, q in zip(
        inside.training.model.parameters(), before.training.model.parameters(), strict=True
    ):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)
