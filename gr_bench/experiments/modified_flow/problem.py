"""Small problems with a loss a sample, in float64, by the name that a suite uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gr_bench.registry import Registry
from gr_bench.spec import parse
from gr_bench.workloads.checks import check_positive

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Problem:
    """Losses of N samples at θ, and a point to start from.

    Attributes:
        losses: θ, (n,), to the samples' losses, (N,); differentiable three times.
        start: θ₀, (n,), float64.
        samples: N.
    """

    losses: Callable[[Tensor], Tensor]
    start: Tensor
    samples: int


def _draw(seed: int) -> Callable[..., Tensor]:
    import torch  # a suite is read without it

    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return normal


def product(samples: int = 6, target: float = 0.6, noise: float = 0.3, seed: int = 0) -> Problem:
    """Two parameters, f(x) = a·b·x, loss (y - a·b·x)²/2: its minima are a curve, ab = constant.

    Inputs are 1 + noise·z, targets target·x + noise·z'. It starts near (2.8, 3.5), away from where
    the curve is flattest, a = b.

    Args:
        samples: N.
        target: the slope of the targets.
        noise: of inputs and targets; 0 makes all samples the same.
        seed: of samples and start.

    Source: a model as that of Barrett & Dherin, ICLR 2021 (arXiv 2009.11162), figure 1, and one of
    its starting points.
    """
    check_positive(samples=samples)
    import torch

    normal = _draw(seed)
    inputs = 1 + noise * normal(samples)
    targets = target * inputs + noise * normal(samples)
    start = torch.tensor([2.8, 3.5], dtype=torch.float64) * (1 + 0.1 * normal(2))
    return Problem(lambda theta: (targets - theta[0] * theta[1] * inputs) ** 2 / 2, start, samples)


def diagonal_linear(samples: int = 6, features: int = 8, seed: int = 0) -> Problem:
    """A diagonal linear network, f(x) = <w₊² - w₋², x>, loss (f - y)²/2, from w = 0.5 + 0.1·z.

    Inputs and the true β are normal; with more features than samples its minima are a surface.

    Args:
        samples: N.
        features: d; it has 2d parameters.
        seed: of everything that is drawn.
    """
    check_positive(samples=samples, features=features)
    normal = _draw(seed)
    inputs = normal(samples, features)
    targets = inputs @ normal(features)
    start = 0.5 + 0.1 * normal(2 * features)

    def losses(theta: Tensor) -> Tensor:
        beta = theta[:features] ** 2 - theta[features:] ** 2
        return (inputs @ beta - targets) ** 2 / 2

    return Problem(losses, start, samples)


def tanh_network(samples: int = 12, width: int = 5, seed: int = 0) -> Problem:
    """One hidden layer, f(x) = v·tanh(W x + b), loss (f - y)²/2, on two normal inputs.

    Targets are sin(2x₁) + x₂/2; the start is normal, scaled by 1/√inputs of each layer.

    Args:
        samples: N.
        width: hidden units k; it has 4k parameters.
        seed: of samples and start.
    """
    check_positive(samples=samples, width=width)
    import torch

    normal = _draw(seed)
    inputs = normal(samples, 2)
    targets = torch.sin(2 * inputs[:, 0]) + inputs[:, 1] / 2
    start = torch.cat([normal(2 * width) / 2**0.5, 0.1 * normal(width), normal(width) / width**0.5])

    def losses(theta: Tensor) -> Tensor:
        first, bias, last = theta.split([2 * width, width, width])
        hidden = torch.tanh(inputs @ first.view(2, width) + bias)
        found: Tensor = (hidden @ last - targets) ** 2 / 2
        return found

    return Problem(losses, start, samples)


def quadratic(samples: int = 6, features: int = 4, seed: int = 0) -> Problem:
    """Least squares, loss (<x, θ> - y)²/2 with normal x, y and start: every flow has a closed form.

    Args:
        samples: N.
        features: n.
        seed: of everything that is drawn.
    """
    check_positive(samples=samples, features=features)
    normal = _draw(seed)
    inputs, targets, start = normal(samples, features), normal(samples), normal(features)
    return Problem(lambda theta: (inputs @ theta - targets) ** 2 / 2, start, samples)


PROBLEMS = Registry(
    "problem",
    {
        "product": product,
        "diagonal-linear": diagonal_linear,
        "tanh-network": tanh_network,
        "quadratic": quadratic,
    },
)
"""Functions from keyword parameters and a seed to a :class:`Problem`."""


def build_problem(text: str, seed: int) -> Problem:
    """The problem spelled ``text``, drawn from ``seed``.

    Raises:
        RequestError: unknown name or parameter.
        ValueError: a value out of range.
    """
    spec = parse(text)
    problem: Problem = PROBLEMS.resolve(spec)(**spec.parameters, seed=seed)
    return problem


def samples_of(text: str) -> int:
    """The number of samples of the problem spelled ``text``, which is not built."""
    spec = parse(text)
    default = PROBLEMS.signature(spec.name).parameters["samples"].default
    return int(spec.parameters.get("samples", default))
