"""Every direction in closed form on L = ½·θᵀAθ, where g = Aθ and H = A."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gr_bench.methods import (
    ASAM,
    GNP,
    SAM,
    SGD,
    BackwardGR,
    CentralGR,
    DoubleBackpropGR,
    Flooding,
    ForwardGR,
    UnnormalizedSAM,
)


@dataclass
class Quadratic:
    """L = ½·θᵀAθ, with θ in two parameters, so that a norm has to be the norm of all of θ."""

    matrix: Tensor
    theta: Tensor

    def gradient(self, theta: Tensor) -> Tensor:
        return self.matrix @ theta

    @property
    def loss(self) -> float:
        return float(self.theta @ self.matrix @ self.theta / 2)

    def direction(self, method) -> Tensor:
        parts = [nn.Parameter(t.clone()) for t in self.theta.tensor_split(2)]

        def loss():
            theta = torch.cat(parts)
            return theta @ self.matrix @ theta / 2

        method.backward(loss, parts)
        return torch.cat([p.grad for p in parts])


@st.composite
def quadratics(draw) -> Quadratic:
    """Symmetric A of any signature and θ of any size around 1, away from g = 0."""
    size = draw(st.integers(2, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    matrix = torch.randn(size, size, dtype=torch.float64, generator=generator)
    theta = torch.randn(size, dtype=torch.float64, generator=generator)
    return Quadratic(matrix + matrix.T, theta)


gammas = st.floats(0, 1)
epsilons = st.floats(0.01, 1)
radii = st.floats(0, 1)
many = settings(max_examples=40, derandomize=True)


def close(actual: Tensor, expected: Tensor) -> bool:
    return torch.allclose(actual, expected, rtol=1e-9, atol=1e-9)


@many
@given(quadratics(), gammas, epsilons)
def test_all_of_gr_is_exact(quadratic, gamma, epsilon):
    """d = g + γ·Ag: on a quadratic every finite difference is the derivative."""
    g = quadratic.gradient(quadratic.theta)
    expected = g + gamma * quadratic.matrix @ g
    assert close(quadratic.direction(DoubleBackpropGR(gamma)), expected)
    for cls in (ForwardGR, BackwardGR, CentralGR):
        assert close(quadratic.direction(cls(gamma, epsilon)), expected)


@many
@given(quadratics(), radii, gammas)
def test_sam_and_its_kin_take_the_gradient_at_the_second_point(quadratic, radius, share):
    """d = A·θ' for SAM and its kin, (1 - α)·g + α·A·θ' for GNP."""
    theta = quadratic.theta
    g = quadratic.gradient(theta)
    sam = quadratic.gradient(theta + radius * g / g.norm())
    asam = quadratic.gradient(theta + radius * theta**2 * g / (theta.abs() * g).norm())
    assert close(quadratic.direction(SGD()), g)
    assert close(
        quadratic.direction(UnnormalizedSAM(radius)), quadratic.gradient(theta + radius * g)
    )
    assert close(quadratic.direction(SAM(radius)), sam)
    assert close(quadratic.direction(ASAM(radius)), asam)
    assert close(quadratic.direction(GNP(radius, share)), (1 - share) * g + share * sam)


@many
@given(quadratics(), st.floats(0, 5))
def test_flooding_reverses_the_gradient_below_its_level(quadratic, level):
    """d = sign(L - b)·g."""
    g = quadratic.gradient(quadratic.theta)
    sign = 1 if quadratic.loss > level else -1
    assert close(quadratic.direction(Flooding(level)), sign * g)


def test_asam_does_not_depend_on_the_scale_of_a_parameter():
    """T²g/‖Tg‖ scales as θ does: θ -> kθ with the loss unchanged gives θ' -> kθ', d -> d/k."""

    def direction(scale):
        theta = nn.Parameter(torch.tensor([0.5, -2.0, 3.0], dtype=torch.float64) * scale)
        ASAM(rho=0.4).backward(lambda: ((theta / scale) ** 4).sum(), [theta])
        return theta.grad

    assert torch.allclose(direction(8.0) * 8, direction(1.0), rtol=1e-12)


@pytest.mark.parametrize("method", [SAM(), ASAM(), GNP()])
def test_zero_gradient_gives_zero_perturbation(method):
    """g = 0 gives θ' = θ and d = 0, not NaN."""
    zero = nn.Parameter(torch.zeros(3))
    seen = []
    method.backward(lambda: seen.append(zero.detach().clone()) or (zero**2).sum(), [zero])
    assert all(torch.equal(theta, torch.zeros(3)) for theta in seen)
    assert torch.equal(zero.grad, torch.zeros(3))


def test_asam_leaves_zeros_where_they_are():
    """T = abs(θ): a parameter that is 0 is not perturbed, others are."""
    theta = nn.Parameter(torch.tensor([0.0, 1.0]))
    seen = []
    ASAM(rho=0.5).backward(
        lambda: seen.append(theta.detach().clone()) or ((theta - 3) ** 2).sum(), [theta]
    )
    assert torch.equal(seen[1], torch.tensor([0.0, 0.5]))
