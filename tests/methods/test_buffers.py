"""Modules that change by being called: a step leaves them as one forward pass does.

And the passes of a step evaluate the same function: each starts from the buffers that the first
one found.
"""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from gr_bench.methods import SGD, BackwardGR, ForwardGR


class Buffered(nn.Module):
    """tanh(x)·scale, where ``scale`` is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.full((6,), 2.0))

    def forward(self, x):
        self.move(x.detach())
        return torch.tanh(x) * self.scale

    def move(self, x):
        """What a forward pass does to the buffer."""


class InPlace(Buffered):
    def move(self, x):
        self.scale.mul_(0.9).add_(x.square().mean(0), alpha=0.1)


class Rebound(Buffered):
    def move(self, x):
        self.scale = self.scale * 0.9 + 0.1 * x.square().mean(0)


class BehindAutogradsBack(Buffered):
    def move(self, x):
        self.scale.data.mul_(0.9).add_(x.square().mean(0), alpha=0.1)


class Constant(Buffered):
    pass


class Expanded(Buffered):
    """A constant buffer that cannot be written to: one number seen as six."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.tensor(2.0, dtype=torch.float64).expand(6)


class BornInTheFirstPass(nn.Module):
    """A buffer that is None until the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", None)

    def forward(self, x):
        self.count = torch.zeros(()) if self.count is None else self.count + 1
        return torch.tanh(x)


class OwnBatchNorm(nn.BatchNorm1d):
    """A batch norm whose own forward pass does not look at ``track_running_stats``."""

    def forward(self, x):
        mean, var = x.mean(0), x.var(0)
        if self.training:
            with torch.no_grad():
                self.running_mean.lerp_(mean, 0.1)
                self.running_var.lerp_(var, 0.1)
        return (x - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias


class Norm(nn.Module):
    """InstanceNorm with running statistics, over the features as a length."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.InstanceNorm1d(1, track_running_stats=True, affine=True)

    def forward(self, x):
        return self.inner(x.unsqueeze(1)).squeeze(1)


MOVING = {
    "in-place": InPlace,
    "rebound": Rebound,
    "data": BehindAutogradsBack,
    "born": BornInTheFirstPass,
    "spectral-norm": lambda: parametrizations.spectral_norm(nn.Linear(6, 6)),
    "instance-norm": Norm,
    "batch-norm": lambda: nn.BatchNorm1d(6),
    "cumulative-batch-norm": lambda: nn.BatchNorm1d(6, momentum=None),
    "own-batch-norm": lambda: OwnBatchNorm(6),
}
STILL = {
    "constant": Constant,
    "expanded": Expanded,
    "stateless-batch-norm": lambda: nn.BatchNorm1d(6, track_running_stats=False),
}


def build(make_problem, part):
    torch.manual_seed(0)
    return make_problem(nn.Sequential(nn.Flatten(), nn.Linear(36, 6), part(), nn.Linear(6, 3)))


@pytest.mark.parametrize("part", [*MOVING, *STILL])
def test_buffers_move_once(method, part, make_problem, assert_same_state):
    """Over three steps, as over three forward passes; what should move does."""
    problem = build(make_problem, {**MOVING, **STILL}[part])
    twin, before = copy.deepcopy(problem), problem.state()
    for _ in range(3):
        problem.step(method)
        twin.loss()
    assert_same_state(problem.state(), twin.state())
    moved = before.keys() != problem.state().keys() or any(
        not torch.equal(before[key], value) for key, value in problem.state().items()
    )
    assert moved == (part in MOVING)


@pytest.mark.parametrize("part", [*MOVING, *STILL])
def test_a_buffer_stays_the_same_tensor(two_point, part, make_problem):
    """Passes after the first put no tensor of their own in a buffer's place."""
    problem, seen = build(make_problem, {**MOVING, **STILL}[part]), []

    def loss():
        value = problem.loss()
        seen.append([b.data_ptr() for b in problem.model.buffers()])
        return value

    two_point.backward(loss, problem.params)
    assert [b.data_ptr() for b in problem.model.buffers()] == seen[0]


@pytest.mark.parametrize("part", ["in-place", "rebound", "data", "constant"])
@pytest.mark.parametrize("cls", [ForwardGR, BackwardGR])
def test_every_pass_starts_from_the_same_buffers(part, cls, make_problem, relative_error):
    """g' is taken with the buffers from before the step: as ε -> 0 it meets g.

    A second pass that starts from buffers already moved evaluates another loss, and their
    difference, divided by ε, grows without bound.
    """
    problem = build(make_problem, {**MOVING, **STILL}[part])
    before = problem.state()
    directions = []
    for method in (cls(gamma=1e-4, epsilon=1e-6), SGD()):
        directions.append(problem.direction(method))
        problem.model.load_state_dict(before)
    assert relative_error(*directions) < 1e-3


def test_batch_norm_that_was_told_not_to_track_is_left_so(method, make_problem):
    """The switch used to keep running statistics still is put back to what it was."""
    problem = build(make_problem, lambda: nn.BatchNorm1d(6))
    norm = problem.model[2]
    norm.track_running_stats = False
    before = norm.running_mean.clone()
    problem.step(method)
    assert norm.track_running_stats is False
    assert torch.equal(norm.running_mean, before)


def test_batch_norm_frozen_inside_a_model_that_trains_keeps_its_statistics(
    method, make_problem, assert_same_state
):
    """One batch norm in evaluation mode keeps its statistics; the others move once."""
    problem = make_problem("batch-norm")
    problem.model[1].eval()
    twin = copy.deepcopy(problem)
    problem.step(method)
    twin.loss()
    assert_same_state(problem.state(), twin.state())
    assert problem.model[1].num_batches_tracked == 0


def test_buffers_of_modules_called_side_by_side_move_once(method, make_problem, assert_same_state):
    """Every module that the loss calls is known, whether or not one model holds them all."""
    model = nn.ModuleDict({"body": nn.Sequential(nn.Flatten(), nn.Linear(36, 6), nn.BatchNorm1d(6)),
                           "head": nn.Sequential(InPlace(), nn.Linear(6, 3))})  # fmt: skip
    problem = make_problem(model)

    def loss(p):
        return nn.functional.cross_entropy(p.model["head"](p.model["body"](p.inputs)), p.targets)

    twin = copy.deepcopy(problem)
    method.backward(lambda: loss(problem), problem.params)
    loss(twin)
    assert_same_state(problem.state(), twin.state())


@pytest.mark.parametrize("part", ["batch-norm", "rebound"])
def test_a_shared_module_moves_as_often_as_one_loss_calls_it(
    method, part, make_problem, assert_same_state
):
    """A shared module moves as often as one loss calls it: twice here, not four times."""
    problem = build(make_problem, MOVING[part])

    def loss(p):
        features = p.model[1](p.inputs.flatten(1))
        return p.loss() + p.model[2](features).square().mean()

    twin = copy.deepcopy(problem)
    method.backward(lambda: loss(problem), problem.params)
    loss(twin)
    assert_same_state(problem.state(), twin.state())


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_modules_get_the_same_gradient_and_buffers(
    method, reentrant, make_problem, assert_same_state, relative_error, begin_again
):
    """With activations recomputed in the backward pass d is the same, buffers end as with SGD.

    The recomputation of the first pass moves running statistics once more, as everywhere in
    PyTorch; that of later passes must not. Double backpropagation has one pass and recomputes it
    twice, so that its statistics move twice more.
    """
    if reentrant and method.name == "db-gr":
        pytest.skip("a reentrant checkpoint has no autograd.grad")

    def step(method, call):
        begin_again(method)
        problem = build(make_problem, lambda: nn.BatchNorm1d(6))
        _, first, norm, last = problem.model
        block = nn.Sequential(norm, nn.Tanh(), nn.Dropout(0.3))
        torch.manual_seed(1)
        method.backward(
            lambda: nn.functional.cross_entropy(
                last(call(block, first(problem.inputs.flatten(1)))), problem.targets
            ),
            problem.params,
        )
        return problem.state(), torch.cat([p.grad.flatten() for p in problem.params])

    def recomputed(block, x):
        return checkpoint(block, x, use_reentrant=reentrant)

    state, d = step(method, recomputed)
    if method.name != "db-gr":
        assert_same_state(state, step(SGD(), recomputed)[0])
    assert relative_error(d, step(method, lambda block, x: block(x))[1]) < 1e-12
