"""The exact identities between the methods, on every net."""

import pytest
import torch

from gr_bench.methods import (
    GNP,
    SAM,
    SGD,
    BackwardGR,
    CentralGR,
    DoubleBackpropGR,
    ForwardGR,
    UnnormalizedSAM,
)


def test_sgd_is_the_plain_gradient(problem):
    """d = g."""
    torch.manual_seed(1)
    g = torch.autograd.grad(problem.loss(), problem.params)
    d = problem.direction(SGD())
    assert torch.equal(d, torch.cat([t.flatten() for t in g]))


def test_forward_gr_with_gamma_equal_to_epsilon_is_unnormalized_sam(problem):
    """γ = ε gives c = 1."""
    d = problem.direction(ForwardGR(gamma=0.2, epsilon=0.2))
    assert torch.equal(d, problem.direction(UnnormalizedSAM(rho=0.2)))


def test_sam_is_forward_gr_with_gamma_and_epsilon_rho_over_norm(problem, relative_error):
    """s = ρ/‖g‖, c = 1."""
    size = 0.3 / problem.direction(SGD()).norm().item()
    d = problem.direction(SAM(rho=0.3))
    assert relative_error(d, problem.direction(ForwardGR(gamma=size, epsilon=size))) < 1e-12


def test_gnp_lies_between_sgd_and_sam(problem, relative_error):
    """(1 - α)·g + α·g': α = 0 is SGD, α = 1 is SAM, and it is linear in α."""
    sgd, sam = problem.direction(SGD()), problem.direction(SAM(rho=0.3))
    assert torch.equal(problem.direction(GNP(r=0.3, alpha=0)), sgd)
    assert torch.equal(problem.direction(GNP(r=0.3, alpha=1)), sam)
    assert relative_error(problem.direction(GNP(r=0.3, alpha=0.4)), 0.6 * sgd + 0.4 * sam) < 1e-12


def test_central_gr_is_the_mean_of_forward_and_backward(problem, relative_error):
    """The mean of the two one-sided differences is the central one."""
    numbers = {"gamma": 0.3, "epsilon": 0.1}
    mean = (problem.direction(ForwardGR(**numbers)) + problem.direction(BackwardGR(**numbers))) / 2
    assert relative_error(problem.direction(CentralGR(**numbers)), mean) < 1e-12


@pytest.mark.parametrize("cls", [ForwardGR, BackwardGR, CentralGR, DoubleBackpropGR])
def test_without_penalty_gr_is_sgd(problem, cls):
    """γ = 0 gives d = g."""
    assert torch.equal(problem.direction(cls(gamma=0)), problem.direction(SGD()))


def test_without_radius_the_second_point_is_the_first(problem):
    """ρ = 0 gives θ' = θ, so d = g."""
    sgd = problem.direction(SGD())
    for cls in (SAM, UnnormalizedSAM):
        assert torch.equal(problem.direction(cls(rho=0)), sgd)


def test_passes_are_as_many_as_the_method_says(method, make_problem):
    """The number of gradients in a cycle; double backpropagation is one forward pass."""
    problem, passes = make_problem("mlp"), []
    for _ in range(method.cycle):
        method.backward(lambda: passes.append(None) or problem.loss(), problem.params)
    a_step = 1 if method.name == "db-gr" else method.gradient_evaluations
    assert len(passes) == a_step * method.cycle == method.forward_passes * method.cycle


@pytest.mark.parametrize(
    "method", [ForwardGR(gamma=0), CentralGR(gamma=0), DoubleBackpropGR(gamma=0), GNP(alpha=0)]
)
def test_a_weight_of_zero_costs_one_pass(method, make_problem):
    """c = 0 needs no second gradient."""
    problem, passes = make_problem("mlp"), []
    method.backward(lambda: passes.append(None) or problem.loss(), problem.params)
    assert len(passes) == method.gradient_evaluations == 1
