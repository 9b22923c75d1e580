"""Regression problems with more features than samples, by the name that a suite uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr_bench.registry import Registry
from gr_bench.spec import parse
from gr_bench.workloads.checks import check_positive

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """y = Xβ* with independent features of unit variance.

    Attributes:
        inputs: X, (N, d) with N < d, so that many β fit the data.
        targets: y, (N,).
        truth: β*, (d,).
        feature_mean: μ, the mean of every feature.
    """

    inputs: Array
    targets: Array
    truth: Array
    feature_mean: float

    def test_error(self, beta: Array) -> float:
        """E(<x, β> - <x, β*>)² over new x ~ N(μ·1, I): ‖Δ‖² + μ²·(1ᵀΔ)² with Δ = β - β*."""
        apart = beta - self.truth
        return float(apart @ apart + (self.feature_mean * apart.sum()) ** 2)


def sparse_regression(
    samples: int = 10,
    features: int = 20,
    nonzero: int = 2,
    feature_mean: float = 0.0,
    seed: int = 0,
) -> Problem:
    """Noiseless linear regression on N(μ·1, I) features of which few matter.

    Args:
        samples: N.
        features: d > N.
        nonzero: k, entries of β* that are 1/√k; the others are 0.
        feature_mean: μ; 0 is centred.
        seed: the same seed gives the same problem.

    Raises:
        ValueError: sizes that are not 1 <= k <= d and 1 <= N < d.

    Source: Woodworth et al., COLT 2020 (arXiv 2002.09277), centred; Nacson et al., ICML 2022
    (arXiv 2202.03596), with a mean.
    """
    check_positive(samples=samples, features=features, nonzero=nonzero)
    if samples >= features:
        raise ValueError(f"features must be more than the {samples} samples, not {features}")
    if nonzero > features:
        raise ValueError(f"nonzero must be at most the {features} features, not {nonzero}")
    inputs = feature_mean + np.random.default_rng(seed).standard_normal((samples, features))
    truth = np.zeros(features)
    truth[:nonzero] = nonzero**-0.5
    return Problem(inputs, inputs @ truth, truth, feature_mean)


PROBLEMS = Registry("problem", {"sparse-regression": sparse_regression})
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
