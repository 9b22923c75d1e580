"""Finite steps beside flows: closed forms on quadratics, derivatives by hand, made records."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from synthetic import failed, flow_epoch, flow_path, run_of

from gr_bench.errors import RequestError
from gr_bench.experiments.modified_flow import flow
from gr_bench.experiments.modified_flow.cell import ModifiedFlowGrid
from gr_bench.experiments.modified_flow.experiment import ModifiedFlow
from gr_bench.experiments.modified_flow.measure import measure_epoch, measure_path
from gr_bench.experiments.modified_flow.problem import build_problem
from gr_bench.reports.page import write_report
from gr_bench.runs.suite import build_suite


def matrices(problem, indices) -> tuple[np.ndarray, np.ndarray]:
    """H and c of C(θ) = ½θᵀHθ - cᵀθ + constant, read off gradients at 0 and at the unit vectors."""
    size = len(problem.start)

    def slope(theta: torch.Tensor) -> np.ndarray:
        theta = theta.clone().requires_grad_()
        (found,) = torch.autograd.grad(problem.losses(theta)[indices].mean(), theta)
        return found.numpy()

    zero = torch.zeros(size, dtype=torch.float64)
    at_zero = slope(zero)
    rows = [slope(unit) - at_zero for unit in torch.eye(size, dtype=torch.float64)]
    return np.array(rows), -at_zero


def linear_flow(matrix: np.ndarray, constant: np.ndarray, start: np.ndarray, time: float):
    """θ(t) of θ' = -(Aθ - b), by the exponential of the matrix with a row more."""
    size = len(start)
    larger = np.zeros((size + 1, size + 1))
    larger[:size, :size], larger[:size, size] = -matrix, constant
    return (expm(time * larger) @ np.append(start, 1))[:size]


@pytest.mark.parametrize("seed", range(3))
def test_flows_of_a_quadratic_have_their_closed_form(seed: int) -> None:
    problem = build_problem("quadratic", seed)
    loss, start = flow.full_loss(problem), problem.start.numpy()
    h_matrix, c = matrices(problem, torch.arange(problem.samples))
    found = flow.flow(loss, problem.start, 0.7).numpy()
    np.testing.assert_allclose(found, linear_flow(h_matrix, c, start, 0.7), rtol=1e-11, atol=1e-13)
    # ∇(L + p·‖∇L‖²) = (1 + 2pH)(Hθ - c)
    factor = np.eye(len(c)) + 2 * 0.05 * h_matrix
    found = flow.flow(flow.penalised(loss, 0.05, [loss]), problem.start, 0.7).numpy()
    expected = linear_flow(factor @ h_matrix, factor @ c, start, 0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


def test_a_penalty_on_mini_batches_is_the_mean_of_their_gradients_squares() -> None:
    problem = build_problem("quadratic", 0)
    parts, loss = flow.batch_losses(problem, 3), flow.full_loss(problem)
    pieces = [matrices(problem, own) for own in torch.arange(problem.samples).chunk(3)]
    matrix = sum(h + 2 * 0.1 * h @ h for h, _ in pieces) / 3
    constant = sum(c + 2 * 0.1 * h @ c for h, c in pieces) / 3
    found = flow.gradient(flow.penalised(loss, 0.1, parts), problem.start).numpy()
    np.testing.assert_allclose(found, matrix @ problem.start.numpy() - constant, rtol=1e-12)


def test_the_mean_epoch_goes_through_every_order() -> None:
    problem = build_problem("quadratic", 1)
    pieces = [matrices(problem, own) for own in torch.arange(problem.samples).chunk(3)]
    ends = []
    for order in itertools.permutations(pieces):
        theta = problem.start.numpy()
        for h, c in order:
            theta = theta - 0.1 * (h @ theta - c)
        ends.append(theta)
    found = flow.mean_epoch(flow.batch_losses(problem, 3), problem.start, 0.1).numpy()
    np.testing.assert_allclose(found, np.mean(ends, axis=0), rtol=1e-12)
    assert np.ptp(ends, axis=0).max() > 1e-3  # the order matters


def test_descent_and_curvature_of_a_quadratic() -> None:
    problem = build_problem("quadratic", 2)
    loss = flow.full_loss(problem)
    h_matrix, c = matrices(problem, torch.arange(problem.samples))
    minimum = np.linalg.solve(h_matrix, c)
    step = np.linalg.matrix_power(np.eye(len(c)) - 0.1 * h_matrix, 20)
    expected = minimum + step @ (problem.start.numpy() - minimum)
    found = flow.descend(loss, problem.start, 0.1, 20).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    largest = np.linalg.eigvalsh(h_matrix)[-1]
    assert flow.largest_curvature(loss, problem.start) == pytest.approx(largest)


def test_the_minima_of_the_product_are_flattest_where_both_factors_are_alike() -> None:
    """At a minimum the largest eigenvalue is mean(x²)·(a² + b²)."""
    problem = build_problem("product(noise=0.0)", 0)
    for a in (0.5, 0.6**0.5, 2.0):
        theta = torch.tensor([a, 0.6 / a], dtype=torch.float64)
        found = flow.largest_curvature(flow.full_loss(problem), theta)
        assert found == pytest.approx(a**2 + (0.6 / a) ** 2)


@pytest.mark.parametrize("problem", ["product", "diagonal-linear", "tanh-network"])
@pytest.mark.parametrize("batches", [1, 2, 3])
def test_the_orders_are_those_of_backward_error_analysis(problem: str, batches: int) -> None:
    """The penalty of the full gradient is the modified flow of descent, and of it alone."""
    cell = flow_epoch().cell
    records = [
        measure_epoch(replace(cell, model=problem, batches=batches, step=step))
        for step in (0.02, 0.005, 0.00125)
    ]
    (row,) = ModifiedFlow().tables(records)["modified_flow_orders"].to_dict("records")
    assert row["plain_order"] == pytest.approx(2, abs=0.05)
    assert row["modified_order"] == pytest.approx(3, abs=0.05)
    assert row["full_order"] == pytest.approx(3 if batches == 1 else 2, abs=0.1)


def test_the_penalty_at_a_small_step_leads_where_the_large_step_does() -> None:
    record = measure_path(replace(flow_path().cell, model="product", step=0.4, time=20.0))
    assert record.large is not None
    assert record.small is not None
    assert record.large.curvature < record.small.curvature < record.start_curvature
    assert record.explicit_distance < 0.3 * record.small_distance  # type: ignore[operator]


def test_a_path_that_diverges_is_a_result() -> None:
    record = measure_path(replace(flow_path().cell, model="quadratic", step=15.0, time=4200.0))
    assert record.large is None
    assert record.small is not None
    (row,) = ModifiedFlow().tables([record])["modified_flow_paths"].to_dict("records")
    assert row["status"] == "diverged"
    assert math.isnan(row["large_curvature"])


@pytest.mark.parametrize("order", [1.0, 2.5, 3.0])
def test_an_order_is_the_slope_of_the_distance_itself(order: float) -> None:
    """Of what is recorded relative to the epoch's length."""
    records = [
        flow_epoch(step=step, length=7 * step, plain=4 * step**order / (7 * step))
        for step in (0.4, 0.2, 0.1)
    ]
    (row,) = ModifiedFlow().tables(records)["modified_flow_orders"].to_dict("records")
    assert row["plain_order"] == pytest.approx(order)
    assert ModifiedFlow().tables(records[:2])["modified_flow_orders"].empty


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batches": [4]}, "4 batches do not divide product's 6 samples"),
        ({"methods": ["sam"]}, "has no modified flow here"),
        ({"path_steps": [0.3]}, "time 80 is not a whole number of steps of 0.3"),
        ({"problems": ["cubic"]}, "cubic"),
        ({"problems": ["product(seed=1)"]}, "set the seed through seeds"),
        ({"problems": ["product(samples=0)"]}, "samples must be a whole number"),
    ],
)
def test_what_cannot_be_measured_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        build_suite("x", {"title": "x", "modified_flow": [{"problems": ["product"], **fields}]})


def test_every_point_of_the_grid_is_a_cell() -> None:
    grid = ModifiedFlowGrid(problems=["product", "quadratic"], seeds=[0, 1])
    cells = ModifiedFlow().cells(grid)
    assert len({cell.id for cell in cells}) == len(cells) == 2 * 2 * (2 * 4 + 3)
    epochs = [cell for cell in cells if cell.part == "epoch"]
    (job,) = ModifiedFlow().pending(grid, cells, [failed(cell) for cell in epochs])
    assert {cell.part for unit in job.units for cell in unit.cells} == {"path"}


def test_the_report_shows_orders_paths_and_what_was_lost(tmp_path) -> None:
    records = [flow_epoch(step=step, seed=s) for step in (0.4, 0.2, 0.1) for s in range(2)]
    lost = flow_path(seed=1).cell
    folder = run_of(tmp_path / "run", *records, flow_path(), failed(lost))
    write_report(folder, ["md"])
    text = "".join(page.read_text() for page in (folder / "report").glob("*.md"))
    for words in ("In 1 of 1 paths the large step ended", "1 of 2 paths were lost", "of order"):
        assert words in text
