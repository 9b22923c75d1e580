"""Whatever goes wrong in a step, parameters and buffers are as before and the next step works."""

import contextlib
from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn.modules import module as module_hooks
from torch.nn.utils import parametrizations

PLACES = ["module", "loss", "backward"]


class Fuse:
    """Raises on the n-th call of one place in the forward or the backward pass."""

    def __init__(self):
        self.calls = Counter()
        self.place, self.at, self.error = "", 0, RuntimeError

    def arm(self, place, at, error):
        self.place, self.at, self.error = place, at, error

    def pass_through(self, place):
        self.calls[place] += 1
        if place == self.place and self.calls[place] == self.at:
            raise self.error("fuse")


class FuseModule(nn.Module):
    """The identity, with a fuse in its forward and in its backward pass."""

    def __init__(self, fuse):
        super().__init__()
        self.fuse = fuse

    def forward(self, x):
        self.fuse.pass_through("module")
        return _Identity.apply(x, self.fuse)


class _Identity(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, fuse):
        ctx.fuse = fuse
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        ctx.fuse.pass_through("backward")
        return grad.clone(), None


@pytest.fixture
def fused(make_problem):
    """A net whose batch norm has moved by the time a fuse goes, and its fuse."""

    def build():
        torch.manual_seed(0)
        fuse = Fuse()
        problem = make_problem(
            nn.Sequential(
                nn.Flatten(), nn.Linear(36, 6), nn.BatchNorm1d(6), nn.Tanh(),
                parametrizations.spectral_norm(nn.Linear(6, 6)), FuseModule(fuse), nn.Linear(6, 3),
            )
        )  # fmt: skip
        plain = problem.loss

        def loss():
            value = plain()
            fuse.pass_through("loss")
            return value

        problem.loss = loss
        return problem, fuse

    return build


def hooks_left(model):
    return [
        *module_hooks._global_forward_pre_hooks,
        *module_hooks._global_forward_hooks,
        *(hook for m in model.modules() for hook in (*m._forward_hooks, *m._forward_pre_hooks)),
    ]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("place", PLACES)
def test_a_failed_step_leaves_no_trace(guarded, place, error, fused, assert_same_state):
    """A fuse in every pass in turn: inside a module, in the loss, inside autograd."""
    reference, fuse = fused()
    expected = reference.direction(guarded)
    passes = fuse.calls[place]
    for at in range(1, passes + 1):
        problem, fuse = fused()
        before, addresses = problem.state(), [p.data_ptr() for p in problem.params]
        fuse.arm(place, at, error)
        with pytest.raises(error, match="fuse"):
            problem.step(guarded)
        assert_same_state(problem.state(), before)
        assert [p.data_ptr() for p in problem.params] == addresses
        assert all(m.track_running_stats for m in problem.model if isinstance(m, nn.BatchNorm1d))
        assert not hooks_left(problem.model)
        assert torch.equal(problem.direction(guarded), expected)
        assert_same_state(problem.state(), reference.state())


@pytest.mark.parametrize("failing", [False, True])
def test_hooks_are_gone_after_a_step(method, failing, fused):
    """The hooks that find the modules are taken away; a user's own hook stays and is called."""
    problem, fuse = fused()
    calls = []
    handle = problem.model[1].register_forward_hook(lambda *_: calls.append(1))
    if failing:
        fuse.arm("module", 1, RuntimeError)
        with pytest.raises(RuntimeError, match="fuse"):
            problem.step(method)
    else:
        problem.step(method)
    assert calls
    handle.remove()
    assert not hooks_left(problem.model)


def test_no_hook_stands_while_the_model_runs(method, fused):
    """A global hook slows every module: it is gone inside the model, and a model's own after it."""
    problem, _ = fused()
    plain = problem.loss
    problem.model[1].register_forward_pre_hook(
        lambda *_: inside.append(list(module_hooks._global_forward_pre_hooks))
    )
    inside, after = [], []

    def loss():
        value = plain()
        after.append(list(problem.model._forward_hooks))
        return value

    method.backward(loss, problem.params)
    assert not any(inside)
    assert not any(after)


class Broken(nn.Module):
    def forward(self, x):
        raise ArithmeticError


def test_modules_called_after_a_handled_error_are_kept_track_of(method, fused, assert_same_state):
    """Modules called after one that failed, inside the same loss_fn, are still kept track of."""
    (problem, _), (twin, _) = fused(), fused()
    broken = Broken()

    def loss(problem):
        with contextlib.suppress(ArithmeticError):
            broken(problem.inputs)
        return problem.loss()

    torch.manual_seed(1)
    method.backward(lambda: loss(problem), problem.params)
    loss(twin)
    assert_same_state(problem.state(), twin.state())
    assert not hooks_left(problem.model)
    assert not hooks_left(broken)


def test_buffers_go_back_to_before_the_first_of_two_calls(guarded, fused, assert_same_state):
    """Buffers go back to before the first call, not to between the two."""
    problem, fuse = fused()
    before = problem.state()
    fuse.arm("loss", 2, RuntimeError)
    with pytest.raises(RuntimeError, match="fuse"):
        guarded.backward(lambda: problem.loss() + problem.loss(), problem.params)
    assert_same_state(problem.state(), before)


def test_a_loss_that_is_no_scalar_is_refused(guarded, fused, assert_same_state):
    """autograd's own error comes through, and nothing has moved."""
    problem, _ = fused()
    before = problem.state()
    with pytest.raises(RuntimeError, match="scalar"):
        guarded.backward(lambda: problem.model(problem.inputs), problem.params)
    assert_same_state(problem.state(), before)
