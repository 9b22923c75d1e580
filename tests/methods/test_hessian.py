"""DB-GR against an independent Hessian-vector product, and the finite differences against DB-GR."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp

from gr_bench.methods import SGD, BackwardGR, CentralGR, DoubleBackpropGR, ForwardGR

EPSILONS = [0.04, 0.02, 0.01, 0.005]


def hessian_times_gradient(problem):
    """Hg as one long vector: the derivative of ∇L along g, forward over reverse."""

    def loss(params):
        torch.manual_seed(1)
        buffers = {key: b.clone() for key, b in problem.model.named_buffers()}
        logits = functional_call(problem.model, {**params, **buffers}, problem.inputs)
        return nn.functional.cross_entropy(logits, problem.targets)

    params = {key: p.detach() for key, p in problem.model.named_parameters()}
    _, product = jvp(grad(loss), (params,), (grad(loss)(params),))
    return torch.cat([t.flatten() for t in product.values()])


def test_double_backprop_is_exact(problem, relative_error):
    """d = g + γ·Hg."""
    curvature = hessian_times_gradient(problem)
    penalty = problem.direction(DoubleBackpropGR(gamma=0.3)) - problem.direction(SGD())
    assert relative_error(penalty, 0.3 * curvature) < 1e-10


@pytest.mark.parametrize(("cls", "order"), [(ForwardGR, 1), (BackwardGR, 1), (CentralGR, 2)])
def test_finite_differences_tend_to_double_backprop(problem, cls, order, relative_error):
    """The error falls as ε for a one-sided difference, as ε² for the central one."""
    exact = problem.direction(DoubleBackpropGR(gamma=0.3))
    errors = [relative_error(problem.direction(cls(gamma=0.3, epsilon=e)), exact) for e in EPSILONS]
    slope, _ = np.polyfit(np.log(EPSILONS), np.log(errors), 1)
    assert slope == pytest.approx(order, abs=0.1)


class OnceDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


def test_an_operation_without_a_second_derivative_is_an_error_and_not_a_zero() -> None:
    p = torch.tensor([0.5], requires_grad=True)

    def loss() -> torch.Tensor:
        return (OnceDifferentiable.apply(p) ** 2).sum()

    with pytest.raises(RuntimeError, match="differentiate twice"):
        DoubleBackpropGR().backward(loss, [p])
