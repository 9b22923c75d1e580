"""A direction that is clipped, against the norm computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gr_bench.methods import Clipped, ScaledLoss, get, stack

NAMES = ("sgd", "sam", "f-gr", "c-gr", "db-gr")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.3, 0.999, 1.001, 10.0])
def test_a_direction_is_shortened_and_never_lengthened(name: str, share: float, problem) -> None:
    d = problem.direction(get(name))
    found = problem.direction(Clipped(get(name), norm=share * d.norm().item()))
    torch.testing.assert_close(found, min(1, share) * d, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_pytorch_does_but_for_its_safety_margin(name: str, make_problem) -> None:
    ours, theirs = make_problem("batch-norm"), make_problem("batch-norm")
    ours.step(Clipped(get(name), norm=0.1))
    theirs.step(get(name))
    nn.utils.clip_grad_norm_(theirs.params, 0.1)
    for p, q in zip(ours.params, theirs.params, strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-12)


def test_a_parameter_given_twice_is_shortened_once(make_problem) -> None:
    problem = make_problem("mlp")
    method = Clipped(get("sgd"), norm=1e-3)
    d = problem.direction(method)
    method.backward(problem.loss, [*problem.params, *problem.params])
    assert torch.equal(torch.cat([p.grad.flatten() for p in problem.params]), d)


def test_a_zero_direction_stays_zero_and_one_that_is_not_finite_stays_so() -> None:
    p = nn.Parameter(torch.zeros(3))
    method = Clipped(get("sgd"))
    method.backward(lambda: (p**2).sum(), [p])
    assert torch.equal(p.grad, torch.zeros(3))
    for bad in (torch.nan, torch.inf):
        method.backward(lambda bad=bad: (p * bad).sum(), [p])
        assert not p.grad.isfinite().any()


def test_under_a_scaler_the_norm_is_that_of_the_unscaled_direction(make_problem) -> None:
    problem = make_problem("mlp")
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    method = Clipped(get("f-gr"), norm=0.01)
    expected = problem.direction(method)
    assert expected.norm().item() == pytest.approx(0.01)
    method.backward(ScaledLoss(problem.loss, scaler), problem.params)
    found = torch.cat([p.grad.flatten() for p in problem.params])
    torch.testing.assert_close(found, expected * 2**10, rtol=1e-6, atol=0)


def test_each_run_of_a_fleet_is_clipped_by_its_own_norm() -> None:
    methods = [Clipped(get("sgd"), norm=norm) for norm in (1.0, 1.0, 7.0)]
    p = nn.Parameter(torch.tensor([[3.0, 4.0], [0.3, 0.4], [30.0, 40.0]], dtype=torch.float64))
    stack(methods).backward(lambda: (p**2 / 2).sum(1), [p])
    expected = [[0.6, 0.8], [0.3, 0.4], [4.2, 5.6]]
    torch.testing.assert_close(p.grad, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("norm", [0, -1, float("nan"), "1"])
def test_a_norm_is_positive(norm) -> None:
    with pytest.raises(ValueError, match="norm must be a finite number > 0"):
        Clipped(get("sam"), norm=norm)


# --- the ascent


def ascended(problem, norm: float, epsilon: float, gamma: float, sign: int = 1) -> torch.Tensor:
    """One-sided d with g kept to a norm in θ', by autograd."""
    torch.manual_seed(1)
    g = torch.autograd.grad(problem.loss(), problem.params)
    length = torch.cat([one.flatten() for one in g]).norm().item()
    short = sign * epsilon * min(1.0, norm / length)
    with torch.no_grad():
        for p, one in zip(problem.params, g, strict=True):
            p.add_(one, alpha=short)
    torch.manual_seed(1)
    there = torch.autograd.grad(problem.loss(), problem.params)
    c = sign * gamma / epsilon
    return torch.cat([((1 - c) * a + c * b).flatten() for a, b in zip(g, there, strict=True)])


@pytest.mark.parametrize("norm", [0.05, 1e6])
@pytest.mark.parametrize(("name", "sign"), [("f-gr", 1), ("b-gr", -1)])
def test_the_ascent_is_by_a_shorter_gradient(name, sign, norm, make_problem) -> None:
    method = Clipped(get(name, gamma=0.3, epsilon=0.2), norm=norm, of="ascent")
    found = make_problem("mlp").direction(method)
    expected = ascended(make_problem("mlp"), norm, 0.2, 0.3, sign)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_a_central_difference_is_shortened_to_both_sides(make_problem) -> None:
    method = Clipped(get("c-gr", gamma=0.3, epsilon=0.2), norm=0.05, of="ascent")
    found = make_problem("mlp").direction(method)
    ahead, back = (ascended(make_problem("mlp"), 0.05, 0.2, 0.3, sign) for sign in (1, -1))
    torch.testing.assert_close(found, (ahead + back) / 2, rtol=1e-10, atol=1e-12)


def test_each_run_of_a_fleet_ascends_by_its_own() -> None:
    methods = [
        Clipped(get("f-gr", gamma=0.5, epsilon=0.5), norm=norm, of="ascent") for norm in (1.0, 9.0)
    ]
    p = nn.Parameter(torch.tensor([[3.0, 4.0], [3.0, 4.0]], dtype=torch.float64))
    stack(methods).backward(lambda: (p**2 / 2).sum(1), [p])
    # c = 1: d = θ', and g = θ is 5 long
    expected = [[3 + 0.5 * 0.6, 4 + 0.5 * 0.8], [4.5, 6.0]]
    torch.testing.assert_close(p.grad, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", ["sgd", "sam", "asam", "gnp", "db-gr", "gsam"])
def test_an_ascent_of_given_length_is_not_clipped(name: str) -> None:
    with pytest.raises(ValueError, match="no ascent that grows with the gradient"):
        Clipped(get(name), of="ascent")


def test_it_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="of must be 'direction' or 'ascent', not 'loss'"):
        Clipped(get("f-gr"), of="loss")
