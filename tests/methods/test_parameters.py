"""Which parameters a step works on: those that ask for a gradient, whether or not they get one."""

import pytest
import torch
from torch import nn

from gr_bench.methods import CentralGR, DoubleBackpropGR


def half_square(p):
    return (p**2).sum() / 2


@pytest.fixture
def used():
    """A parameter of every loss below; its gradient is itself."""
    return nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))


@pytest.fixture
def fickle():
    """A parameter of some of the passes only; its gradient there is itself."""
    return nn.Parameter(torch.tensor([3.0], dtype=torch.float64))


def loss_with(used, fickle, passes):
    """A loss in which ``fickle`` takes part in the passes of these numbers."""
    count = iter(range(1, 10))
    return lambda: half_square(used) + (half_square(fickle) if next(count) in passes else 0)


def test_without_a_gradient_in_any_pass_there_is_none(method, used, fickle):
    """p.grad is None, so that an optimizer passes over it: no weight decay, no momentum."""
    fickle.grad = torch.ones_like(fickle)
    method.backward(loss_with(used, fickle, ()), [used, fickle])
    assert fickle.grad is None
    assert fickle.item() == 3
    assert used.grad is not None


def test_a_gradient_in_the_first_pass_only_has_the_first_passs_share(two_point, used, fickle):
    """d = (1 - c)·g: in the second pass the gradient is zero."""
    two_point.backward(loss_with(used, fickle, (1,)), [used, fickle])
    share = 1 if two_point.gradient_evaluations == 1 else 1 - two_point.weight
    assert fickle.grad.item() == pytest.approx(share * 3)
    assert fickle.item() == 3


def test_a_gradient_in_the_second_pass_only_has_the_second_passs_share(two_point, used, fickle):
    """d = c·g': in the first pass the gradient is zero, and so is the perturbation."""
    two_point.backward(loss_with(used, fickle, (2,)), [used, fickle])
    assert fickle.grad.item() == pytest.approx(two_point.weight * 3)
    assert fickle.item() == 3


def test_central_difference_counts_a_pass_without_a_gradient_as_zero(used, fickle):
    """A pass without a gradient counts as a gradient of zero."""
    method = CentralGR(gamma=0.2, epsilon=0.1)
    ahead, behind = 1 * 3 * 1.1, -1 * 3 * 0.9  # γ/2ε = 1, θ = 3, θ ± εg
    for passes, expected in [
        ((1,), 3), ((1, 2), 3 + ahead), ((1, 3), 3 + behind), ((2,), 3), ((3,), -3), ((2, 3), 0),
    ]:  # fmt: skip
        method.backward(loss_with(used, fickle, passes), [used, fickle])
        assert fickle.grad.item() == pytest.approx(expected)
        assert fickle.item() == 3


def test_frozen_parameters_are_passed_over(method, make_problem):
    """No gradient and no perturbation; the others' d is that of a net with fewer parameters."""
    problem = make_problem("mlp")
    frozen = problem.model[1].requires_grad_(False)
    seen = []
    frozen.register_forward_pre_hook(lambda *_: seen.append(frozen.weight.data_ptr()))
    problem.step(method)
    assert frozen.weight.grad is None
    assert set(seen) == {frozen.weight.data_ptr()}

    features = problem.model[:2](problem.inputs).detach()
    rest = make_problem(problem.model[2:])
    rest.inputs = features
    d = [p.grad for p in problem.params if p.requires_grad]
    rest.step(method)
    for p, expected in zip(rest.params, d, strict=True):
        assert torch.equal(p.grad, expected)


def test_a_parameter_frozen_during_training_loses_its_gradient(method, make_problem):
    """A parameter frozen during training loses its gradient, or an optimizer would move it on."""
    problem = make_problem("mlp")
    problem.step(method)
    frozen = problem.model[1].weight.requires_grad_(False)
    problem.step(method)
    assert frozen.grad is None


def test_all_frozen_is_refused_as_by_autograd(method, make_problem):
    """A loss that depends on nothing has no gradient: autograd's own error."""
    problem = make_problem("mlp")
    problem.model.requires_grad_(False)
    with pytest.raises(RuntimeError, match="does not require grad"):
        problem.step(method)


def test_without_parameters_the_loss_is_returned(method, make_problem):
    """An empty list gives the loss, in one pass: there is nothing to perturb."""
    problem = make_problem("mlp")
    loss = method.backward(problem.loss, [])
    assert loss.item() == problem.loss().item()
    assert not loss.requires_grad


def test_a_tied_weight_gets_the_gradient_of_both_uses(
    method, make_problem, relative_error, begin_again
):
    """One weight used twice gets the gradient of both uses, and is moved once.

    The same net with two weights and the constraint written out: each half of it the same.
    """
    torch.manual_seed(0)
    layers = [nn.Linear(36, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)]
    tied = make_problem(nn.Sequential(nn.Flatten(), *layers[:2], nn.Tanh(), *layers[2:]))
    tied.model[4].weight = tied.model[2].weight
    assert len(tied.params) == 7
    d = tied.direction(method)

    def unrolled():
        x = layers[0](tied.inputs.flatten(1))
        x = torch.tanh(nn.functional.linear(x, layers[1].weight, layers[1].bias))
        x = nn.functional.linear(x, layers[1].weight, layers[2].bias)
        return nn.functional.cross_entropy(layers[3](x), tied.targets)

    begin_again(method)
    method.backward(unrolled, tied.params)
    assert relative_error(torch.cat([p.grad.flatten() for p in tied.params]), d) < 1e-12


def test_parameters_may_come_from_a_generator_and_twice(method, make_problem, begin_again):
    """params is any iterable, read once; a parameter given twice is moved once."""
    problem = make_problem("mlp")
    d = problem.direction(method)
    begin_again(method)
    method.backward(problem.loss, problem.model.parameters())
    assert torch.equal(torch.cat([p.grad.flatten() for p in problem.params]), d)
    begin_again(method)
    method.backward(problem.loss, [*problem.params, *problem.params])
    assert torch.equal(torch.cat([p.grad.flatten() for p in problem.params]), d)


def test_parameters_that_enter_as_a_sum_hold_gradients_of_their_own(method):
    """L(p + q) has the same gradient in p and q; each holds its own, so clipping one clips one."""
    torch.manual_seed(0)
    p, q, x = (torch.randn(4, dtype=torch.float64) for _ in range(3))
    p, q = nn.Parameter(p), nn.Parameter(q)
    method.backward(lambda: torch.cosh((p + q) @ x), [p, q])
    d = q.grad.clone()
    p.grad.zero_()
    assert torch.equal(q.grad, d)


def test_exact_penalty_of_parameters_that_enter_as_a_sum():
    """L = ½(p + q)²: g = p + q in both, Hg = 2(p + q) in both."""
    p, q = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(2.0))
    DoubleBackpropGR(gamma=0.5).backward(lambda: (p + q) ** 2 / 2, [p, q])
    assert (p.grad.item(), q.grad.item()) == (6, 6)


def test_a_loss_linear_in_a_parameter_gives_a_writable_constant_gradient(
    method, used, fickle, begin_again
):
    """g is constant and Hg = 0, so d = g; it is memory that an optimizer can write to.

    GSAM alone changes it: g_⊥ has a part in every direction.
    """
    method.backward(lambda: half_square(used) + fickle.expand(5).sum(), [used, fickle])
    if method.name == "gsam":
        g = torch.tensor([1.0, 2, 5], dtype=torch.float64)
        second = g + method.rho * torch.tensor([1.0, 2, 0], dtype=torch.float64) / g.norm()
        expected = 5 - method.alpha * (5 - g @ second / (second @ second) * 5)
        assert fickle.grad.item() == pytest.approx(expected.item())
    else:
        assert fickle.grad.item() == pytest.approx(5)
    wide = nn.Parameter(torch.zeros(3))
    begin_again(method)
    method.backward(lambda: wide.sum() + 1, [wide])
    nn.utils.clip_grad_norm_([wide], 0.1)
    assert wide.grad.norm().item() == pytest.approx(0.1, rel=1e-4)


def test_double_backprop_of_a_parameter_that_only_curvature_sees():
    """L = u·v with v = 0: v has a gradient, and u gets its own from the penalty alone.

    g = (v, u) = (0, 3) and H = [[0, 1], [1, 0]], so d = g + γ·(3, 0).
    """
    u, v = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(0.0))
    DoubleBackpropGR(gamma=0.5).backward(lambda: u * v, [u, v])
    assert (u.grad.item(), v.grad.item()) == (1.5, 3)


def test_every_gradient_has_its_parameters_dtype(method):
    """Parameters of several dtypes: every d in its parameter's own."""
    low = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.bfloat16))
    high = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    method.backward(lambda: half_square(low.double()) + half_square(high), [low, high])
    assert low.grad.dtype == torch.bfloat16
    assert high.grad.dtype == torch.float64
    assert torch.isfinite(low.grad).all()


def check_channels_last(convolution, _):
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_memory_layout_of_a_parameter_changes_no_gradient(method, make_problem, relative_error):
    """Channels-last weights, and a weight that is a slice of larger memory: the same d.

    Convolution weights are channels-last in every pass, or a pass would be slower than the first.
    """
    problem = make_problem("batch-norm")
    d = problem.direction(method)
    twin = make_problem("batch-norm")
    twin.model.to(memory_format=torch.channels_last)
    twin.model[3].inner[0].register_forward_pre_hook(check_channels_last)
    weight = twin.model[-1].weight
    weight.data = torch.zeros(2 * weight.shape[0], weight.shape[1], dtype=weight.dtype)[::2].copy_(
        weight
    )
    strides = [p.stride() for p in twin.params]
    assert relative_error(twin.direction(method), d) < 1e-12
    assert [p.stride() for p in twin.params] == strides
