"""Methods on ``DistributedDataParallel``: two worker processes against one that does it all."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import two_workers
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from two_workers import RATE, STEPS, WORKERS, build, loss_on, methods, part, seed

from gr_bench.methods import (
    SAM,
    DoubleBackpropGR,
    Flooding,
    ForwardGR,
    Late,
    Method,
    PerWorker,
    Ramp,
)

Outcome = dict[tuple[str, str, str, str], list[dict[str, Any]]]
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
ONE_PASS = ("momentum-sam", "single-step-sam")
"""Perturbed by what is reduced already, so that a perturbation of the worker's own is the same."""

CASES = [pytest.param(case, id="-".join(case)) for case in two_workers.cases()]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What each worker process wrote."""
    folder = tmp_path_factory.mktemp("workers")
    program = [sys.executable, two_workers.__file__]
    started = [
        subprocess.Popen(
            [*program, str(worker), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for worker in range(WORKERS)
    ]
    said = [process.communicate()[0].decode() for process in started]
    assert [process.returncode for process in started] == [0] * WORKERS, said
    return [torch.load(folder / f"{worker}.pt") for worker in range(WORKERS)]


# --- one process in the place of all


def sharing(model: nn.Module) -> nn.Module:
    """A copy with the same parameters and buffers of its own."""
    return copy.deepcopy(model, {id(p): p for p in model.parameters()})


def directions(own: list[Method], models: list[nn.Module], step: int, mode: str) -> Any:
    """d of every worker, as one process computes it with a method for each: (worker, parameter)."""
    params = list(models[0].parameters())
    if own[0].name in ONE_PASS and mode == "per-worker":
        mode = "synchronised"

    def own_loss(worker: int) -> Tensor:
        seed(worker, step)
        return loss_on(models[worker], worker)

    def taken() -> list[Tensor | None]:
        return [p.grad for p in params]

    if mode == "synchronised":
        own[0].backward(lambda: sum(map(own_loss, range(WORKERS))) / WORKERS, params)
        return [taken()] * WORKERS
    found = []
    for worker, method in enumerate(own):
        method.backward(lambda worker=worker: own_loss(worker), params)
        found.append(taken())
    return found if mode == "local" else [list(map(mean, zip(*found, strict=True)))] * WORKERS


def mean(values: tuple[Tensor | None, ...]) -> Tensor | None:
    """None where no worker has a gradient; a worker without one counts as 0."""
    there = [value for value in values if value is not None]
    return sum(there) / len(values) if there else None


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_one_process(
    outcomes: list[Outcome], case: tuple[str, str, str, str]
) -> None:
    """d to 1e-10 in every step, of the mean loss or the mean of the workers' own; the loss too."""
    net, name, mode, _ = case
    own, model = [methods()[name] for _ in range(WORKERS)], build(net)
    for step in range(STEPS):
        models = [sharing(model) for _ in range(WORKERS)]
        of_workers = directions(own, models, step, mode)
        for worker in range(WORKERS if mode == "local" else 1):
            found = outcomes[worker][case][step]
            expected = of_workers[worker]
            assert [d is None for d in found["gradients"]] == [d is None for d in expected]
            torch.testing.assert_close(found["gradients"], expected, **TOLERANCE)
            if name in ONE_PASS and step:
                continue  # its loss is the one at θ'
            seed(worker, step)
            loss = loss_on(sharing(model), worker).detach()
            torch.testing.assert_close(found["loss"], loss, **TOLERANCE)
        if mode == "local":
            return  # from here on every worker has parameters of its own
        load_outcome(model, outcomes[0][case][step])


def load_outcome(model: nn.Module, found: dict[str, Any]) -> None:
    """The first worker's parameters and buffers, which all workers have in the next step."""
    with torch.no_grad():
        for p, value in zip(model.parameters(), found["parameters"], strict=True):
            p.copy_(value)
        for key, buffer in model.named_buffers():
            buffer.copy_(found["buffers"][key])


@pytest.mark.parametrize("case", [c for c in CASES if "local" not in c.values[0]])
def test_workers_agree_to_the_bit_and_step_by_the_gradient(
    outcomes: list[Outcome], case: tuple[str, str, str, str]
) -> None:
    before = [p.detach() for p in build(case[0]).parameters()]
    for one, *others in zip(*(outcome[case] for outcome in outcomes), strict=True):
        for other in others:
            for key in ("gradients", "parameters"):
                for a, b in zip(one[key], other[key], strict=True):
                    assert (a is None and b is None) or torch.equal(a, b)
        for p, old, d in zip(one["parameters"], before, one["gradients"], strict=True):
            assert torch.equal(p, old if d is None else old - RATE * d)
        before = one["parameters"]


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0][0] in ("batch-norm", "centred")])
def test_buffers_move_as_by_one_forward_pass_of_the_workers_own_part(
    outcomes: list[Outcome], case: tuple[str, str, str, str]
) -> None:
    """From those of the first worker, which the wrapper gives to all before the first pass."""
    model = build(case[0])
    for step in range(STEPS):
        for worker, outcome in enumerate(outcomes):
            alone = copy.deepcopy(model)
            alone(part(worker)[0])
            found = outcome[case][step]["buffers"]
            torch.testing.assert_close(found, dict(alone.named_buffers()), **TOLERANCE)
        load_outcome(model, outcomes[0][case][step])


@pytest.mark.parametrize("name", [name for name in methods() if name not in ("sgd", *ONE_PASS)])
def test_what_is_tested_tells_the_two_perturbations_apart(
    outcomes: list[Outcome], name: str
) -> None:
    one, other = (outcomes[0]["mlp", name, mode, "plain"][0] for mode in two_workers.MODES[:2])
    differences = [
        float((a - b).abs().max())
        for a, b in zip(one["gradients"], other["gradients"], strict=True)
    ]
    assert max(differences) > 1e-4


# --- formulas written out


def losses(model: nn.Module) -> list[Tensor]:
    return [loss_on(model, worker) for worker in range(WORKERS)]


def test_sam_per_worker_is_m_sharpness(outcomes: list[Outcome]) -> None:
    """d = mean over k of ∇L_k(θ + ρ·g_k/‖g_k‖)."""
    expected = []
    for worker in range(WORKERS):
        model = build("mlp")
        params = list(model.parameters())
        g = torch.autograd.grad(loss_on(model, worker), params)
        norm = torch.cat([part.flatten() for part in g]).norm()
        with torch.no_grad():
            for p, slope in zip(params, g, strict=True):
                p += SAM().rho * slope / norm
        expected.append(torch.autograd.grad(loss_on(model, worker), params))
    found = outcomes[0]["mlp", "sam", "per-worker", "plain"][0]["gradients"]
    averages = [sum(ds) / WORKERS for ds in zip(*expected, strict=True)]
    torch.testing.assert_close(found, averages, **TOLERANCE)


@pytest.mark.parametrize("mode", two_workers.MODES[:2])
def test_double_backpropagation_penalises_the_gradient_that_it_says(
    outcomes: list[Outcome], mode: str
) -> None:
    """(γ/2)·‖∇L‖² of the mean loss, or the mean of the workers' (γ/2)·‖∇L_k‖²."""
    model = build("mlp")
    params = list(model.parameters())

    def squared(loss: Tensor) -> Tensor:
        return sum((g**2).sum() for g in torch.autograd.grad(loss, params, create_graph=True))

    own = losses(model)
    together = sum(own) / WORKERS
    penalty = squared(together) if mode == "synchronised" else sum(map(squared, own)) / WORKERS
    expected = torch.autograd.grad(together + DoubleBackpropGR().gamma / 2 * penalty, params)
    found = outcomes[0]["mlp", "db-gr", mode, "plain"][0]["gradients"]
    torch.testing.assert_close(found, list(expected), **TOLERANCE)


def test_flooding_turns_at_the_mean_loss(outcomes: list[Outcome]) -> None:
    """sign(L - b) of the mean loss, or each worker's own; the losses lie on both sides of b."""
    model = build("mlp")
    level = methods()["flooding"].level
    own = losses(model)
    signs = [1.0 if loss > level else -1.0 for loss in own]
    assert sum(signs) == 0
    g = [torch.autograd.grad(loss, list(model.parameters())) for loss in own]
    sign = 1.0 if sum(own) / WORKERS > level else -1.0
    for mode, factors in (("synchronised", [sign] * WORKERS), ("per-worker", signs)):
        expected = [
            sum(f * d for f, d in zip(factors, ds, strict=True)) / WORKERS
            for ds in zip(*g, strict=True)
        ]
        found = outcomes[0]["mlp", "flooding", mode, "plain"][0]["gradients"]
        torch.testing.assert_close(found, expected, **TOLERANCE)


# --- one worker


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_a_group_of_one_changes_nothing() -> None:
    for name, method in methods().items():
        model, wrapped = build("mlp"), DistributedDataParallel(build("mlp"))
        method.backward(lambda model=model: loss_on(model, 0), model.parameters())
        for wrap in (lambda loss_fn, *_: loss_fn, PerWorker):
            method.load_state_dict({})
            method.backward(
                wrap(lambda wrapped=wrapped: loss_on(wrapped, 0), wrapped, method),
                wrapped.parameters(),
            )
            for p, q in zip(model.parameters(), wrapped.parameters(), strict=True):
                assert torch.equal(p.grad, q.grad), name


@pytest.mark.usefixtures("alone")
def test_an_exception_in_the_second_pass_leaves_the_wrapper_usable() -> None:
    """Parameters are back, and the next step is as if nothing had been."""
    method = ForwardGR()
    wrapped = DistributedDataParallel(build("batch-norm"))
    before = copy.deepcopy(wrapped.module.state_dict())
    passes = []

    def fails() -> Tensor:
        passes.append(loss_on(wrapped, 0))
        if len(passes) == 2:
            raise RuntimeError("no luck")
        return passes[-1]

    with pytest.raises(RuntimeError, match="no luck"):
        method.backward(PerWorker(fails, wrapped, method), wrapped.parameters())
    for key, value in wrapped.module.state_dict().items():
        assert torch.equal(value, before[key]), key
    model = build("batch-norm")
    method.backward(lambda: loss_on(model, 0), model.parameters())
    loss = PerWorker(lambda: loss_on(wrapped, 0), wrapped, method)
    method.backward(loss, wrapped.parameters())
    for p, q in zip(model.parameters(), wrapped.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


@pytest.mark.usefixtures("alone")
def test_a_loss_per_worker_is_for_one_step() -> None:
    method, wrapped = ForwardGR(), DistributedDataParallel(build("mlp"))
    loss = PerWorker(lambda: loss_on(wrapped, 0), wrapped, method)
    method.backward(loss, wrapped.parameters())
    with pytest.raises(RuntimeError, match="one object a step"):
        method.backward(loss, wrapped.parameters())


@pytest.mark.usefixtures("alone")
def test_static_graphs_are_refused_where_they_would_be_wrong() -> None:
    """PyTorch reduces after the first differentiation there, and knows no pass without it."""
    wrapped = DistributedDataParallel(build("mlp"), static_graph=True)
    with pytest.raises(ValueError, match="needs static_graph=False"):
        PerWorker(lambda: loss_on(wrapped, 0), wrapped, SAM())
    PerWorker(lambda: loss_on(wrapped, 0), wrapped, Flooding())  # one pass, which is reduced
    with pytest.raises(RuntimeError, match="db-gr needs static_graph=False"):
        DoubleBackpropGR().backward(lambda: loss_on(wrapped, 0), wrapped.parameters())


@pytest.mark.usefixtures("alone")
def test_a_perturbation_per_worker_needs_steps_of_one_sort() -> None:
    """Or nobody would know which pass is the step's last."""
    wrapped = DistributedDataParallel(build("mlp"))
    loss = lambda: loss_on(wrapped, 0)  # noqa: E731
    with pytest.raises(ValueError, match=r"steps that are alike: late\(sam\(rho=0.05\), share=0.2"):
        PerWorker(loss, wrapped, Late(SAM()))
    PerWorker(loss, wrapped, Ramp(ForwardGR()))
