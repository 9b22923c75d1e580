"""The diagonal linear network against independent solvers and the methods' own code."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from gr_bench.experiments.implicit_bias.cell import ImplicitBiasGrid
from gr_bench.experiments.implicit_bias.experiment import ImplicitBias
from gr_bench.experiments.implicit_bias.families import FAMILIES
from gr_bench.experiments.implicit_bias.measure import solve
from gr_bench.experiments.implicit_bias.network import DiagonalLinear, Point, Problems
from gr_bench.experiments.implicit_bias.potential import (
    least_l1,
    least_l2,
    least_potential,
    optimality_residual,
    potential,
)
from gr_bench.experiments.implicit_bias.problem import Problem, sparse_regression
from gr_bench.experiments.implicit_bias.record import Endpoint, Solution
from gr_bench.experiments.implicit_bias.rules import RULES, Flooded
from gr_bench.experiments.record import Failure, Progress, Record
from gr_bench.methods import (
    GNP,
    SAM,
    SGD,
    BackwardGR,
    CentralGR,
    DoubleBackpropGR,
    Flooding,
    ForwardGR,
    Method,
    UnnormalizedSAM,
)
from gr_bench.registry import build_method

METHODS = [
    SGD(),
    ForwardGR(gamma=0.3, epsilon=0.2),
    BackwardGR(gamma=0.3, epsilon=0.2),
    CentralGR(gamma=0.3, epsilon=0.2),
    DoubleBackpropGR(gamma=0.3),
    UnnormalizedSAM(rho=0.2),
    SAM(rho=0.1),
    GNP(r=0.1, alpha=0.7),
    Flooding(level=0.05),
    Flooding(level=100.0),
]
FAMILY = [
    *(f"b-gr(gamma=0.05, epsilon={e})" for e in (0.1, 0.05, 0.02)),
    "db-gr(gamma=0.05)",
    *(f"f-gr(gamma=0.05, epsilon={e})" for e in (0.02, 0.05, 0.1)),
]
"""One family in ε, from the most backward to the most forward."""


def problem(seed: int = 0, mean: float = 1.0) -> Problem:
    return sparse_regression(samples=6, features=12, feature_mean=mean, seed=seed)


def records_of(grid: ImplicitBiasGrid) -> list[Record]:
    experiment = ImplicitBias()
    cells = experiment.cells(grid)
    units = [unit for job in experiment.pending(grid, cells, []) for unit in job.units]
    results = [result for unit in units for result in experiment.measure(unit)]
    return [result for result in results if not isinstance(result, Progress)]


def solutions(grid: ImplicitBiasGrid) -> list[Solution]:
    records = records_of(grid)
    assert all(isinstance(record, Solution) for record in records)
    return records


def small(method: str, **settings: object) -> ImplicitBiasGrid:
    text = "sparse-regression(samples=6, features=12, feature_mean=1.0)"
    grid = {"methods": [method], "problems": [text], "seeds": [0], "alphas": [0.2], "step": 2e-3}
    return ImplicitBiasGrid(**{**grid, **settings})


def one(method: str, **settings: object) -> Solution:
    (record,) = solutions(small(method, **settings))
    return record


def end(method: str, **settings: object) -> Endpoint:
    found = one(method, **settings).endpoint
    assert found is not None
    return found


# --- directions


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    method=st.sampled_from(METHODS),
    mean=st.sampled_from([0.0, 2.0]),
)
def test_closed_form_directions_are_the_methods_own(seed: int, method: Method, mean: float) -> None:
    draw = np.random.default_rng(seed)
    plus, minus = draw.normal(size=(2, 12))
    made = problem(seed, mean)
    network = DiagonalLinear(plus, minus)
    method.backward(lambda: network.loss(made), network.parameters())

    point = Point(Problems([made]), plus[None, None] ** 2, minus[None, None] ** 2)
    rates = RULES[FAMILIES[method.name]]([method]).rates(point)
    for own, sign, weights in ((network.plus, 1, plus), (network.minus, -1, minus)):
        closed = (sign * rates.a + rates.q)[0, 0] * weights
        size = own.grad.abs().max().item()
        np.testing.assert_allclose(own.grad.numpy(), closed, rtol=0, atol=1e-11 * size)


def test_the_curvature_bound_is_the_trace_of_the_hessian_at_a_fit() -> None:
    made = problem()
    beta = least_l2(made.inputs, made.targets)
    plus, minus = np.sqrt(np.maximum(beta, 0) + 0.1), np.sqrt(np.maximum(-beta, 0) + 0.1)
    theta = torch.from_numpy(np.concatenate([plus, minus]))

    def loss(theta: torch.Tensor) -> torch.Tensor:
        fitted = torch.from_numpy(made.inputs) @ (theta[:12] ** 2 - theta[12:] ** 2)
        return (fitted - torch.from_numpy(made.targets)).square().sum() / (4 * 6)

    hessian = torch.autograd.functional.hessian(loss, theta)
    bound = Point(Problems([made]), plus[None, None] ** 2, minus[None, None] ** 2).curvature_bound()
    assert bound[0, 0] == pytest.approx(hessian.trace().item(), rel=1e-10)


# --- the convex problem


def test_the_potential_has_the_slope_that_the_dual_relies_on() -> None:
    alpha, beta = np.array([0.1, 0.5, 2.0]), np.array([0.3, -1.0, 0.2])
    slope = optimize.approx_fprime(beta, lambda b: potential(b, alpha), 1e-7)
    np.testing.assert_allclose(slope, np.arcsinh(beta / (2 * alpha**2)), rtol=1e-5)


@pytest.mark.parametrize("size", [0.1, 1.0])
def test_the_dual_finds_what_a_constrained_solver_finds(size: float) -> None:
    made = problem(3)
    alpha = size * np.random.default_rng(0).uniform(0.5, 1.5, 12)
    found = least_potential(made.inputs, made.targets, alpha)
    primal = optimize.minimize(
        lambda beta: potential(beta, alpha),
        least_l2(made.inputs, made.targets),
        jac=lambda beta: np.arcsinh(beta / (2 * alpha**2)),
        constraints={"type": "eq", "fun": lambda b: made.inputs @ b - made.targets},
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    np.testing.assert_allclose(found, primal.x, atol=2e-5)
    np.testing.assert_allclose(made.inputs @ found, made.targets, atol=1e-9)
    assert optimality_residual(made.inputs, found, alpha) < 1e-9
    assert optimality_residual(made.inputs, found + 0.1, alpha) > 1e-2


def test_small_and_large_alpha_are_the_two_ends() -> None:
    made = problem(1)
    rich, kernel = (f(made.inputs, made.targets) for f in (least_l1, least_l2))
    near_rich = least_potential(made.inputs, made.targets, np.full(12, 1e-6))
    assert np.abs(near_rich).sum() == pytest.approx(np.abs(rich).sum(), rel=0.02)
    np.testing.assert_allclose(
        least_potential(made.inputs, made.targets, np.full(12, 100.0)), kernel, atol=1e-6
    )
    assert np.abs(rich).sum() < np.abs(kernel).sum()
    assert np.linalg.norm(kernel) < np.linalg.norm(rich)


def test_the_expected_test_error_is_what_sampling_gives() -> None:
    made = sparse_regression(samples=3, features=5, feature_mean=0.7)
    beta = np.array([0.2, -0.4, 1.0, 0.0, 0.3])
    new = 0.7 + np.random.default_rng(1).standard_normal((400_000, 5))
    sampled = np.mean((new @ (beta - made.truth)) ** 2)
    assert made.test_error(beta) == pytest.approx(sampled, rel=0.01)


# --- what descent finds


PROBLEMS = pytest.mark.parametrize("problems", [4, pytest.param(20, marks=pytest.mark.slow)])


@cache
def random_problems(problems: int) -> list[Solution]:
    """So many random problems, half of them centred, with every method of the family."""
    half = problems // 2
    return [
        record
        for mean, seeds in ((0.0, range(half)), (1.0, range(half, problems)))
        for record in solutions(
            ImplicitBiasGrid(
                methods=[*FAMILY, "sgd"],
                problems=[f"sparse-regression(feature_mean={mean})"],
                seeds=seeds,
                step=4e-4,
            )
        )
    ]


@PROBLEMS
def test_theory_holds_on_random_problems(problems: int) -> None:
    """α̃ from the integral is √(w₊w₋), and the interpolant of least potential is the one found."""
    records = random_problems(problems)
    assert len(records) == problems * 8
    for record in records:
        found = record.endpoint
        np.testing.assert_allclose(found.predicted_alpha, found.alpha, rtol=1e-3)
        theory, beta = np.array(found.predicted_fit.beta), np.array(found.beta)
        assert np.linalg.norm(beta - theory) < 1e-3 * np.linalg.norm(theory)
        assert found.predicted_fit.optimality_residual < 1e-3
        assert record.direction_error < 1e-6  # the gradient itself is near 0 at the end


@PROBLEMS
def test_alpha_falls_along_the_family_in_every_problem(problems: int) -> None:
    """B-GR with large ε, B-GR with small ε, DB-GR, F-GR with small ε, F-GR with large ε."""
    found = random_problems(problems)
    by_cell = {(r.cell.seed, r.cell.spec): r.endpoint.predicted_alpha for r in found}
    for seed in range(problems):
        means = [np.mean(by_cell[seed, method]) for method in FAMILY]
        assert (np.diff(means) < 0).all(), (seed, means)


def test_without_a_penalty_alpha_stays() -> None:
    found = end("sgd")
    assert found.predicted_alpha == (0.2,) * 12
    np.testing.assert_allclose(found.alpha, 0.2, rtol=5e-3)


def test_unnormalised_sam_is_forward_gr_with_equal_numbers() -> None:
    assert end("unnormalized-sam(rho=0.1)") == end("f-gr(gamma=0.1, epsilon=0.1)")


def test_the_discretisation_error_is_of_first_order_in_the_step() -> None:
    def error(step: float) -> float:
        found = end("f-gr(gamma=0.05, epsilon=0.1)", step=step)
        return np.abs(np.array(found.predicted_alpha) / np.array(found.alpha) - 1).max()

    assert error(8e-3) / error(4e-3) == pytest.approx(2, rel=0.1)


def test_an_ordinary_training_loop_finds_the_same_solution() -> None:
    """The method's own ``backward``, ``torch.optim.SGD`` and one small learning rate."""
    text = "f-gr(gamma=0.05, epsilon=0.1)"
    made, method = problem(), build_method(text)
    network = DiagonalLinear(np.full(12, 0.5), np.full(12, 0.5))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(3000):
        method.backward(lambda: network.loss(made), network.parameters())
        optimizer.step()
    beta = (network.plus**2 - network.minus**2).detach().numpy()
    assert np.linalg.norm(made.inputs @ beta - made.targets) < 2e-3
    np.testing.assert_allclose(end(text, step=1e-3, alphas=[0.5]).beta, beta, atol=2e-3)


def test_flooding_is_told_by_its_pairs() -> None:
    """Σ η²·g⊙g⁺ over pairs of opposite steps, worked out from a plain loop with autograd."""
    made, level, rate = problem(), 0.02, 0.002
    rule, network = Flooded([Flooding(level)]), DiagonalLinear(np.full(12, 0.3), np.full(12, 0.3))
    expected, told = np.zeros(12), np.zeros(12)
    pending: tuple[int, np.ndarray] | None = None
    pairs = 0
    for _ in range(1500):
        plus, minus = network.plus.detach().numpy().copy(), network.minus.detach().numpy().copy()
        point = Point(Problems([made]), plus[None, None] ** 2, minus[None, None] ** 2)
        told += rule.regularised(point, rule.rates(point), np.full((1, 1, 1), rate))[0, 0]

        loss = network.loss(made)
        gradient, _ = torch.autograd.grad(loss, list(network.parameters()))
        g = gradient.numpy() / plus
        sign = 1 if loss.item() > level else -1
        if pending is not None and pending[0] == -sign:
            expected += rate**2 * pending[1] * g
            pending, pairs = None, pairs + 1
        else:
            pending = (sign, g)
        Flooding(level).backward(lambda: network.loss(made), network.parameters())
        torch.optim.SGD(network.parameters(), lr=rate).step()
    assert pairs > 50
    np.testing.assert_allclose(told, expected, rtol=1e-9)


# --- runs that end otherwise


def test_a_run_that_is_cut_short_says_so() -> None:
    record = one("sgd", most_steps=10)
    assert record.steps == 10
    table = ImplicitBias().tables([record])["implicit_bias"]
    assert list(table["status"]) == ["not converged"]


def test_flooding_stays_at_its_level() -> None:
    record = one("flooding(level=0.01)", step=0.01, most_steps=3000)
    assert record.endpoint.loss == pytest.approx(0.01, rel=0.05)
    assert record.endpoint.predicted_fit is None
    assert list(ImplicitBias().tables([record])["implicit_bias"]["status"]) == ["flooded"]


def test_a_run_that_diverges_is_told_from_its_neighbours() -> None:
    """SGD goes on to its solution beside a setting whose numbers overflow."""
    grid = ImplicitBiasGrid(
        methods=["sgd", "f-gr(gamma=1.0, epsilon=1e200)"],
        problems=["sparse-regression(samples=6, features=12)"],
        seeds=[0],
        step=2e-3,
    )
    fine, lost = solutions(grid)
    assert lost.endpoint is None
    assert fine.endpoint is not None
    status = ImplicitBias().tables([fine, lost])["implicit_bias"].set_index("method")["status"]
    assert dict(status) == {"sgd": "ok", "f-gr": "diverged"}


def test_a_prediction_that_cannot_be_made_costs_its_cell_alone(monkeypatch) -> None:
    from gr_bench.experiments.implicit_bias import measure

    def fails(*_: object) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(measure, "least_potential", fails)
    (record,) = records_of(small("sgd"))
    assert record == Failure(cell=record.cell, reason="RuntimeError: no such luck")


def test_cells_followed_together_give_what_each_gives_alone() -> None:
    grid = ImplicitBiasGrid(
        methods=["f-gr(gamma=0.05, epsilon=[0.05, 0.1])"],
        problems=["sparse-regression(samples=6, features=12, feature_mean=1.0)"],
        seeds=[0, 1],
        alphas=[0.2, 0.4],
        step=5e-3,
    )
    cells = ImplicitBias().cells(grid)
    together = {r.cell.id: r.endpoint for r in solve(cells) if isinstance(r, Solution)}
    for cell in cells[::3]:
        (alone,) = (r.endpoint for r in solve([cell]) if isinstance(r, Solution))
        np.testing.assert_allclose(together[cell.id].beta, alone.beta, rtol=1e-9)
    assert len({replace(cell, seed=0).id for cell in cells}) == len(cells) // 2
