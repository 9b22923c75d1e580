from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gr_bench.meters.curvature import (
    PROBES,
    Hessian,
    Losses,
    gradient_norm,
    parameter_norm,
    sharpness,
)

numbers = st.floats(-1e6, 1e6)


@given(st.lists(st.lists(numbers, max_size=5), max_size=5))
def test_gradient_norm_is_the_norm_of_all_gradients_in_a_row(gradients) -> None:
    params = []
    for values in gradients:
        p = torch.zeros(len(values), dtype=torch.float64, requires_grad=True)
        p.grad = torch.tensor(values, dtype=torch.float64)
        params.append(p)
    expected = np.linalg.norm(np.concatenate([[0.0], *map(np.array, gradients)]))
    assert float(gradient_norm(params)) == pytest.approx(expected)


def test_parameters_without_a_gradient_do_not_count() -> None:
    with_gradient, without = torch.zeros(2), torch.zeros(2)
    with_gradient.grad = torch.tensor([3.0, 4.0])
    assert gradient_norm([without, with_gradient]) == 5
    assert gradient_norm([without]) == 0
    assert gradient_norm(iter([with_gradient])).ndim == 0


def quadratic(matrix: np.ndarray, *, terms: int = 1) -> tuple[list[torch.Tensor], Losses]:
    """½·xᵀAx over two parameters, as a sum of equal terms."""
    n = len(matrix)
    a = torch.from_numpy(matrix)
    params = [torch.randn(k, dtype=torch.float64, requires_grad=True) for k in (n - n // 2, n // 2)]

    def losses() -> Iterator[torch.Tensor]:
        for _ in range(terms):
            x = torch.cat(params)
            yield x @ a @ x / 2 / terms

    return params, losses


@given(st.integers(3, 12), st.integers(0, 99), st.integers(1, 3), st.floats(-3, 3))
@settings(max_examples=30)
def test_a_quadratics_hessian_is_its_matrix(n: int, seed: int, terms: int, shift: float) -> None:
    """Also where every eigenvalue is negative: the largest is meant, not the largest in size."""
    matrix = np.random.default_rng(seed).standard_normal((n, n))
    matrix = matrix + matrix.T + shift * np.eye(n)
    params, losses = quadratic(matrix, terms=terms)
    hessian = Hessian(losses, params)
    vector = np.random.default_rng(1).standard_normal(n)
    np.testing.assert_allclose(hessian @ vector, matrix @ vector, rtol=1e-10, atol=1e-10)
    found = sharpness(losses, params)
    values = np.linalg.eigvalsh(matrix)
    assert found.largest_eigenvalue == pytest.approx(values[-1], abs=3e-3 * abs(values).max())
    assert abs(found.trace - np.trace(matrix)) <= 6 * found.trace_error + 1e-9


def test_the_trace_of_a_diagonal_hessian_is_exact() -> None:
    """Every probe says the same: its entries are signs."""
    params, losses = quadratic(np.diag([1.0, 2.0, 3.0, -10.0, 0.5]))
    found = sharpness(losses, params)
    assert found.trace == pytest.approx(-3.5, abs=1e-12)
    assert found.trace_error == pytest.approx(0, abs=1e-12)
    assert found.largest_eigenvalue == pytest.approx(3)


def test_the_standard_error_of_the_trace_is_that_of_the_estimates() -> None:
    """For signs, the variance of vᵀAv is twice the sum of the squares off the diagonal."""
    matrix = np.random.default_rng(0).standard_normal((30, 30))
    matrix = matrix + matrix.T
    params, losses = quadratic(matrix)
    errors = [sharpness(losses, params, seed=seed).trace_error for seed in range(30)]
    off = matrix - np.diag(np.diag(matrix))
    expected = np.sqrt(2 * (off**2).sum() / PROBES)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("power", [1, 2])
def test_a_single_parameters_curvature_is_its_second_derivative(power: int) -> None:
    p = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    found = sharpness(lambda: iter([(3 * p**power).sum()]), [p])
    assert found.largest_eigenvalue == pytest.approx(0 if power == 1 else 6)
    assert found.trace == found.largest_eigenvalue


def test_a_plane_has_no_curvature() -> None:
    p = torch.ones(5, dtype=torch.float64, requires_grad=True)
    found = sharpness(lambda: iter([(2 * p).sum()]), [p])
    assert (found.largest_eigenvalue, found.trace) == (0, 0)


def test_a_parameter_that_the_loss_does_not_know_has_an_empty_row() -> None:
    p, q = (torch.ones(2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    hessian = Hessian(lambda: iter([(p**2).sum()]), [p, q])
    np.testing.assert_array_equal(hessian @ np.ones(4), [2, 2, 0, 0])


def test_the_parameter_norm_is_over_all_parameters() -> None:
    parts = [torch.tensor([3.0]), torch.tensor([[4.0], [12.0]])]
    assert parameter_norm(parts) == pytest.approx(13)
