"""What every method promises to a training loop, on every net; the plug-in keeps it too."""

import copy

import pytest
import torch
from torch import nn

from gr_bench.methods import ForwardGR, Method


def one_forward(problem):
    """Loss, state and random state after a single forward pass of a twin."""
    twin = copy.deepcopy(problem)
    torch.manual_seed(1)
    loss = twin.loss()
    return loss, twin.state(), torch.get_rng_state()


def test_parameters_are_where_and_what_they_were(problem, method):
    """Bit-identical, in the same memory, still leaves that ask for a gradient."""
    before = [(p, p.detach().clone(), p.data_ptr()) for p in problem.params]
    problem.step(method)
    for p, value, address in before:
        assert torch.equal(p, value)
        assert p.data_ptr() == address
        assert p.requires_grad
        assert p.is_leaf


def test_loss_is_that_of_the_first_pass(problem, method):
    """The loss at θ with the step's own dropout mask, detached."""
    expected, _, _ = one_forward(problem)
    loss = problem.step(method)
    assert torch.equal(loss, expected)
    assert not loss.requires_grad


def test_side_effects_are_those_of_one_forward(problem, method, assert_same_state):
    """Batch-norm statistics, their counter and the random generator move once."""
    _, state, random_state = one_forward(problem)
    problem.step(method)
    assert_same_state(problem.state(), state)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_evaluation_mode_moves_nothing(problem, method, assert_same_state):
    """Batch norm in evaluation mode is a constant in every pass, and dropout is off."""
    problem.model.eval()
    before, random_state = problem.state(), torch.manual_seed(1).get_state()
    problem.step(method)
    assert_same_state(problem.state(), before)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_gradients_are_plain_tensors_of_their_own(problem, method):
    """p.grad has p's shape and dtype, no graph, and shares memory with nothing."""
    problem.step(method)
    owners = [p.grad for p in problem.params]
    for p in problem.params:
        assert p.grad.shape == p.shape
        assert p.grad.dtype == p.dtype
        assert not p.grad.requires_grad
        assert torch.isfinite(p.grad).all()
    held = [
        t.data_ptr() for t in [*owners, *problem.params, *method.workspace.like(problem.params)]
    ]
    assert len(set(held)) == len(held)


def test_old_gradients_are_overwritten(problem, method):
    """A step does not need zero_grad: nothing of the p.grad from before is left."""
    expected = problem.direction(method)
    for p in problem.params:
        p.grad.fill_(1e6)
    assert torch.equal(problem.direction(method), expected)


@pytest.mark.filterwarnings("error")
def test_a_step_does_not_depend_on_the_steps_before(problem, method, begin_again):
    """The kept memory carries nothing over: other numbers, shapes and dtypes change nothing.

    What is meant to be carried over is the state, and each step here begins a training.
    """
    expected = problem.direction(method)
    for dtype, edge in [(torch.float64, 0), (torch.float64, 1), (torch.float32, 0)]:
        others = [
            nn.Parameter(torch.ones([n + edge for n in p.shape], dtype=dtype))
            for p in problem.params
        ]
        begin_again(method)
        method.backward(lambda others=others: sum((p**3).sum() for p in others), others)
        assert all(p.grad.dtype == dtype for p in others)
        assert torch.equal(problem.direction(method), expected)


def test_a_loss_that_is_not_finite_is_returned(method, make_problem, begin_again):
    """NaN and infinity are reported, and θ is back all the same."""
    problem = make_problem("batch-norm")
    before = [p.detach().clone() for p in problem.params]
    for bad in (float("nan"), float("inf")):
        begin_again(method)
        loss = method.backward(lambda bad=bad: problem.loss() * bad, problem.params)
        torch.testing.assert_close(loss, torch.tensor(bad, dtype=loss.dtype), equal_nan=True)
        assert all(map(torch.equal, problem.params, before))


@pytest.mark.parametrize("net", ["mlp", "batch-norm", "attention"])
def test_any_optimizer_takes_the_gradient(net, make_problem):
    """AdamW with weight decay sees d and θ, as if d had been computed by hand.

    Its ``eps`` is large, so that the update depends on the size of d and not on its sign alone.
    """
    gamma, epsilon = 0.3, 0.1
    ours, by_hand = make_problem(net), make_problem(net)
    settings = {"lr": 0.1, "weight_decay": 0.5, "eps": 0.1}
    optimizers = [torch.optim.AdamW(p.params, **settings) for p in (ours, by_hand)]
    for _ in range(3):
        ours.step(ForwardGR(gamma, epsilon))
        g = torch.autograd.grad(by_hand.loss(), by_hand.params)
        ahead = copy.deepcopy(by_hand)
        with torch.no_grad():
            for p, slope in zip(ahead.params, g, strict=True):
                p += epsilon * slope
        there = torch.autograd.grad(ahead.loss(), ahead.params)
        for p, slope, other in zip(by_hand.params, g, there, strict=True):
            p.grad = slope + gamma * (other - slope) / epsilon
        for optimizer in optimizers:
            optimizer.step()
    for p, expected in zip(ours.params, by_hand.params, strict=True):
        assert torch.allclose(p, expected, rtol=1e-10, atol=1e-12)


def test_autocast_around_the_step_sees_the_moved_parameters(method, make_problem, begin_again):
    """Autocast keeps casts of the parameters: those of θ must not be used at θ', nor kept after."""
    problem = make_problem("mlp")
    problem.model.float()
    problem.inputs = problem.inputs.float()

    def loss():
        with torch.autocast("cpu", torch.bfloat16):
            return problem.loss()

    method.backward(loss, problem.params)
    expected = [p.grad for p in problem.params]
    begin_again(method)
    with torch.autocast("cpu", torch.bfloat16):
        returned = method.backward(problem.loss, problem.params)
        assert problem.loss().item() == returned.item()
    for p, d in zip(problem.params, expected, strict=True):
        assert torch.equal(p.grad, d)


def test_the_abstract_method_cannot_be_used():
    """A method without a rule is no method."""
    with pytest.raises(TypeError, match="backward"):
        Method()
