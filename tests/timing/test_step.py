"""The one builder of steps: what it builds, and what it spares."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
import torch
from synthetic import cost
from torch import Tensor, nn

from gr_bench import registry
from gr_bench.errors import Unsupported
from gr_bench.methods import DivisibleLoss
from gr_bench.optimizers.eager import SGD
from gr_bench.timing.step import build_step, build_training, load_data

CELL = cost(
    "sgd",
    model="mlp(depth=2, width=4)",
    dataset="random(shape=(3,), num_classes=2, samples=8)",
    batch_size=4,
)

STEPS = """
import sys
from gr_bench import registry
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.timing.step import build_step

for dataset in ("digits", "random(shape=(1, 8, 8))"):
    for spec in ("sgd", "sam(rho=0.05)", "db-gr(gamma=0.1)"):
        cell = StepCostCell(
            spec=spec, model="resnet-8(width=4)", dataset=dataset, batch_size=8, device="cpu",
            dtype="float32", threads=1, baseline="sgd",
        )
        build_step(cell, registry)()
heavy = {"torch._dynamo", "torch._inductor", "sklearn", "scipy", "pandas", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
"""


def test_a_step_imports_neither_the_compiler_nor_what_it_does_not_need() -> None:
    told = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("model", "dataset", "reason"),
    [
        ("char-transformer", "random(shape=(8,))", "with targets (N, T), and random(.* has floats"),
        ("char-transformer", "digits", "input_shape must be"),
        ("mlp", "random-tokens", "mlp takes floats .* random-tokens has whole numbers"),
        ("resnet-8", "random-tokens", "resnet-8 takes floats"),
        ("vit", "random(shape=(6,))", "patch must divide every side of the 6 input"),
        ("vit(patch=3)", "random(shape=(6,))", None),
        ("plugged:Dropping", "random(shape=(6,))", None),
        ("wrn-16-4", "random(shape=(6,))", None),
    ],
)
def test_a_model_says_which_data_it_does_not_take(
    model: str, dataset: str, reason: str | None
) -> None:
    cell = replace(CELL, model=model, dataset=dataset)
    if reason is None:
        assert build_step(cell, registry)().isfinite()
        return
    with pytest.raises((Unsupported, ValueError), match=re.sub(r"[()]", ".", reason)):
        build_step(cell, registry)


@pytest.mark.parametrize("name", registry.MODELS.built_in)
def test_every_built_in_model_says_what_it_takes(name: str) -> None:
    network = registry.build_model(name, (8,), 3)
    assert network.takes_tokens is (name == "char-transformer")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_the_optimizer_steps_as_pytorchs_does(momentum: float, weight_decay: float) -> None:
    torch.manual_seed(0)
    networks = [nn.Linear(3, 2) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    settings = {"lr": 0.1, "momentum": momentum, "weight_decay": weight_decay}
    optimizers = [
        cls(network.parameters(), **settings)
        for cls, network in zip((SGD, torch.optim.SGD), networks, strict=True)
    ]
    calls = []
    optimizers[0].register_step_pre_hook(lambda *_: calls.append(1))
    for _ in range(5):
        inputs = torch.randn(4, 3)
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            network(inputs).square().sum().backward()
            optimizer.step()
    for p, q in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(p, q)
        assert p.requires_grad
    assert len(calls) == 5
    assert optimizers[0].state_dict().keys() == optimizers[1].state_dict().keys()


def test_a_step_that_is_timed_leaves_the_parameters_where_they_are() -> None:
    step = build_step(replace(CELL, spec="f-gr(gamma=0.1, epsilon=0.05)"), registry)
    before = [p.clone() for p in step.training.model.parameters()]
    assert torch.equal(step(), step())
    for p, value in zip(step.training.model.parameters(), before, strict=True):
        assert torch.equal(p, value)
    assert all(step.training.optimizer.state[p] for p in step.training.model.parameters())


def test_a_step_has_its_methods_cycle_and_those_of_older_revisions_have_one() -> None:
    late = build_step(replace(CELL, spec="late(sam(rho=0.05), share=0.2)"), registry)
    assert late.cycle == 5
    assert late.training.method.state["steps"] == 5

    class Older:
        """A method before there were cycles, states and beginnings."""

        def backward(self, loss_fn: Callable[[], Tensor], params: Iterable[Tensor]) -> Tensor:
            loss = loss_fn()
            loss.backward()
            return loss.detach()

        needs_second_derivatives = False

    class OlderRegistry:
        build_model = staticmethod(registry.build_model)
        build_dataset = staticmethod(registry.build_dataset)

        def build_method(self, text: str) -> Older:
            return Older()

    older = build_step(CELL, OlderRegistry())
    assert older.cycle == 1
    assert older().isfinite()


def test_the_parts_of_a_mini_batch_have_its_loss_as_their_mean() -> None:
    data = load_data(CELL, registry)
    training = build_training(CELL, data, registry)
    loss = training.loss_on(data.train.inputs, data.train.targets)
    assert isinstance(loss, DivisibleLoss)
    for count in (1, 2, 4, 8):
        parts = loss.parts(count)
        assert len(parts) == count
        assert {len(part.inputs) for part in parts} == {8 // count}
        torch.testing.assert_close(torch.stack([part() for part in parts]).mean(), loss())
    with pytest.raises(ValueError, match="a mini-batch of 8 cannot be cut into 3 equal parts"):
        loss.parts(3)


def test_a_training_begins_with_its_length_and_its_parameters_names() -> None:
    cell = replace(CELL, spec="late(without(sam, names='*.bias'), share=0.5)")
    data = load_data(cell, registry)
    method = build_training(cell, data, registry, steps=12).method
    assert method.state == {"step": 0, "steps": 12}
    inside, params = method.method, method.method._fixed.values()
    assert (inside.name, [*params]) == ("without", [False, True, False, True])
    with pytest.raises(
        ValueError, match=r"'\*norm' matches none of the parameters, hidden.0.weight"
    ):
        build_step(replace(CELL, spec="without(sam, names='*norm')"), registry)


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "torch.optim:RMSprop(momentum=0.9)"])
def test_other_optimizers_do_all_their_work_in_place(optimizer: str) -> None:
    step = build_step(replace(CELL, spec="sam", optimizer=optimizer), registry)
    before = [p.clone() for p in step.training.model.parameters()]
    step()
    for p, value in zip(step.training.model.parameters(), before, strict=True):
        assert torch.equal(p, value)
    assert all(step.training.optimizer.state[p] for p in step.training.model.parameters())


@pytest.mark.parametrize(
    ("optimizer", "evaluations"),
    [("torch.optim:LBFGS(max_iter=3)", 3), ("plugged_optimizers:ClosureSAM", 2)],
)
def test_an_optimizer_that_needs_the_closure_gets_it(optimizer: str, evaluations: int) -> None:
    data = load_data(CELL, registry)
    training = build_training(
        replace(CELL, optimizer=optimizer), data, registry, learning_rate=1e-3
    )
    batch = data.train.inputs[:4], data.train.targets[:4]
    before = training.loss_on(*batch)().detach()
    assert torch.equal(training.step(*batch), before)
    assert training.evaluations == evaluations
    assert training.loss_on(*batch)() < before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"optimizer": "torch.optim:LBFGS", "dtype": "float16-mixed"}, "evaluates the loss inside"),
        ({"optimizer": "muon", "variant": "fused"}, "takes no fused"),
    ],
)
def test_what_an_optimizer_cannot_do_is_no_failure(change: dict[str, str], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        build_step(replace(CELL, **change), registry)


@pytest.mark.parametrize("optimizer", ["sgd", "sgd(momentum=0.5)", "adamw"])
def test_the_fused_variant_is_the_optimizers(optimizer: str) -> None:
    step = build_step(replace(CELL, optimizer=optimizer, variant="fused"), registry)
    assert step.training.optimizer.defaults["fused"]
    step()


def test_sgd_has_the_numbers_that_it_is_given_and_the_grids_for_the_rest() -> None:
    cell = replace(CELL, optimizer="sgd(momentum=0.5)")
    training = build_training(
        cell, load_data(cell, registry), registry, momentum=0.7, weight_decay=0.3
    )
    found = training.optimizer.defaults
    assert (found["momentum"], found["weight_decay"]) == (0.5, 0.3)


def test_the_batch_is_the_first_of_the_training_part() -> None:
    data = load_data(CELL, registry)
    inputs, targets = build_step(CELL, registry).batch
    assert torch.equal(inputs, data.train.inputs[:4])
    assert torch.equal(targets, data.train.targets[:4])


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="batch size 9 is more than the 8 training examples"):
        load_data(replace(CELL, batch_size=9), registry)


def test_a_seed_decides_the_model() -> None:
    data = load_data(CELL, registry)
    first, again, other = (
        next(build_training(CELL, data, registry, seed=seed).model.parameters())
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_differentiates_twice_cannot_be_compiled() -> None:
    cell = replace(CELL, spec="db-gr(gamma=0.1)", compiled=True)
    with pytest.raises(Unsupported, match="differentiates twice"):
        build_step(cell, registry)
