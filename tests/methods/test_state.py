"""Methods with a memory: every promise of a step in later steps too, and what the memory does."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten_with_path

from gr_bench.meters.host_reads import HostReads
from gr_bench.methods import METHODS, Method

STATEFUL = [
    "friendly-sam", "looksam", "momentum-sam", "single-step-sam",
]  # fmt: skip
SINGLE_PASS = ("momentum-sam", "single-step-sam")

STEPS = 7
"""More than a cycle of each."""


@pytest.fixture(params=STATEFUL)
def method(request: pytest.FixtureRequest) -> Method:
    """Each method with a state."""
    return METHODS[request.param]()


def tensors(method: Method) -> dict[str, Tensor]:
    """Copies of all tensors in the state, by their place in it."""
    leaves, _ = tree_flatten_with_path(method.state_dict())
    return {str(path): leaf.clone() for path, leaf in leaves if isinstance(leaf, Tensor)}


def plain(method: Method) -> dict[str, Any]:
    return {key: value for key, value in method.state.items() if not isinstance(value, list)}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def descend(params: Iterable[Tensor]) -> None:
    with torch.no_grad():
        for p in params:
            if p.grad is not None:
                p -= 0.1 * p.grad


def test_those_with_a_state_are_known(make_problem) -> None:
    """What is tested below is every built-in method that remembers anything."""
    found = []
    for name, cls in METHODS.items():
        method, problem = cls(), make_problem("mlp")
        assert method.state == {}
        problem.step(method)
        found += [name] * bool(method.state)
    assert found == STATEFUL


def test_every_step_keeps_the_promises_of_the_first(problem, method, assert_same_state) -> None:
    """Parameters to the bit, buffers and random numbers as after one pass, no read of a number."""
    torch.manual_seed(1)
    for _ in range(STEPS):
        twin = copy.deepcopy(problem)
        random_state = torch.get_rng_state()
        loss = twin.loss()
        after_one = torch.get_rng_state()
        torch.set_rng_state(random_state)
        before = [p.detach().clone() for p in problem.params]
        with HostReads() as reads:
            found = method.backward(problem.loss, problem.params)
        assert not reads.found
        assert all(map(torch.equal, problem.params, before))
        assert torch.equal(torch.get_rng_state(), after_one)
        if method.name not in SINGLE_PASS:
            assert torch.equal(found, loss)
            buffers = dict(problem.model.named_buffers())
            assert_same_state(buffers, dict(twin.model.named_buffers()))
        counts = [b for b in problem.model.buffers() if not b.ndim]
        assert all(map(torch.equal, counts, [b for b in twin.model.buffers() if not b.ndim]))
        descend(problem.params)


@pytest.mark.parametrize("net", ["mlp", "batch-norm"])
@pytest.mark.parametrize("place", ["forward", "backward"])
def test_a_failed_step_leaves_the_state_as_it_was(method, net, place, make_problem) -> None:
    """Each pass of each step fails once before it is let through: the training is the same."""

    class Fuse(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            raise KeyboardInterrupt

    problem, undisturbed = make_problem(net), make_problem(net)
    twin = copy.deepcopy(method)

    def failing(at: int) -> Any:
        calls = iter(range(1, 10))

        def loss() -> Tensor:
            value = problem.loss()
            if next(calls) < at:
                return value
            if place == "forward":
                raise KeyboardInterrupt
            return Fuse.apply(value)

        return loss

    failures = 0
    for _ in range(STEPS):
        for at in (1, 2):
            if at == 2 and (method.name in SINGLE_PASS or method.state.get("place", 0)):
                continue  # a step of one pass
            memory, numbers, params = tensors(method), plain(method), problem.state()
            with pytest.raises(KeyboardInterrupt):
                method.backward(failing(at), problem.params)
            failures += 1
            assert same(tensors(method), memory)
            assert plain(method) == numbers
            assert method.state.keys() == numbers.keys() | {k.split("'")[1] for k in memory}
            assert all(torch.equal(v, params[k]) for k, v in problem.state().items())
        method.backward(problem.loss, problem.params)
        twin.backward(undisturbed.loss, undisturbed.params)
        for p, q in zip(problem.params, undisturbed.params, strict=True):
            assert torch.equal(p.grad, q.grad)
        descend(problem.params)
        descend(undisturbed.params)
    assert failures >= STEPS


@pytest.mark.parametrize("until", range(1, STEPS))
def test_a_checkpoint_goes_on_bit_for_bit(method, until, make_problem) -> None:
    """State through a file into a fresh method; a copy of one at work begins anew."""
    problem = make_problem("mlp")
    for _ in range(until):
        method.backward(problem.loss, problem.params)
        descend(problem.params)
    file = io.BytesIO()
    torch.save(method.state_dict(), file)
    file.seek(0)
    again = type(method)()
    again.load_state_dict(torch.load(file, weights_only=True))
    assert copy.deepcopy(method).state == {}
    twin = copy.deepcopy(problem)
    for _ in range(3):
        for one, its in ((method, problem), (again, twin)):
            one.backward(its.loss, its.params)
            descend(its.params)
        for p, q in zip(problem.params, twin.params, strict=True):
            assert torch.equal(p, q)


def test_the_memory_stays_where_it_is(method, make_problem) -> None:
    """Written in place, in parameters' own dtype and shape: captured graphs know its address."""
    problem = make_problem("mlp")
    seen = []
    for _ in range(STEPS):
        method.backward(problem.loss, problem.params)
        (own,) = [value for value in method.state.values() if isinstance(value, list)]
        seen.append([t.data_ptr() for t in own])
        for t, p in zip(own, problem.params, strict=True):
            assert (t.shape, t.dtype, t.requires_grad) == (p.shape, p.dtype, False)
            assert t.data_ptr() not in (p.data_ptr(), p.grad.data_ptr())
    assert seen == STEPS * seen[:1]


def half_square(p: Tensor) -> Tensor:
    return ((p - 0.5) ** 2).sum() / 2 + p.cos().sum()


def test_a_parameter_without_a_gradient_keeps_its_memory(method) -> None:
    """In a step in which it takes no part nothing of it is written; the other goes on."""
    used, fickle = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in ([1.0, 2], [3.0]))
    for number in range(6):
        takes_part = number % 2 == 0
        before = tensors(method)
        method.backward(
            lambda t=takes_part: half_square(used) + (half_square(fickle) if t else 0),
            [used, fickle],
        )
        assert (fickle.grad is not None) == takes_part
        assert torch.isfinite(used.grad).all()
        own, other = [key for key in tensors(method) if "idx=1" in key], tensors(method)
        if not takes_part:
            assert all(torch.equal(other[key], before[key]) for key in own)
        descend([used, fickle])


def test_a_frozen_parameter_has_no_memory_until_it_is_trained(method) -> None:
    frozen, used = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in ([3.0], [1.0, 2]))
    frozen.requires_grad_(False)
    alone, twin = copy.deepcopy(method), nn.Parameter(used.detach().clone())
    for _ in range(3):
        method.backward(lambda: half_square(used) + half_square(frozen), [frozen, used])
        alone.backward(lambda: half_square(twin), [twin])
        assert torch.equal(used.grad, twin.grad)
        descend([used, twin])
    (own,) = [value for value in method.state.values() if isinstance(value, list)]
    assert own[0] is None
    memory = own[1].clone()
    frozen.requires_grad_(True)
    method.backward(lambda: half_square(used) + half_square(frozen), [frozen, used])
    assert frozen.grad is not None
    frozen.requires_grad_(False)
    (own,) = [value for value in method.state.values() if isinstance(value, list)]
    assert own[0] is not None
    assert memory.any()


def test_memory_of_parameters_that_are_no_slice_of_their_own_memory(method, make_problem) -> None:
    """Channels-last weights and slices of larger tensors: the same training."""
    problem, twin = make_problem("batch-norm"), make_problem("batch-norm")
    twin.model.to(memory_format=torch.channels_last)
    weight = twin.model[-1].weight
    larger = torch.zeros(2 * weight.shape[0], weight.shape[1], dtype=weight.dtype)
    weight.data = larger[::2].copy_(weight)
    other = copy.deepcopy(method)
    for _ in range(STEPS):
        method.backward(problem.loss, problem.params)
        other.backward(twin.loss, twin.params)
        for p, q in zip(problem.params, twin.params, strict=True):
            torch.testing.assert_close(q.grad, p.grad, rtol=1e-9, atol=1e-11)
        descend(problem.params)
        descend(twin.params)
